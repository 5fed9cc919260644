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

	// While current is set it is being distributed, to the subscriptions of found, from number at of node on. They stay where they are
	// in their lists.
	current  *message
	found    []*node
	node, at int
	holes    []*node // whose lists have subscriptions that are ending

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

// take makes the next message of the queue the one to distribute, and finds the patterns that match it. When there is none it
// returns false, and the loop has to be woken for the next.
func (l *loop) take() bool {
	h := l.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	if l.next == len(l.queue) {
		if l.queue, l.next = l.queue[:0], 0; cap(l.queue) > keepQueue {
			l.queue = nil
		}
		l.awake = false
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

// rest has work called again when something may be left.
func (l *loop) rest() {
	l.hub.mu.Lock()
	var err error
	if l.awake {
		err = l.m.Do(l.run)
	}
	l.hub.mu.Unlock()
	if err == nil {
		return
	}
	// The manager is closing, or its queue is full: what was accepted goes out now.
	defer l.rest() // for what is behind a panic
	for l.current != nil || l.take() {
		l.distribute()
	}
	l.show()
}

// distribute offers the current message to each subscription that matches it.
func (l *loop) distribute() {
	m := l.current
	if m.only != 0 {
		l.current = nil
		l.toOne(m)
		return
	}
	for ; l.node < len(l.found); l.node++ {
		x := l.found[l.node]
		for l.at < len(x.subs[l.index]) {
			s := x.subs[l.index][l.at]
			l.at++
			s.offer(m)
		}
		l.at = 0
	}
	l.current = nil
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
