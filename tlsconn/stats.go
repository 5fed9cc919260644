package tlsconn

import (
	"cmp"
	"crypto/tls"
	"slices"
	"sync"
	"sync/atomic"
)

// Stats counts what happened to the connections of a Server or Client since it was made.
type Stats struct {
	Handshakes  uint64  // done, of all versions
	Resumed     uint64  // of these
	TLS12       uint64  // of these
	TLS13       uint64  // of these
	Failed      uint64  // handshakes that failed, for any reason but the kernel's
	FailedTLS12 uint64  // of these: after both sides had agreed on the version
	FailedTLS13 uint64  // of these: likewise
	Alerts      []Alert // that went with these; some have failed without one
	Busy        uint64  // of these: over MaxHandshakes, Rate or RatePerAddr
	Crowded     uint64  // of these: over RatePerAddr
	MadeRoom    uint64  // of the failed: ended while they waited for the peer, because MaxHandshakes were under way and a new one came
	PlainHTTP   uint64  // of the failed: an HTTP request without TLS
	Unfinished  uint64  // handshakes that ended otherwise: a timeout, a reset, a Close
	InFlight    int     // handshakes whose worker has not ended
	Records     uint64  // bytes refused because they were no records
	Floods      uint64  // connections ended because of ErrFlood
	Truncated   uint64  // streams that ended without close_notify; many clients end theirs so
	Reloads     uint64  // certificates read again
	BadReloads  uint64  // attempts at that which have failed; the certificates before them stay
}

// An Alert counts failed handshakes by the alert that says why (RFC 8446 §6.2). Alerts without a
// name in crypto/tls count as 255. One that this side has sent encrypted is known if it is about a
// certificate: nothing else tells which it was.
type Alert struct {
	Description tls.AlertError
	Received    bool // from the peer; else this side has sent it
	Count       uint64
}

// counters are Stats: several loops share them.
type counters struct {
	handshakes, resumed, tls12, tls13, failed, failed12, failed13, busy, crowded, madeRoom, plain, unfinished, records, floods, truncated,
	reloads, badReloads atomic.Uint64

	mu     sync.Mutex
	alerts map[alert]uint64
}

func (s *counters) count(state *tls.ConnectionState) {
	s.handshakes.Add(1)
	if state.DidResume {
		s.resumed.Add(1)
	}
	switch state.Version {
	case tls.VersionTLS12:
		s.tls12.Add(1)
	case tls.VersionTLS13:
		s.tls13.Add(1)
	}
}

// fail counts a failed handshake. version is 0 before both sides have agreed on one.
func (s *counters) fail(version uint16, a alert) {
	s.failed.Add(1)
	switch version {
	case tls.VersionTLS12:
		s.failed12.Add(1)
	case tls.VersionTLS13:
		s.failed13.Add(1)
	}
	if a == (alert{}) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.alerts == nil {
		s.alerts = make(map[alert]uint64)
	}
	s.alerts[a]++
}

// list returns the alerts, those sent first, by their numbers.
func (s *counters) list() (list []Alert) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for a, n := range s.alerts {
		list = append(list, Alert{tls.AlertError(a.description), a.received, n})
	}
	slices.SortFunc(list, func(a, b Alert) int { return cmp.Compare(a.order(), b.order()) })
	return list
}

func (a Alert) order() int {
	if a.Received {
		return 256 + int(a.Description)
	}
	return int(a.Description)
}

// Stats returns the counts. Safe for concurrent use.
func (s *side) Stats() Stats {
	failed12, failed13 := s.stats.failed12.Load(), s.stats.failed13.Load() // before Failed, which is never less than their sum
	return Stats{
		Handshakes: s.stats.handshakes.Load(), Resumed: s.stats.resumed.Load(),
		TLS12: s.stats.tls12.Load(), TLS13: s.stats.tls13.Load(),
		Failed: s.stats.failed.Load(), FailedTLS12: failed12, FailedTLS13: failed13,
		Alerts: s.stats.list(), Busy: s.stats.busy.Load(), Crowded: s.stats.crowded.Load(), MadeRoom: s.stats.madeRoom.Load(), PlainHTTP: s.stats.plain.Load(),
		Unfinished: s.stats.unfinished.Load(), InFlight: int(s.inFlight.Load()), Records: s.stats.records.Load(), Floods: s.stats.floods.Load(),
		Truncated: s.stats.truncated.Load(), Reloads: s.stats.reloads.Load(), BadReloads: s.stats.badReloads.Load(),
	}
}
