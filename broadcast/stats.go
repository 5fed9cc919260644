package broadcast

import (
	"sync/atomic"
	"time"

	"github.com/seed4930a636/mangusta/conn"
)

// Stats are the figures of a hub since New. What went to a subscriber live is delivered, skipped or lost: of each published
// message one of them for each subscription that it was offered to.
type Stats struct {
	Published    uint64        // messages
	Refused      uint64        // messages that Publish did not take: ErrFull, ErrClosed
	Delivered    uint64        // messages given to connections, history too
	Replayed     uint64        // of them from history
	Skipped      uint64        // messages that were over a subscriber's limit, or too large for its connection
	Lost         uint64        // messages that waited for a connection when it ended
	Disconnected uint64        // connections closed because they were too slow
	Bytes        uint64        // of data delivered
	FanOut       time.Duration // that the loops have spent on distributing

	Subscriptions int // now
	Topics        int // kept track of
	Kept          int // messages in history
	KeptBytes     int
	Queued        int // messages that wait for the loops
	QueuedBytes   int
}

// hubStats are guarded by Hub.mu.
type hubStats struct {
	published, refused uint64
	subscriptions      int
}

// loopStats belong to a loop; the shown ones may be read by anybody.
type loopStats struct {
	counters
	fanOut time.Duration
	shown  struct {
		delivered, replayed, skipped, lost, disconnected, bytes atomic.Uint64
		fanOut                                                  atomic.Int64
	}
}

type counters struct {
	delivered, replayed, skipped, lost, disconnected, bytes uint64
}

// show makes what was counted visible to Stats.
func (l *loop) show() {
	s := &l.stats
	s.shown.delivered.Store(s.delivered)
	s.shown.replayed.Store(s.replayed)
	s.shown.skipped.Store(s.skipped)
	s.shown.lost.Store(s.lost)
	s.shown.disconnected.Store(s.disconnected)
	s.shown.bytes.Store(s.bytes)
	s.shown.fanOut.Store(int64(s.fanOut))
}

// Stats returns the hub's figures. Safe for concurrent use.
func (h *Hub) Stats() Stats {
	h.mu.Lock()
	defer h.mu.Unlock()
	y := &h.history
	s := Stats{Published: h.stats.published, Refused: h.stats.refused, Subscriptions: h.stats.subscriptions,
		Topics: len(y.topics), Kept: len(y.log) - y.holes, KeptBytes: y.bytes}
	for _, l := range h.loops {
		x := &l.stats.shown
		s.Delivered += x.delivered.Load()
		s.Replayed += x.replayed.Load()
		s.Skipped += x.skipped.Load()
		s.Lost += x.lost.Load()
		s.Disconnected += x.disconnected.Load()
		s.Bytes += x.bytes.Load()
		s.FanOut += time.Duration(x.fanOut.Load())
		s.Queued += l.waiting()
		s.QueuedBytes += l.bytes
	}
	return s
}

// TopicInfo is what a hub knows of a topic.
type TopicInfo struct {
	Name        string
	Published   uint64 // messages
	Skipped     uint64 // messages, for all its subscribers together
	Offset      uint64 // of the last message
	Kept        int    // messages in history
	KeptBytes   int
	Subscribers int // see Hub.Subscribers
}

// Topics returns the topics that the hub keeps track of, in no order. Safe for concurrent use.
func (h *Hub) Topics() []TopicInfo {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make([]TopicInfo, 0, len(h.history.topics))
	for _, t := range h.history.topics {
		h.found = h.root.match(h.found[:0], t.name)
		all = append(all, TopicInfo{Name: t.name, Published: t.published, Skipped: t.skipped.Load(), Offset: t.last,
			Kept: len(t.log), KeptBytes: t.bytes, Subscribers: countOf(h.found)})
	}
	return all
}

// SubscriberInfo is what a hub knows of a connection.
type SubscriberInfo struct {
	Patterns     []string
	Delivered    uint64 // messages
	Skipped      uint64
	Waiting      int // messages
	WaitingBytes int
}

// Subscriber returns what the hub knows of c; false when c has no subscription. It belongs to the connection's loop: with
// Manager.Broadcast it is asked for all.
func (h *Hub) Subscriber(c *conn.Conn) (SubscriberInfo, bool) {
	u := h.subscriber(c)
	if u == nil {
		return SubscriberInfo{}, false
	}
	s := SubscriberInfo{Delivered: u.delivered, Skipped: u.skipped, Waiting: u.waiting}
	for _, x := range u.subs {
		if !x.ending {
			s.Patterns = append(s.Patterns, x.pattern)
		}
		s.WaitingBytes += x.backlog.bytes
	}
	return s, true
}
