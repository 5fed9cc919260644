package route

import (
	"bytes"

	"github.com/seed4930a636/mangusta/internal/wire"
)

// A Tree stands for the beginning of a path, segment by segment, in a tree of all patterns of a
// host. Children are found by a look-up. So the time for a request depends on its segments, and on
// the nodes that match the same beginning of it (a literal and a wildcard, at each level), but not
// on the number of patterns.
type Tree struct {
	literal map[string]*Tree
	single  *Tree
	here    []*Route // patterns that end here
	end     []*Route // those that end with {$} after it
	rest    []*Route // those that match all that is left after it
}

// A Route is a pattern and the number of its handler.
type Route struct {
	*Pattern
	N int
}

// Add registers p with the number n of its handler.
func (t *Tree) Add(p *Pattern, n int) { t.put(p.segs, &Route{p, n}) }

// Empty reports whether nothing has been added but patterns of a root.
func (t *Tree) Empty() bool { return len(t.literal) == 0 && t.single == nil }

// put puts r, whose path from this tree on is segs, into the tree.
func (t *Tree) put(segs []segment, r *Route) {
	if len(segs) == 0 {
		t.here = append(t.here, r)
		return
	}
	switch s := segs[0]; s.kind {
	case segEnd:
		t.end = append(t.end, r)
	case segRest:
		t.rest = append(t.rest, r)
	case segSingle:
		if t.single == nil {
			t.single = new(Tree)
		}
		t.single.put(segs[1:], r)
	default:
		if t.literal == nil {
			t.literal = make(map[string]*Tree)
		}
		child := t.literal[s.text]
		if child == nil {
			child = new(Tree)
			t.literal[s.text] = child
		}
		child.put(segs[1:], r)
	}
}

// A Walk looks for the route of a request. Raw, Path and Method are the caller's to set.
type Walk struct {
	Raw     []byte // the path as sent: its slashes separate the segments
	Path    []byte // the same, percent-decoded: its pieces are compared and become values
	Method  string
	slash   bool        // the path is taken as if it had a slash at its end
	Values  []wire.Span // of the wildcards passed, in path
	Partial bool        // the route found is for a subtree, and the path goes on below its root
	Missed  bool        // a route was passed over for its method alone
	listing bool        // pass over every route, and add its method to methods
	methods []string
}

// match returns the most specific route below t that matches the path from Raw[i] and Path[j] on,
// where a segment begins with its slash; nil if there is none. It takes the first one in the order
// literal, single wildcard, rest. That is the most specific one: no two routes are in conflict, and
// of two that match the request the other one is wider where they first differ.
func (w *Walk) match(t *Tree, i, j int) *Route {
	end := len(w.Raw)
	if w.slash {
		end++
	}
	switch end - i {
	case 0:
		return w.pick(t.here)
	case 1: // nothing but a slash is left
		if r := w.pick(t.end); r != nil {
			return r
		}
		return w.matchRest(t, j, false)
	}
	next := len(w.Raw)
	if k := bytes.IndexByte(w.Raw[i+1:], '/'); k >= 0 {
		next = i + 1 + k
	}
	size := next - (i + 1)
	if len(w.Raw) != len(w.Path) {
		size -= 2 * bytes.Count(w.Raw[i+1:next], []byte{'%'}) // %XX has become one byte
	}
	seg := w.Path[j+1 : j+1+size : j+1+size]
	if child := t.literal[string(seg)]; child != nil {
		if r := w.match(child, next, j+1+size); r != nil {
			return r
		}
	}
	if t.single != nil {
		kept := len(w.Values)
		w.Values = append(w.Values, wire.Span{Start: int32(j + 1), End: int32(j + 1 + size)})
		if r := w.match(t.single, next, j+1+size); r != nil {
			return r
		}
		w.Values = w.Values[:kept]
	}
	return w.matchRest(t, j, true)
}

// matchRest tries the routes for all that is left after the slash Path[j].
func (w *Walk) matchRest(t *Tree, j int, partial bool) *Route {
	r := w.pick(t.rest)
	if r == nil {
		return nil
	}
	w.Partial = partial
	if r.segs[len(r.segs)-1].text != "" {
		w.Values = append(w.Values, wire.Span{Start: int32(min(j+1, len(w.Path))), End: int32(len(w.Path))})
	}
	return r
}

// pick returns the route for the method: its own, that of GET for HEAD, or that of any, in this
// order.
func (w *Walk) pick(routes []*Route) (best *Route) {
	for _, r := range routes {
		switch {
		case w.listing:
			w.methods = append(w.methods, r.Method)
		case r.Method == w.Method:
			return r
		case r.Method == "" && best == nil, r.Method == "GET" && w.Method == "HEAD":
			best = r
		}
	}
	if best == nil && len(routes) > 0 {
		w.Missed = true
	}
	return best
}

// Below returns the route of t for the path, or with slash set for the path and a slash; nil if
// there is none.
func (w *Walk) Below(t *Tree, slash bool) *Route {
	w.slash, w.Partial = slash, false
	return w.match(t, 0, 0)
}

// EndsInSlash reports whether the path as sent ends in a slash.
func (w *Walk) EndsInSlash() bool { return w.Raw[len(w.Raw)-1] == '/' }
