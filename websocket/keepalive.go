package websocket

import (
	"errors"
	"time"

	"github.com/seed4930a636/mangusta/conn"
)

var errNoPong = errors.New("websocket: no pong came in time")

// Keep-alive needs no timer. It uses the connection's deadline, which the closing handshake takes
// over. A read only notes the time. When the deadline passes, keepAlive looks how long the silence
// is, and sets the next deadline if it is too short. So a connection costs one look every
// PingInterval, and 16 bytes of its session.

// interval is Options.PingInterval, less up to an eighth: connections that were opened together, by
// pages that come back to a restarted server, say, must not be pinged together for ever. A
// connection has the same interval at all times, so it need not be stored.
func (s *session) interval(c *conn.Conn) time.Duration {
	d := s.opts.pingInterval()
	const spread = 1024
	share := uint32(c.ID()>>24) * 2654435769 >> 22 // Fibonacci hashing: consecutive numbers end up far apart
	return d - d/8/spread*time.Duration(share)
}

// listen begins to wait for signs of life.
func (s *session) listen(c *conn.Conn) {
	s.heard, s.asked = c.Layer().Shared().Now, 0
	c.Layer().SetDeadline(s.interval(c)) // negative cancels
}

// hear notes a sign of life.
func (s *session) hear(c *conn.Conn) {
	if s.asked != 0 && s.phase == running {
		s.listen(c)
		return
	}
	s.heard = c.Layer().Shared().Now
}

// keepAlive handles the deadline of a running WebSocket. The wait for the pong has two halves: if
// the loop stood still during the first, it can read in the second what has come in the meantime.
func (s *session) keepAlive(c *conn.Conn) {
	interval, half := s.interval(c), max(s.opts.pongTimeout()/2, 1)
	silence := time.Duration(c.Layer().Shared().Now - s.heard)
	switch {
	case c.Layer().Stopped():
		s.listen(c) // this side does not read, so the silence says nothing about the peer
	case s.asked == 0 && silence < interval:
		c.Layer().SetDeadline(interval - silence)
	case s.asked == 0:
		s.ask(c, half)
	case c.Pending() > 0:
		c.Layer().SetDeadline(half) // the ping may not be out yet: conn.Limits.Stall judges a peer that takes nothing
	case s.asked == 1:
		s.asked = 2
		c.Layer().SetDeadline(half)
	default:
		s.end(c, CloseAbnormal, "no pong in time", false)
		c.Layer().Fail(conn.DeadlineOver, errNoPong)
	}
}

// pingFrame is a server's ping. All connections share it, so thousands of pings in one turn take no
// buffers.
var pingFrame = []byte{finBit | byte(Ping), 0}

// ask sends a ping. If the send limit refuses it, the silence is counted from now on:
// conn.Limits.Stall judges a peer that takes nothing.
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
	c.Layer().SetDeadline(half)
}
