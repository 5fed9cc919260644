package conn

import (
	"errors"
	"math"
	"time"
)

// Timeouts cost a store and a comparison when they are set or moved. Shared.NextDeadline is a lower bound of all of them;
// when it has come the loop calls Expire of every connection, which finds the true next one. Activity only moves a
// connection's timeout away, so the bound stays a bound.

var (
	errIdle     = errors.New("no byte came or went for the idle timeout")
	errStalled  = errors.New("the peer took no byte for the write timeout")
	errDeadline = errors.New("the peer did not close in time")
)

// SetDeadline has the Deadline event fired once when d has passed since the turn of the loop began, a tenth of a second late at
// worst with few connections; 0 or less cancels. On a connection that is draining its passing is the end, with reason DeadlineOver; after
// DrainLinger it does nothing. There is one slot, which belongs to the protocol layer where there is one; programs have
// Manager.AfterFunc.
func (c *Conn) SetDeadline(d time.Duration) {
	c.check("SetDeadline")
	switch {
	case c.flags&lingerAfter != 0: // the slot is taken
	case d <= 0:
		c.deadline = 0
	default:
		c.deadline = later(c.sh.Now, d)
		c.noteDeadline()
	}
}

// SetIdleTimeout closes the connection when no byte has come or gone for d; 0 is never.
func (c *Conn) SetIdleTimeout(d time.Duration) {
	l := *c.limits
	l.Idle = d
	c.SetLimits(&l)
}

// SetWriteTimeout closes the connection when bytes are queued and the peer has taken none for d; negative is never.
func (c *Conn) SetWriteTimeout(d time.Duration) {
	l := *c.limits
	l.Stall = d
	c.SetLimits(&l)
}

// later returns the time t+d, or the end of time when that is past it.
func later(t int64, d time.Duration) int64 { return t + min(int64(d), math.MaxInt64-t) }

// lingersLater reports whether the connection is sending what goes before lingering. deadline is how long it will linger then.
func (c *Conn) lingersLater() bool { return c.state == draining && c.flags&lingerAfter != 0 }

// nextDeadline returns when Expire has something to do at the earliest.
func (c *Conn) nextDeadline() int64 {
	t := int64(math.MaxInt64)
	if c.state == closed || c.flags&listening != 0 {
		return t
	}
	if c.deadline != 0 && !c.lingersLater() {
		t = c.deadline
	}
	if d := c.limits.Idle; d > 0 {
		t = min(t, later(c.lastActive, d))
	}
	if d := c.limits.Stall; d > 0 && c.unsent() {
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

// Expire does what is due at Shared.Now and returns when it has to be called again at the latest.
func (c *Conn) Expire() int64 {
	now := c.sh.Now
	if c.nextDeadline() > now || c.state >= closing {
		return c.nextDeadline()
	}
	switch {
	case c.flags&connecting != 0 && c.deadline != 0 && c.deadline <= now:
		c.Fail(TimedOut, errConnect)
	case c.limits.Stall > 0 && c.unsent() && c.flags&blocked != 0 && later(c.lastSent, c.limits.Stall) <= now:
		c.Fail(Stalled, errStalled)
	case c.limits.Idle > 0 && later(c.lastActive, c.limits.Idle) <= now:
		c.Fail(Idle, errIdle)
	case c.deadline == 0 || c.deadline > now || c.lingersLater():
		// The write timeout has passed, but the poller has just found room: the loop was late, not the peer.
	case c.state == open:
		c.deadline = 0
		c.Fire(Deadline{})
	case c.state == lingering:
		c.end(c.reason)
	default:
		c.Fail(DeadlineOver, errDeadline)
	}
	return c.nextDeadline()
}
