package http

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/seed4930a636/mangusta/conn"
)

var (
	// ErrGone is returned by a Later and by a Stream whose request is over: it has its reply, or
	// its connection has ended.
	ErrGone = errors.New("http: the request is over")
	// ErrOutside is returned by the functions that take a connection while no event of its request
	// is being handled. It wraps ErrNoRequest.
	ErrOutside = fmt.Errorf("http: reply outside of an event of its request, without a Later: %w", ErrNoRequest)

	errNoDo = errors.New("http: the loop of the connection takes no functions")
)

// doer is what a Later needs of the loop. It is safe for concurrent use.
type doer interface {
	Do(f func()) error
}

// A Later is the handle of one request, for a reply after the event. It belongs to that request
// alone: after the request is over, every method returns ErrGone, whatever the connection carries
// by then. One reply can be begun with it.
//
// It may be carried to any goroutine. There only Do may be called; everything else belongs to the
// goroutine of the loop.
type Later struct {
	c      *conn.Conn
	loop   doer
	over   atomic.Bool // the request is over
	x      *exchange   // nil when over; the loop's
	msg    *Message
	ends   []*ending
	stream Stream
}

// An ending is a function given to OnEnd.
type ending struct{ f func() }

// nobody is the handle of no request.
var nobody = func() *Later {
	l := new(Later)
	l.over.Store(true)
	return l
}()

// Later returns the handle of the request, for a reply that comes after this event. All calls for
// one request return the same handle. If no event of the request is being handled, as with a
// *Message that was kept, the handle is gone.
func (r *Request) Later() *Later {
	if !r.handled() {
		return nobody
	}
	l := r.x.handle()
	if l.msg == nil {
		l.msg = r.copy()
	}
	return l
}

// Later is that of Request, but a handle that is made in a Chunk has no Message.
func (k *Chunk) Later() *Later {
	if k.x == nil || k.turn != k.x.turn || !k.x.inside() {
		return nobody
	}
	return k.x.handle()
}

// handled reports whether an event of the request is being handled.
func (r *Request) handled() bool { return r.x != nil && r.turn == r.x.turn && r.x.inside() }

// Of reports whether r is the request of c, and an event of it is being handled. It is false for a
// *Head or *Message that was kept for longer than it is valid.
func (r *Request) Of(c *conn.Conn) bool { return r.handled() && r.x.c == c }

// Handling reports whether an event of a request of c is being handled, or a function given to
// Later.With. Only then do the functions that take a connection reply to its request.
func Handling(c *conn.Conn) bool {
	x, ok := c.Layer().ProtocolState().(*exchange)
	return ok && x.inside()
}

// handle returns the exchange's Later.
func (x *exchange) handle() *Later {
	if x.later == nil {
		l := &Later{c: x.c, x: x}
		l.loop, _ = x.c.Layer().Shared().Loop.(doer)
		l.stream.l = l
		x.later = l
	}
	return x.later
}

// end makes l the handle of a request that is over.
func (l *Later) end() {
	l.over.Store(true)
	l.x = nil
	ends := l.ends
	l.ends = nil
	for _, e := range ends {
		e.f()
	}
}

// copy returns a Message without a body that shares no memory with r.
func (r *Request) copy() *Message {
	size := len(r.Target) + len(r.Path) + len(r.Query) + len(r.Host) + len(r.raw)
	for _, f := range r.lines() {
		size += len(f.Name) + len(f.Value)
	}
	room := make([]byte, 0, size)
	keep := func(p []byte) []byte {
		if p == nil {
			return nil
		}
		n := len(room)
		room = append(room, p...)
		return room[n:len(room):len(room)]
	}
	m := &Message{Request: Request{Method: r.Method, Target: keep(r.Target), Path: keep(r.Path), Query: keep(r.Query),
		Host: keep(r.Host), Minor: r.Minor, raw: keep(r.raw), x: r.x, turn: r.turn}}
	m.fields = make([]Field, len(r.fields))
	for i, f := range r.fields {
		m.fields[i] = Field{keep(f.Name), keep(f.Value)}
	}
	if r.routing != nil {
		t := *r.routing
		t.values = slices.Clone(t.values)
		m.routing = &t
	}
	return m
}

// waiting returns the exchange, if it still waits for its reply.
func (l *Later) waiting() (*exchange, error) {
	check(l.c, "Later")
	if l.x == nil || l.x.out != outWaiting {
		return nil, ErrGone
	}
	return l.x, nil
}

// check panics in the checked mode if the caller is not on the loop's goroutine.
func check(c *conn.Conn, op string) {
	if c != nil {
		if f := c.Layer().Shared().Check; f != nil {
			f(op)
		}
	}
}

// Conn returns the connection. It may carry other requests after this one.
func (l *Later) Conn() *conn.Conn { return l.c }

// Message returns a copy of the request, without its body, that stays valid. It is nil if the
// handle was made in a Chunk.
func (l *Later) Message() *Message { return l.msg }

// Gone reports whether the request is over. Safe for concurrent use.
func (l *Later) Gone() bool { return l.over.Load() }

// Do has the loop of the request run f, which may then reply. It returns the manager's ErrFull and
// ErrClosed, and ErrGone if the request is over; after an error f is not run. If it returns nil, f
// runs in any case; if the request has ended by then, the methods of l return ErrGone in f. Safe
// for concurrent use.
func (l *Later) Do(f func()) error {
	switch {
	case l.over.Load():
		return ErrGone
	case l.loop == nil:
		return errNoDo
	}
	return l.loop.Do(f)
}

// With runs f at once, as if in an event of the request: in f all functions that take a connection,
// such as SetCookie, ServeFile and Redirect, mean this request. It returns ErrGone if the request
// is over; f is then not run.
func (l *Later) With(f func(c *conn.Conn)) error {
	check(l.c, "Later.With")
	x := l.x
	if x == nil {
		return ErrGone
	}
	if x.inside() {
		f(l.c)
		return nil
	}
	x.flags |= entered
	defer func() {
		if l.x == x {
			x.flags &^= entered
		}
	}()
	f(l.c)
	return nil
}

// Reply is the function Reply for this request. It returns ErrGone, and the errors of that but
// ErrNoRequest.
func (l *Later) Reply(status int, contentType, format string, args ...any) error {
	x, err := l.waiting()
	if err != nil {
		return err
	}
	return x.replyf(l.c, status, contentType, format, args)
}

// ReplyBytes is the function ReplyBytes for this request. It returns ErrGone, and the errors of
// that but ErrNoRequest.
func (l *Later) ReplyBytes(status int, contentType string, body []byte) error {
	x, err := l.waiting()
	if err != nil {
		return err
	}
	return x.reply(l.c, status, contentType, body)
}

// Error is the function Error for this request. It returns ErrGone, and the errors of that but
// ErrNoRequest.
func (l *Later) Error(status int) error {
	x, err := l.waiting()
	if err != nil {
		return err
	}
	return x.fail(l.c, status)
}

// SetHeader is the function SetHeader for this request. It returns ErrGone and ErrBadHeader.
func (l *Later) SetHeader(name, value string) error {
	x, err := l.waiting()
	if err != nil {
		return err
	}
	return x.setHeader(name, value)
}

// AddHeader is the function AddHeader for this request. It returns ErrGone and ErrBadHeader.
func (l *Later) AddHeader(name, value string) error {
	x, err := l.waiting()
	if err != nil {
		return err
	}
	return x.addHeader(name, value)
}

// AddField is the function AddField for this request. It returns ErrGone and ErrBadHeader.
func (l *Later) AddField(f Field) error {
	x, err := l.waiting()
	if err != nil {
		return err
	}
	return addField(x, f.Name, f.Value)
}

// SendInterim is the function SendInterim for this request. It returns ErrGone, and the errors of
// that but ErrNoRequest.
func (l *Later) SendInterim(status int, fields ...Field) error {
	x, err := l.waiting()
	if err != nil {
		return err
	}
	return x.sendInterim(l.c, status, fields)
}

// Begin is the function Begin for this request; the body goes through the Stream. It returns
// ErrGone, and the errors of that but ErrNoRequest.
func (l *Later) Begin(status int, contentType string) (*Stream, error) {
	return l.BeginLength(status, contentType, untold)
}

// BeginLength is the function BeginLength for this request. It returns ErrGone, and the errors of
// that but ErrNoRequest.
func (l *Later) BeginLength(status int, contentType string, length int64) (*Stream, error) {
	x, err := l.waiting()
	if err != nil {
		return nil, err
	}
	if err := x.beginLength(l.c, status, contentType, length, opens); err != nil {
		return nil, err
	}
	return &l.stream, nil
}

// StartEvents is the function StartEvents for this request. The Stream of a HEAD request has ended
// already. It returns ErrGone, and the errors of that but ErrNoRequest.
func (l *Later) StartEvents() (*Stream, error) {
	x, err := l.waiting()
	if err != nil {
		return nil, err
	}
	if err := x.startEvents(l.c); err != nil {
		return nil, err
	}
	return &l.stream, nil
}

// Hijack is the function Hijack for this request; Conn is the connection. It returns ErrGone, and
// ErrNoRequest while only a part of a body has been read.
func (l *Later) Hijack() error {
	x, err := l.waiting()
	if err != nil {
		return err
	}
	return x.hijack(l.c)
}

// OnEnd has f called on the loop when the request is over: its reply is queued, or its connection
// has ended. If it is over already, f is called at once. stop cancels the call.
func (l *Later) OnEnd(f func()) (stop func()) {
	check(l.c, "Later.OnEnd")
	if l.x == nil {
		f()
		return func() {}
	}
	e := &ending{f}
	l.ends = append(l.ends, e)
	return func() { l.ends = slices.DeleteFunc(l.ends, func(o *ending) bool { return o == e }) }
}
