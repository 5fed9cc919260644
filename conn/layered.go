package conn

import (
	"errors"
	"math"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A connection over a Layered transport is first securing: its handshake goes on, and no byte of
// the program is read or sent. Accept and Connect come when it is over. While a worker computes for
// the handshake (computing), the poller does not watch for input. Writes queue meanwhile.
//
// After that such a connection differs from others in two ways. The transport may hold input that
// the poller does not know of, so settle reads as long as holdsInput says so. And it may hold
// output, so the queue counts as sent only when Unsent is 0: Pending, the write timeout,
// congestion, Drained, CloseWrite and Drain all heed it.

// ErrComputing is what Layered.Handshake returns while another goroutine computes for it.
var ErrComputing = errors.New("conn: the handshake is being computed")

// alertTime is how long a connection whose transport has failed lingers, so that the peer can read
// why.
const alertTime = time.Second

// SetTransport puts t between the connection and its transport; t.Below is what Transport returned.
// It must be called before Open is fired: in Setup of the manager's options. handshake is how long
// t.Handshake may take, counted from when the connection was accepted or connected; 0 and less are
// no limit. Over that, the connection ends with DeadlineOver.
func (l *Layer) SetTransport(t Layered, handshake time.Duration) {
	l.tr = t
	l.flags |= layered | securing
	r := (*Conn)(l).rarely()
	r.layer, r.secure = t, int64(handshake)
}

// Transport returns what moves the bytes of the connection.
func (l *Layer) Transport() Transport { return l.tr }

// Computed says that what Layered.Handshake returned ErrComputing for is there: Handshake is called
// again at the end of this turn. A worker reaches the loop's goroutine with Complete.
func (l *Layer) Computed() {
	if l.flags&securing != 0 {
		l.flags &^= computing
		l.rare.stepDue = true
		(*Conn)(l).touch()
	}
}

// Cut says that what the peer was sent is not all that it should get: a reply ends in its middle. A
// Layered transport must not tell the peer then that the stream is whole. The connection says it of
// itself when it drops what is queued, and when it ends with an Error event that is not one of idling.
func (l *Layer) Cut() {
	if l.flags&layered != 0 {
		l.rare.cut = true
	}
}

// WasCut reports whether Cut holds. It is for Layered transports.
func (l *Layer) WasCut() bool { return l.flags&layered != 0 && l.rare.cut }

// A Completer is a Loop that other goroutines can give results to.
type Completer interface {
	// Complete runs f on the loop's goroutine, soon; what is queued by other means does not keep it
	// waiting, and it is never refused because a queue is full. It returns an error only when the
	// loop has ended. The caller bounds how many are under way. Safe for concurrent use.
	Complete(f func()) error
}

// Complete is Completer.Complete of the loop that carries the connection. Safe for concurrent use.
func (l *Layer) Complete(f func()) error { return l.sh.Loop.(Completer).Complete(f) }

// Secure reports whether the connection is protected by TLS: a Layered transport is in use, its
// handshake is over, and it has not failed.
func (c *Conn) Secure() bool { return c.flags&(layered|securing|unusable) == layered }

// below returns the transport that reads from the descriptor itself.
func (c *Conn) below() Transport {
	if c.flags&layered != 0 {
		return c.rare.layer.Below()
	}
	return c.tr
}

// layerUnsent returns how much output the transport holds, or the queue of datagrams.
func (c *Conn) layerUnsent() int {
	if c.flags&holding == 0 {
		return 0
	}
	if g := c.rare.grams; g != nil {
		return g.queued
	}
	return c.rare.layer.Unsent()
}

// recvLayered is recv over a Layered transport.
func (c *Conn) recvLayered(p []byte) (n int, err error) {
	c.beforeLayer()
	for err = unix.EINTR; err == unix.EINTR; {
		n, err = c.tr.Read(int(c.fd), p)
	}
	c.afterLayer()
	return n, err
}

// noteHolding is called after each call of the transport that may have changed Unsent or Holds.
func (c *Conn) noteHolding() {
	t := c.rare.layer
	if t.Unsent() > 0 {
		c.flags |= holding
	} else {
		c.flags &^= holding
	}
	c.countLayer(t.Holds())
}

// countLayer has Held include n bytes for the transport.
func (c *Conn) countLayer(n int) {
	n = min(n, math.MaxInt32)
	c.sh.held += n - int(c.rare.layerHolds)
	c.rare.layerHolds = int32(n)
}

// holdsInput reports whether the transport holds input, and nothing keeps the connection from
// reading it.
func (c *Conn) holdsInput() bool {
	return c.flags&layered != 0 && c.state == open && c.flags&(eof|shut|connecting|securing) == 0 && c.rare.layer.Buffered()
}

// beginHandshake starts the handshake, and its clock.
func (c *Conn) beginHandshake() {
	r := c.rare
	if r.secure <= 0 {
		r.secure = 1<<63 - 1
	} else {
		r.secure = later(c.sh.Now, time.Duration(r.secure))
	}
	r.stepDue = true
	c.noteDeadline()
	c.touch()
}

// handshake goes on with the handshake.
func (c *Conn) handshake() {
	c.rare.stepDue = false
	c.beforeLayer()
	ev, err := c.rare.layer.Handshake(int(c.fd))
	for err == unix.EINTR {
		ev, err = c.rare.layer.Handshake(int(c.fd))
	}
	c.lastActive = c.sh.Now
	c.afterLayer()
	switch err {
	case nil:
		c.secured(ev)
	case ErrComputing:
		c.flags |= computing
		c.touch()
	case unix.EAGAIN:
	default:
		c.broken(err)
	}
}

// secured is what follows the handshake.
func (c *Conn) secured(ev Event) {
	r := c.rare
	accept, connect := r.acceptDue, r.connectDue
	r.acceptDue, r.connectDue = false, false
	c.flags &^= securing
	c.lastSent = c.sh.Now
	c.noteDeadline() // the protocol's may have passed
	c.touch()
	if ev != nil {
		c.fire(ev)
	}
	if accept {
		c.fire(&Accept{})
	}
	if connect {
		c.fire(&Connect{})
	}
}

// layerFailed ends the connection because the protocol of its transport has failed. The peer is
// sent what the transport has to say, and nothing of the queue, which flushLayered drops: it may be
// in use here.
func (c *Conn) layerFailed(err error) {
	c.flags &^= securing | computing
	c.flags |= unusable
	switch {
	case c.state >= closing:
	case c.layerUnsent() == 0 || c.state != open:
		c.fail(TLSFailed, err)
	default:
		(*Driver)(c).FailAfter(TLSFailed, err, alertTime)
	}
}

// readableLayered is readable over a Layered transport: one read, and then what the transport
// holds.
func (c *Conn) readableLayered() {
	if c.flags&(securing|connecting) == 0 {
		if c.readLayered() {
			c.rare.readMuch = true
			c.touch()
		}
		return
	}
	if c.flags&(computing|connecting) == 0 && c.state <= draining {
		c.handshake()
	}
}

// readLayered reads until the transport holds no more input, or readSize bytes have come; more only
// where a layer waits for much. It reports whether there is more.
func (c *Conn) readLayered() (more bool) {
	for got := 0; ; {
		most := readSize
		if c.toCome() > 0 {
			most = readMax
		}
		if got >= most {
			return true
		}
		n, _ := c.readOnce(most - got)
		got += n
		if n == 0 || !c.holdsInput() {
			return false
		}
	}
}

// beforeLayer is called before the transport is asked for input. The read may make it write: then
// the write timeout starts now.
func (c *Conn) beforeLayer() {
	if !c.unsent() {
		c.lastSent = c.sh.Now
	}
}

// afterLayer is called after the transport was asked for input.
func (c *Conn) afterLayer() {
	c.noteHolding()
	if c.flags&(blocked|holding) == holding {
		c.touch()
		c.noteDeadline()
	}
}

// settleLayered does what the end of a turn is for: a step of the handshake, or a read of what the
// transport holds and the poller does not know of.
func (c *Conn) settleLayered() {
	switch {
	case c.flags&(securing|connecting) == securing && c.rare.stepDue && c.state <= draining:
		c.handshake()
	case c.rare.readMuch:
		c.rare.readMuch = false
	case c.holdsInput():
		c.readLayered()
	}
}

// flushLayered is flush over a Layered transport: what it holds goes first.
func (c *Conn) flushLayered() {
	t, n, moved := c.rare.layer, 0, false
	if c.flags&unusable != 0 {
		c.dropQueue()
	}
	for c.flags&blocked == 0 {
		before := t.Unsent()
		if before == 0 {
			break
		}
		err := t.Flush(int(c.fd))
		c.noteHolding()
		if t.Unsent() < before {
			moved = true
			c.lastSent, c.lastActive = c.sh.Now, c.sh.Now
		}
		switch {
		case err == syscall.EINTR:
		case err == syscall.EAGAIN, err == nil && t.Unsent() >= before:
			c.flags |= blocked
		case err != nil:
			c.broken(err)
			return
		}
	}
	if c.flags&securing == 0 {
		n = c.flushQueue()
	}
	if n > 0 || moved {
		c.afterWrite(n)
	}
}
