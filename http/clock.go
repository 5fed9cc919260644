package http

import (
	"time"

	"github.com/seed4930a636/mangusta/conn"
)

// A clock measures how fast a body arrives.
type clock struct {
	got       int64 // bytes that arrived since the body began
	windowGot int64 // got when the window for the minimum rate began
	windowEnd int64
	arrived   int64 // when the last byte arrived
}

// startClock begins to measure how fast a body arrives.
func (x *exchange) startClock(c *conn.Conn) {
	now := c.Layer().Shared().Now
	x.clock = clock{arrived: now, windowEnd: now + int64(x.srv.opts.BodyTimeout)}
	if x.is(holdsContinue) {
		x.dueAt(now)
	}
	x.arm(c)
}

// arrive notes n bytes.
func (k *clock) arrive(n int, now int64) {
	k.got += int64(n)
	k.arrived = now
}

// stood notes that this side did not read for the time d: that must not count against the client.
func (k *clock) stood(d time.Duration) {
	k.arrived += int64(d)
	k.windowEnd += int64(d)
}

// slow reports whether the body is too slow at the time now, and begins the next window for the
// minimum rate.
func (k *clock) slow(now int64, o *Options) bool {
	if now-k.arrived >= int64(o.BodyTimeout) {
		return true
	}
	if now < k.windowEnd {
		return false
	}
	least := int64(o.BodyTimeout) / int64(time.Millisecond) * int64(o.MinRate) / 1000
	if k.got-k.windowGot < least {
		return true
	}
	k.windowGot, k.windowEnd = k.got, now+int64(o.BodyTimeout)
	return false
}

// arm sets the connection's deadline to the earlier one of intake and outlet. The deadline of a
// head is set when its first byte is read.
func (x *exchange) arm(c *conn.Conn) {
	const never = 1<<63 - 1
	now := c.Layer().Shared().Now
	at := int64(never)
	switch {
	case !x.in.reading() || x.is(holdsContinue):
	case c.Layer().Stopped(): // Resumed sets it again
		at = now + int64(x.srv.opts.BodyTimeout)
	default:
		at = min(x.clock.windowEnd, x.clock.arrived+int64(x.srv.opts.BodyTimeout))
	}
	switch x.out {
	case outWaiting:
		if x.due != 0 && (x.in >= inDone || x.is(holdsContinue)) {
			at = min(at, x.due)
		}
	case outBegun:
		if every := x.srv.opts.Heartbeat; x.is(events) && every >= 0 {
			at = min(at, x.lastEvent+int64(every))
		}
	case outPumping:
		if x.due != 0 {
			at = min(at, x.due)
		}
	}
	if at == never {
		c.Layer().SetDeadline(0)
		return
	}
	c.Layer().SetDeadline(max(time.Duration(at-now), time.Millisecond))
}

// deadline acts on the time limits that have passed.
func (s *Server) deadline(c *conn.Conn, x *exchange) {
	switch {
	case !c.IsOpen():
	case x == nil:
		s.idle(c)
	case x.in == inHead && c.Layer().Stopped():
		c.Layer().SetDeadline(s.opts.HeadTimeout)
	case x.in == inHead:
		x.refuse(c, errSlowHead)
	case x.in.reading() && x.late(c):
		x.refuse(c, errSlowBody)
	case x.out == outWaiting && (x.in >= inDone || x.is(holdsContinue)) && x.due != 0 && c.Layer().Shared().Now >= x.due:
		x.refuse(c, errNoReply)
	case x.out == outPumping:
		x.pumpOn(c)
	default:
		if x.out == outBegun {
			x.beat(c)
		}
		x.arm(c)
	}
}

// late reports whether the body is too slow.
func (x *exchange) late(c *conn.Conn) bool {
	return !c.Layer().Stopped() && !x.is(holdsContinue) && x.clock.slow(c.Layer().Shared().Now, &x.srv.opts)
}
