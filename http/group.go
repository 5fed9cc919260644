package http

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/internal/route"
	"github.com/seed4930a636/mangusta/internal/wire"
)

// A Group is a part of a Mux: routes below one prefix, with middleware of their own.
//
//	api := x.Group("/api", middleware.RateLimit(rate), auth)
//	api.MustHandle("GET /items/{id}", item) // GET /api/items/{id}
//	admin := api.Group("/admin", owner)     // below /api/admin: rate, auth, and then owner
//
// If no route is found for a path below the prefix, the middleware is also around the reply of the
// Mux itself (404, 405, redirects). So CORS in a group replies to preflights, and a stranger cannot
// tell routes from other paths. If several groups have the same prefix, the middleware of the first
// one is around those replies.
type Group struct {
	mux    *Mux
	prefix string // begins with a slash and does not end with one; "" for the whole Mux
	around []Middleware
}

// Group makes a group of the routes below prefix: a path without a host, which may have wildcards
// that fill one segment. An empty prefix, and "/", is every path: such a group adds middleware to
// its own routes only. The first middleware is the outermost; Mux.Use is outside of all. Group
// panics if prefix is malformed.
func (x *Mux) Group(prefix string, middleware ...Middleware) *Group {
	return x.group(prefix, slices.Clone(middleware))
}

// Group makes a group within g: its prefix follows that of g, its middleware is inside that of g.
func (g *Group) Group(prefix string, middleware ...Middleware) *Group {
	if prefix != "" && prefix[0] != '/' {
		panic(fmt.Sprintf("http: group %q: a prefix begins with a slash", prefix))
	}
	return g.mux.group(g.prefix+prefix, append(slices.Clone(g.around), middleware...))
}

func (x *Mux) group(prefix string, around []Middleware) *Group {
	g := &Group{mux: x, prefix: strings.TrimSuffix(prefix, "/"), around: around}
	if g.prefix == "" {
		return g
	}
	p, err := route.Parse(g.prefix + "/")
	switch {
	case prefix[0] != '/' || err == nil && (p.Host != "" || p.Method != ""):
		err = fmt.Errorf("a prefix is a path that begins with a slash")
	case err == nil && len(around) > 0:
		x.prefixes.Add(p, len(x.around))
		x.around = append(x.around, g.wrap(x.act))
	}
	if err != nil {
		panic(fmt.Sprintf("http: group %q: %v", prefix, err))
	}
	return g
}

// wrap puts the middleware of g around h.
func (g *Group) wrap(h Handler) Handler {
	for _, wrap := range slices.Backward(g.around) {
		h = wrap(h)
	}
	return h
}

// pattern puts the prefix before the path of a pattern.
func (g *Group) pattern(s string) string {
	i := strings.IndexByte(s, '/')
	if i < 0 || g.prefix == "" {
		return s
	}
	return s[:i] + g.prefix + s[i:]
}

// Handle is Mux.Handle for a pattern whose path follows the prefix of g.
func (g *Group) Handle(pattern string, h func(c *conn.Conn, m *Message), middleware ...Middleware) error {
	return g.mux.Handle(g.pattern(pattern), h, append(slices.Clone(g.around), middleware...)...)
}

// HandleEvents is Mux.HandleEvents for a pattern whose path follows the prefix of g.
func (g *Group) HandleEvents(pattern string, h Handler, middleware ...Middleware) error {
	return g.mux.HandleEvents(g.pattern(pattern), h, append(slices.Clone(g.around), middleware...)...)
}

// MustHandle is Handle for patterns that are constants of the program: it panics where Handle
// returns an error.
func (g *Group) MustHandle(pattern string, h func(c *conn.Conn, m *Message), middleware ...Middleware) {
	if err := g.Handle(pattern, h, middleware...); err != nil {
		panic(err)
	}
}

// MustHandleEvents is to HandleEvents what MustHandle is to Handle.
func (g *Group) MustHandleEvents(pattern string, h Handler, middleware ...Middleware) {
	if err := g.HandleEvents(pattern, h, middleware...); err != nil {
		panic(err)
	}
}

// missed returns the chain of the innermost group whose prefix r has, around the reply of x itself;
// nil if there is no such group.
func (x *Mux) missed(r *Request) Handler {
	if x.prefixes.Empty() || r.raw[0] != '/' {
		return nil
	}
	w := route.Walk{Raw: r.raw, Path: r.Path}
	if !route.IsClean(w.Raw) {
		w.Raw = []byte(route.CleanPath(string(w.Raw)))
		w.Path, _, _ = wire.DecodePath(nil, w.Raw)
	}
	if g := w.Below(&x.prefixes, !w.EndsInSlash()); g != nil {
		return x.around[g.N]
	}
	return nil
}
