package http

import "github.com/seed4930a636/mangusta/conn"

// A Handler gets events of requests, as a conn.Handler for Listen or for a route of a Mux.
type Handler = conn.Handler

// Middleware stands around a handler. One that decides about requests is made with Guard.
type Middleware = func(next Handler) Handler

// Guard makes middleware of a decision. decide is asked once for each request, at the first event of it that comes by: in
// Head, before anything of the body is waited for, as long as nothing in front of it keeps that event back. Where it
// returns true, next gets all events of the request; else none, and decide answers, in the call or later. Events that
// belong to no request pass: those of package conn, *BadRequest, and what comes from a connection that is no longer HTTP.
//
// So whatever next does, answer in Head, Stream, SaveBody or Upgrade, it does it for requests that have passed.
func Guard(decide func(c *conn.Conn, r *Request) bool) Middleware {
	return func(next Handler) Handler { return (&guard{decide, next}).handle }
}

type guard struct {
	decide func(c *conn.Conn, r *Request) bool
	next   Handler
}

// A verdict is what a guard has decided about a request.
type verdict struct {
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

// passes reports whether g lets the request of c pass: r, or nil when the event does not tell.
func (g *guard) passes(c *conn.Conn, r *Request) bool {
	x, _ := c.ProtocolState().(*exchange)
	if x != nil {
		for i := range x.verdicts {
			if x.verdicts[i].guard == g {
				return x.verdicts[i].pass
			}
		}
	}
	switch {
	case r == nil:
		return false // g has not been asked about this request, and now there is nothing to ask about
	case x == nil:
		return g.decide(c, r)
	}
	at := len(x.verdicts)
	x.verdicts = append(x.verdicts, verdict{guard: g}) // a decide that panics lets nothing pass
	x.verdicts[at].pass = g.decide(c, r)
	return x.verdicts[at].pass
}
