package conn

import (
	"errors"
	"slices"
)

// ErrBacklog is returned by WriteBroadcast for a message that the peer does not get, because as
// much waits for it as Limits.Backlog allows.
var ErrBacklog = errors.New("conn: the peer lags behind the broadcast")

// A Backlog bounds what broadcasts may leave waiting for a peer that does not take it. A message is
// queued while less waits than this, so one message may go past it. Zero fields mean the defaults,
// negative ones no bound.
type Backlog struct {
	Bytes    int // queued, of any kind; default 1 MiB
	Messages int // stretches of the queue; default 4,096
	Policy   BacklogPolicy
}

// BacklogPolicy says what becomes of a message of a broadcast for a peer that lags as far as
// Backlog allows.
type BacklogPolicy uint8

const (
	DropOldest BacklogPolicy = iota // messages of broadcasts that have waited longest are dropped; if there are none, the new one is skipped
	SkipNew                         // the new message is skipped
	Disconnect                      // the connection ends: a WebSocket with 1013 or websocket.Options.LagCode, a stream of events by its end
)

const (
	backlogBytes    = 1 << 20
	backlogMessages = 4096
)

// WriteBroadcast is WriteShared for a message of a broadcast, which a peer that lags can do
// without: Limits.Backlog says how far it may lag, and what is done then. p must be a whole message
// of the protocol that is spoken on c. It returns ErrClosed, ErrSendLimit, and ErrBacklog for a
// message that is skipped, or, with Disconnect, the end of the connection. Messages that are
// skipped or dropped are counted in Stats.Skipped.
func (c *Conn) WriteBroadcast(p []byte) error {
	err := c.Layer().WriteBroadcast(p)
	if err == ErrBacklog && c.limits.Backlog.Policy == Disconnect {
		c.fail(SendLimit, ErrBacklog)
	}
	return err
}

// WriteBroadcast is that of Conn, but leaves it to the layer to end the connection when the policy
// is Disconnect.
func (l *Layer) WriteBroadcast(p []byte) error {
	c := (*Conn)(l)
	if c.lags() {
		if err := c.catchUp(); err != nil {
			return err
		}
	}
	return c.writeShared(p, true)
}

// Lags reports whether as much waits for the peer as Limits.Backlog allows.
func (l *Layer) Lags() bool { return (*Conn)(l).lags() }

// CatchUp is for a message of a broadcast that the layer is going to copy: it returns nil when it
// may be queued, and ErrBacklog when not. A peer that lags only because the turn has not ended yet
// is sent what waits for it.
func (l *Layer) CatchUp() error {
	if c := (*Conn)(l); c.lags() {
		return c.catchUp()
	}
	return nil
}

func (c *Conn) lags() bool {
	q := c.out
	return q != nil && (q.size >= c.limits.Backlog.Bytes || len(q.parts)-q.first >= c.limits.Backlog.Messages)
}

func (c *Conn) catchUp() error {
	c.check("WriteBroadcast")
	if c.state != open || c.flags&shutWrite != 0 {
		return ErrClosed
	}
	if q := c.ownQueue(); c.flags&(blocked|connecting|securing|holding) == 0 && q.sent < throughMax {
		q.sent += c.transmit(q, throughMax-q.sent)
		c.touch()
	}
	if c.state != open {
		return ErrClosed
	}
	for c.lags() {
		policy := c.limits.Backlog.Policy
		if policy == Disconnect {
			c.out.dropCasts() // so that the end reaches the peer soon
		}
		c.sh.Stats.Skipped++
		if policy != DropOldest || !c.out.dropOldest() {
			return ErrBacklog
		}
	}
	return nil
}

// dropOldest drops the first message of a broadcast of which nothing has been sent, and reports
// whether there is one. In front of it are one message that has been begun, and what else was
// written.
func (q *queue) dropOldest() bool {
	for i := q.first; i < len(q.parts); i++ {
		if !q.parts[i].cast {
			continue
		}
		q.size -= q.parts[i].n
		q.unshare(&q.parts[i])
		// Stretches of own that are neighbours now become one, so that few are ever in front.
		if i > q.first && i+1 < len(q.parts) && q.parts[i-1].isOwn() && q.parts[i+1].isOwn() {
			q.parts[i+1].n += q.parts[i-1].n
			i, q.parts[i] = i-1, part{}
			copy(q.parts[q.first+2:i+2], q.parts[q.first:i])
			clear(q.parts[q.first : q.first+2])
			q.first += 2
			return true
		}
		copy(q.parts[q.first+1:i+1], q.parts[q.first:i])
		q.parts[q.first] = part{}
		q.first++
		return true
	}
	return false
}

// dropCasts drops all messages of broadcasts of which nothing has been sent.
func (q *queue) dropCasts() {
	q.parts = slices.DeleteFunc(q.parts, func(t part) bool {
		if t.cast {
			q.size -= t.n
			q.unshare(&t)
		}
		return t.cast
	})
}
