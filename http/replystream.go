package http

import (
	"time"

	"github.com/seed4930a636/mangusta/conn"
)

// A Stream is a reply that has begun: Later.Begin and Later.StartEvents return it. It belongs to
// one request, and stays valid until its reply ends. After that all methods return ErrGone,
// whatever the connection carries by then. Do is safe for concurrent use; everything else belongs
// to the goroutine of the loop.
type Stream struct{ l *Later }

// EventStream returns the stream of server-sent events that c sends now, or nil. It is for a
// Manager.Broadcast to all such connections. Code that means a certain request keeps the Stream of
// Later.StartEvents instead, since c may carry another request by now.
func EventStream(c *conn.Conn) *Stream {
	check(c, "EventStream")
	x, ok := c.Layer().ProtocolState().(*exchange)
	if !ok || x.out != outBegun || !x.is(events) {
		return nil
	}
	return &x.handle().stream
}

// beginning returns the exchange, if its reply goes on.
func (s *Stream) beginning() (*exchange, error) {
	check(s.l.c, "Stream")
	if s.l.x == nil || s.l.x.out != outBegun {
		return nil, ErrGone
	}
	return s.l.x, nil
}

// events returns the exchange, if its reply is a stream of events that goes on.
func (s *Stream) events() (*exchange, error) {
	x, err := s.beginning()
	if err == nil && !x.is(events) {
		err = ErrNotBegun
	}
	return x, err
}

// Conn returns the connection: for Pending, Congested, RemoteAddr.
func (s *Stream) Conn() *conn.Conn { return s.l.c }

// Open reports whether the reply goes on.
func (s *Stream) Open() bool {
	_, err := s.beginning()
	return err == nil
}

// Do is Later.Do: it has the loop of the request run f. Safe for concurrent use.
func (s *Stream) Do(f func()) error { return s.l.Do(f) }

// With is Later.With.
func (s *Stream) With(f func(c *conn.Conn)) error { return s.l.With(f) }

// OnEnd is Later.OnEnd.
func (s *Stream) OnEnd(f func()) (stop func()) { return s.l.OnEnd(f) }

// Write sends a copy of p as WriteChunk does: all of it or, with an error, nothing. It returns
// ErrGone, ErrLength, and the errors of conn.Conn.Write.
func (s *Stream) Write(p []byte) (int, error) {
	x, err := s.beginning()
	if err == nil {
		err = x.writeChunk(s.l.c, p)
	}
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// SendEvent is the function SendEvent for this reply. It returns ErrGone, ErrNotBegun if the reply
// is no stream of events, ErrBadEvent, and the errors of conn.Conn.Write.
func (s *Stream) SendEvent(id, event, data string) error {
	x, err := s.events()
	if err != nil {
		return err
	}
	return x.sendFields(s.l.c, id, event, data)
}

// SendPreparedEvent is the function SendPreparedEvent for this reply. The errors are those of
// Stream.SendEvent.
func (s *Stream) SendPreparedEvent(e *PreparedEvent) error {
	x, err := s.events()
	if err != nil {
		return err
	}
	return x.sendPrepared(s.l.c, e)
}

// SendRetry is the function SendRetry for this reply. The errors are those of Stream.SendEvent.
func (s *Stream) SendRetry(d time.Duration) error {
	x, err := s.events()
	if err != nil {
		return err
	}
	return x.sendRetry(s.l.c, d)
}

// End is the function End for this reply. It returns ErrGone, ErrLength, ErrBadHeader, and the
// errors of conn.Conn.Write.
func (s *Stream) End(trailers ...Field) error {
	x, err := s.beginning()
	if err != nil {
		return err
	}
	return x.end(s.l.c, trailers)
}

// Abort is the function Abort for this reply. It returns ErrGone.
func (s *Stream) Abort() error {
	x, err := s.beginning()
	if err != nil {
		return err
	}
	x.cut(s.l.c)
	return nil
}
