package mgr

import (
	"sync"

	"github.com/seed4930a636/mangusta/conn"
)

// Do runs f on the first loop, soon: see Manager.Do. Functions of one goroutine run in the order
// they were given. Owner(id).Do is for the loop of a connection, DoEach for all. Safe for
// concurrent use.
func (l *Loops) Do(f func()) error { return l.all[0].Do(f) }

// DoEach runs f on each loop, soon, with its manager. The calls are concurrent, and DoEach does not
// wait for them. If a loop does not take f, the others run it all the same, and the error wraps
// ErrFull, ErrClosed or ErrDeaf. Safe for concurrent use.
func (l *Loops) DoEach(f func(*Manager)) error {
	errs := make([]error, len(l.all))
	for i, m := range l.all {
		errs[i] = m.Do(func() { f(m) })
	}
	return joined(errs)
}

// Wakeup is Manager.Wakeup on the loop of the connection numbered id. Safe for concurrent use.
func (l *Loops) Wakeup(id uint64, data []byte) error { return l.Owner(id).Wakeup(id, data) }

// SendMsg is Manager.SendMsg on the loop of the connection numbered id. Safe for concurrent use.
func (l *Loops) SendMsg(id uint64, p []byte, files ...int) error {
	return l.Owner(id).SendMsg(id, p, files...)
}

// Broadcast runs f for every open connection, on its loop: on several loops at once, so what f
// shares must be locked. It returns when all loops are done. Called from a handler of any manager,
// it does not wait: f runs in place for the connections of that loop, and soon on the others. If a
// loop does not take f, the others run it all the same, and the error wraps ErrFull, ErrClosed or
// ErrDeaf. Safe for concurrent use.
func (l *Loops) Broadcast(f func(*conn.Conn)) error {
	errs := make([]error, len(l.all))
	if g := goroutine(); isLoop(g) {
		own := -1
		for i, m := range l.all {
			if m.owner.Load() == g {
				own = i
				continue
			}
			errs[i] = queued(m.pair.Send(message{order{each: f}}))
		}
		if own >= 0 {
			errs[own] = l.all[own].Broadcast(f)
		}
		return joined(errs)
	}
	var calls sync.WaitGroup
	for i, m := range l.all {
		calls.Add(1)
		errs[i] = m.Do(func() {
			defer calls.Done()
			m.each(f)
		})
		if errs[i] != nil {
			calls.Done()
		}
	}
	calls.Wait()
	return joined(errs)
}

// Stats returns the sum of the figures of all loops. Each loop shows them at the end of its turn.
// Safe for concurrent use.
func (l *Loops) Stats() Stats {
	var sum Stats
	for _, b := range l.members {
		sum.add(b.stats())
	}
	return sum
}

// StatsEach returns the figures of each loop: see Stats. Safe for concurrent use.
func (l *Loops) StatsEach() []Stats {
	each := make([]Stats, len(l.members))
	for i, b := range l.members {
		each[i] = b.stats()
	}
	return each
}

// add adds x to s.
func (s *Stats) add(x Stats) {
	s.Events += x.Events
	s.BytesIn += x.BytesIn
	s.BytesOut += x.BytesOut
	s.Panics += x.Panics
	s.Rejected += x.Rejected
	s.Skipped += x.Skipped
	s.DatagramsIn += x.DatagramsIn
	s.DatagramsOut += x.DatagramsOut
	s.DatagramsDropped += x.DatagramsDropped
	s.DatagramsMissed += x.DatagramsMissed
	s.DatagramsCut += x.DatagramsCut
	for r := range s.Closed {
		s.Closed[r] += x.Closed[r]
	}
	s.Conns += x.Conns
	s.Listeners += x.Listeners
	s.Queued += x.Queued
	s.Accepts += x.Accepts
	s.Turns += x.Turns
	s.BellMisses += x.BellMisses
	s.Wakeups += x.Wakeups
	s.LostWakeups += x.LostWakeups
	s.Refused += x.Refused
	s.Crowded += x.Crowded
	s.Held += x.Held
	s.Rationed += x.Rationed
	s.Rations += x.Rations
	s.MadeRoom += x.MadeRoom
	s.Exhausted += x.Exhausted
	s.AcceptErrors += x.AcceptErrors
	s.PollErrors += x.PollErrors
	s.EmptyAccepts += x.EmptyAccepts
	s.HandedOver += x.HandedOver
	s.Yields += x.Yields
}
