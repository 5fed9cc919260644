package broadcast

import (
	"cmp"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// History bounds what is kept of each topic. The oldest goes first; what is too old is told to nobody, and goes when something is
// published. The bytes are those of Message.Data; what has been sent to somebody is kept encoded too, as a frame, an event or both.
type History struct {
	Count int           // messages; 0 keeps none
	Bytes int           // of messages; 0 is no bound
	Age   time.Duration // of messages; 0 is no bound
	Total int           // bytes of all topics together, and 200 for each message; 64 MiB when 0
}

// history is what is kept, and what is known of each topic. It is guarded by Hub.mu.
type history struct {
	opts   History
	retain bool
	max    int // topics
	topics map[string]*topic
	log    []kept // of all topics, by offset
	holes  int    // in log
	bytes  int

	lostUpTo uint64 // the highest offset that any topic has lost
	gone     uint64 // the same of the topics no longer in topics
	goneLost uint64 // how many messages they lost
}

// kept is a message in the log, or the hole that one has left.
type kept struct {
	at uint64
	m  *message
}

// topic is what is known of one topic.
type topic struct {
	name      string
	log       []*message
	bytes     int
	published uint64
	skipped   atomic.Uint64
	last      uint64 // offset
	lost      uint64 // messages published and no longer kept
	lostUpTo  uint64 // the offset of the last of them
}

func (t *topic) newest() *message {
	if len(t.log) == 0 {
		return nil
	}
	return t.log[len(t.log)-1]
}

// topic returns the record of name, nil when there are too many of those about which nothing is kept. keep says that a message
// is about to be kept in it.
func (h *Hub) topic(name string, keep bool) *topic {
	y := &h.history
	t := y.topics[name]
	if t != nil {
		return t
	}
	for keep && len(y.topics) >= y.max {
		oldest := y.log[0].m.topic
		for range len(oldest.log) {
			h.evict(oldest)
		}
	}
	if len(y.topics) >= y.max {
		return nil
	}
	t = &topic{name: strings.Clone(name)}
	y.topics[t.name] = t
	return t
}

// keep adds m, the newest message, and drops what is over the bounds.
func (h *Hub) keep(m *message) {
	y, t := &h.history, m.topic
	t.log = append(t.log, m)
	t.bytes += len(m.Data)
	y.bytes += len(m.Data)
	y.log = append(y.log, kept{m.at, m})
	most := max(y.opts.Count, y.least())
	for len(t.log) > most || y.opts.Bytes > 0 && t.bytes > y.opts.Bytes && len(t.log) > y.least() || h.expired(t) {
		h.evict(t)
	}
	for y.held() > y.opts.Total && len(y.log) > 1 || len(y.log) > 0 && h.expired(y.log[0].m.topic) {
		h.evict(y.log[0].m.topic)
	}
}

// messageCost is what a kept message takes besides its data.
const messageCost = 200

// held returns the memory that Total bounds.
func (y *history) held() int { return y.bytes + messageCost*(len(y.log)-y.holes) }

// least is how many messages of a topic stay, whatever their size and age.
func (y *history) least() int {
	if y.retain {
		return 1
	}
	return 0
}

// expired reports whether the oldest message of t is too old to be kept.
func (h *Hub) expired(t *topic) bool { return len(t.log) > h.history.least() && h.tooOld(t.log[0]) }

func (h *Hub) tooOld(m *message) bool {
	age := h.opts.History.Age
	return age > 0 && h.clock()-m.when > int64(age)
}

// evict drops the oldest message of t, and forgets t when it was the only one.
func (h *Hub) evict(t *topic) {
	y, m := &h.history, t.log[0]
	t.log[0] = nil
	t.log = t.log[1:]
	t.bytes -= len(m.Data)
	t.lost++
	t.lostUpTo = m.at
	y.lostUpTo = max(y.lostUpTo, m.at)
	y.bytes -= len(m.Data)
	i, _ := slices.BinarySearchFunc(y.log, m.at, func(k kept, at uint64) int { return cmp.Compare(k.at, at) })
	y.log[i].m = nil
	y.holes++
	y.trim()
	for _, s := range h.behind {
		if !s.lasts && s.cursor < m.at && m.at <= s.until && Match(s.pattern, t.name) {
			s.missed++
		}
	}
	if len(t.log) == 0 {
		delete(y.topics, t.name)
		y.gone = max(y.gone, t.lostUpTo)
		y.goneLost += t.lost
	}
}

// trim takes holes out of the log: those at its front always, others when they are more than half of it.
func (y *history) trim() {
	for len(y.log) > 0 && y.log[0].m == nil {
		y.log = y.log[1:]
		y.holes--
	}
	if y.holes > 64 && y.holes > len(y.log)/2 {
		y.log = slices.DeleteFunc(y.log, func(k kept) bool { return k.m == nil })
		y.holes = 0
	}
}

// missedSince returns how many messages that pattern matches have been lost behind offset since, at most.
func (y *history) missedSince(pattern string, since uint64) uint64 {
	if y.lostUpTo <= since { // who was away for a short time: all topics need not be asked
		return 0
	}
	var n uint64
	count := func(lost, upTo uint64) {
		if upTo > since {
			n += min(lost, upTo-since)
		}
	}
	count(y.goneLost, y.gone)
	if isExact(pattern) {
		if t := y.topics[pattern]; t != nil {
			count(t.lost, t.lostUpTo)
		}
		return n
	}
	for _, t := range y.topics {
		if t.lostUpTo > since && Match(pattern, t.name) {
			count(t.lost, t.lostUpTo)
		}
	}
	return n
}

// after returns the first message behind offset cursor, and not behind bound, that pattern matches; nil when there is none. It looks
// at a bounded number of messages at a time, since nobody can publish meanwhile, and returns the offset up to which it has, and
// how many it was.
func (y *history) after(pattern string, cursor, bound uint64) (m *message, upTo uint64, looked int) {
	if isExact(pattern) {
		if t := y.topics[pattern]; t != nil {
			i, _ := slices.BinarySearchFunc(t.log, cursor+1, func(m *message, at uint64) int { return cmp.Compare(m.at, at) })
			if i < len(t.log) && t.log[i].at <= bound {
				return t.log[i], t.log[i].at, 1
			}
		}
		return nil, bound, 1
	}
	i, _ := slices.BinarySearchFunc(y.log, cursor+1, func(k kept, at uint64) int { return cmp.Compare(k.at, at) })
	for n, k := range y.log[i:] {
		switch {
		case k.at > bound:
			return nil, bound, n + 1
		case k.m != nil && Match(pattern, k.m.Topic):
			return k.m, k.at, n + 1
		case n == 1000:
			return nil, k.at, n + 1
		}
	}
	return nil, bound, len(y.log) - i + 1
}

// nextOf returns the next message of history for s, nil when it has looked at some without finding one. more says that there may be
// others; when there are none, s is live. looked is how many it was. A newcomer waits for what the loop has yet to distribute:
// another subscription, which could end before, would bring it.
func (h *Hub) nextOf(s *subscription) (m *message, more bool, looked int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	position := s.to.l.position()
	end := min(position, s.until)
	if s.lasts {
		end = s.start
	}
	bound := min(position, end)
	m, upTo, looked := h.history.after(s.pattern, s.cursor, bound)
	s.cursor = max(s.cursor, upTo)
	s.untold.N += s.missed
	s.missed = 0
	switch {
	case m == nil && s.cursor >= end:
		s.from = max(s.start, end)
		h.caughtUp(s)
		return nil, false, looked
	case m == nil:
		return nil, s.cursor < bound, looked
	case m == m.topic.newest() && h.opts.Retain:
		return m, true, looked
	case s.lasts:
		return nil, true, looked
	case h.tooOld(m):
		s.untold.N++
		return nil, true, looked
	}
	return m, true, looked
}

// forget ends the reading of history.
func (h *Hub) forget(s *subscription) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.caughtUp(s)
}

// caughtUp ends the reading of history. Hub.mu is held.
func (h *Hub) caughtUp(s *subscription) {
	s.behind = false
	s.to.behind--
	i := slices.Index(h.behind, s)
	h.behind = slices.Delete(h.behind, i, i+1)
}
