package broadcast

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/seed4930a636/mangusta/conn"
)

// Stats are the figures of a hub since New. A message that is offered live to a subscription counts
// once: as delivered, skipped, merged or lost.
type Stats struct {
	Published    uint64        // messages
	Refused      uint64        // messages that Publish did not take, or that the engine did not store
	Stale        uint64        // messages that the engine delivered again
	Delivered    uint64        // messages given to connections, history too
	Replayed     uint64        // of them from history
	Skipped      uint64        // messages that were over a subscriber's limit, or too large for its connection
	Merged       uint64        // messages replaced by a later one of their topic (MinInterval)
	Lost         uint64        // messages that waited for a connection when it ended
	Disconnected uint64        // connections closed because they were too slow
	Expired      uint64        // subscriptions that ended with the rights of their clients
	Bytes        uint64        // of data delivered
	Looks        uint64        // at topics, levels of their names and messages, in search of history; 8 for each message found
	FanOut       time.Duration // that the loops have spent on distributing

	Subscriptions int // now
	Topics        int // kept track of
	Kept          int // messages in history
	KeptBytes     int // of their data
	Held          int // bytes that count against History.Total
	Queued        int // messages that wait for the loops
	QueuedBytes   int
}

// hubStats are guarded by Hub.mu.
type hubStats struct {
	published, refused, stale uint64
	subscriptions             int
}

// loopStats belong to a loop; the shown ones may be read by anybody.
type loopStats struct {
	counters
	fanOut time.Duration
	shown  struct {
		delivered, replayed, skipped, merged, lost, disconnected, expired, bytes, looks atomic.Uint64
		fanOut                                                                          atomic.Int64
	}
}

type counters struct {
	delivered, replayed, skipped, merged, lost, disconnected, expired, bytes, looks uint64
}

// show makes what was counted visible to Stats.
func (l *loop) show() {
	s := &l.stats
	s.shown.delivered.Store(s.delivered)
	s.shown.replayed.Store(s.replayed)
	s.shown.skipped.Store(s.skipped)
	s.shown.merged.Store(s.merged)
	s.shown.lost.Store(s.lost)
	s.shown.disconnected.Store(s.disconnected)
	s.shown.expired.Store(s.expired)
	s.shown.bytes.Store(s.bytes)
	s.shown.looks.Store(s.looks)
	s.shown.fanOut.Store(int64(s.fanOut))
}

// Stats returns the hub's figures. Safe for concurrent use.
func (h *Hub) Stats() Stats {
	h.mu.Lock()
	defer h.mu.Unlock()
	y := &h.history
	s := Stats{Published: h.stats.published, Refused: h.stats.refused, Stale: h.stats.stale,
		Subscriptions: h.stats.subscriptions,
		Topics:        len(y.topics), Kept: y.kept(), KeptBytes: y.bytes, Held: int(y.held.Load())}
	for _, l := range h.loops {
		x := &l.stats.shown
		s.Delivered += x.delivered.Load()
		s.Replayed += x.replayed.Load()
		s.Skipped += x.skipped.Load()
		s.Merged += x.merged.Load()
		s.Lost += x.lost.Load()
		s.Disconnected += x.disconnected.Load()
		s.Expired += x.expired.Load()
		s.Bytes += x.bytes.Load()
		s.Looks += x.looks.Load()
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
	Deleted     bool   // it was deleted, and not published to since then
	Kept        int    // messages in history
	KeptBytes   int
	Subscribers int // see Hub.Subscribers
}

// Topics returns the topics that the hub keeps track of, in no order. There may be many: they are
// not gathered under one lock, so that the figures of different topics are not of the same moment.
// Safe for concurrent use.
func (h *Hub) Topics() []TopicInfo {
	h.mu.Lock()
	rest := slices.Clone(h.history.list)
	h.mu.Unlock()
	all := make([]TopicInfo, 0, len(rest))
	for len(rest) > 0 {
		n := min(len(rest), lockLooks)
		h.mu.Lock()
		for _, t := range rest[:n] {
			if t.index >= 0 {
				all = append(all, h.info(t))
			}
		}
		h.mu.Unlock()
		rest = rest[n:]
	}
	return all
}

// Newest returns the n topics that were published to last, the newest first. Safe for concurrent
// use.
func (h *Hub) Newest(n int) []TopicInfo {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make([]TopicInfo, 0, max(0, min(n, len(h.history.list))))
	for t := h.history.newest; t != nil && len(all) < n; t = t.older {
		all = append(all, h.info(t))
	}
	return all
}

func (h *Hub) info(t *topic) TopicInfo {
	h.found = h.root.match(h.found[:0], t.name)
	last := t.latest()
	return TopicInfo{Name: t.name, Deleted: last != nil && last.Deleted, Published: t.published, Skipped: t.skipped.Load(), Offset: t.last - h.shift,
		Kept: len(t.log), KeptBytes: t.bytes, Subscribers: countOf(h.found)}
}

// SubscriberInfo is what a hub knows of a connection.
type SubscriberInfo struct {
	Patterns     []string
	Delivered    uint64 // messages
	Skipped      uint64
	Merged       uint64 // see Stats
	Waiting      int    // messages
	WaitingBytes int
}

// Subscriber returns what the hub knows of c; false when c has no subscription. It belongs to the
// connection's loop: with Manager.Broadcast it is asked for all.
func (h *Hub) Subscriber(c *conn.Conn) (SubscriberInfo, bool) {
	u := h.subscriber(c)
	if u == nil {
		return SubscriberInfo{}, false
	}
	s := SubscriberInfo{Delivered: u.delivered, Skipped: u.skipped, Waiting: u.waiting}
	if u.extra != nil {
		s.Merged = u.extra.merged
	}
	for _, x := range u.subs {
		if !x.leaving() {
			s.Patterns = append(s.Patterns, x.pattern)
		}
		s.WaitingBytes += x.live.bytes
	}
	return s, true
}
