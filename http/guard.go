package http

import "github.com/seed4930a636/mangusta/conn"

// A Handler gets events of requests, as a conn.Handler for Listen or for a route of a Mux.
type Handler = conn.Handler

// Middleware stands around a handler. One that decides about requests is made with Guard.
type Middleware = func(next Handler) Handler

// Guard makes middleware from a decision. decide is called once for each request, at the first
// event of it that comes by: Head, before the body, unless middleware before it holds Head back. If
// it returns true, next gets all events of the request. If it returns false, next gets none, and
// decide replies, in the call or later. Events that belong to no request always pass: those of
// package conn, *BadRequest, and those of a connection that has left HTTP.
//
// So whatever next does (reply in Head, StreamBody, SaveBody, Upgrade), it does only for requests
// that have passed.
func Guard(decide func(c *conn.Conn, r *Request) bool) Middleware {
	return func(next Handler) Handler { return (&guard{decide, next}).handle }
}

type guard struct {
	decide func(c *conn.Conn, r *Request) bool
	next   Handler
}

// A ruling is what a guard has decided about a request.
type ruling struct {
	guard *guard
	pass  bool
}

func (g *guard) handle(c *conn.Conn, ev conn.Event) {
	switch ev := ev.(type) {
	case *Head:
		if !g.passes(c, &ev.Request) {
			return
		}
	case *Message:
		if !g.passes(c, &ev.Request) {
			return
		}
	case *Chunk:
		if !g.passes(c, nil) {
			return
		}
	}
	g.next(c, ev)
}

// passes reports whether g lets the request of c pass: r, or nil if the event has no request.
func (g *guard) passes(c *conn.Conn, r *Request) bool {
	x, _ := c.Layer().ProtocolState().(*exchange)
	if x != nil {
		for i := range x.rulings {
			if x.rulings[i].guard == g {
				return x.rulings[i].pass
			}
		}
	}
	switch {
	case r == nil:
		return false // g has not decided about this request, and its head is not valid any more
	case x == nil:
		return g.decide(c, r)
	}
	at := len(x.rulings)
	x.rulings = append(x.rulings, ruling{guard: g}) // if decide panics, nothing passes
	x.rulings[at].pass = g.decide(c, r)
	return x.rulings[at].pass
}
