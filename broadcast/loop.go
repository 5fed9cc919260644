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
	index int    // in Hub.loops
	run   func() // work

	queue []*message // queue[next:] wait
	next  int
	bytes int
	awake bool // work is going to be called, or is running

	// A batch is what is taken from the queue at a time: found[:ends[0]] are the patterns that match batch[0], and so on. While current
	// is set, batch[nth] is being distributed, to the subscriptions of found, from number at of node on. They stay where they are
	// in their lists until the batch is through.
	batch         []*message
	found         []*node
	ends          []int
	current       *message
	nth, node, at int
	holes         []*node // whose lists have subscriptions that are ending

	stats loopStats
}

func newLoop(h *Hub, m *mgr.Manager, i int) *loop {
	l := &loop{hub: h, m: m, index: i}
	l.run = l.work
	return l
}

// One turn hands each subscriber this much at most, and then lets the loop send it: a connection that takes what it gets
// must not look slow just because several messages came at a time.
const (
	turnMessages = 256
	turnBytes    = 32 << 10
)

func (l *loop) waiting() int { return len(l.queue) - l.next }

// position returns the offset up to which every message has been distributed here, or was not wanted. Hub.mu is held.
func (l *loop) position() uint64 {
	switch {
	case l.current != nil:
		return l.current.at
	case l.waiting() == 0:
		return l.hub.seq
	}
	m := l.queue[l.next]
	if m.only != 0 {
		return m.at
	}
	return m.at - 1
}

// wake has the loop call work. Hub.mu is held.
func (l *loop) wake() error {
	if l.awake {
		return nil
	}
	if err := l.m.Do(l.run); err != nil {
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

// take makes what one turn should distribute of the queue the batch, and finds the patterns that match. It returns false when
// nothing is queued. To take one at a time would cost more where others publish all the time, and the lock is never free.
func (l *loop) take() bool {
	h := l.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	l.batch, l.found, l.ends = l.batch[:0], l.found[:0], l.ends[:0]
	l.nth, l.node, l.at = 0, 0, 0
	for bytes := 0; l.waiting() > 0 && len(l.batch) < turnMessages && bytes < turnBytes; l.next++ {
		m := l.queue[l.next]
		l.queue[l.next] = nil
		bytes += len(m.Data)
		l.bytes -= len(m.Data)
		if m.only == 0 {
			l.found = h.root.match(l.found, m.Topic)
		}
		l.batch = append(l.batch, m)
		l.ends = append(l.ends, len(l.found))
	}
	switch {
	case l.waiting() > 0 && (l.next < keepQueue || l.next < len(l.queue)/2):
	case cap(l.queue) > keepQueue && l.waiting() == 0:
		l.queue, l.next = nil, 0
	default:
		l.queue, l.next = slices.Delete(l.queue, 0, l.next), 0
	}
	return len(l.batch) > 0
}

// keepQueue is the length up to which an emptied queue is kept for the next messages.
const keepQueue = 1024

// work distributes what is queued, as much as one turn should. It runs on the loop.
func (l *loop) work() {
	defer l.again()
	began := l.hub.clock()
	l.step()
	l.stats.fanOut += time.Duration(l.hub.clock() - began)
	l.show()
}

// step distributes a batch, or what a filter that panicked has left of one.
func (l *loop) step() {
	if l.current != nil || l.take() {
		l.distribute()
	}
}

// again has work called in the next turn, if something is left. When the manager is closing, or its queue is full, what was
// accepted goes out now, and nothing is added to it: somebody who goes on publishing must not keep the manager from its end.
func (l *loop) again() {
	l.hub.mu.Lock()
	left := l.waiting() > 0 || l.current != nil
	var err error
	if left {
		err = l.m.Do(l.run)
	}
	l.awake = left && err == nil
	l.hub.mu.Unlock()
	if err != nil {
		defer l.again()
		l.step()
	}
}

// distribute offers each message of the batch to each subscription that matches it.
func (l *loop) distribute() {
	for ; l.nth < len(l.batch); l.nth, l.at = l.nth+1, 0 {
		m := l.batch[l.nth]
		l.current = m
		if m.only != 0 && l.at == 0 {
			l.at = 1 // not twice, when Encode panics
			l.toOne(m)
		}
		for ; l.node < l.ends[l.nth]; l.node, l.at = l.node+1, 0 {
			x := l.found[l.node]
			for l.at < len(x.subs[l.index]) {
				s := x.subs[l.index][l.at]
				l.at++
				s.offer(m)
			}
		}
	}
	l.current = nil
	clear(l.batch)
	clear(l.found)
	l.fill()
}

// toOne gives m to the one connection that it is for.
func (l *loop) toOne(m *message) {
	u := l.subscriber(l.m.Lookup(m.only))
	if u == nil {
		return
	}
	for _, s := range u.subs {
		if !s.ending && Match(s.pattern, m.Topic) {
			u.deliver(s, m)
			return
		}
	}
}
