package http

import (
	"errors"
	"fmt"
	"slices"

	"github.com/seed4930a636/mangusta/conn"
)

// A Mux gives each request to the handler of the most specific pattern that matches it. Its Serve is a handler for
// Listen:
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
// Of two patterns that match a request, the one with a host wins, and else the one that matches fewer requests. Two of
// which neither does are in conflict, and the later one is refused. Segments are parted at the slashes of the path as it
// was sent, and compared percent-decoded.
//
// The route is chosen as soon as the head of a request is there. What no pattern matches is answered then: with 405 and
// Allow when only the method is wrong; with 307 to the path and a slash when there is a pattern for exactly that; with 200
// for OPTIONS *; and else with 404. A path with empty, "." or ".." segments is not matched but redirected, with 307, to the
// one without. 307 is what net/http of Go 1.26 sends, too: it keeps the method, and no client remembers it when the routes
// have changed.
//
// Unlike net/http's, a Mux compares hosts without regard to case (RFC 3986 3.2.2), takes %2F in a segment for a part of
// it, leaves the percent-encoding in a redirect as it was, and refuses patterns that could match no request: those with
// CONNECT, with a port or a malformed host, with segments that are cleaned away, and with malformed percent-encoding.
//
// Nothing in a Mux changes once it is set up: then several loops may use the same one.
type Mux struct {
	// Events, unless it is nil, gets every event but *Head, *Message and *Chunk, which belong to a route: *BadRequest,
	// and those of package conn and of other layers.
	Events conn.Handler

	routes  []*route
	hosts   map[string]*node
	anyHost node
	first   Handler  // the chain of Use, and behind it dispatch
	last    *Handler // the place of dispatch
}

// NewMux makes a Mux without patterns.
func NewMux() *Mux {
	x := new(Mux)
	x.first = x.dispatch
	x.last = &x.first
	return x
}

// Handle registers h for the whole requests that pattern matches: see Message. h answers, in the call or later. The
// middleware is around this route alone, the first one outermost; it decides when the head is there. The error says what
// is wrong with the pattern, or with which one it is in conflict.
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

// HandleEvents is Handle for a handler that gets *Head, *Message and *Chunk events, and so may answer before the body has
// come, or call Stream or SaveBody. That such a request breaks off shows in Events: *conn.Close without a last Chunk.
func (x *Mux) HandleEvents(pattern string, h Handler, middleware ...Middleware) error {
	if h == nil {
		return fmt.Errorf("http: handle %q: %w", pattern, errNoHandler)
	}
	for _, wrap := range slices.Backward(middleware) {
		h = wrap(h)
	}
	p, err := parsePattern(pattern)
	if err != nil {
		return fmt.Errorf("http: handle %q: %w", pattern, err)
	}
	for _, r := range x.routes {
		if p.conflicts(r.pattern) {
			return fmt.Errorf("http: handle %q: conflicts with %q: both match %s, and neither is more specific",
				pattern, r.text, sample(p, r.pattern))
		}
	}
	r := &route{p, h}
	x.routes = append(x.routes, r)
	root := &x.anyHost
	if p.host != "" {
		if x.hosts == nil {
			x.hosts = make(map[string]*node)
		}
		if root = x.hosts[p.host]; root == nil {
			root = new(node)
			x.hosts[p.host] = root
		}
	}
	root.add(p.segs, r)
	return nil
}

var errNoHandler = errors.New("the handler is nil")

// MustHandle is Handle for patterns that are constants of the program: it panics where Handle returns an error.
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

// Use puts middleware around every answer of the Mux, its own 404, 405 and redirects included: it gets *Head, *Message
// and *Chunk events. The first one given is the outermost. The route has been chosen before: middleware may call Pattern
// and PathValue.
func (x *Mux) Use(middleware ...Middleware) {
	for _, wrap := range middleware {
		next := new(Handler)
		*next = x.dispatch
		*x.last = wrap(func(c *conn.Conn, ev conn.Event) { (*next)(c, ev) })
		x.last = next
	}
}

// An outcome is what becomes of a request.
type outcome uint8

const (
	noRoute    outcome = iota // 404
	hasRoute                  // the handler of the route
	badMethod                 // 405
	needsSlash                // 307 to the path and a slash
	needsClean                // 307 to the cleaned path
	wholeHost                 // OPTIONS *
)

// routing is what a Mux has made of a request. The exchange keeps it, for the events that follow.
type routing struct {
	mux     *Mux
	outcome outcome
	route   *route
	values  []span // of the wildcards of this route, in the Path of the request
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

// route returns what becomes of the request r of c. It is chosen at the first event of r that comes here.
func (x *Mux) route(c *conn.Conn, r *Request) *routing {
	e, _ := c.ProtocolState().(*exchange)
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

// routedBy returns what x has made of the request; nil when it has not seen it.
func (e *exchange) routedBy(x *Mux) *routing {
	for i := range e.routed {
		if e.routed[i].mux == x {
			return &e.routed[i]
		}
	}
	return nil
}

// choose finds out what becomes of the request, and puts it into t.
func (x *Mux) choose(r *Request, t *routing) {
	*t = routing{mux: x, outcome: noRoute, values: t.values[:0]}
	if r.raw[0] != '/' {
		t.outcome = wholeHost
		return
	}
	w := walk{raw: r.raw, path: r.Path, method: r.Method, values: t.values}
	clean := isClean(w.raw)
	if !clean {
		w.raw = []byte(cleanPath(string(w.raw)))
		w.path, _, _ = decodePath(nil, w.raw) // the parser has found no fault in it
	}
	var room [maxHost]byte
	host := appendHost(room[:0], r.Host)
	t.route = x.find(&w, host, false)
	// A handler for the path and a slash, found by more than chance in a subtree, wins over a subtree further up.
	exact := t.route != nil && !w.partial
	if t.route != nil {
		t.outcome = hasRoute
	}
	n := len(w.values)
	if !exact && !w.endsInSlash() {
		if r := x.find(&w, host, true); r != nil && !w.partial {
			t.route, t.outcome = r, needsSlash
		}
	}
	t.values = w.values[:n] // its room has perhaps grown in the second walk
	switch {
	case t.outcome == needsSlash:
	case !clean:
		t.outcome = needsClean
	case t.route == nil && w.missed:
		t.outcome = badMethod
	}
	if t.outcome != hasRoute {
		t.values = t.values[:0]
	}
}

// dispatch is the innermost handler of the chain.
func (x *Mux) dispatch(c *conn.Conn, ev conn.Event) {
	if r := requestOf(ev); r != nil {
		x.act(c, r, ev)
	} else if e, _ := c.ProtocolState().(*exchange); e != nil { // a Chunk
		if t := e.routedBy(x); t != nil && t.outcome == hasRoute {
			t.route.handler(c, ev)
		}
	}
}

// act does with a request what was chosen.
func (x *Mux) act(c *conn.Conn, r *Request, ev conn.Event) {
	switch r.routing.outcome {
	case hasRoute:
		r.routing.route.handler(c, ev)
	case badMethod:
		// RFC 9110 15.5.6: a 405 has Allow.
		SetHeader(c, "Allow", x.allow(r))
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

// location is where the request is redirected to. It begins with one slash: it names no other host.
func (r *Request) location() string {
	to := cleanPath(string(r.raw))
	if r.routing.outcome == needsSlash {
		to += "/"
	}
	if len(r.Query) > 0 {
		to += "?" + string(r.Query)
	}
	return to
}

// PathValue returns what stood in the place of the wildcard of that name in the path of the request, percent-decoded;
// nil when the pattern has none of that name. It is valid until the handler returns, and so is what it returns. It
// allocates nothing.
func (r *Request) PathValue(name string) []byte {
	if r.routing != nil {
		for i, v := range r.routing.values {
			if r.routing.route.names[i] == name {
				return v.of(r.Path)
			}
		}
	}
	return nil
}

// Pattern returns the pattern that a Mux has chosen for the request, as it was registered: a name with few values for
// logs and counters. It is "" when there is none. For a redirect it is the pattern that would match behind it.
func (r *Request) Pattern() string {
	if r.routing == nil || r.routing.route == nil {
		return ""
	}
	return r.routing.route.text
}
