package conn

import (
	"errors"
	"math"
	"time"

	"golang.org/x/sys/unix"
)

// Timeouts cost a store and a comparison when they are set or moved. Shared.NextDeadline is a lower
// bound of all of them; when it has come the loop calls Expire of every connection, which finds the
// true next one. Activity only moves a connection's timeout away, so the bound stays a bound.

var (
	errIdle     = errors.New("no byte came or went for the idle timeout")
	errStalled  = errors.New("the peer took no byte for the write timeout")
	errDeadline = errors.New("the peer did not close in time")

	errHandshake = errors.New("the handshake took too long")
)

// SetIdleTimeout closes the connection when no byte has come or gone for d; 0 is never.
func (c *Conn) SetIdleTimeout(d time.Duration) {
	l := *c.limits
	l.Idle = d
	c.SetLimits(&l)
}

// SetWriteTimeout closes the connection when bytes are queued and the peer has taken none for d;
// negative is never.
func (c *Conn) SetWriteTimeout(d time.Duration) {
	l := *c.limits
	l.Stall = d
	c.SetLimits(&l)
}

// later returns the time t+d, or the end of time when that is past it.
func later(t int64, d time.Duration) int64 { return t + min(int64(d), math.MaxInt64-t) }

// lingersLater reports whether the connection is sending what goes before lingering. deadline is
// how long it will linger then.
func (c *Conn) lingersLater() bool { return c.state == draining && c.flags&lingerAfter != 0 }

// nextDeadline returns when Expire has something to do at the earliest.
func (c *Conn) nextDeadline() int64 {
	t := int64(math.MaxInt64)
	if c.state == closed || c.flags&listening != 0 {
		return t
	}
	switch {
	case c.flags&(securing|connecting) == securing:
		t = c.rare.secure // the protocol's deadline waits
	case c.deadline != 0 && !c.lingersLater():
		t = c.deadline
	}
	if d := c.limits.Idle; d > 0 {
		t = min(t, later(c.lastActive, d))
	}
	if d := c.limits.Stall; d > 0 && c.unsent() && (c.flags&securing == 0 || c.layerUnsent() > 0) {
		t = min(t, later(c.lastSent, d))
	}
	return t
}

// noteDeadline tells the loop of a deadline that may have become the first.
func (c *Conn) noteDeadline() {
	if t := c.nextDeadline(); t < c.sh.NextDeadline {
		c.sh.NextDeadline = t
	}
}

// expire does what is due at Shared.Now and returns when it has to be called again at the latest.
//
// The loop may have been late, and a turn reads from a bounded number of connections: what the peer
// sent in time, or the room that it made in time, may still wait in the kernel. So a connection
// that is due is heard once, and then judged. A timeout is put off by one read at most, however
// many other connections are ready.
func (c *Conn) expire() int64 {
	now := c.sh.Now
	if c.nextDeadline() > now || c.state >= closing {
		return c.nextDeadline()
	}
	c.hear()
	if c.nextDeadline() > now || c.state >= closing {
		return c.nextDeadline()
	}
	switch {
	case c.flags&connecting != 0 && c.deadline != 0 && c.deadline <= now:
		c.fail(TimedOut, c.whyOverdue())
	case c.flags&(securing|connecting) == securing && c.rare.secure <= now:
		c.fail(DeadlineOver, errHandshake)
	case c.limits.Stall > 0 && c.unsent() && c.flags&blocked != 0 && later(c.lastSent, c.limits.Stall) <= now:
		if c.flags&noStream != 0 {
			c.rare.grams.paths.stalled(c)
		} else {
			c.fail(Stalled, errStalled)
		}
	case c.limits.Idle > 0 && later(c.lastActive, c.limits.Idle) <= now:
		c.fail(Idle, errIdle)
	case c.flags&(securing|connecting) == securing:
	case c.deadline == 0 || c.deadline > now || c.lingersLater():
		// The write timeout has passed, but there is room to write: the loop was late, not the
		// peer.
	case c.state == open:
		c.deadline = 0
		c.fire(&Deadline{})
	case c.state == lingering:
		c.end(c.reason)
	default:
		c.fail(DeadlineOver, errDeadline)
	}
	return c.nextDeadline()
}

// whyOverdue says why an attempt to connect has taken too long.
func (c *Conn) whyOverdue() error {
	if c.fd < 0 && c.rare != nil && c.rare.overdue != nil {
		return c.rare.overdue
	}
	return errConnect
}

// hear does once what the poller would have the loop do if the descriptor is ready: it sends, then
// it reads.
func (c *Conn) hear() {
	switch {
	case c.flags&listening != 0 || c.IsReadyOnly():
	case c.flags&connecting != 0:
		if c.flags&blocked != 0 && CanWrite(int(c.fd)) {
			c.writable()
		}
	default:
		c.touch()
		if c.flags&(blocked|submitted) == blocked {
			c.flags &^= blocked
			c.flush()
		}
		if c.state >= closing {
			return
		}
		if c.flags&noStream != 0 {
			c.rare.grams.paths.receive(c)
		} else {
			c.readable()
		}
	}
}

// CanWrite asks the kernel whether fd is writable, or has failed. It is for the loop.
func CanWrite(fd int) bool {
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	n, err := unix.Poll(p, 0)
	return n > 0 && err == nil
}
