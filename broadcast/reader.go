package broadcast

import (
	"cmp"
	"slices"
)

// A reader reads history for subscriptions of one subscriber that began together and from the same
// offset. It brings their messages in the order of the offsets. It works in rounds: each finds the
// topics that have messages for it, and merges their logs.
type reader struct {
	hub   *Hub
	to    *subscriber
	subs  []*subscription
	state state  // that of subs: greeting or replaying
	start uint64 // that of subs
	anew  bool   // what other subscriptions have brought comes again: see SubscribeOptions.Greet

	cursor  uint64   // messages up to this offset have been read, or counted as lost
	blame   uint64   // losses up to this offset are not told to the subscriber
	gone    uint64   // how much of history.goneLost has been counted
	ahead   *message // read, and not sent yet
	owner   *subscription
	untold  Missed // in front of ahead, or of what comes next: see miss
	missing uint64 // the cursor when the first of untold was counted: all of it was lost after that

	phase   phase
	rounds  int
	bound   uint64 // the round brings the messages after cursor, up to this offset
	tree    node   // the patterns of subs
	found   []*node
	walk    walk
	sources []source // a heap: while they are found the latest is in front, later the one to be read next
}

// phase is what a reader is doing.
type phase uint8

const (
	between phase = iota // two rounds, or before the first
	walking              // through the names of topics
	merging              // the logs of those found
)

// A source is a topic with messages for a reader.
type source struct {
	t     *topic
	n     uint64        // the message to read next, counted from the first of the topic
	at    uint64        // its offset
	owner *subscription // the first of the reader's that matches
}

// maxSources bounds the topics of a round. If a round finds more, it ends before the first message
// of the others.
const maxSources = 1024

// All readers of a loop share turnLooks looks, at names, topics and messages, in each turn of the
// loop. One subscriber takes quantum of them at a time, and Hub.mu is held for about lockLooks.
const (
	turnLooks = 16_000
	quantum   = 1000
	lockLooks = 500
	sendLooks = 8 // for a message that is sent: it takes so much longer
)

// read gives s a reader: the one that others of the subscriber have got in this turn, if it would
// read the same, or else r.
func (u *subscriber) read(s *subscription, r reader) {
	if n := len(u.readers); n > 0 {
		x := u.readers[n-1]
		if x.rounds == 0 && x.state == r.state && x.start == r.start && x.blame == r.blame && x.anew == r.anew && x.untold.Reset == r.untold.Reset {
			x.subs = append(x.subs, s)
			s.reader = x
			return
		}
	}
	r.subs = []*subscription{s}
	s.reader = &r
	u.readers = append(u.readers, &r)
}

// progress is what a reader has come to.
type progress uint8

const (
	searching progress = iota // there may be more
	waiting                   // there is no more until the loop distributes what is queued
	caughtUp                  // the rest comes live
)

// advance looks for the next message and puts it into r.ahead. It takes what that costs off looks.
func (r *reader) advance(looks *int) progress {
	for *looks > 0 {
		m, owner, p, looked := r.hub.next(r)
		*looks -= looked
		if p != searching {
			return p
		}
		if m == nil || r.to.id == m.except {
			continue
		}
		if s := r.resolve(m, owner); s != nil {
			r.ahead, r.owner = m, s
			return searching
		}
		if r.to.over {
			return waiting
		}
	}
	return searching
}

// resolve returns the subscription of r that brings m; nil when there is none, or one that is not
// of r does. owner is the first one that matches.
func (r *reader) resolve(m *message, owner *subscription) *subscription {
	u := r.to
	if len(u.subs) == len(r.subs) && owner.opts.Filter == nil && m.at <= owner.until {
		return owner
	}
	for _, x := range u.subs {
		switch {
		case x.reader == r:
			if m.at <= max(x.start, x.until) && Match(x.pattern, m.Topic) && x.wants(m) {
				return x
			}
		case !r.anew && x.brings(m, r.state):
			return nil
		}
	}
	return nil
}

// next does a part of r's work with Hub.mu held. It returns a message and the first subscription of
// r that matches it, or none yet.
func (h *Hub) next(r *reader) (m *message, owner *subscription, p progress, looked int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for looked < lockLooks {
		switch r.phase {
		case between:
			if p := h.begin(r); p != searching {
				return nil, nil, p, looked + 1
			}
			looked += 1 + r.walk.looks
			r.walk.looks = 0
		case walking:
			t, more := r.walk.step()
			looked += r.walk.looks
			r.walk.looks = 0
			if t != nil {
				r.consider(t)
			}
			if !more {
				r.countGone()
				r.merge()
			}
		case merging:
			looked++
			if m, owner := r.take(); m != nil {
				return m, owner, searching, looked
			}
		}
	}
	return nil, nil, searching, looked
}

// begin begins a round if there is something to read, and makes the subscriptions live if there is
// not. A newcomer waits until the loop has distributed everything up to start: another subscription
// may bring some of that, and could end before.
func (h *Hub) begin(r *reader) progress {
	y, position := &h.history, r.to.l.position()
	end := r.start
	if r.state == replaying {
		end = position
		if until := r.until(); until < end {
			end = until
		}
	}
	r.bound = min(position, end)
	switch {
	case r.cursor >= end:
		for _, s := range r.subs {
			s.state, s.reader = live, nil
			s.from = max(s.start, end)
		}
		return caughtUp
	case r.cursor >= r.bound:
		return waiting
	}
	r.rounds++
	i, _ := slices.BinarySearchFunc(y.log, r.cursor+1, func(k kept, at uint64) int { return cmp.Compare(k.at, at) })
	newer, complete := y.log[i:], r.cursor >= y.complete
	switch {
	case len(newer) == 0:
		r.countGone()
		r.cursor = r.bound
	case newer[0].at > r.bound && complete:
		r.cursor = r.bound
	case y.lostUpTo <= max(r.cursor, r.blame) && r.exact():
		r.findExact(y)
	case complete && (len(newer) <= tail/16 || len(newer) <= tail && r.rounds > 1):
		r.findByScan(y, newer)
	case r.exact():
		r.countGone()
		r.findExact(y)
	default:
		r.countGone()
		r.plant()
		r.walk.begin(&r.tree, &y.names)
		r.phase = walking
	}
	return searching
}

// until returns the offset up to which any subscription of r wants messages.
func (r *reader) until() (at uint64) {
	for _, s := range r.subs {
		at = max(at, s.until)
	}
	return at
}

// exact reports whether no pattern has a wildcard.
func (r *reader) exact() bool {
	return !slices.ContainsFunc(r.subs, func(s *subscription) bool { return !isExact(s.pattern) })
}

// plant makes the tree of the patterns.
func (r *reader) plant() {
	r.tree = node{}
	for _, s := range r.subs {
		x := r.tree.find(s.pattern)
		x.count++
		if x.mine == nil { // a pattern may be there twice, when it was left and joined again: either brings what it should
			x.mine = s
		}
	}
}

// findExact finds the topics that are named.
func (r *reader) findExact(y *history) {
	left := slices.ContainsFunc(r.subs, (*subscription).leaving) // only then may a pattern be there twice
	for i, s := range r.subs {
		again := left && slices.ContainsFunc(r.subs[:i], func(x *subscription) bool { return x.pattern == s.pattern })
		if t := y.topics[s.pattern]; t != nil && !again {
			r.countLost(t)
			r.add(t, s)
		}
	}
	r.walk.looks += len(r.subs)
	r.merge()
}

// findByScan looks through the end of the log, and counts the holes there.
func (r *reader) findByScan(y *history, newer []kept) {
	r.plant()
	y.scans++
	for _, k := range newer {
		if k.at > r.bound {
			break
		}
		r.walk.looks++
		if k.m != nil && k.t.scanned == y.scans {
			continue
		}
		owner := r.match(k.t)
		switch {
		case owner == nil:
		case k.m != nil:
			k.t.scanned = y.scans
			r.add(k.t, owner)
		case k.at > max(r.blame, k.t.erasedUpTo) && r.state == replaying:
			r.miss(1)
		}
	}
	r.gone = y.goneLost
	r.merge()
}

// match returns the first subscription that matches t, or nil.
func (r *reader) match(t *topic) (first *subscription) {
	r.found = r.tree.match(r.found[:0], t.name)
	r.walk.looks += len(r.found)
	for _, x := range r.found {
		if s := x.mine; first == nil || s.order < first.order {
			first = s
		}
	}
	return first
}

// consider takes a topic that the walk has found.
func (r *reader) consider(t *topic) {
	if owner := r.match(t); owner != nil {
		r.countLost(t)
		r.add(t, owner)
	}
}

// miss counts n messages after the cursor as lost.
func (r *reader) miss(n uint64) {
	if r.untold == (Missed{}) {
		r.missing = r.cursor
	}
	r.untold.N += n
}

// countLost counts the messages of t that the round should bring and that are lost; it may count
// too many.
func (r *reader) countLost(t *topic) {
	lower, upper := max(r.cursor, r.blame), min(t.lostUpTo, r.bound)
	if r.state == replaying && upper > lower {
		r.miss(min(t.lost-t.erased, upper-lower))
	}
}

// countGone does that for the topics that history has forgotten. Nobody knows which patterns they
// matched. Messages after the bound are left to later rounds, or to tellLoss.
func (r *reader) countGone() {
	y := &r.hub.history
	lower, upper, n := max(r.cursor, r.blame), min(y.gone, r.bound), uint64(0)
	if r.state == replaying && upper > lower {
		n = min(y.goneLost-r.gone, upper-lower)
		r.miss(n)
	}
	if r.gone += n; upper == y.gone {
		r.gone = y.goneLost
	}
}

// add makes a source of t, if it has something.
func (r *reader) add(t *topic, owner *subscription) {
	if len(t.log) == 0 || r.state == greeting && t.latest().Deleted {
		return
	}
	i := len(t.log) - 1
	if r.state == replaying {
		i = t.search(r.cursor)
	}
	if i == len(t.log) || t.log[i].at <= r.cursor || t.log[i].at > r.bound {
		return
	}
	r.sources = append(r.sources, source{t, t.lost + uint64(i), t.log[i].at, owner})
	up(r.sources, latest)
	if len(r.sources) > maxSources {
		r.bound = r.sources[0].at - 1
		r.sources = pop(r.sources, latest)
	}
}

// merge begins to merge the logs of the sources.
func (r *reader) merge() {
	r.phase = merging
	r.walk.end()
	r.tree, r.found = node{}, nil
	r.sources = slices.DeleteFunc(r.sources, func(x source) bool { return x.at > r.bound })
	for i := len(r.sources)/2 - 1; i >= 0; i-- {
		down(r.sources, i, earliest)
	}
}

// take takes the next message from the sources, and ends the round when there is none. When it
// returns nil, it has to be called again.
func (r *reader) take() (*message, *subscription) {
	if len(r.sources) == 0 {
		r.cursor, r.phase, r.sources = r.bound, between, nil
		return nil, nil
	}
	x := &r.sources[0]
	t, owner := x.t, x.owner
	if r.state == greeting {
		n := x.n
		r.sources = pop(r.sources, earliest)
		if m := t.latest(); m != nil && t.lost+uint64(len(t.log)) == n+1 {
			return m, owner
		}
		return nil, nil // a later one comes live
	}
	x.n = max(x.n, t.erased)
	if t.lost > x.n {
		lost := t.lost - x.n
		if t.lostUpTo > r.bound {
			lost = min(lost, r.bound-x.at+1)
		}
		r.miss(lost)
		x.n = t.lost
	}
	i := int(x.n - t.lost)
	switch {
	case i >= len(t.log) || t.log[i].at > r.bound:
		r.sources = pop(r.sources, earliest)
		return nil, nil
	case t.log[i].at != x.at:
		x.at = t.log[i].at
		down(r.sources, 0, earliest)
		return nil, nil
	}
	m := t.log[i]
	if x.n++; i+1 < len(t.log) && t.log[i+1].at <= r.bound {
		x.at = t.log[i+1].at
		down(r.sources, 0, earliest)
	} else {
		r.sources = pop(r.sources, earliest)
	}
	if r.hub.tooOld(m) && !(r.hub.opts.Retain && m == t.latest()) {
		r.miss(1)
		return nil, nil
	}
	return m, owner
}

func earliest(a, b *source) bool { return a.at < b.at }
func latest(a, b *source) bool   { return a.at > b.at }

// up moves the last source to its place in a heap, whose front has nothing before it.
func up(h []source, before func(a, b *source) bool) {
	for i := len(h) - 1; i > 0; {
		p := (i - 1) / 2
		if !before(&h[i], &h[p]) {
			return
		}
		h[i], h[p] = h[p], h[i]
		i = p
	}
}

// down moves the source at i to its place.
func down(h []source, i int, before func(a, b *source) bool) {
	for {
		k := 2*i + 1
		if k >= len(h) {
			return
		}
		if k+1 < len(h) && before(&h[k+1], &h[k]) {
			k++
		}
		if !before(&h[k], &h[i]) {
			return
		}
		h[i], h[k] = h[k], h[i]
		i = k
	}
}

// pop takes the front out.
func pop(h []source, before func(a, b *source) bool) []source {
	last := len(h) - 1
	h[0], h[last] = h[last], source{}
	h = h[:last]
	down(h, 0, before)
	return h
}
