package broadcast

import (
	"cmp"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/seed4930a636/mangusta/conn"
)

// History bounds what is kept of each topic. The oldest goes first. No subscriber is given a
// message that is too old; it is dropped when something is published.
type History struct {
	Count int           // messages; 0 keeps none
	Bytes int           // of Message.Data; 0 is no bound
	Age   time.Duration // of messages; 0 is no bound

	// Total bounds the memory of all topics together, in bytes; by default 64 MiB, or a quarter of
	// the budget of the hub's first manager (mgr.Options.Memory) if that is less. It is charged to
	// that budget, and never more than half of it. The data of the messages counts, the frames and
	// events that have been made of it, the names of the topics, and what a message and a topic
	// take besides.
	Total int
}

// history is what is kept, and what is known of each topic. It is guarded by Hub.mu, but for held.
type history struct {
	opts   History
	retain bool
	max    int // topics
	topics map[string]*topic
	list   []*topic
	names  name   // the root of the tree of their names
	newest *topic // the topic published to last; the others follow, linked by older
	log    []kept // of all topics, by offset
	first  int    // the first message in log: in front of it are holes
	holes  int    // in log
	bytes  int    // of data
	scans  uint64 // how many there have been
	held   atomic.Int64
	budget *conn.Budget // of the hub

	complete uint64 // every message with a higher offset is in log, or has its hole there
	lostUpTo uint64 // the highest offset that any topic has lost
	gone     uint64 // the same of the topics no longer in topics
	goneLost uint64 // how many messages they lost
}

// kept is a message in the log, or the hole that one has left: m is nil then.
type kept struct {
	at uint64
	t  *topic
	m  *message
}

// topic is what is known of one topic.
type topic struct {
	name         string
	at           *name
	index        int        // in history.list; -1 when it is forgotten
	older, newer *topic     // published to before and after this one
	log          []*message // the one at i is the message number lost+i of the topic
	bytes        int
	published    uint64
	skipped      atomic.Uint64
	last         uint64 // offset
	lost         uint64 // messages published and no longer kept
	lostUpTo     uint64 // the offset of the last of them
	erased       uint64 // the first so many messages do not count as lost: the topic was deleted after them
	erasedUpTo   uint64 // likewise those up to this offset
	scanned      uint64 // the scan that has seen the topic last
}

func (t *topic) latest() *message {
	if len(t.log) == 0 {
		return nil
	}
	return t.log[len(t.log)-1]
}

// search returns the index in t.log of the first message after the offset at.
func (t *topic) search(at uint64) int {
	i, _ := slices.BinarySearchFunc(t.log, at+1, func(m *message, at uint64) int { return cmp.Compare(m.at, at) })
	return i
}

// These are charged for a message, an encoded form of it, a topic, and a level of its name, besides
// the bytes of each.
const (
	messageCost = 256
	formCost    = 96
	topicCost   = 320
	levelCost   = 160
)

// memory returns what a topic of that name is charged.
func memory(name string) int64 {
	return int64(topicCost + len(name) + levelCost*(1+strings.Count(name, "/")))
}

// topic returns the record of name, nil when there are too many of those about which nothing is
// kept. keep says that a message is about to be kept in it.
func (h *Hub) topic(name string, keep bool) *topic {
	y := &h.history
	if t := y.topics[name]; t != nil {
		return t
	}
	for keep && len(y.topics) >= y.max {
		oldest := y.log[y.first].t
		for range len(oldest.log) {
			y.evict(oldest)
		}
	}
	if !keep && (len(y.topics) >= y.max || y.held.Load()+memory(name) > int64(y.opts.Total)) {
		return nil
	}
	t := &topic{name: strings.Clone(name), index: len(y.list)}
	y.topics[t.name] = t
	y.list = append(y.list, t)
	y.names.insert(t)
	y.charge(memory(name))
	return t
}

// note counts a message for t, and makes t the topic published to last.
func (y *history) note(t *topic, at uint64) {
	t.published++
	t.last = at
	if y.newest != t {
		y.unlink(t)
		t.older = y.newest
		if t.older != nil {
			t.older.newer = t
		}
		y.newest = t
	}
}

func (y *history) unlink(t *topic) {
	switch {
	case t.newer != nil:
		t.newer.older = t.older
	case y.newest == t:
		y.newest = t.older
	}
	if t.older != nil {
		t.older.newer = t.newer
	}
	t.older, t.newer = nil, nil
}

// keep adds m, the newest message, and drops what is over the bounds.
func (h *Hub) keep(m *message) {
	y, t := &h.history, m.topic
	t.log = append(t.log, m)
	t.bytes += len(m.Data)
	y.bytes += len(m.Data)
	y.held.Add(int64(m.cost()))
	m.hold()
	y.log = append(y.log, kept{m.at, t, m})
	most := max(y.opts.Count, y.least())
	for len(t.log) > most || y.opts.Bytes > 0 && t.bytes > y.opts.Bytes && len(t.log) > y.least() {
		y.evict(t)
	}
	y.shrink()
	// After a silence many messages are too old at once. They are dropped over several publishes;
	// readers skip them until then.
	for range maxExpired {
		switch {
		case h.expired(t):
			y.evict(t)
		case y.kept() > 0 && h.expired(y.log[y.first].t):
			y.evict(y.log[y.first].t)
		default:
			return
		}
	}
}

// maxExpired bounds the messages that are dropped because of their age when one is published.
const maxExpired = 100

// shrink drops the oldest messages until Total is kept; the last one stays, whatever its size.
func (y *history) shrink() {
	for y.held.Load() > int64(y.opts.Total) && y.kept() > 1 {
		y.evict(y.log[y.first].t)
	}
}

// charge adds n bytes for an encoded form of m. The caller does not hold Hub.mu.
func (h *Hub) charge(m *message, n int) {
	if !h.tracking {
		return
	}
	y := &h.history
	for {
		was := m.forms.Load()
		if was < 0 { // it is not kept any more
			return
		}
		if m.forms.CompareAndSwap(was, was+int64(n)+formCost) {
			break
		}
	}
	// The next Publish makes room anyway. The lock is taken only if memory grows much before that.
	if total := int64(y.opts.Total); y.charge(int64(n)+formCost) > total+total/16 {
		h.mu.Lock()
		defer h.mu.Unlock()
		y.shrink()
	}
}

// charge adds n bytes to what is held, and returns that.
func (y *history) charge(n int64) int64 {
	if y.budget != nil {
		y.budget.Charge(int(n))
	}
	return y.held.Add(n)
}

// kept returns how many messages are.
func (y *history) kept() int { return len(y.log) - y.holes }

// least is how many messages of a topic stay, whatever their size and age.
func (y *history) least() int {
	if y.retain {
		return 1
	}
	return 0
}

// expired reports whether the oldest message of t is too old to be kept.
func (h *Hub) expired(t *topic) bool {
	least := h.history.least()
	if len(t.log) == 1 && t.log[0].Deleted {
		least = 0
	}
	return len(t.log) > least && h.tooOld(t.log[0])
}

func (h *Hub) tooOld(m *message) bool {
	age := h.opts.History.Age
	return age > 0 && h.clock()-m.when > int64(age)
}

// evict drops the oldest message of t, and forgets t when it was the only one.
func (y *history) evict(t *topic) {
	m := y.drop(t)
	t.lostUpTo = m.at
	y.lostUpTo = max(y.lostUpTo, m.at)
	y.trim()
	if len(t.log) == 0 {
		y.forget(t)
	}
}

// erase drops all messages of t, which is deleted at that place. They do not count as lost.
func (y *history) erase(t *topic, at uint64) {
	for len(t.log) > 0 {
		y.drop(t)
	}
	t.erased, t.erasedUpTo = t.lost, at-1
	y.trim()
}

// find returns the index of m in the log.
func (y *history) find(m *message) int {
	i, _ := slices.BinarySearchFunc(y.log, m.at, func(k kept, at uint64) int { return cmp.Compare(k.at, at) })
	return i
}

// drop takes the oldest message of t out, and leaves a hole in the log.
func (y *history) drop(t *topic) *message {
	m := t.log[0]
	t.log[0] = nil
	t.log = t.log[1:]
	t.bytes -= len(m.Data)
	t.lost++
	y.bytes -= len(m.Data)
	if n := m.forms.Swap(-1); n != 0 {
		y.charge(-n)
	}
	y.held.Add(-int64(m.cost()))
	m.release()
	y.log[y.find(m)].m = nil
	y.holes++
	return m
}

func (y *history) forget(t *topic) {
	delete(y.topics, t.name)
	t.at.remove()
	y.unlink(t)
	last := len(y.list) - 1
	y.list[t.index] = y.list[last]
	y.list[t.index].index = t.index
	y.list[last] = nil
	y.list = y.list[:last]
	t.index = -1
	y.charge(-memory(t.name))
	y.gone = max(y.gone, t.lostUpTo)
	y.goneLost += t.lost - t.erased
}

// reset drops everything.
func (y *history) reset() {
	for y.kept() > 0 {
		y.evict(y.log[y.first].t)
	}
	for len(y.list) > 0 {
		y.forget(y.list[len(y.list)-1])
	}
	y.log, y.first, y.holes = nil, 0, 0
}

// tail is how many of the newest entries of the log stay as holes when their messages are dropped.
// From the holes a reader learns exactly how many messages it has lost, as long as it is no further
// back.
const tail = 1024

// trim removes holes before the tail: those at the front of the log at once, others when more than
// half of the log is holes.
func (y *history) trim() {
	for y.first < len(y.log) && y.log[y.first].m == nil {
		y.first++
	}
	if n := min(y.first, len(y.log)-tail); n > 0 {
		y.complete = max(y.complete, y.log[n-1].at)
		y.log = y.log[n:]
		y.first -= n
		y.holes -= n
	}
	if y.holes > 2*tail && y.holes > len(y.log)/2 {
		old := y.log[:len(y.log)-tail]
		for i := len(old) - 1; i >= 0; i-- {
			if old[i].m == nil {
				y.complete = max(y.complete, old[i].at)
				break
			}
		}
		n := len(slices.DeleteFunc(old, func(k kept) bool { return k.m == nil }))
		y.holes -= len(old) - n
		y.log = slices.Delete(y.log, n, len(old))
		y.first = min(y.first, n)
		for y.first < len(y.log) && y.log[y.first].m == nil {
			y.first++
		}
	}
}
