package http

import (
	"bytes"
	"slices"
	"strings"
)

// A node stands for the beginning of a path, segment by segment, in a tree of all patterns of a host. Its children are
// looked up, not gone through; so the time that a request takes depends on its segments, and on the nodes that match the
// same beginning of it (a literal and a wildcard, at each level), but not on the number of patterns.
type node struct {
	literal map[string]*node
	single  *node
	here    []*route // patterns that end at this node
	end     []*route // those that end with {$} behind it
	rest    []*route // those that match all that is left behind it
}

// A route is a pattern with its handler. Several at one place differ in the method.
type route struct {
	*pattern
	handler Handler
}

// add puts r, whose path from this node on is segs, into the tree.
func (n *node) add(segs []segment, r *route) {
	if len(segs) == 0 {
		n.here = append(n.here, r)
		return
	}
	switch s := segs[0]; s.kind {
	case segEnd:
		n.end = append(n.end, r)
	case segRest:
		n.rest = append(n.rest, r)
	case segSingle:
		if n.single == nil {
			n.single = new(node)
		}
		n.single.add(segs[1:], r)
	default:
		if n.literal == nil {
			n.literal = make(map[string]*node)
		}
		child := n.literal[s.text]
		if child == nil {
			child = new(node)
			n.literal[s.text] = child
		}
		child.add(segs[1:], r)
	}
}

// A walk looks for the route of a request.
type walk struct {
	raw     []byte // the path as sent: its slashes part the segments
	path    []byte // the same, percent-decoded: its pieces are compared and become values
	method  string
	slash   bool   // a slash is imagined behind the path, which has none there
	values  []span // of the wildcards passed, in path
	partial bool   // the route found is for a subtree, and the path goes on below its root
	missed  bool   // a route was passed over for its method alone
	listing bool   // pass over every route, and add its method to methods
	methods []string
}

// match returns the most specific route below n that matches the path from raw[i] and path[j] on, where a segment begins
// with its slash; nil when there is none. It takes the first one in the order literal, single wildcard, rest. That is
// the most specific one: no two routes are in conflict, and of two that match the request the other one is wider where
// they first differ.
func (w *walk) match(n *node, i, j int) *route {
	end := len(w.raw)
	if w.slash {
		end++
	}
	switch end - i {
	case 0:
		return w.pick(n.here)
	case 1: // nothing but a slash is left
		if r := w.pick(n.end); r != nil {
			return r
		}
		return w.takeRest(n, j, false)
	}
	next := len(w.raw)
	if k := bytes.IndexByte(w.raw[i+1:], '/'); k >= 0 {
		next = i + 1 + k
	}
	size := next - (i + 1)
	if len(w.raw) != len(w.path) {
		size -= 2 * bytes.Count(w.raw[i+1:next], []byte{'%'}) // %XX has become one byte
	}
	seg := w.path[j+1 : j+1+size : j+1+size]
	if child := n.literal[string(seg)]; child != nil {
		if r := w.match(child, next, j+1+size); r != nil {
			return r
		}
	}
	if n.single != nil {
		kept := len(w.values)
		w.values = append(w.values, span{int32(j + 1), int32(j + 1 + size)})
		if r := w.match(n.single, next, j+1+size); r != nil {
			return r
		}
		w.values = w.values[:kept]
	}
	return w.takeRest(n, j, true)
}

// takeRest tries the routes for all that is left behind the slash path[j].
func (w *walk) takeRest(n *node, j int, partial bool) *route {
	r := w.pick(n.rest)
	if r == nil {
		return nil
	}
	w.partial = partial
	if r.segs[len(r.segs)-1].text != "" {
		w.values = append(w.values, span{int32(min(j+1, len(w.path))), int32(len(w.path))})
	}
	return r
}

// pick returns the route for the method: its own, that of GET for HEAD, or that of any, in this order.
func (w *walk) pick(routes []*route) (best *route) {
	for _, r := range routes {
		switch {
		case w.listing:
			w.methods = append(w.methods, r.method)
		case r.method == w.method:
			return r
		case r.method == "" && best == nil, r.method == "GET" && w.method == "HEAD":
			best = r
		}
	}
	if best == nil && len(routes) > 0 {
		w.missed = true
	}
	return best
}

// find looks for the route of the path, or with slash set of the path and a slash. Routes of the host win over those of
// any.
func (x *Mux) find(w *walk, host []byte, slash bool) *route {
	w.slash, w.partial = slash, false
	if len(x.hosts) > 0 && len(host) > 0 {
		if n := x.hosts[string(host)]; n != nil {
			if r := w.match(n, 0, 0); r != nil {
				return r
			}
		}
	}
	return w.match(&x.anyHost, 0, 0)
}

// allow returns the value of Allow for a path that no route matches with the method of the request.
func (x *Mux) allow(r *Request) string {
	var room [maxHost]byte
	host := appendHost(room[:0], r.Host)
	w := walk{raw: r.raw, path: r.Path, listing: true}
	x.find(&w, host, false)
	if !w.endsInSlash() {
		x.find(&w, host, true)
	}
	if slices.Contains(w.methods, "GET") {
		w.methods = append(w.methods, "HEAD")
	}
	slices.Sort(w.methods)
	return strings.Join(slices.Compact(w.methods), ", ")
}

func (w *walk) endsInSlash() bool { return w.raw[len(w.raw)-1] == '/' }

// appendHost appends the host of a Host field, in lower case and without the port. The parser has seen to it that there
// are no more than maxHost bytes.
func appendHost(b, host []byte) []byte {
	if end := bytes.LastIndexByte(host, ':'); end > bytes.IndexByte(host, ']') {
		host = host[:end]
	}
	for _, x := range host {
		b = append(b, lower(x))
	}
	return b
}
