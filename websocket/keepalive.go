package websocket

import (
	"errors"
	"time"

	"github.com/seed4930a636/mangusta/conn"
)

var errNoPong = errors.New("websocket: the peer did not answer the ping in time")

// Keep-alive needs no timer: it lives in the connection's deadline slot, which the close handshake takes over. A read
// only notes the time. The deadline finds out how long the silence is, and moves on when it is not long enough: so one
// connection costs a sweep of the loop every PingInterval, and 16 bytes of its session.

// interval is Options.PingInterval, or up to an eighth less: connections that were opened together, such as by pages that
// come back to a server just started, must not be pinged together for ever. It is the same for each connection at all
// times, so that nothing has to be kept.
func (s *session) interval(c *conn.Conn) time.Duration {
	d := s.opts.pingInterval()
	const spread = 1024
	share := uint32(c.ID()>>24) * 2654435769 >> 22 // Fibonacci hashing: consecutive numbers end up far apart
	return d - d/8/spread*time.Duration(share)
}

// listen begins to wait for signs of life.
func (s *session) listen(c *conn.Conn) {
	s.heard, s.asked = c.Shared().Now, 0
	c.SetDeadline(s.interval(c)) // negative cancels
}

// hear notes a sign of life.
func (s *session) hear(c *conn.Conn) {
	if s.asked != 0 && s.phase == running {
		s.listen(c)
		return
	}
	s.heard = c.Shared().Now
}

// keepAlive does what is due when the deadline of a running WebSocket has passed. The wait for the pong is made of two
// halves: when it was the loop that stood still, the second gives it the time to read what has come in the meantime.
func (s *session) keepAlive(c *conn.Conn) {
	interval, half := s.interval(c), max(s.opts.pongTimeout()/2, 1)
	silence := time.Duration(c.Shared().Now - s.heard)
	switch {
	case c.Paused() || c.Held() || c.Congested():
		s.listen(c) // it is us who do not read: the silence says nothing about the peer
	case s.asked == 0 && silence < interval:
		c.SetDeadline(interval - silence)
	case s.asked == 0:
		s.ask(c, half)
	case c.Pending() > 0:
		c.SetDeadline(half) // the ping may not be out yet: conn.Limits.Stall judges a peer that takes nothing
	case s.asked == 1:
		s.asked = 2
		c.SetDeadline(half)
	default:
		s.end(c, CloseAbnormal, "no pong in time", false)
		c.Fail(conn.DeadlineOver, errNoPong)
	}
}

// pingFrame is a server's ping. It is shared by all, so that thousands of pings in one turn take no buffers.
var pingFrame = []byte{finBit | byte(Ping), 0}

// ask sends a ping. When there is no room for it, what is queued has to reach the peer first, and will be answered for.
func (s *session) ask(c *conn.Conn, half time.Duration) {
	var err error
	if s.keys != nil {
		err = s.sendFrame(c, pingFrame[0], nil)
	} else {
		err = c.WriteShared(pingFrame)
	}
	if s.opts.pongTimeout() < 0 || err != nil {
		s.listen(c)
		return
	}
	s.asked = 1
	c.SetDeadline(half)
}
