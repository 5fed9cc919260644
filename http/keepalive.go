package http

import (
	"time"

	"github.com/seed4930a636/mangusta/conn"
)

const (
	// maxSkip is how many bytes of a body are thrown away to keep a connection whose request got
	// its reply before it was complete.
	maxSkip = 256 << 10
	// A closing connection waits for lingerTime for the client to read its last reply.
	lingerTime = 2 * time.Second
)

// tally counts the requests of a connection, for Options.MaxRequests, and knows that the next is the
// last before a restart.
type tally struct {
	srv    *Server
	served int
	last   bool // the next request is the last
}

// keep decides by the head whether the connection lives on after the reply.
func (x *exchange) keep() {
	if x.f.Close || x.p.Minor == 0 && !x.f.Keep {
		x.flags |= closing
	}
	if t := x.tally; t != nil {
		t.served++
		if most := x.srv.opts.MaxRequests; t.last || most > 0 && t.served >= most {
			x.flags |= closing
		}
	}
}

// rest is the state between requests: c holds nothing but a pointer to s.
func (s *Server) rest(c *conn.Conn) {
	if c.Layer().PeerDone() && c.Recv.Len() == 0 {
		drain(c)
		return
	}
	c.Layer().SetDeadline(s.opts.IdleTimeout)
	c.Layer().SetSpare(true)
}

// idle ends a connection that has rested for IdleTimeout.
func (s *Server) idle(c *conn.Conn) {
	if c.Pending() > 0 || c.Recv.Len() > 0 || c.Layer().Stopped() {
		c.Layer().SetDeadline(s.opts.IdleTimeout)
		return
	}
	c.Layer().SetReason(conn.Idle)
	c.Close()
}

// drain sends what is queued and closes.
func drain(c *conn.Conn) {
	c.Layer().SetDeadline(0)
	c.Drain()
}

// linger is drain for a client that may still be sending.
func linger(c *conn.Conn) {
	c.Layer().DrainLinger(lingerTime)
}
