package broadcast

import (
	"slices"
	"time"

	"github.com/seed4930a636/mangusta/mgr"
)

// A loop is the hub's half on one manager: the queue in, which Hub.mu guards, and what only the loop's goroutine touches.
type loop struct {
	hub   *Hub
	m     *mgr.Manager
	index int // in Hub.loops

	queue []*message // queue[next:] wait
	next  int
	bytes int
	awake bool // work is going to be called

	current  *message // that is being distributed: to the subscriptions of found, from number at of node on
	found    []*node
	node, at int
	done     uint64  // the offset of the message distributed last
	fanning  bool    // subscriptions must stay where they are in their lists
	holes    []*node // whose lists have holes

	stats loopStats
}

func newLoop(h *Hub, m *mgr.Manager, i int) *loop { return &loop{hub: h, m: m, index: i} }

// One turn hands each subscriber this much at most, and then lets the loop send it: a connection that takes what it gets
// must not look slow just because several messages came at a time.
const (
	turnMessages = 256
	turnBytes    = 32 << 10
)

func (l *loop) waiting() int { return len(l.queue) - l.next }

// wake has the loop call work. Hub.mu is held.
func (l *loop) wake() error {
	if l.awake {
		return nil
	}
	if err := l.m.Do(l.work); err != nil {
		return err
	}
	l.awake = true
	return nil
}

// push queues m. Hub.mu is held, and wake has been called.
func (l *loop) push(m *message) {
	l.queue = append(l.queue, m)
	l.bytes += len(m.Data)
}

// take makes the next message of the queue the one to distribute, and finds the patterns that match it. It returns false when
// there is none.
func (l *loop) take() bool {
	h := l.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	if l.next == len(l.queue) {
		if l.queue, l.next = l.queue[:0], 0; cap(l.queue) > keepQueue {
			l.queue = nil
		}
		return false
	}
	m := l.queue[l.next]
	l.queue[l.next] = nil
	l.next++
	l.bytes -= len(m.Data)
	if l.next >= keepQueue && l.next > len(l.queue)/2 {
		l.queue = slices.Delete(l.queue, 0, l.next)
		l.next = 0
	}
	l.found = h.root.match(l.found[:0], m.Topic)
	l.current, l.node, l.at = m, 0, 0
	return true
}

// keepQueue is the length up to which an emptied queue is kept for the next messages.
const keepQueue = 1024

// work distributes what is queued, as much as one turn should. It runs on the loop. When a filter panics, rest has work called
// again, and that goes on behind it.
func (l *loop) work() {
	defer l.rest()
	began := l.hub.clock()
	if l.current != nil {
		l.distribute()
	}
	for n, bytes := 0, 0; n < turnMessages && bytes < turnBytes && l.take(); n++ {
		bytes += len(l.current.Data)
		l.distribute()
	}
	l.stats.fanOut += time.Duration(l.hub.clock() - began)
	l.show()
}

// rest has work called again when something is left.
func (l *loop) rest() {
	h := l.hub
	h.mu.Lock()
	l.awake = l.waiting() > 0 || l.current != nil
	var err error
	if l.awake {
		err = l.m.Do(l.work)
	}
	h.mu.Unlock()
	if err != nil { // the manager is closing, or its queue is full: what was accepted goes out now
		for l.current != nil || l.take() {
			l.distribute()
		}
		h.mu.Lock()
		l.awake = l.waiting() > 0
		h.mu.Unlock()
	}
}

// distribute offers the current message to each subscription that matches it.
func (l *loop) distribute() {
	m := l.current
	if m.only != 0 {
		l.current = nil
		l.toOne(m)
		return
	}
	l.fanning = true
	for ; l.node < len(l.found); l.node++ {
		x := l.found[l.node]
		for l.at < len(x.subs[l.index]) {
			s := x.subs[l.index][l.at]
			l.at++
			if s != nil {
				s.offer(m)
			}
		}
		l.at = 0
	}
	l.fanning = false
	l.current, l.done = nil, m.at
	l.fill()
}

// toOne gives m to the one connection that it is for.
func (l *loop) toOne(m *message) {
	u := l.subscriber(l.m.Lookup(m.only))
	if u == nil {
		return
	}
	for _, s := range u.subs {
		if Match(s.pattern, m.Topic) {
			u.deliver(s, m)
			return
		}
	}
}
