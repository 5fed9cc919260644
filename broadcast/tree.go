package broadcast

import "strings"

// A node is a level of the patterns that have subscribers. The tree is guarded by Hub.mu; of subs
// the list of each loop is changed only on that loop, with mu held, and may be read there without.
type node struct {
	parent *node
	level  string           // in parent.kids
	kids   map[string]*node // by level
	plus   *node            // the level "+"
	hash   *node            // the level "#", which is the last
	subs   [][]*subscription
	count  int           // of all loops
	mine   *subscription // in the tree of a reader: the one with the pattern
}

// child returns the node below n for one level of a pattern, and makes it if it is not there.
func (n *node) child(level string) *node {
	at := n.slot(level)
	if at != nil && *at != nil {
		return *at
	}
	if kid := n.kids[level]; at == nil && kid != nil {
		return kid
	}
	kid := &node{parent: n, level: level}
	if at != nil {
		*at = kid
		return kid
	}
	if n.kids == nil {
		n.kids = make(map[string]*node)
	}
	n.kids[strings.Clone(level)] = kid
	return kid
}

// slot returns where the node of a wildcard stands, nil for other levels.
func (n *node) slot(level string) **node {
	switch level {
	case "+":
		return &n.plus
	case "#":
		return &n.hash
	}
	return nil
}

// find returns the node of pattern, and makes it if it is not there.
func (n *node) find(pattern string) *node {
	for more := true; more; {
		var level string
		level, pattern, more = strings.Cut(pattern, "/")
		n = n.child(level)
	}
	return n
}

// lookup returns the node of pattern; nil if it is not there.
func (n *node) lookup(pattern string) *node {
	for more := true; more && n != nil; {
		var level string
		level, pattern, more = strings.Cut(pattern, "/")
		if at := n.slot(level); at != nil {
			n = *at
		} else {
			n = n.kids[level]
		}
	}
	return n
}

// prune takes n off the tree, and the nodes above it that are needed no more.
func (n *node) prune() {
	for n.parent != nil && n.count == 0 && len(n.kids) == 0 && n.plus == nil && n.hash == nil {
		p := n.parent
		if at := p.slot(n.level); at != nil {
			*at = nil
		} else {
			delete(p.kids, n.level)
		}
		n.parent = nil
		n = p
	}
}

// match appends the nodes whose patterns match topic. The first level of a topic that begins with $
// is matched by no wildcard (MQTT 5.0 §4.7.2). The cost does not grow with the number of patterns,
// but for those that match: maxPlus bounds it.
func (n *node) match(to []*node, topic string) []*node {
	if topic[0] != '$' {
		return n.below(to, topic, true)
	}
	level, rest, more := strings.Cut(topic, "/")
	if kid := n.kids[level]; kid != nil {
		to = kid.below(to, rest, more)
	}
	return to
}

// below is match for what is left of the topic; more is false when nothing is.
func (n *node) below(to []*node, topic string, more bool) []*node {
	if n.hash != nil && n.hash.count > 0 { // "a/#" matches "a" too
		to = append(to, n.hash)
	}
	if !more {
		if n.count > 0 {
			to = append(to, n)
		}
		return to
	}
	level, rest, more := strings.Cut(topic, "/")
	if kid := n.kids[level]; kid != nil {
		to = kid.below(to, rest, more)
	}
	if n.plus != nil {
		to = n.plus.below(to, rest, more)
	}
	return to
}
