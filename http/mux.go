package http

import (
	"errors"
	"fmt"

	"github.com/seed4930a636/mangusta/conn"
)

// A Handler answers a request, in the call or later.
type Handler func(c *conn.Conn, m *Message)

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
// What no pattern matches is answered here: with 405 and Allow when only the method is wrong; with 307 to the path and a
// slash when there is a pattern for exactly that; with 200 for OPTIONS *; and else with 404. A path with empty, "." or ".."
// segments is not matched but redirected, with 307, to the one without. 307 is what net/http of Go 1.26 sends, too: it
// keeps the method, and no client remembers it when the routes have changed.
//
// Unlike net/http's, a Mux compares hosts without regard to case (RFC 3986 3.2.2), takes %2F in a segment for a part of
// it, leaves the percent-encoding in a redirect as it was, and refuses patterns that could match no request: those with
// CONNECT, with a port or a malformed host, with segments that are cleaned away, and with malformed percent-encoding.
//
// Nothing in a Mux changes once it is set up: then several loops may use the same one.
type Mux struct {
	// Events, unless it is nil, gets every event but *Message: *Head, *BadRequest, and those of package conn and of
	// other layers.
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

// Handle registers h for the requests that pattern matches. The error says what is wrong with the pattern, or with which
// one it is in conflict.
func (x *Mux) Handle(pattern string, h Handler) error {
	if h == nil {
		return fmt.Errorf("http: handle %q: %w", pattern, errNoHandler)
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
func (x *Mux) MustHandle(pattern string, h Handler) {
	if err := x.Handle(pattern, h); err != nil {
		panic(err)
	}
}

// Use puts middleware around every answer of the Mux, its own 404, 405 and redirects included. The first one given is
// the outermost. The route has been chosen before: middleware may call Pattern and PathValue. One that answers itself
// does not call next. For one route alone, give Handle the wrapped handler.
func (x *Mux) Use(middleware ...func(next Handler) Handler) {
	for _, wrap := range middleware {
		next := new(Handler)
		*next = x.dispatch
		*x.last = wrap(func(c *conn.Conn, m *Message) { (*next)(c, m) })
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

// routing is what a Mux keeps in a Message while its handler runs.
type routing struct {
	outcome outcome
	route   *route
	values  [][]byte // of the wildcards of this route, from base on; below are those of an outer Mux
	base    int
}

// Serve is a conn.Handler for Listen. It takes *Message events, and leaves all others to Events.
func (x *Mux) Serve(c *conn.Conn, ev conn.Event) {
	m, ok := ev.(*Message)
	if !ok {
		if x.Events != nil {
			x.Events(c, ev)
		}
		return
	}
	outer := m.routing
	defer func() {
		outer.values = m.values[:len(outer.values)] // the room has perhaps grown
		m.routing = outer
	}()
	m.base = len(m.values)
	x.choose(m)
	x.first(c, m)
}

// choose finds out what becomes of the request.
func (x *Mux) choose(m *Message) {
	if m.raw[0] != '/' {
		m.outcome = wholeHost
		return
	}
	w := walk{raw: m.raw, path: m.Path, method: m.Method, values: m.values}
	clean := isClean(w.raw)
	if !clean {
		w.raw = []byte(cleanPath(string(w.raw)))
		w.path, _, _ = decodePath(nil, w.raw) // the parser has found no fault in it
	}
	var room [maxHost]byte
	host := appendHost(room[:0], m.Host)
	m.route = x.find(&w, host, false)
	// A handler for the path and a slash, found by more than chance in a subtree, wins over a subtree further up.
	exact := m.route != nil && !w.partial
	m.outcome = noRoute
	if m.route != nil {
		m.outcome = hasRoute
	}
	n := len(w.values)
	if !exact && !w.endsInSlash() {
		if r := x.find(&w, host, true); r != nil && !w.partial {
			m.route, m.outcome = r, needsSlash
		}
	}
	m.values = w.values[:n] // its room has perhaps grown in the second walk
	switch {
	case m.outcome == needsSlash:
	case !clean:
		m.outcome = needsClean
	case m.route == nil && w.missed:
		m.outcome = badMethod
	}
	if m.outcome != hasRoute {
		m.values = m.values[:m.base]
	}
}

// dispatch acts on what was chosen. It is the innermost handler of the chain.
func (x *Mux) dispatch(c *conn.Conn, m *Message) {
	switch m.outcome {
	case hasRoute:
		m.route.handler(c, m)
	case badMethod:
		// RFC 9110 15.5.6: a 405 has Allow.
		SetHeader(c, "Allow", x.allow(m))
		Error(c, 405)
	case needsSlash, needsClean:
		SetHeader(c, "Location", m.location())
		Error(c, 307)
	case wholeHost:
		// RFC 9110 9.3.7: a ping of the server.
		ReplyBytes(c, 200, "", nil)
	default:
		Error(c, 404)
	}
}

// location is where the request is redirected to. It begins with one slash: it names no other host.
func (m *Message) location() string {
	to := cleanPath(string(m.raw))
	if m.outcome == needsSlash {
		to += "/"
	}
	if len(m.Query) > 0 {
		to += "?" + string(m.Query)
	}
	return to
}

// PathValue returns what stood in the place of the wildcard of that name in the path of the request, percent-decoded;
// nil when the pattern has none of that name. It is valid until the handler returns, and so is what it returns. It
// allocates nothing.
func (m *Message) PathValue(name string) []byte {
	if m.route == nil {
		return nil
	}
	for i, v := range m.values[m.base:] {
		if m.route.names[i] == name {
			return v
		}
	}
	return nil
}

// Pattern returns the pattern that a Mux has chosen for the request, as it was registered: a name with few values for
// logs and counters. It is "" when there is none. For a redirect it is the pattern that would match behind it.
func (m *Message) Pattern() string {
	if m.route == nil {
		return ""
	}
	return m.route.text
}
