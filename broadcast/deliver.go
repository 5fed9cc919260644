package broadcast

import (
	"errors"
	"slices"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/websocket"
)

// outcome is what became of a message that was to be sent.
type outcome uint8

const (
	sent  outcome = iota
	later         // the connection takes no more now; it will have a Write event
	never         // the message is none that the connection could take
	gone          // the connection takes nothing any more
)

// offer gives m to s, if it is for s.
func (s *subscription) offer(m *message) {
	u := s.to
	switch {
	case s.over, m.at <= s.from, m.at > s.until, m.at <= u.last, u.id == m.except:
		return
	case s.behind && !s.lasts: // history brings it
		u.stir()
		return
	case u.behind > 0 && u.covered(s, m), !s.wants(m), s.over:
		return
	}
	u.last = m.at
	u.deliver(s, m)
}

func (s *subscription) wants(m *message) bool {
	f := s.opts.Filter
	return f == nil || f(&m.Message)
}

// covered reports whether a subscription that comes before s brings the subscriber m. Where some of them read history,
// subscriber.last cannot tell.
func (u *subscriber) covered(s *subscription, m *message) bool {
	for _, x := range u.subs {
		if x == s {
			return false
		}
		greets := x.lasts && s.lasts // with the last message of a topic, which m is then
		if (greets || m.at > x.start) && Match(x.pattern, m.Topic) && x.wants(m) && m.at <= max(x.start, x.until) {
			return true // until is looked at last: a filter may have unsubscribed
		}
	}
	return false
}

// deliver sends m, or has it wait for its turn.
func (u *subscriber) deliver(s *subscription, m *message) {
	if !u.busy && s.room() {
		switch u.send(m) {
		case sent:
			return
		case gone:
			u.l.stats.lost++
			u.dropAll()
			return
		case never:
			s.skip(m)
			s.backlog.skipped++
			u.soon()
			return
		}
	}
	s.push(m)
	u.stir()
}

// room reports whether the connection may have another message queued.
func (s *subscription) room() bool {
	window := s.opts.Window
	switch {
	case window > 0:
	case s.opts.Policy == KeepLatest:
		window = latestWindow
	default:
		window = defaultWindow
	}
	return s.to.c.Pending() < window
}

// stir has u pumped when no Write event is going to.
func (u *subscriber) stir() {
	if u.c.Pending() == 0 {
		u.soon()
	}
}

// soon has u pumped in the loop's next turn: never inside a filter, and behind all that a handler subscribes to, so that the
// histories of several patterns come as one.
func (u *subscriber) soon() {
	u.busy = true
	if !u.due && !u.over {
		u.due = true
		u.l.m.AfterFunc(0, u.pumpNow)
	}
}

func (u *subscriber) pumpNow() {
	u.due = false
	u.pump()
}

// send sends m.
func (u *subscriber) send(m *message) outcome {
	size := 0
	if u.events {
		size = m.events().Len()
	} else {
		size = m.webSocket().Len()
	}
	// A Write past the limit could cost the connection.
	switch pending, limit := u.c.Pending(), u.c.Limits().Send; {
	case size > limit:
		return never
	case size > limit-pending:
		return later
	}
	var err error
	if u.events {
		err = http.SendPreparedEvent(u.c, m.events())
	} else {
		err = websocket.SendPrepared(u.c, m.webSocket())
	}
	how := u.outcome(err)
	if how == sent {
		u.delivered++
		u.l.stats.delivered++
		u.l.stats.bytes += uint64(len(m.Data))
	}
	return how
}

// outcome tells what an error of sending means.
func (u *subscriber) outcome(err error) outcome {
	switch {
	case err == nil:
		return sent
	case !u.c.IsOpen(), errors.Is(err, conn.ErrClosed), errors.Is(err, websocket.ErrClosed),
		errors.Is(err, websocket.ErrNotWebSocket), errors.Is(err, http.ErrNotBegun):
		return gone
	case errors.Is(err, websocket.ErrBusy), errors.Is(err, conn.ErrSendLimit) && u.c.Pending() > 0:
		return later
	}
	return never
}

// pump sends what waits, and what is to be told of history, as far as the connection takes it.
func (u *subscriber) pump() {
	if u.over || !u.busy {
		return
	}
	if u.l.current != nil { // a filter has panicked, and what it left comes first
		u.soon()
		return
	}
	defer u.l.show()
	for looked := 0; u.waiting > 0 || u.behind > 0; {
		s, m := u.next(&looked)
		if m == nil && u.behind > 0 { // history is long, or waits for the loop's queue, or a filter has subscribed
			u.soon()
			return
		}
		if m == nil {
			break
		}
		if u.over || !s.room() || u.tell(s) != sent {
			return
		}
		how := u.send(m)
		if how == gone {
			u.dropAll()
		}
		if how == gone || how == later || u.over {
			return
		}
		s.pass(m, how == never)
	}
	u.settle()
}

// pass goes on behind m, which has been sent, or never will be.
func (s *subscription) pass(m *message, skip bool) {
	if skip {
		s.skip(m)
	}
	if m != s.ahead {
		s.taken(skip)
		return
	}
	s.ahead = nil
	if skip {
		s.untold.N++
	} else {
		s.to.l.stats.replayed++
	}
}

// settle tells what is still untold when nothing waits, and lets go of subscriptions that have ended.
func (u *subscriber) settle() {
	for i := len(u.subs) - 1; i >= 0; i-- {
		s := u.subs[i]
		if u.tell(s) != sent {
			return
		}
		if s.ending {
			s.over = true
			u.subs = slices.Delete(u.subs, i, i+1)
		}
	}
	u.busy = u.waiting > 0 || u.behind > 0 // EncodeMissed may have subscribed
	if len(u.subs) == 0 {
		u.dropAll()
	}
}

// next returns the message with the lowest offset that waits or comes from history, and its subscription.
func (u *subscriber) next(looked *int) (from *subscription, first *message) {
	for _, s := range u.subs {
		if s.behind && s.ahead == nil && !s.readHistory(looked) {
			return nil, nil // what it will find may be in front of all others
		}
		m := s.ahead
		if m == nil {
			if e := s.backlog.first(); e != nil {
				m = e.m
			}
		}
		if m != nil && (first == nil || m.at < first.at || m.at == first.at && first.only != 0) {
			from, first = s, m
		}
	}
	return from, first
}

// lookMax is how many messages of history one turn looks at in search of those that a subscriber wants: a history may have
// millions, of which many patterns match none.
const lookMax = 16_000

// readHistory sets s.ahead to the next message of history. When there is none, s is live, or has to wait for the loop. It returns
// false when lookMax, against which looked counts, does not let it get that far in this turn.
func (s *subscription) readHistory(looked *int) bool {
	u := s.to
	for more := true; more && s.behind; {
		if *looked >= lookMax {
			return false
		}
		var m *message
		var n int
		m, more, n = u.l.hub.nextOf(s)
		*looked += n + len(u.subs) // which covered goes through
		if m != nil && u.id != m.except && !u.covered(s, m) && s.wants(m) {
			s.ahead = m
			return true
		}
	}
	return true
}

// tell tells the subscriber what it has missed in front of the next message of s.
func (u *subscriber) tell(s *subscription) outcome {
	if s.ahead == nil {
		skipped := &s.backlog.skipped
		if e := s.backlog.first(); e != nil {
			skipped = &e.skipped
		}
		s.untold.N += *skipped
		*skipped = 0
	}
	if s.opts.TellMissed && s.untold != (Missed{}) {
		if how := u.sendMissed(s.untold); how == later || how == gone {
			return how
		}
	}
	s.untold = Missed{}
	return sent
}

func (u *subscriber) sendMissed(m Missed) outcome {
	op, b := u.l.hub.opts.EncodeMissed(nil, m)
	const around = 64 // bytes, of a frame or an event
	if p := u.c.Pending(); p > 0 && len(b)+around > u.c.Limits().Send-p {
		return later
	}
	var err error
	if u.events {
		err = http.SendEvent(u.c, "", "missed", string(b))
	} else {
		err = websocket.Send(u.c, op, b)
	}
	how := u.outcome(err)
	if how == gone {
		u.dropAll()
	}
	return how
}
