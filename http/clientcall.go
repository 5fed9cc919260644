package http

import (
	"fmt"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/internal/weburl"
)

// A clientCall is one request and its response, from Do or Send to the end: over redirects, and
// over the attempt that is repeated. It is on one list at a time: that of a connection, or the
// queue of a host.
type clientCall struct {
	turn uint64 // counts the calls that this object has been
	req  *ClientRequest
	done func(*Response, error) // nil with Send
	next *clientCall
	on   *clientConn // that carries it; nil in a queue
	of   *clientHost // whose connections it wants; nil with Send

	target *weburl.URL
	method string
	length int64 // of the body; untold if it is not known
	begun  int64 // when Do or Send was called, on the loop's clock
	until  int64 // when ErrTimeout is due; never by default
	hops   int   // redirects followed
	code   *redirectTo

	tunnel    bool // it is none of the program's: CONNECT, before all others
	absolute  bool // the target goes to a proxy, which wants the whole URL
	proxyAuth string

	stripped bool // credentials are left out: another origin than that of the program's URL
	bodyless bool // the body is left out: a redirect has made the method GET
	blunt    bool // no Expect: the server does not know it
	again    bool // it has been repeated
	spoiled  bool // the Source was asked for bytes: it cannot be repeated
	asked    bool // the head is queued
	left     bool // bytes of it have gone to the kernel, as far as is known
	leftOnce bool // the same, on an earlier connection or before a redirect
	answered bool // a byte of the response has come
	decodes  bool // Accept-Encoding is ours
	streams  bool // StreamResponse was called

	off    int64 // bytes of the body that are queued
	idle   int   // calls of Source.Next in a row that gave nothing
	closed bool  // the Source was closed
	wakes  func() error

	dec Decoder // of the response's coding; nil without one
}

// redirectTo is where a response sends the request.
type redirectTo struct {
	target *weburl.URL
	err    error
	method string
	drops  bool // the body
}

const never = 1<<63 - 1

// expects reports whether the body waits for the server to ask for it.
func (a *clientCall) expects() bool {
	return a.req.Expect && !a.blunt && a.length != 0 && !a.bodyless
}

// repeatable reports whether the request can be sent from its beginning again.
func (a *clientCall) repeatable() bool { return a.req.Source == nil || !a.spoiled || a.bodyless }

// idempotent reports whether the request may be repeated although the server may have acted on it
// (RFC 9110 9.2.2).
func (a *clientCall) idempotent() bool {
	switch a.method {
	case "GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE":
		return true
	}
	return false
}

// rewind makes the call ready to be sent from its beginning.
func (a *clientCall) rewind() {
	a.absolute, a.proxyAuth = false, ""
	a.leftOnce = a.leftOnce || a.left
	a.asked, a.left, a.answered, a.decodes, a.streams, a.off, a.idle = false, false, false, false, false, 0, 0
	a.on, a.next, a.code = nil, nil, nil
	a.dropDecoder()
}

func (a *clientCall) dropBody() {
	if a.req != nil && a.req.Source != nil && !a.closed {
		a.closed = true
		a.req.Source.Close()
	}
}

func (a *clientCall) dropDecoder() {
	if a.dec != nil {
		a.dec.Drop()
		a.dec = nil
	}
}

// fail is the error of the call for the program.
func (a *clientCall) fail(why error) error {
	err := fmt.Errorf("%w (%s %s)", why, a.method, a.target.Text)
	if a.left || a.leftOnce {
		return err
	}
	return &unsentError{err}
}

// An unsentError is also ErrUnsent, but its text has only the reason.
type unsentError struct{ why error }

func (e *unsentError) Error() string        { return e.why.Error() }
func (e *unsentError) Unwrap() error        { return e.why }
func (e *unsentError) Is(target error) bool { return target == ErrUnsent }

// emit gives ev to the program.
func (a *clientCall) emit(c *conn.Conn, ev conn.Event) {
	switch {
	case a.done == nil && a.req.Events == nil:
		c.Layer().Emit(ev)
	case a.req.Events != nil && !c.IsClosed():
		a.req.Events(c, ev)
	}
}

// watches reports whether the program sees the events of the response.
func (a *clientCall) watches() bool { return !a.tunnel && (a.done == nil || a.req.Events != nil) }

// A Call is the handle of a request of Client.Do.
type Call struct {
	client *Client
	a      *clientCall
	turn   uint64
}

// Cancel gives the request up: done is not called any more. It reports whether the request was
// still under way. Its connection, if it had one, is closed.
func (h Call) Cancel() bool {
	if h.a == nil || h.a.turn != h.turn {
		return false
	}
	h.client.cancel(h.a)
	return true
}

// end tells the program of the end of the call. Functions of the program have run since it was on a
// connection, or run here: if one of them has given the call up, nothing is told.
func (h Call) end(r *Response, err error) {
	defer h.tell(r, err) // even if the Source panics
	if h.a.turn == h.turn {
		h.a.dropBody()
	}
}

func (h Call) tell(r *Response, err error) {
	a := h.a
	if a.turn != h.turn {
		return
	}
	done := a.done
	h.client.side.put(a)
	done(r, err)
}

// Conn returns the connection that carries the request now, or nil: Pause and Resume on it hold the
// response back.
func (h Call) Conn() *conn.Conn {
	if h.a == nil || h.a.turn != h.turn || h.a.on == nil {
		return nil
	}
	return h.a.on.c
}

// Wake has the Source of the request asked again, after it returned ErrWait: it does what wake
// does, at once and on the loop alone. In Source.Next it does nothing.
func (h Call) Wake() {
	if h.a == nil || h.a.turn != h.turn || h.a.on == nil {
		return // it is asked when a connection stands
	}
	h.a.on.wake(h.a)
}
