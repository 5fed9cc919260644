package broadcast

import "strings"

// A name is one level of the names of the topics that the hub keeps track of. The tree of names
// tells which topics a pattern matches without a look at all of them. Hub.mu guards it.
type name struct {
	parent *name
	level  string
	n      int              // of kids
	kids   map[string]*name // when there are more than fewKids
	first  *name            // of the kids, which are linked by next and prev; the latest is the first
	next   *name
	prev   *name
	topic  *topic // whose name ends here, or nil
}

// insert makes the name of t, and sets t.name.
func (x *name) insert(t *topic) {
	for rest, more := t.name, true; more; {
		var level string
		level, rest, more = strings.Cut(rest, "/")
		kid := x.kid(level)
		if kid == nil {
			kid = x.add(level)
		}
		x = kid
	}
	x.topic = t
	t.at = x
}

// fewKids are searched one by one: most names have one, and a map takes more memory than they do.
const fewKids = 8

// kid returns the kid of that level, or nil.
func (x *name) kid(level string) *name {
	if x.kids != nil {
		return x.kids[level]
	}
	for kid := x.first; kid != nil; kid = kid.next {
		if kid.level == level {
			return kid
		}
	}
	return nil
}

// add makes a kid, which is not there yet.
func (x *name) add(level string) *name {
	kid := &name{parent: x, level: level, next: x.first}
	if x.first != nil {
		x.first.prev = kid
	}
	x.first = kid
	x.n++
	switch {
	case x.kids != nil:
		x.kids[level] = kid
	case x.n > fewKids:
		x.kids = make(map[string]*name)
		for kid := x.first; kid != nil; kid = kid.next {
			x.kids[kid.level] = kid
		}
	}
	return kid
}

// remove takes the name off the tree, and those above it, as far as no topic needs them. A name
// that is taken off keeps its next: a walk that has stopped there goes on from it, and misses only
// names that are newer than the walk.
func (x *name) remove() {
	x.topic = nil
	for x.parent != nil && x.topic == nil && x.n == 0 {
		p := x.parent
		if p.n--; p.n == 0 {
			p.kids = nil
		}
		delete(p.kids, x.level)
		if x.prev != nil {
			x.prev.next = x.next
		} else {
			p.first = x.next
		}
		if x.next != nil {
			x.next.prev = x.prev
		}
		x.prev = nil
		x = p
	}
}

// A walk finds the topics that a set of patterns matches, a bounded number of steps at a time.
// Between two steps the tree of names may change: topics that are new then may be missed.
type walk struct {
	looks  int // that the walk has taken
	frames []frame
	alive  []*node // of all frames
	list   []*name // of all frames
}

// A frame of a walk stands for the kids of one name.
type frame struct {
	next  *name // the kid to visit next, where all of them have to be
	alive int   // walk.alive[alive:], up to the next frame's, are the nodes of the patterns that match the name so far
	list  int   // walk.list[list:], up to the next frame's, are the kids to visit, where not all have to be
	all   bool  // a "#" matches everything below the name
	top   bool  // the name is the root
}

// begin starts a walk for the patterns of the tree root. The looks are counted on.
func (w *walk) begin(root *node, names *name) {
	w.end()
	w.alive = append(w.alive, root)
	w.push(names, 0, root.hash != nil, true)
}

// end forgets everything, but keeps the room.
func (w *walk) end() {
	clear(w.frames)
	clear(w.alive)
	clear(w.list)
	w.frames, w.alive, w.list = w.frames[:0], w.alive[:0], w.list[:0]
}

// push adds the frame of x, whose patterns are w.alive[alive:].
func (w *walk) push(x *name, alive int, all, top bool) {
	f := frame{alive: alive, list: len(w.list), all: all, top: top}
	every, kids := all, 0
	for _, p := range w.alive[alive:] {
		every = every || p.plus != nil
		kids += len(p.kids)
	}
	if every || kids >= x.n {
		f.next = x.first
	} else {
		w.looks += kids
		for i, p := range w.alive[alive:] {
			for level := range p.kids {
				if kid := x.kid(level); kid != nil && !anyHas(w.alive[alive:alive+i], level) {
					w.list = append(w.list, kid)
				}
			}
		}
	}
	w.frames = append(w.frames, f)
}

func anyHas(nodes []*node, level string) bool {
	for _, p := range nodes {
		if p.kids[level] != nil {
			return true
		}
	}
	return false
}

// step visits one name. It returns a topic that matches, or nil, and false when the walk is at its
// end.
func (w *walk) step() (*topic, bool) {
	for len(w.frames) > 0 {
		f := &w.frames[len(w.frames)-1]
		var x *name
		switch {
		case f.next != nil:
			x, f.next = f.next, f.next.next
		case len(w.list) > f.list:
			x = w.list[len(w.list)-1]
			w.list = w.list[:len(w.list)-1]
		default:
			w.alive = w.alive[:f.alive]
			w.frames = w.frames[:len(w.frames)-1]
			continue
		}
		return w.visit(x, *f), true
	}
	return nil, false
}

// visit looks at the kid x of the name of f, and goes down to its own kids.
func (w *walk) visit(x *name, f frame) *topic {
	// The first level of a topic that begins with $ is matched by no wildcard (MQTT 5.0 §4.7.2).
	wild := !f.top || !strings.HasPrefix(x.level, "$")
	found, all := f.all && wild, f.all && wild
	end := len(w.alive)
	w.looks += 1 + end - f.alive
	for i := f.alive; i < end; i++ {
		p := w.alive[i]
		if kid := p.kids[x.level]; kid != nil {
			w.alive = append(w.alive, kid)
		}
		if wild && p.plus != nil {
			w.alive = append(w.alive, p.plus)
		}
	}
	for _, p := range w.alive[end:] {
		if p.hash != nil { // "a/#" matches "a" too
			found, all = true, true
		}
		found = found || p.count > 0
	}
	if x.first != nil && (all || len(w.alive) > end) {
		w.push(x, end, all, false)
	} else {
		w.alive = w.alive[:end]
	}
	if found {
		return x.topic
	}
	return nil
}
