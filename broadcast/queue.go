package broadcast

import "github.com/seed4930a636/mangusta/mgr"

// Policy says what is done with a message for a subscriber over whose limit it would be.
type Policy uint8

const (
	DropOldest Policy = iota + 1 // the oldest messages that wait make room
	SkipNew                      // the message is skipped
	KeepLatest                   // of each topic only the latest message waits; if that is still too much, the oldest make room
	Disconnect                   // the connection is closed: a WebSocket with websocket.Options.LagCode, a stream of events by its end
)

// backlog is what waits for a subscription, in order. Entries whose message is nil are holes that
// KeepLatest has left.
type backlog struct {
	entries []entry
	front   int            // entries[front:] wait
	n       int            // of them, without holes
	bytes   int            // of them
	latest  map[string]int // with KeepLatest or MinInterval: the index of the entry with each topic
	skipped uint64         // messages skipped after the last entry
}

// entry is a message that waits, and how many in front of it were skipped.
type entry struct {
	m       *message
	skipped uint64
}

// over reports whether a message of n bytes is too much for limit. One message is not, whatever its
// size.
func (b *backlog) over(limit Limit, n int) bool {
	return b.n > 0 && (limit.Messages > 0 && b.n >= limit.Messages || limit.Bytes > 0 && n > limit.Bytes-b.bytes)
}

// lean is the limit while memory is scarce: a slow subscriber has a quarter of it.
func (l Limit) lean() Limit {
	if l.Messages > 0 {
		l.Messages = max(l.Messages/4, 1)
	}
	if l.Bytes <= 0 {
		l.Bytes = 1 << 20
	}
	l.Bytes = max(l.Bytes/4, 1)
	return l
}

// add puts m at the end, for supersede to find when latest is set.
func (b *backlog) add(m *message, latest bool) {
	if idle := len(b.entries) - b.n; idle > 32 && idle > b.n {
		b.compact()
	}
	b.entries = append(b.entries, entry{m, b.skipped})
	b.skipped = 0
	b.n++
	b.bytes += len(m.Data)
	m.hold()
	if latest {
		if b.latest == nil {
			b.latest = make(map[string]int)
		}
		b.latest[m.Topic] = len(b.entries) - 1
	}
}

// isLatest reports whether m, which is the entry at that index, is the one of its topic that
// supersede finds. Messages for one connection may be none.
func (b *backlog) isLatest(m *message, at int) bool {
	i, ok := b.latest[m.Topic]
	return ok && i == at
}

// compact takes out the holes, and what is in front of the first entry. The skips of holes go to
// the entry after them.
func (b *backlog) compact() {
	live, skipped := b.entries[:0], uint64(0)
	for i, e := range b.entries[b.front:] {
		if skipped += e.skipped; e.m == nil {
			continue
		}
		if b.isLatest(e.m, b.front+i) {
			b.latest[e.m.Topic] = len(live)
		}
		live = append(live, entry{e.m, skipped})
		skipped = 0
	}
	clear(b.entries[len(live):])
	b.entries, b.front = live, 0
	b.skipped += skipped
}

// idle reports whether nothing waits, nor a hole. It is faster than first.
func (b *backlog) idle() bool { return len(b.entries) == 0 }

// first returns the entry in front, nil when nothing waits.
func (b *backlog) first() *entry {
	for b.front < len(b.entries) {
		e := &b.entries[b.front]
		if e.m != nil {
			return e
		}
		b.pass(e.skipped)
	}
	return nil
}

// shift takes the entry in front out. With skip it is skipped.
func (b *backlog) shift(skip bool) *message {
	e := b.first()
	m := e.m
	b.n--
	b.bytes -= len(m.Data)
	m.release()
	if b.isLatest(m, b.front) {
		delete(b.latest, m.Topic)
	}
	if skip {
		b.pass(e.skipped + 1)
	} else {
		b.pass(e.skipped)
	}
	return m
}

// pass drops the entry in front, and adds its skips to those of the next.
func (b *backlog) pass(skipped uint64) {
	b.entries[b.front] = entry{}
	b.front++
	if b.front < len(b.entries) {
		b.entries[b.front].skipped += skipped
		return
	}
	b.skipped += skipped
	b.entries, b.front = b.entries[:0], 0
	if cap(b.entries) > 64 {
		b.entries, b.latest = nil, nil
	}
}

// supersede makes a hole of the message with topic that waits, if there is one, and returns it.
// With skip it is skipped.
func (b *backlog) supersede(topic string, skip bool) *message {
	at, ok := b.latest[topic]
	if !ok {
		return nil
	}
	e := &b.entries[at]
	m := e.m
	e.m = nil
	if skip {
		e.skipped++
	}
	b.n--
	b.bytes -= len(m.Data)
	m.release()
	delete(b.latest, topic)
	b.first()
	return m
}

// A queue is the live half of a subscription: the messages that wait for its connection, with a
// policy for those over the limit.
type queue struct {
	backlog
	to   *subscriber
	opts *SubscribeOptions
	soft *mgr.Timer // running while the backlog is over opts.Soft
}

// push has m wait, or does with it what the policy says.
func (q *queue) push(m *message) {
	u := q.to
	before := q.n
	limit := q.opts.Limit
	if b := m.hub.budget; b != nil && b.Scarce() {
		limit = limit.lean()
	}
	paced := q.opts.MinInterval > 0 && m.only == 0
	if paced && q.supersede(m.Topic, false) != nil {
		u.extra.merged++
		u.l.stats.merged++
	}
	switch q.opts.Policy {
	case SkipNew:
		if q.over(limit, len(m.Data)) {
			q.skipped++
			u.skip(m)
			u.waiting += q.n - before // it may have been larger than the one whose place it takes
			return
		}
	case Disconnect:
		if q.over(limit, len(m.Data)) && !u.held() { // a subscriber that we make wait is not slow
			u.l.stats.lost++
			u.disconnect()
			return
		}
	case KeepLatest:
		if old := q.supersede(m.Topic, true); old != nil {
			u.skip(old)
		}
	}
	for q.over(limit, len(m.Data)) {
		u.skip(q.shift(true))
	}
	q.add(m, q.opts.Policy == KeepLatest || paced)
	u.busy = true
	u.waiting += q.n - before
	q.mindSoft()
}

// taken removes the message in front, which has been sent, or never will be.
func (q *queue) taken(skip bool) {
	q.shift(skip)
	q.to.waiting--
	q.mindSoft()
}

// mindSoft begins or ends the time that a backlog may stand at the soft limit.
func (q *queue) mindSoft() {
	limit := q.opts.Soft
	at := q.n > 0 && !q.to.held() && (limit.Messages > 0 && q.n >= limit.Messages || limit.Bytes > 0 && q.bytes >= limit.Bytes)
	switch {
	case !at:
		q.calm()
	case q.soft == nil:
		q.soft = q.to.l.m.AfterFunc(q.opts.SoftTime, q.to.disconnect)
	}
}

func (q *queue) calm() {
	if q.soft != nil {
		q.soft.Stop()
		q.soft = nil
	}
}

// drop forgets what waits, and returns how many messages that were.
func (q *queue) drop() int {
	n := q.n
	q.calm()
	for _, e := range q.entries[q.front:] {
		if e.m != nil {
			e.m.release()
		}
	}
	q.backlog = backlog{}
	return n
}
