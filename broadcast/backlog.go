package broadcast

import (
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/websocket"
)

// Policy says what is done with a message for a subscriber over whose limit it would be.
type Policy uint8

const (
	DropOldest Policy = iota + 1 // the oldest messages that wait make room
	SkipNew                      // the message is skipped
	KeepLatest                   // of each topic only the latest message waits; if that is still too much, the oldest make room
	Disconnect                   // the connection is closed: a WebSocket with 1013, a stream of events by its end
)

// backlog is what waits for a subscription, in order. Entries whose message is nil are holes that KeepLatest has left.
type backlog struct {
	entries []entry
	front   int            // entries[front:] wait
	n       int            // of them, without holes
	bytes   int            // of them
	latest  map[string]int // with KeepLatest: the index of the entry with each topic
	skipped uint64         // messages skipped behind the last entry
}

// entry is a message that waits, and how many in front of it were skipped.
type entry struct {
	m       *message
	skipped uint64
}

// over reports whether a message of n bytes is too much for limit. One message is not, whatever its size.
func (b *backlog) over(limit Limit, n int) bool {
	return b.n > 0 && (limit.Messages > 0 && b.n >= limit.Messages || limit.Bytes > 0 && n > limit.Bytes-b.bytes)
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
	if latest {
		if b.latest == nil {
			b.latest = make(map[string]int)
		}
		b.latest[m.Topic] = len(b.entries) - 1
	}
}

// compact takes out the holes, and what is in front of the first entry. The skips of holes go to what is behind them.
func (b *backlog) compact() {
	live, skipped := b.entries[:0], uint64(0)
	for _, e := range b.entries[b.front:] {
		if skipped += e.skipped; e.m == nil {
			continue
		}
		if b.latest != nil {
			b.latest[e.m.Topic] = len(live)
		}
		live = append(live, entry{e.m, skipped})
		skipped = 0
	}
	clear(b.entries[len(live):])
	b.entries, b.front = live, 0
	b.skipped += skipped
}

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
	delete(b.latest, m.Topic)
	if skip {
		b.pass(e.skipped + 1)
	} else {
		b.pass(e.skipped)
	}
	return m
}

// pass goes behind the entry in front, and adds to what was skipped there.
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
func (b *backlog) supersede(topic string) *message {
	at, ok := b.latest[topic]
	if !ok {
		return nil
	}
	e := &b.entries[at]
	m := e.m
	e.m = nil
	e.skipped++
	b.n--
	b.bytes -= len(m.Data)
	delete(b.latest, topic)
	b.first()
	return m
}

// push has m wait, or does with it what the policy says.
func (s *subscription) push(m *message) {
	u, b := s.to, &s.backlog
	before := b.n
	switch s.opts.Policy {
	case SkipNew:
		if b.over(s.opts.Limit, len(m.Data)) {
			b.skipped++
			s.skip(m)
			return
		}
	case Disconnect:
		if b.over(s.opts.Limit, len(m.Data)) {
			u.l.stats.lost++
			u.disconnect()
			return
		}
	case KeepLatest:
		if old := b.supersede(m.Topic); old != nil {
			s.skip(old)
		}
	}
	for b.over(s.opts.Limit, len(m.Data)) {
		s.skip(b.shift(true))
	}
	b.add(m, s.opts.Policy == KeepLatest)
	u.busy = true
	u.waiting += b.n - before
	s.mindSoft()
}

// skip counts a message that the subscriber does not get.
func (s *subscription) skip(m *message) {
	s.to.skipped++
	s.to.l.stats.skipped++
	if m.topic != nil {
		m.topic.skipped.Add(1)
	}
}

// taken removes the message in front, which has been sent, or never will be.
func (s *subscription) taken(skip bool) {
	s.backlog.shift(skip)
	s.to.waiting--
	s.mindSoft()
}

// mindSoft begins or ends the time that a backlog may stand at the soft limit.
func (s *subscription) mindSoft() {
	b, limit := &s.backlog, s.opts.Soft
	at := b.n > 0 && (limit.Messages > 0 && b.n >= limit.Messages || limit.Bytes > 0 && b.bytes >= limit.Bytes)
	switch {
	case !at:
		s.calm()
	case s.soft == nil:
		s.soft = s.to.l.m.AfterFunc(s.opts.SoftTime, s.to.disconnect)
	}
}

func (s *subscription) calm() {
	if s.soft != nil {
		s.soft.Stop()
		s.soft = nil
	}
}

// disconnect ends the connection of a subscriber that is too slow. It may come back, and go on from where it was.
func (u *subscriber) disconnect() {
	u.l.stats.disconnected++
	var err error
	if u.events {
		err = http.End(u.c)
	} else {
		err = websocket.CloseWith(u.c, websocket.CloseTryLater, "too slow")
	}
	if err != nil { // there is no room even for that
		u.c.Drain()
	}
	u.dropAll()
}
