package http

import (
	"math"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/internal/wire"
)

// A Server holds what the connections of one listener share: the options, spare exchanges and the
// Date line. It takes no lock: one Server must not be used on two loops.
type Server struct {
	opts    Options
	lim     wire.Limits
	free    []*exchange
	date    dateLine
	start   headStart // of the last reply
	server  string    // the Server line of replies, or ""
	scratch []byte    // formatted bodies
	okType  string    // the Content-Type that was found valid last
	host    []byte    // the Host of the last request: well-formed, and most likely that of the next one
	file    []byte    // room for one step of a file
	hosts   hostCheck
	etags   map[etagKey]string
	files   fileCache
	bad     BadRequest
	chunk   Chunk
	coded   []byte // room for a body in the coding of Options.Compress

	raisedFrom conn.Limits
	raised     *conn.Limits // raisedFrom with a higher Recv
}

// NewServer makes a server. It panics if Options.Server is no valid field value, and on a malformed
// entry of Options.Hosts.
func NewServer(o Options) *Server {
	s := &Server{opts: o.withDefaults()}
	s.files.limit = s.opts.FileCache
	if s.opts.NoDate {
		s.date.until = math.MaxInt64
	}
	var err error
	if s.hosts, err = newHostCheck(o.Hosts, o.HostFunc); err != nil {
		panic("http: " + err.Error())
	}
	s.lim = wire.Limits{Target: s.opts.MaxTarget, Head: s.opts.MaxHead, Fields: s.opts.MaxHeaders}
	if o.Server != "" {
		if !validValue(o.Server) {
			panic("http: Options.Server is no valid field value")
		}
		s.server = "Server: " + o.Server + "\r\n"
	}
	return s
}

// Attach puts the HTTP layer on a connection: c's handler gets the events of this package from now
// on. Unread bytes in c.Recv are the beginning of the first request, or, from one of
// Options.ProxyFrom, of the PROXY header before it. c and s must belong to the same loop.
func Attach(c *conn.Conn, s *Server) {
	if !InNetworks(c.RemoteAddr().Addr(), s.opts.ProxyFrom) {
		s.attach(c)
		return
	}
	c.SetProtocol(awaitProxy, s)
	c.Layer().SetSpare(true)
	c.Layer().SetDeadline(s.opts.HeadTimeout)
	if c.Recv.Len() > 0 {
		c.Layer().Redeliver()
	}
}

// attach is Attach after a PROXY header.
func (s *Server) attach(c *conn.Conn) {
	var state any = s
	if s.opts.MaxRequests > 0 {
		state = &tally{srv: s}
	}
	c.SetProtocol(handle, state)
	c.Layer().SetSpare(true)
	c.SetHalfOpen(true) // a client that has finished sending still gets its replies
	s.roomFor(c, s.opts.MaxBody)
	c.Layer().SetDeadline(s.opts.IdleTimeout)
	if c.Recv.Len() > 0 {
		c.Layer().Redeliver()
	}
}

// roomFor raises the receive limit of c, if a body of n bytes needs that.
func (s *Server) roomFor(c *conn.Conn, n int64) {
	if c.Limits().Recv < s.opts.recvFor(n) {
		s.raise(c, s.opts.recvFor(n))
	}
}

// raise gives c limits with the receive limit recv. Connections that had the same limits share the
// new ones.
func (s *Server) raise(c *conn.Conn, recv int) {
	l := c.Limits()
	if s.raised == nil || l != s.raisedFrom || s.raised.Recv != recv {
		s.raisedFrom = l
		l.Recv = recv
		s.raised = &l
	}
	c.SetLimits(s.raised)
}

// SetMaxBody changes Options.MaxBody, in bytes, for the request whose Head event is being handled.
// It returns ErrNoRequest if there is none, or if its body is complete.
func SetMaxBody(c *conn.Conn, n int64) error {
	x, err := waiting(c)
	if err != nil || x.in > inStream {
		return ErrNoRequest
	}
	n = max(n, 0)
	x.maxBody = n
	x.flags |= ownLimit
	if !x.is(asStream) {
		x.srv.roomFor(c, min(n, mostBody))
	}
	return nil
}

// holdAt is how many bytes of later requests are read while one waits for its reply.
const holdAt = 64 << 10

// stateOf returns the server of c, and the exchange that is going on, or nil.
func stateOf(c *conn.Conn) (*Server, *exchange) {
	switch st := c.Layer().ProtocolState().(type) {
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
			x.clock.arrive(ev.N, c.Layer().Shared().Now)
			if x.is(holdsContinue) && x.in.reading() {
				x.letContinue(c) // the client has not waited
			}
		}
		s.serve(c, x)
	case *conn.Resumed:
		if x != nil && x.in.reading() {
			x.clock.stood(ev.For)
			x.arm(c)
		}
	case *conn.Write:
		s.wrote(c, x)
	case *conn.EOF:
		s.eof(c, x)
	case *conn.Deadline:
		s.deadline(c, x)
	case *conn.Shutdown:
		if ev.Restart {
			s.restart(c, x)
		} else {
			s.shutdown(c, x)
		}
	case *conn.Close:
		if x != nil {
			x.recycle()
			c.Layer().SetProtocolState(s)
		}
	}
}

// A result says how serve goes on.
type result uint8

const (
	wait  result = iota // for more bytes, for the reply, or for ever
	again               // call advance again: the state has changed
	done                // the exchange is over and released
)

// serve handles the bytes that have arrived, request by request, until it needs more bytes or a
// reply.
func (s *Server) serve(c *conn.Conn, x *exchange) {
	for c.IsOpen() {
		if x == nil {
			if c.Recv.Len() == 0 || c.Layer().Stopped() {
				s.rest(c)
				return
			}
			x = s.open(c)
		}
		switch x.advance(c) {
		case wait:
			return
		case done:
			x = nil
		}
	}
}

// wrote goes on with the exchange after the send queue has shrunk.
func (s *Server) wrote(c *conn.Conn, x *exchange) {
	switch {
	case !c.IsOpen():
	case x != nil && x.out == outPumping:
		x.pumpOn(c)
	}
}

// eof ends the connection unless replies are due.
func (s *Server) eof(c *conn.Conn, x *exchange) {
	switch {
	case x == nil && c.Recv.Len() > 0:
		// Requests that wait for Resume, or for the send queue to shrink.
	case x == nil:
		drain(c)
	case x.in < inDone:
		x.broken(c)
	case x.is(events):
		drain(c) // browsers do not half-close: the page is gone
	}
}

func (s *Server) shutdown(c *conn.Conn, x *exchange) {
	if x == nil {
		c.Layer().SetReason(conn.ShuttingDown)
		drain(c)
		return
	}
	x.flags |= closing
	if x.is(events) {
		if x.end(c, nil) != nil {
			x.cut(c) // the send queue has no room even for the end
		}
	}
}
