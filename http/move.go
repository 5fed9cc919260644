package http

import "github.com/seed4930a636/mangusta/conn"

// MoveKind is the kind of connections of this package that move to another process: they rest
// between two requests, and have no state besides. See conn.Mover.
const MoveKind = "http/1.1"

// Move implements conn.Mover.
func (s *Server) Move(c *conn.Conn) (kind string, state []byte, when conn.Movable) {
	if InNetworks(c.RemoteAddr().Addr(), s.opts.ProxyFrom) {
		return MoveKind, nil, conn.MoveNever // its PROXY header may be still to come
	}
	if _, ok := c.Driver().Spare(); !ok {
		return MoveKind, nil, conn.MoveLater // a part of a head has been read
	}
	return MoveKind, nil, conn.MoveNow
}

// Move implements conn.Mover: the requests are counted from 0 again.
func (t *tally) Move(c *conn.Conn) (kind string, state []byte, when conn.Movable) {
	if t.last {
		return MoveKind, nil, conn.MoveNever
	}
	return t.srv.Move(c)
}

// Move implements conn.Mover.
func (x *exchange) Move(*conn.Conn) (kind string, state []byte, when conn.Movable) {
	if x.is(closing) || x.is(events) { // a stream of events does not end by itself: its client is to come back
		return MoveKind, nil, conn.MoveNever
	}
	return MoveKind, nil, conn.MoveLater
}

// restart is shutdown for a server that another process replaces. A client may be sending a request
// at this very moment, so a connection that rests is not closed: its next reply says that it was the
// last.
func (s *Server) restart(c *conn.Conn, x *exchange) {
	switch st := c.Layer().ProtocolState().(type) {
	case *Server:
		c.Layer().SetProtocolState(&tally{srv: s, last: true})
	case *tally:
		st.last = true
	default:
		s.shutdown(c, x)
	}
}
