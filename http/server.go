package http

import (
	"time"

	"github.com/seed4930a636/mangusta/conn"
)

// A Server holds what the connections of one listener share: the options, spare exchanges and the Date line. It takes no
// lock: one Server must not be used on two loops.
type Server struct {
	opts    Options
	lim     limits
	free    []*exchange
	date    dateLine
	server  string // the Server line of replies, or ""
	scratch []byte // formatted bodies
	file    []byte // what is read of a file in one step
	etags   map[etagKey]string
	bad     BadRequest
	chunk   Chunk
	coded   []byte // room for a body in the coding of Options.Compress

	raisedFrom conn.Limits
	raised     *conn.Limits // raisedFrom with a higher Recv
}

// NewServer makes a server. It panics when Options.Server is no valid field value.
func NewServer(o Options) *Server {
	s := &Server{opts: o.withDefaults()}
	s.lim = limits{target: s.opts.MaxTarget, head: s.opts.MaxHead, headers: s.opts.MaxHeaders}
	if o.Server != "" {
		if !validValue(o.Server) {
			panic("http: Options.Server is no valid field value")
		}
		s.server = "Server: " + o.Server + "\r\n"
	}
	return s
}

// Attach puts the HTTP layer on a connection: c's handler gets the events of this package from now on. What is unread in
// c.Recv is taken for the first request, or, from one of Options.ProxyFrom, for the PROXY header in front of it. c and s must
// belong to the same loop.
func Attach(c *conn.Conn, s *Server) {
	if !InNetworks(c.RemoteAddr().Addr(), s.opts.ProxyFrom) {
		s.attach(c)
		return
	}
	c.SetProtocol(awaitProxy, s)
	c.SetDeadline(s.opts.HeadTimeout)
	if c.Recv.Len() > 0 {
		c.Redeliver()
	}
}

// attach is Attach behind a PROXY header.
func (s *Server) attach(c *conn.Conn) {
	var state any = s
	if s.opts.MaxRequests > 0 {
		state = &tally{srv: s}
	}
	c.SetProtocol(handle, state)
	c.SetHalfOpen(true) // a client that has finished sending still gets its answers
	s.roomFor(c, s.opts.MaxBody)
	c.SetDeadline(s.opts.IdleTimeout)
	if c.Recv.Len() > 0 {
		c.Redeliver()
	}
}

// roomFor raises the receive limit of c to what a body of n bytes needs.
func (s *Server) roomFor(c *conn.Conn, n int64) {
	if c.Limits().Recv < s.opts.recvFor(n) {
		s.raise(c, s.opts.recvFor(n))
	}
}

// raise gives c limits with the receive limit recv. Connections that had the same limits share the new ones.
func (s *Server) raise(c *conn.Conn, recv int) {
	l := c.Limits()
	if s.raised == nil || l != s.raisedFrom || s.raised.Recv != recv {
		s.raisedFrom = l
		l.Recv = recv
		s.raised = &l
	}
	c.SetLimits(s.raised)
}

// SetMaxBody changes Options.MaxBody, in bytes, for the request whose Head event is being handled. It returns ErrNoRequest
// when there is none whose body is still to come.
func SetMaxBody(c *conn.Conn, n int64) error {
	x, err := waiting(c)
	if err != nil || x.phase > phaseStream {
		return ErrNoRequest
	}
	n = max(n, 0)
	x.maxBody = n
	x.flags |= ownLimit
	if !x.is(streamed) {
		x.srv.roomFor(c, min(n, mostBody))
	}
	return nil
}

const (
	// holdAt is how many bytes of later requests are taken in while one waits for its answer.
	holdAt = 64 << 10
	// maxSkip is how much of a body is thrown away to keep a connection whose request was answered before it was complete.
	maxSkip = 256 << 10
	// A closing connection waits for lingerTime for the client to read its last answer.
	lingerTime = 2 * time.Second
)

// stateOf returns the server of c, and the exchange that is going on, or nil.
func stateOf(c *conn.Conn) (*Server, *exchange) {
	switch st := c.ProtocolState().(type) {
	case *exchange:
		return st.srv, st
	case *Server:
		return st, nil
	case *tally:
		return st.srv, nil
	}
	return nil, nil
}

// handle is the protocol handler: it sees each event before the user does.
func handle(c *conn.Conn, ev conn.Event) {
	s, x := stateOf(c)
	if s == nil {
		return
	}
	switch ev := ev.(type) {
	case *conn.Read:
		if x != nil && ev.N > 0 {
			x.got += int64(ev.N)
			x.lastArrive = c.Shared().Now
		}
		if x != nil && x.pausedAt != 0 {
			x.notePause(c)
		}
		s.serve(c, x)
	case *conn.Write:
		s.wrote(c, x)
	case conn.EOF:
		s.eof(c, x)
	case conn.Deadline:
		s.deadline(c, x)
	case conn.Shutdown:
		s.shutdown(c, x)
	case *conn.Close:
		if x != nil {
			x.recycle()
			c.SetProtocolState(s)
		}
	}
}

// A result says how serve goes on.
type result uint8

const (
	wait  result = iota // for more bytes, for the answer, or for ever
	again               // call advance again: the phase has changed
	done                // the exchange is over and released
)

// serve works through what has arrived, request by request, until it needs more bytes or an answer.
func (s *Server) serve(c *conn.Conn, x *exchange) {
	for c.IsOpen() {
		if x == nil {
			if c.Recv.Len() == 0 || c.Paused() || c.Congested() {
				s.rest(c)
				return
			}
			x = s.begin(c)
		}
		switch x.advance(c) {
		case wait:
			return
		case done:
			x = nil
		}
	}
}

// advance takes the exchange one phase further.
func (x *exchange) advance(c *conn.Conn) result {
	switch x.phase {
	case phaseHead:
		return x.readHead(c)
	case phaseBody:
		return x.readBody(c)
	case phaseStream:
		return x.stream(c)
	case phaseSkip:
		return x.skip(c)
	}
	x.park(c)
	return wait
}

// rest is the state between requests: c holds nothing but a pointer to s.
func (s *Server) rest(c *conn.Conn) {
	if c.PeerDone() && c.Recv.Len() == 0 {
		drain(c)
		return
	}
	c.SetDeadline(s.opts.IdleTimeout)
}

// wrote goes on with what waited for the send queue to shrink.
func (s *Server) wrote(c *conn.Conn, x *exchange) {
	switch {
	case !c.IsOpen():
	case x != nil && x.phase == phaseFile:
		x.sendFile(c)
	case (x == nil || x.phase == phaseStream) && c.Recv.Len() > 0 && !c.Congested():
		c.Redeliver()
	}
}

// eof ends the connection unless answers are due.
func (s *Server) eof(c *conn.Conn, x *exchange) {
	switch {
	case x == nil && c.Recv.Len() > 0:
		// Requests that wait for Resume, or for the send queue to shrink.
	case x == nil:
		drain(c)
	case x.phase < phaseAnswer || x.phase == phaseSkip:
		x.broken(c)
	case x.is(events):
		drain(c) // no browser half-closes: the page is gone
	}
}

func (s *Server) shutdown(c *conn.Conn, x *exchange) {
	if x == nil {
		c.SetReason(conn.ShuttingDown)
		drain(c)
		return
	}
	x.flags |= closing
	if x.is(events) {
		if End(c) != nil {
			x.cut(c) // not even the end finds room in the send queue
		}
	}
}

// drain sends what is queued and closes.
func drain(c *conn.Conn) {
	c.SetDeadline(0)
	c.Drain()
}

// linger is drain for a client that may still be sending.
func linger(c *conn.Conn) {
	c.DrainLinger(lingerTime)
}
