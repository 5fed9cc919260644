package broadcast

import (
	"errors"
	"math"
	"slices"
	"time"

	"github.com/seed4930a636/mangusta/mgr"
)

// Inject is Publish for a message that has its offset already, and was published at that time; the
// zero Time is now. The offset must be higher than Offset; holes between offsets do not count as
// missed messages. It is for programs that bring the messages of another hub here. A hub with an
// engine injects the messages that the engine delivers.
//
// It returns ErrBadTopic, ErrStale, ErrOffset, or ErrFull, after which it can be called again. A
// loop whose manager is closed does not matter. Safe for concurrent use.
func (h *Hub) Inject(offset uint64, topic string, data []byte, when time.Time) error {
	if !ValidTopic(topic) {
		return ErrBadTopic
	}
	if offset > MaxOffset {
		return ErrOffset
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	at := offset + h.shift
	if at <= h.seq {
		h.stats.stale++
		return ErrStale
	}
	var age time.Duration
	if !when.IsZero() {
		age = max(0, time.Since(when))
	}
	return h.inject(at, &Entry{Topic: topic, Data: data}, 0, age)
}

// inject publishes e, which is of that age, at that place. A loop whose manager is closed does not
// get it. Hub.mu is held.
func (h *Hub) inject(at uint64, e *Entry, except uint64, age time.Duration) error {
	h.found = h.root.match(h.found[:0], e.Topic)
	n := countOf(h.found)
	for _, l := range h.loops {
		if n > 0 && h.wanted(l) && !l.ended && l.full(len(e.Data)) {
			if err := l.m.Do(func() {}); !errors.Is(err, mgr.ErrClosed) {
				return ErrFull
			}
			l.ended = true
		}
	}
	for _, l := range h.loops {
		if n > 0 && h.wanted(l) {
			l.rouse()
		}
	}
	h.stats.published++
	h.store(at, e.Topic, e.Data, &PublishOptions{Except: except, Delete: e.Delete, ID: e.ID}, n, age)
	return nil
}

// rouse is wake for messages that must not be refused because the manager's queue is full. Hub.mu
// is held.
func (l *loop) rouse() {
	if !l.awake && !l.ended {
		l.awake = l.m.Complete(l.run) == nil
		l.ended = !l.awake
	}
}

// awaitRoom waits until a loop has taken messages from its queue, or might have been closed. Hub.mu
// is held, but not while it waits.
func (h *Hub) awaitRoom() {
	t := time.AfterFunc(20*time.Millisecond, h.room.Broadcast)
	h.blocked++
	h.room.Wait()
	h.blocked--
	t.Stop()
}

// The only of a message that is none, but tells the subscriptions of a loop, at its place in the
// order, about the stream of the engine.
const (
	aboutLoss    = math.MaxUint64 - 1 // message.except messages before this place are gone
	aboutRestart = math.MaxUint64     // the stream is new, and begins here; up to the place message.except it is stored
)

// announce queues news for all loops. No limit refuses it, so a loss is added to one that waits with
// nothing after it: losses alone cannot fill the queue of a loop that hangs. Hub.mu is held.
func (h *Hub) announce(only, at, n uint64) {
	m := &message{hub: h, at: at, only: only, except: n}
	for _, l := range h.loops {
		if l.ended {
			continue
		}
		if last := l.newest(); only == aboutLoss && last != nil && last.only == aboutLoss {
			l.queue[len(l.queue)-1] = &message{hub: h, at: at, only: only, except: last.except + n}
			continue
		}
		l.push(m)
		l.rouse()
	}
}

// lose goes on after the place at: n messages before it, of any topic, are not to be had any more.
func (h *Hub) lose(at, n uint64) {
	y := &h.history
	y.gone, y.goneLost = at, y.goneLost+n
	y.lostUpTo, y.complete = at, at
	h.seq = at
	h.announce(aboutLoss, at, n)
}

// restart begins with a new stream, whose offsets so far are those after epoch up to last.
func (h *Hub) restart(epoch, last uint64) {
	h.history.reset()
	h.seq++
	h.first, h.shift = h.seq, h.seq-epoch
	h.history.complete = h.seq
	h.runs++
	h.announce(aboutRestart, h.seq, last+h.shift)
}

// each appends the subscriptions of a loop, of n and all nodes below it; in the order of match, so
// that the first of a subscriber is likely the one that brings the next message.
func (n *node) each(to []*subscription, loop int) []*subscription {
	if n.hash != nil {
		to = n.hash.each(to, loop)
	}
	if n.subs != nil {
		to = append(to, n.subs[loop]...)
	}
	for _, kid := range n.kids {
		to = kid.each(to, loop)
	}
	if n.plus != nil {
		to = n.plus.each(to, loop)
	}
	return to
}

// subscriptions returns all subscriptions of l that are not leaving.
func (l *loop) subscriptions() []*subscription {
	l.hub.mu.Lock()
	all := l.hub.root.each(nil, l.index)
	l.hub.mu.Unlock()
	return slices.DeleteFunc(all, func(s *subscription) bool { return s.leaving() || s.state == over })
}

// tellLoss tells each subscriber that it may have missed messages. Their topics are unknown, so one
// of several patterns tells it for all; but a reader of history counts for itself.
func (l *loop) tellLoss(m *message) {
	tells := make(map[*subscriber]*subscription)
	for _, s := range l.subscriptions() {
		switch x := tells[s.to]; {
		case s.state == replaying:
			s.to.stir()
		case m.at <= s.from:
		case x == nil || s.opts.TellMissed && !x.opts.TellMissed:
			tells[s.to] = s
		}
	}
	for u, s := range tells {
		s.live.skipped += min(m.except, m.at-s.from)
		u.soon()
	}
}

// tellRestart moves each subscription to the new stream, from its beginning, or, for a subscription
// that came before there was any stream, from its own place. Waiting messages are of the old
// stream, and are dropped.
func (l *loop) tellRestart(m *message) {
	h, stored := l.hub, m.except
	h.mu.Lock()
	runs, first, oldest, again := h.runs, h.first, h.link.info.First-1+h.shift, m.at != h.first
	h.mu.Unlock()
	for _, s := range l.subscriptions() {
		early := s.run == 0
		if s.run == runs {
			continue
		}
		s.abandon()
		for _, x := range s.to.subs { // they are in no list any more
			if x.leaving() && x.run != runs {
				x.abandon()
			}
		}
		if again { // another restart comes: nothing of the streams up to there is for anybody
			s.from = first
			continue
		}
		s.run, s.from = runs, m.at
		h.mu.Lock()
		at, known := h.place(s.opts.Since)
		h.mu.Unlock()
		switch since := s.opts.Since; {
		case !early:
			s.untold.Reset = true
		case since == 0 && !h.opts.Retain:
			s.from = stored
		case since == 0 || since == All:
			s.from = oldest
		case !known:
			s.untold.Reset = true
			if !h.tracking { // nothing is kept of what is stored already
				s.untold.N = stored - m.at
			}
		default:
			s.from = at
			if !h.tracking && at < stored {
				s.untold.N = stored - at
			}
		}
		s.start = s.from
		s.to.soon()
	}
}

// abandon drops what waits, and what is to be read of history.
func (s *subscription) abandon() {
	u := s.to
	for s.live.first() != nil {
		u.skip(s.live.shift(true))
		u.waiting--
	}
	s.live.calm()
	if r := s.reader; r != nil && r.subs[0] == s {
		u.readers = slices.DeleteFunc(u.readers, func(x *reader) bool { return x == r })
		r.teller().untold.add(r.untold)
	}
	s.state, s.reader = live, nil
}
