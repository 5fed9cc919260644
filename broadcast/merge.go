package broadcast

import "slices"

// A subscriber's queues and readers are merged here: messages go out in the order of their offsets.

// covered reports whether a subscription that comes before s brings the subscriber m. Where some of
// them read history, subscriber.last cannot tell.
func (u *subscriber) covered(s *subscription, m *message) bool {
	for _, x := range u.subs {
		if x == s {
			return false
		}
		if x.brings(m, s.state) {
			return true
		}
	}
	return false
}

// brings reports whether s brings the subscriber m. Another subscription, whose state is of, could
// bring it too.
func (s *subscription) brings(m *message, of state) bool {
	greets := of == greeting && s.greeted() // with the last message of a topic, which m is then
	return (greets || m.at > s.start) && Match(s.pattern, m.Topic) && s.wants(m) &&
		m.at <= max(s.start, s.until) // until is looked at last: a filter may have unsubscribed
}

// stir has u pumped when no Write event is going to.
func (u *subscriber) stir() {
	if u.c.Pending() == 0 {
		u.soon()
	}
}

// soon has the loop pump u in its next turn. So pump never runs inside a filter, and a handler has
// made all its subscriptions before their histories are read as one.
func (u *subscriber) soon() {
	u.busy = true
	if !u.due && !u.hungry && !u.over {
		u.due = true
		u.l.m.AfterFunc(0, u.pumpNow)
	}
}

func (u *subscriber) pumpNow() {
	u.due = false
	u.pump()
}

// pump sends what waits, and what is to be told of history, as far as the connection takes it.
func (u *subscriber) pump() {
	if u.over || !u.busy || u.hungry {
		return
	}
	if u.held() && len(u.readers) > 0 {
		u.release()
	}
	if len(u.readers) == 0 {
		u.pumpUpTo(nil)
		return
	}
	looks := u.l.grant()
	given := looks
	u.pumpUpTo(&looks)
	u.l.spend(given - looks)
}

// pumpUpTo is pump with that many looks at history.
func (u *subscriber) pumpUpTo(looks *int) {
	defer u.l.show()
	for u.waiting > 0 || len(u.readers) > 0 {
		if p := u.search(looks); p != caughtUp {
			if p == searching && !u.over {
				u.l.queueUp(u)
			} else {
				u.soon() // the loop distributes what is queued first, or a filter has subscribed
			}
			return
		}
		if !u.tellCaughtUp() {
			return
		}
		r, s, m, losses := u.first()
		if m == nil {
			break
		}
		if u.held() && m.at > u.extra.upTo {
			return
		}
		if !s.room() || losses && u.tellAll(m) != sent {
			return
		}
		how := u.send(m)
		if how == gone {
			u.dropAll()
		}
		if how == gone || how == later || u.over {
			return
		}
		if r != nil {
			r.pass(m, how == never)
			*looks -= sendLooks
		} else {
			s.pass(m, how == never)
		}
	}
	u.settle()
}

// search has each reader find its next message or its end, and returns caughtUp when all have.
// Until then nothing may be sent: the message that is not found yet may be the first.
func (u *subscriber) search(looks *int) progress {
	for i := 0; i < len(u.readers); i++ {
		r := u.readers[i]
		if r.ahead != nil {
			continue
		}
		if looks == nil { // a filter or an encoder has subscribed
			return waiting
		}
		p := r.advance(looks)
		switch {
		case u.over || p == waiting:
			return waiting
		case p == caughtUp:
			u.readers = slices.Delete(u.readers, i, i+1)
			i--
			r.teller().untold.add(r.untold)
		case r.ahead == nil:
			return searching
		}
	}
	return caughtUp
}

// first returns the message with the lowest offset, the subscription that brings it, and the
// reader, if it is from history; and whether something is untold that tellAll could tell.
func (u *subscriber) first() (from *reader, s *subscription, m *message, losses bool) {
	for _, r := range u.readers {
		if r.ahead != nil && (m == nil || r.ahead.at < m.at) {
			from, s, m = r, r.owner, r.ahead
		}
		losses = losses || r.untold != (Missed{})
	}
	for _, x := range u.subs {
		var e *entry
		if !x.live.idle() { // most are
			e = x.live.first()
		}
		skipped := x.live.skipped
		if e != nil {
			skipped = e.skipped
			if m == nil || e.m.at < m.at || e.m.at == m.at && m.only != 0 {
				from, s, m = nil, x, e.m
			}
		}
		losses = losses || skipped|x.untold.N != 0 || x.untold.Reset
	}
	return from, s, m, losses
}

// pass removes m from the reader: it has been sent, or, with skip, never will be.
func (r *reader) pass(m *message, skip bool) {
	r.ahead, r.owner = nil, nil
	if skip {
		r.to.skip(m)
		r.miss(1)
	} else {
		r.to.l.stats.replayed++
	}
}

// pass removes m from the queue, likewise.
func (s *subscription) pass(m *message, skip bool) {
	if skip {
		s.to.skip(m)
	}
	s.live.taken(skip)
}

// settle tells what is still untold when nothing waits, and lets go of subscriptions that have
// ended.
func (u *subscriber) settle() {
	for i := len(u.subs) - 1; i >= 0; i-- {
		s := u.subs[i]
		if u.tellBefore(s) != sent {
			return
		}
		if s.leaving() {
			s.state = over
			u.subs = slices.Delete(u.subs, i, i+1)
		}
	}
	if !u.tellCaughtUp() {
		return
	}
	u.busy = u.waiting > 0 || len(u.readers) > 0 // EncodeMissed may have subscribed
	if len(u.subs) == 0 {
		u.dropAll()
	}
}

// tellAll tells the subscriber, before m goes out, what it has missed in front of the next message
// of each of its queues, and of each reader that may have losses before m. A client that is cut off
// comes back with the offset of its last message, and learns only of losses after that. So no loss
// may wait for a later message of its own queue; some are told too early instead, which does no harm.
func (u *subscriber) tellAll(m *message) outcome {
	var all Missed
	var to *Missed // what all is put back into when it cannot be sent now
	take := func(x *Missed, tells bool) {
		if tells {
			all.add(*x)
			to = x
		}
		*x = Missed{}
	}
	for _, r := range u.readers {
		if r.untold != (Missed{}) && r.missing < m.at {
			take(&r.untold, r.teller().opts.TellMissed)
			r.missing = 0
		}
	}
	for _, s := range u.subs {
		if s.count(); s.untold != (Missed{}) {
			take(&s.untold, s.opts.TellMissed)
		}
	}
	if to == nil {
		return sent
	}
	*to = all
	return u.tell(to, true)
}

// teller returns the subscription of r that is told what is missing; any one if none is.
func (r *reader) teller() *subscription {
	i := slices.IndexFunc(r.subs, func(s *subscription) bool { return s.opts.TellMissed })
	return r.subs[max(i, 0)]
}

// count adds what was skipped in front of the next message of the queue to what is untold.
func (s *subscription) count() {
	skipped := &s.live.skipped
	if e := s.live.first(); e != nil {
		skipped = &e.skipped
	}
	s.untold.N += *skipped
	*skipped = 0
}

// tellBefore tells the subscriber what it has missed in front of the next message of s.
func (u *subscriber) tellBefore(s *subscription) outcome {
	s.count()
	return u.tell(&s.untold, s.opts.TellMissed)
}

// tell tells *what, if tells says so. A Reset is told once for all subscriptions of u: told again,
// after messages that it does not concern, it would have a client forget those.
func (u *subscriber) tell(what *Missed, tells bool) outcome {
	if tells && *what != (Missed{}) {
		if how := u.sendMissed(*what); how == later || how == gone {
			return how
		}
		if what.Reset {
			for _, s := range u.subs {
				s.untold.Reset = false
			}
		}
	}
	*what = Missed{}
	return sent
}

// whenCaughtUp has f called when u has been sent all the history that it asked for so far, and was
// told what is missing: before any message that comes live. f is called at once if that is so now.
func (u *subscriber) whenCaughtUp(f func()) {
	u.caught = append(u.caught, f)
	if len(u.caught) == 1 && !u.busy && !u.tellCaughtUp() {
		u.busy = true // a Write event comes
	}
}

// tellCaughtUp calls what waits for that, if it is so. It returns false if the connection takes no
// more now.
func (u *subscriber) tellCaughtUp() bool {
	if len(u.caught) == 0 || len(u.readers) > 0 {
		return true
	}
	for _, s := range u.subs {
		if u.tellBefore(s) != sent {
			return false
		}
	}
	for len(u.caught) > 0 && len(u.readers) == 0 { // a function may subscribe
		if !u.c.Layer().Fits(noticeSize) {
			return false
		}
		f := u.caught[0]
		u.caught = slices.Delete(u.caught, 0, 1)
		u.l.m.Try(f)
		if u.over {
			return false
		}
	}
	return true
}

// sentUpTo returns the offset up to which u, which reads no history, has been sent everything; 0
// when it is unknown, because the engine has not connected yet, and when u is about to hear of
// another stream.
func (u *subscriber) sentUpTo() uint64 {
	l, h := u.l, u.l.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	at := l.position()
	for _, s := range u.subs {
		if e := s.live.first(); e != nil {
			at = min(at, e.m.at-1)
		}
	}
	switch {
	case h.link != nil && h.runs == 0, at < h.first, l.waiting() > 0 && l.queue[l.next].only == aboutRestart:
		return 0
	}
	return at - h.shift
}

// noticeSize is more than what a Door says when a subscriber has caught up takes.
const noticeSize = 128

// grant returns how many looks at history a subscriber may take now. It is 0 when this turn's looks
// are used up, or when others have waited longer.
func (l *loop) grant() int {
	if turn := l.m.Stats().Turns; turn != l.looksAt {
		l.looksAt, l.looks = turn, turnLooks
	}
	if len(l.hungry) > 0 && !l.feeding {
		return 0
	}
	return min(l.looks, quantum)
}

// spend takes looks off what is left of this turn.
func (l *loop) spend(looks int) {
	l.looks -= looks
	l.stats.looks += uint64(looks)
	l.show()
}

// queueUp makes u wait for looks: the loop will pump it when its turn comes.
func (l *loop) queueUp(u *subscriber) {
	u.busy, u.hungry = true, true
	l.hungry = append(l.hungry, u)
	l.feedSoon()
}

func (l *loop) feedSoon() {
	if !l.feedDue && !l.feeding {
		l.feedDue = true
		l.m.AfterFunc(0, l.feed)
	}
}

// feed pumps the waiting subscribers in order, until this turn's looks are used up.
func (l *loop) feed() {
	l.feedDue, l.feeding = false, true
	for len(l.hungry) > 0 && l.grant() > 0 {
		u := l.hungry[0]
		l.hungry[0] = nil
		l.hungry = l.hungry[1:]
		u.hungry = false
		u.pump()
	}
	l.feeding = false
	if len(l.hungry) > 0 {
		l.feedSoon()
	}
}
