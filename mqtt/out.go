package mqtt

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eclipse/paho.golang/paho"

	"github.com/seed4930a636/mangusta/broadcast"
)

// lanes is how many messages are on their way to the broker at once. The messages of one topic are
// in one lane, one after the other.
const lanes = 32

// An outbox takes messages from the hub to the broker.
type outbox struct {
	b       *Bridge
	lane    [lanes]lane
	seed    maphash.Seed
	started chan struct{} // closed when there is a connection manager

	most            atomic.Uint32 // bytes of a packet that the broker takes; 0 is any number
	waiting, bytes  atomic.Int64  // of messages that are not acknowledged
	changed         chan struct{} // gets a value when waiting is 0
	out, lost, sent atomic.Uint64
	complaint       nowAndThen
}

// A lane is a queue.
type lane struct {
	mu    sync.Mutex
	queue []departure
	bell  chan struct{}
}

// A departure is a message for the broker.
type departure struct {
	m    *broadcast.Message
	rule *Out
}

func (x *outbox) init(b *Bridge) {
	x.b, x.seed, x.started, x.changed = b, maphash.MakeSeed(), make(chan struct{}), make(chan struct{}, 1)
	for i := range x.lane {
		x.lane[i].bell = make(chan struct{}, 1)
	}
}

// Tap is for broadcast.Options.Tap: it queues what a rule sends to the broker.
func (b *Bridge) Tap(m *broadcast.Message, id string) {
	if strings.HasPrefix(id, idPrefix) {
		return // it came in by a bridge
	}
	for i := range b.opts.Out {
		r := &b.opts.Out[i]
		if match(r.Pattern, m.Topic) {
			if !m.Deleted || r.Retain {
				b.out.push(departure{m, r})
			}
			return
		}
	}
}

// push does not wait: it is called under the hub's lock.
func (x *outbox) push(d departure) {
	n := int64(len(d.m.Data))
	if x.b.ctx.Err() != nil || x.waiting.Load() >= int64(x.b.opts.Queue) || x.bytes.Load()+n > int64(x.b.opts.QueueBytes) {
		x.lose(errors.New("too many messages wait"), d)
		return
	}
	x.waiting.Add(1)
	x.bytes.Add(n)
	l := &x.lane[maphash.String(x.seed, d.m.Topic)%lanes]
	l.mu.Lock()
	l.queue = append(l.queue, d)
	l.mu.Unlock()
	select {
	case l.bell <- struct{}{}:
	default:
	}
}

func (x *outbox) lose(why error, d departure) {
	x.lost.Add(1)
	x.complaint.warn(x.b.opts.Log, "a message to the MQTT broker is lost", "topic", d.m.Topic, "why", why)
}

func (x *outbox) run() {
	for i := range x.lane {
		x.b.work.Go(func() { x.serve(&x.lane[i]) })
	}
}

// serve sends what comes into a lane.
func (x *outbox) serve(l *lane) {
	select {
	case <-x.started:
	case <-x.b.ctx.Done():
		return
	}
	for {
		l.mu.Lock()
		queue := l.queue
		l.queue = nil
		l.mu.Unlock()
		for _, d := range queue {
			x.send(d)
			x.bytes.Add(-int64(len(d.m.Data)))
			if x.waiting.Add(-1) == 0 {
				select {
				case x.changed <- struct{}{}:
				default:
				}
			}
		}
		if queue != nil {
			continue
		}
		select {
		case <-l.bell:
		case <-x.b.ctx.Done():
			return
		}
	}
}

// sendTimeout is how long the broker may take to acknowledge a message, before it is sent again.
const sendTimeout = 10 * time.Second

// send sends a message until the broker has it, or refuses it, or the bridge ends.
func (x *outbox) send(d departure) {
	p := &paho.Publish{QoS: d.rule.QoS, Retain: d.rule.Retain, Topic: rename(d.m.Topic, d.rule.From, d.rule.To), Payload: d.m.Data, Properties: x.b.properties()}
	p.Properties.User = append(p.Properties.User, paho.UserProperty{Key: "mangusta-offset", Value: strconv.FormatUint(d.m.Offset, 10)})
	for again := false; ; again = true {
		if err := x.b.cm.AwaitConnection(x.b.ctx); err != nil {
			x.lose(errors.New("the bridge has ended"), d)
			return
		}
		if most := x.most.Load(); most > 0 && sizeOf(p) > int64(most) {
			x.lose(fmt.Errorf("the broker takes %d bytes", most), d)
			return
		}
		if again {
			x.sent.Add(1)
		}
		ctx, cancel := context.WithTimeout(x.b.ctx, sendTimeout)
		r, err := x.b.cm.Publish(ctx, p)
		cancel()
		switch {
		case r != nil && r.ReasonCode >= 0x80: // MQTT 5.0 §3.4.2.1: it will not be taken next time either
			x.lose(fmt.Errorf("the broker refuses it with code %#x", r.ReasonCode), d)
			return
		case errors.Is(err, paho.ErrInvalidArguments): // as where the broker retains nothing
			x.lose(err, d)
			return
		case err == nil:
			x.out.Add(1)
			return
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-x.b.ctx.Done():
		}
	}
}

// sizeOf returns the bytes of a packet, at most (MQTT 5.0 §3.3). A broker ends the connection at
// one that is larger than it takes (§3.1.2.11.4), each time that it comes.
func sizeOf(p *paho.Publish) int64 {
	n := 1 + 4 + 2 + len(p.Topic) + 2 + 4 + len(p.Payload)
	for _, u := range p.Properties.User {
		n += 1 + 2 + len(u.Key) + 2 + len(u.Value)
	}
	return int64(n)
}

// drain waits until nothing waits any more.
func (x *outbox) drain(ctx context.Context) error {
	for x.waiting.Load() > 0 {
		select {
		case <-x.changed:
		case <-ctx.Done():
			return fmt.Errorf("mqtt: %d messages did not get to the broker: %w", x.waiting.Load(), ctx.Err())
		}
	}
	return nil
}

func (x *outbox) stats(s *Stats) {
	s.Out, s.Lost, s.Resent, s.Waiting = x.out.Load(), x.lost.Load(), x.sent.Load(), int(x.waiting.Load())
}
