package broadcast

import (
	"slices"
	"time"

	"github.com/seed4930a636/mangusta/mgr"
)

// A loop is the hub's half on one manager: the queue in, which Hub.mu guards, and what only the
// loop's goroutine touches.
type loop struct {
	hub   *Hub
	m     *mgr.Manager
	index int    // in Hub.loops
	run   func() // work

	queue []*message // queue[next:] wait
	next  int
	bytes int
	ended bool // its manager is closed
	awake bool // work is going to be called, or is running

	// A batch is what is taken from the queue at a time: found[:ends[0]] are the patterns that
	// match batch[0], and so on. Subscriptions stay where they are in their lists until the batch
	// is through.
	batch   []*message
	found   []*node
	ends    []int
	current *message // it is being distributed
	holes   []*node  // whose lists have subscriptions that are leaving

	// The budget for reading history.
	looks   int           // in this turn
	looksAt uint64        // the number of the turn
	hungry  []*subscriber // that wait for looks, in turn
	feeding bool          // feed is running
	feedDue bool          // feed is going to be called

	now        int64 // on Hub.clock, when the batch was begun
	alarms     alarms
	alarmTimer *mgr.Timer // of the first of alarms; nil when there is none
	alarmDue   int64      // its time

	stats loopStats
}

func newLoop(h *Hub, m *mgr.Manager, i int) *loop {
	l := &loop{hub: h, m: m, index: i}
	l.run = l.work
	return l
}

// One turn hands each subscriber this much at most, and then lets the loop send it: a connection
// that takes what it gets must not look slow just because several messages came at a time.
const (
	turnMessages = 256
	turnBytes    = 32 << 10
)

func (l *loop) waiting() int { return len(l.queue) - l.next }

// newest returns the last message that waits, or nil. Hub.mu is held.
func (l *loop) newest() *message {
	if l.waiting() == 0 {
		return nil
	}
	return l.queue[len(l.queue)-1]
}

// position returns the offset up to which every message has been distributed here, or was not
// wanted. Hub.mu is held.
func (l *loop) position() uint64 {
	switch {
	case l.current != nil:
		return l.current.at
	case l.waiting() == 0:
		return l.hub.seq
	}
	m := l.queue[l.next]
	if m.only != 0 && m.only < aboutLoss {
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

// take makes what one turn should distribute of the queue the batch, and finds the patterns that
// match. It returns false when nothing is queued. To take one at a time would cost more where
// others publish all the time, and the lock is never free.
func (l *loop) take() bool {
	h := l.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.blocked > 0 {
		h.room.Broadcast()
	}
	l.batch, l.found, l.ends = l.batch[:0], l.found[:0], l.ends[:0]
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
	for more := true; more; more = l.again() != nil {
		began := l.hub.clock()
		l.now = began
		if l.take() {
			l.distribute()
		}
		l.stats.fanOut += time.Duration(l.hub.clock() - began)
	}
	l.show()
}

// again has work called in the next turn, if something is left. It returns an error when the
// manager is closing, or its queue is full: what was accepted goes out now, and nothing is added to
// it, so that a publisher that goes on cannot keep the manager from its end.
func (l *loop) again() error {
	l.hub.mu.Lock()
	defer l.hub.mu.Unlock()
	l.awake = false
	if l.waiting() == 0 {
		return nil
	}
	return l.wake()
}

// distribute offers each message of the batch to each subscription that matches it.
func (l *loop) distribute() {
	node := 0
	for i, m := range l.batch {
		l.current = m
		if m.only != 0 {
			l.toOne(m)
		}
		for ; node < l.ends[i]; node++ {
			x := l.found[node]
			for at := 0; at < len(x.subs[l.index]); at++ { // a filter may add to them
				x.subs[l.index][at].offer(m)
			}
		}
	}
	l.current = nil
	clear(l.batch)
	clear(l.found)
	l.fill()
}

// toOne gives m to the one connection that it is for, or tells the subscriptions what it is about.
func (l *loop) toOne(m *message) {
	switch m.only {
	case aboutLoss:
		l.tellLoss(m)
		return
	case aboutRestart:
		l.tellRestart(m)
		return
	}
	u := l.subscriber(l.m.Lookup(m.only))
	if u == nil {
		return
	}
	for _, s := range u.subs {
		if !s.leaving() && Match(s.pattern, m.Topic) {
			u.deliver(s, m)
			return
		}
	}
}
