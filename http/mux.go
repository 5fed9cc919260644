package http

import (
	"errors"
	"fmt"
	"slices"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/internal/route"
	"github.com/seed4930a636/mangusta/internal/wire"
)

// A Mux gives each request to the handler of the most specific pattern that matches it. Its Serve
// is a handler for Listen:
//
//	x := http.NewMux()
//	x.MustHandle("GET /items/{id}", func(c *conn.Conn, m *http.Message) {
//		http.Reply(c, 200, "text/plain", "item %s", m.PathValue("id"))
//	})
//	http.Listen(m, "http://127.0.0.1:8080", x.Serve)
//
// Patterns are those of net/http's ServeMux, [METHOD ][HOST]/PATH:
//
//	GET /items        the path /items; with GET, also HEAD; without a method, any
//	/items/           /items/ and all paths below it
//	/items/{$}        /items/ alone
//	/items/{id}       one segment more, whatever it is: m.PathValue("id")
//	/files/{rest...}  any number of segments more, none included
//	device.local/     only requests for that host, whatever the port
//
// Of two patterns that match a request, the one with a host wins, else the one that matches fewer
// requests. If neither is narrower, the two are in conflict, and the later one is refused. Segments
// are separated by the slashes of the path as it was sent, and compared percent-decoded.
//
// The route is chosen as soon as the head of a request is there. A request that no pattern matches
// gets its reply then: 405 and Allow if only the method is wrong; 307 to the path with a slash if
// there is a pattern for exactly that; 200 for OPTIONS *; else 404. A path with empty, "." or ".."
// segments is not matched but redirected, with 307, to the path without them. net/http of Go 1.26
// sends 307, too: it keeps the method, and clients do not remember it after the routes have
// changed.
//
// A Mux differs from net/http's: it compares hosts without regard to case and to a dot at their end
// (RFC 3986 3.2.2), takes %2F for a part of its segment, and leaves the percent-encoding in a
// redirect as it was. It refuses patterns that could match no request: those with CONNECT, with a
// port or a malformed host, with segments that are cleaned away, and with malformed
// percent-encoding.
//
// A Mux that is set up does not change any more, so several loops may use it.
type Mux struct {
	// Events, unless it is nil, gets every event but *Head, *Message and *Chunk, which belong to a
	// route: *BadRequest, and those of package conn and of other layers.
	Events conn.Handler

	table    route.Table
	handlers []Handler  // by the numbers of the table
	prefixes route.Tree // of groups that have middleware
	around   []Handler  // by the numbers of the prefixes: the middleware around act
	first    Handler    // the chain of Use, which ends with dispatch
	last     *Handler   // the place of dispatch
}

// NewMux makes a Mux without patterns.
func NewMux() *Mux {
	x := new(Mux)
	x.first = x.dispatch
	x.last = &x.first
	return x
}

// Handle registers h for the whole requests that pattern matches: see Message. h replies, in the
// call or later. The middleware is around this route only, the first one outermost; it decides when
// the head is there. The error says what is wrong with the pattern, or with which other one it is
// in conflict.
func (x *Mux) Handle(pattern string, h func(c *conn.Conn, m *Message), middleware ...Middleware) error {
	if h == nil {
		return fmt.Errorf("http: handle %q: %w", pattern, errNoHandler)
	}
	return x.HandleEvents(pattern, func(c *conn.Conn, ev conn.Event) {
		if m, ok := ev.(*Message); ok {
			h(c, m)
		}
	}, middleware...)
}

// HandleEvents is Handle for a handler that gets *Head, *Message and *Chunk events: it may reply
// before the body has come, or call StreamBody or SaveBody. If such a request breaks off,
// Mux.Events gets *conn.Close although no last Chunk has come.
func (x *Mux) HandleEvents(pattern string, h Handler, middleware ...Middleware) error {
	if h == nil {
		return fmt.Errorf("http: handle %q: %w", pattern, errNoHandler)
	}
	for _, wrap := range slices.Backward(middleware) {
		h = wrap(h)
	}
	p, err := route.Parse(pattern)
	if err != nil {
		return fmt.Errorf("http: handle %q: %w", pattern, err)
	}
	if q := x.table.Add(p, len(x.handlers)); q != nil {
		return fmt.Errorf("http: handle %q: conflicts with %q: both match %s, and neither is more specific",
			pattern, q.Text, route.Sample(p, q))
	}
	x.handlers = append(x.handlers, h)
	return nil
}

var errNoHandler = errors.New("the handler is nil")

// MustHandle is Handle for patterns that are constants of the program: it panics if Handle returns
// an error.
func (x *Mux) MustHandle(pattern string, h func(c *conn.Conn, m *Message), middleware ...Middleware) {
	if err := x.Handle(pattern, h, middleware...); err != nil {
		panic(err)
	}
}

// MustHandleEvents is to HandleEvents what MustHandle is to Handle.
func (x *Mux) MustHandleEvents(pattern string, h Handler, middleware ...Middleware) {
	if err := x.HandleEvents(pattern, h, middleware...); err != nil {
		panic(err)
	}
}

// Use puts middleware around every reply of the Mux, its own 404, 405 and redirects included: it
// gets *Head, *Message and *Chunk events. The first one given is the outermost. The route has been
// chosen before: middleware may call Pattern and PathValue.
func (x *Mux) Use(middleware ...Middleware) {
	for _, wrap := range middleware {
		next := new(Handler)
		*next = x.dispatch
		*x.last = wrap(func(c *conn.Conn, ev conn.Event) { (*next)(c, ev) })
		x.last = next
	}
}

// An outcome says how a request is handled.
type outcome uint8

const (
	noRoute    outcome = iota // 404
	hasRoute                  // the handler of the route
	badMethod                 // 405
	needsSlash                // 307 to the path and a slash
	needsClean                // 307 to the cleaned path
	wholeHost                 // OPTIONS *
)

// routing is the decision of a Mux about a request. The exchange keeps it for the events that
// follow.
type routing struct {
	mux     *Mux
	outcome outcome
	route   *route.Route
	values  []wire.Span // of the wildcards of this route, in the Path of the request
}

// Serve is a conn.Handler for Listen, and for HandleEvents of another Mux.
func (x *Mux) Serve(c *conn.Conn, ev conn.Event) {
	if r := requestOf(ev); r != nil {
		outer := r.routing
		defer func() { r.routing = outer }()
		r.routing = x.route(c, r)
		x.first(c, ev)
		return
	}
	if _, ok := ev.(*Chunk); ok {
		x.first(c, ev)
	} else if x.Events != nil {
		x.Events(c, ev)
	}
}

// route returns the routing of the request r of c. It is chosen at the first event of r that comes
// here.
func (x *Mux) route(c *conn.Conn, r *Request) *routing {
	e, _ := c.Layer().ProtocolState().(*exchange)
	if e == nil {
		t := new(routing)
		x.choose(r, t)
		return t
	}
	t := e.routedBy(x)
	if t == nil {
		n := len(e.routed)
		e.routed = slices.Grow(e.routed, 1)[:n+1]
		t = &e.routed[n]
		x.choose(r, t)
	}
	return t
}

// routedBy returns the routing that x has chosen for the request; nil if x has not seen it.
func (e *exchange) routedBy(x *Mux) *routing {
	for i := range e.routed {
		if e.routed[i].mux == x {
			return &e.routed[i]
		}
	}
	return nil
}

// choose finds the route of the request, and fills in t.
func (x *Mux) choose(r *Request, t *routing) {
	*t = routing{mux: x, outcome: noRoute, values: t.values[:0]}
	if r.raw[0] != '/' {
		t.outcome = wholeHost
		return
	}
	w := route.Walk{Raw: r.raw, Path: r.Path, Method: r.Method, Values: t.values}
	clean := route.IsClean(w.Raw)
	if !clean {
		w.Raw = []byte(route.CleanPath(string(w.Raw)))
		w.Path, _, _ = wire.DecodePath(nil, w.Raw) // the parser has accepted it
	}
	var room [wire.MaxHost]byte
	host := wire.AppendHost(room[:0], r.Host)
	t.route = x.table.Find(&w, host, false)
	// A pattern for exactly the path with a slash wins over a pattern for a subtree further up.
	exact := t.route != nil && !w.Partial
	if t.route != nil {
		t.outcome = hasRoute
	}
	n := len(w.Values)
	if !exact && !w.EndsInSlash() {
		if r := x.table.Find(&w, host, true); r != nil && !w.Partial {
			t.route, t.outcome = r, needsSlash
		}
	}
	t.values = w.Values[:n] // the second walk may have moved it
	switch {
	case t.outcome == needsSlash:
	case !clean:
		t.outcome = needsClean
	case t.route == nil && w.Missed:
		t.outcome = badMethod
	}
	if t.outcome != hasRoute {
		t.values = t.values[:0]
	}
}

// dispatch is the innermost handler of the chain.
func (x *Mux) dispatch(c *conn.Conn, ev conn.Event) {
	if r := requestOf(ev); r != nil {
		h := Handler(nil)
		if r.routing.outcome == hasRoute {
			h = x.handlers[r.routing.route.N]
		} else if h = x.missed(r); h == nil {
			h = x.act
		}
		h(c, ev)
	} else if e, _ := c.Layer().ProtocolState().(*exchange); e != nil { // a Chunk
		if t := e.routedBy(x); t != nil && t.outcome == hasRoute {
			x.handlers[t.route.N](c, ev)
		}
	}
}

// act replies to a request that has no route. It is a Handler, for the middleware of groups.
func (x *Mux) act(c *conn.Conn, ev conn.Event) {
	r := requestOf(ev)
	if r == nil {
		return
	}
	switch r.routing.outcome {
	case badMethod:
		// RFC 9110 15.5.6: a 405 has Allow.
		var room [wire.MaxHost]byte
		SetHeader(c, "Allow", x.table.Allow(wire.AppendHost(room[:0], r.Host), r.raw, r.Path))
		Error(c, 405)
	case needsSlash, needsClean:
		SetHeader(c, "Location", r.location())
		Error(c, 307)
	case wholeHost:
		// RFC 9110 9.3.7: a ping of the server.
		ReplyBytes(c, 200, "", nil)
	default:
		Error(c, 404)
	}
}

// location is the target of the redirect. It begins with one slash only, so it names no other host.
func (r *Request) location() string {
	to := route.CleanPath(string(r.raw))
	if r.routing.outcome == needsSlash {
		to += "/"
	}
	if len(r.Query) > 0 {
		to += "?" + string(r.Query)
	}
	return to
}

// PathValue returns the text of the request's path that the wildcard of that name matched,
// percent-decoded; nil if the pattern has no such wildcard. The bytes are valid until the handler
// returns. It allocates nothing.
func (r *Request) PathValue(name string) []byte {
	if r.routing != nil {
		for i, v := range r.routing.values {
			if r.routing.route.Names[i] == name {
				return v.Of(r.Path)
			}
		}
	}
	return nil
}

// PathValues calls yield with the name and the value of each wildcard of the pattern, in the order
// of the pattern, until it returns false: for range. The values are those of PathValue, valid until
// the handler returns.
func (r *Request) PathValues(yield func(name string, value []byte) bool) {
	if r.routing == nil {
		return
	}
	for i, v := range r.routing.values {
		if !yield(r.routing.route.Names[i], v.Of(r.Path)) {
			return
		}
	}
}

// Pattern returns the pattern that a Mux has chosen for the request, as it was registered: a name
// with few values for logs and counters. It is "" if there is none. For a redirect it is the
// pattern that would match the new path.
func (r *Request) Pattern() string {
	if r.routing == nil || r.routing.route == nil {
		return ""
	}
	return r.routing.route.Text
}
