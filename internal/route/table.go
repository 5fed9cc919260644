package route

import (
	"slices"
	"strings"
)

// A Table has patterns, each with the number of its handler. The zero value is empty. A table that
// does not change any more is safe for concurrent use.
type Table struct {
	routes  []*Route
	hosts   map[string]*Tree
	anyHost Tree
}

// Add registers p with the number n. If a request matches both p and an earlier pattern, and
// neither is more specific, then Add returns the earlier pattern and does not register p.
func (t *Table) Add(p *Pattern, n int) (conflict *Pattern) {
	for _, r := range t.routes {
		if p.conflicts(r.Pattern) {
			return r.Pattern
		}
	}
	root := &t.anyHost
	if p.Host != "" {
		if t.hosts == nil {
			t.hosts = make(map[string]*Tree)
		}
		if root = t.hosts[p.Host]; root == nil {
			root = new(Tree)
			t.hosts[p.Host] = root
		}
	}
	r := &Route{p, n}
	t.routes = append(t.routes, r)
	root.put(p.segs, r)
	return nil
}

// Find returns the route for the path, or with slash set for the path and a slash; nil if there is
// none. Routes of the host, as wire.AppendHost makes it, win over those of any host.
func (t *Table) Find(w *Walk, host []byte, slash bool) *Route {
	if len(t.hosts) > 0 && len(host) > 0 {
		if n := t.hosts[string(host)]; n != nil {
			if r := w.Below(n, slash); r != nil {
				return r
			}
		}
	}
	return w.Below(&t.anyHost, slash)
}

// Allow returns the value of the Allow field for a path that has routes, but none for the method of
// the request. raw is the path as sent, path the same percent-decoded.
func (t *Table) Allow(host, raw, path []byte) string {
	w := Walk{Raw: raw, Path: path, listing: true}
	t.Find(&w, host, false)
	if !w.EndsInSlash() {
		t.Find(&w, host, true)
	}
	if slices.Contains(w.methods, "GET") {
		w.methods = append(w.methods, "HEAD")
	}
	slices.Sort(w.methods)
	return strings.Join(slices.Compact(w.methods), ", ")
}
