package websocket

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// Send sends p as a Text or Binary message, or has a copy of it wait until it can be sent, after
// those that wait already. It returns the number of the message: 1, 2, 3 and so on. The errors are
// ErrQueueFull, ErrNotOpen, ErrClosed after Close, and those of websocket.Send for what is no
// message; with an error the message is not sent.
func (r *Reconnector) Send(op Op, p []byte) (uint64, error) {
	switch {
	case op != Text && op != Binary:
		return 0, fmt.Errorf("websocket: send: %s (%d) is not a message", op, op)
	case r.closing || r.phase == PhaseClosed:
		return 0, ErrClosed
	case r.phase == PhaseOpen && len(r.box.list) == 0 && (r.box.most < 0 || r.takes()):
		err := Send(r.c, op, p)
		if err == nil {
			r.last++
			r.gave(r.last)
			return r.last, nil
		}
		if r.box.most < 0 {
			return 0, err
		}
	case r.box.most < 0:
		return 0, ErrNotOpen
	}
	if !r.opts.DropOldest && !r.box.fits(len(p)) || len(p) > r.box.mostBytes {
		return 0, ErrQueueFull
	}
	for !r.box.fits(len(p)) {
		r.box.pop()
		r.dropped++
	}
	r.last++
	r.box.add(r.last, op, p)
	return r.last, nil
}

// takes reports whether the connection takes another message. A message that it could not send soon
// waits here, where MaxQueue bounds it, and where it is not in doubt when the connection breaks.
func (r *Reconnector) takes() bool { return r.c.Pending() < r.c.Limits().HighWater/2 }

// drain hands on what waits, as far as the connection takes it.
func (r *Reconnector) drain() {
	for r.phase == PhaseOpen && r.c != nil && len(r.box.list) > 0 && r.takes() {
		m := &r.box.list[0]
		if Send(r.c, m.op, m.data) != nil {
			return // a Writer is at it, or it is closing
		}
		r.gave(m.number)
		r.box.pop()
	}
}

// gave notes that a message was handed to the connection.
func (r *Reconnector) gave(number uint64) {
	if r.first == 0 {
		r.first = number
	}
	r.handed = number
	r.soonAsk()
}

// soonAsk has the server asked, by and by, for what is in doubt.
func (r *Reconnector) soonAsk() {
	if r.asks == nil && r.handed > r.confirmed && r.opts.Confirm > 0 {
		r.asks = r.world.after(r.opts.Confirm, r.ask)
	}
}

// pingMark begins the pings by which r asks, so that it knows the pongs.
const pingMark = "mangusta "

// ask sends a ping after the messages that are in doubt.
func (r *Reconnector) ask() {
	r.asks = nil
	if r.phase != PhaseOpen {
		return
	}
	Send(r.c, Ping, binary.BigEndian.AppendUint64([]byte(pingMark), r.handed)) // if there is no room, the next one asks
	r.soonAsk()                                                                // RFC 6455 §5.5.3: of several pings the last may be the only one with a pong
}

// confirms takes a pong if it is for a ping of ask.
func (r *Reconnector) confirms(data []byte) bool {
	number, ok := bytes.CutPrefix(data, []byte(pingMark))
	if !ok || len(number) != 8 {
		return false
	}
	if n := binary.BigEndian.Uint64(number); n > r.confirmed && n <= r.handed {
		r.confirmed = n
	}
	if r.confirmed == r.handed {
		r.stopAsking()
	}
	return true
}

func (r *Reconnector) stopAsking() {
	if r.asks != nil {
		r.asks.Stop()
		r.asks = nil
	}
}

// An outbox is the messages that wait, the oldest first.
type outbox struct {
	list            []waiting
	bytes           int
	most, mostBytes int
}

type waiting struct {
	number uint64
	op     Op
	data   []byte
}

// fits reports whether there is room for another message of n bytes.
func (b *outbox) fits(n int) bool { return len(b.list) < b.most && n <= b.mostBytes-b.bytes }

func (b *outbox) add(number uint64, op Op, p []byte) {
	b.list = append(b.list, waiting{number, op, append([]byte(nil), p...)})
	b.bytes += len(p)
}

// pop takes the oldest message out.
func (b *outbox) pop() {
	b.bytes -= len(b.list[0].data)
	b.list[0].data = nil
	if b.list = b.list[1:]; len(b.list) == 0 {
		b.list = nil
	}
}

func (b *outbox) clear() { b.list, b.bytes = nil, 0 }
