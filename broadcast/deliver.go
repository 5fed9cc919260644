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
	gone          // the connection takes nothing any more, and its subscriptions are dropped
)

// offer gives m to s, if it is for s.
func (s *subscription) offer(m *message) {
	u := s.to
	if m.at <= s.from || m.at <= u.last || s.behind || u.id == m.except {
		return
	}
	if u.behind > 0 && u.covered(s, m) {
		return
	}
	if f := s.opts.Filter; f != nil && !f(&m.Message) {
		return
	}
	u.last = m.at
	u.deliver(s, m)
}

// covered reports whether a subscription that comes before s brings the subscriber m. Where some of them read history,
// subscriber.last cannot tell.
func (u *subscriber) covered(s *subscription, m *message) bool {
	for _, x := range u.subs {
		if x == s {
			return false
		}
		if m.at > x.start && m.at <= x.until && Match(x.pattern, m.Topic) {
			return true
		}
	}
	return false
}

// deliver sends m, or has it wait for its turn.
func (u *subscriber) deliver(s *subscription, m *message) {
	if u.waiting == 0 && u.behind == 0 && u.c.Pending() < s.window() {
		if u.send(m) != later {
			return
		}
	}
	s.push(m)
}

// window is how many bytes may be queued on the connection.
func (s *subscription) window() int {
	switch {
	case s.opts.Window > 0:
		return s.opts.Window
	case s.opts.Policy == KeepLatest:
		return latestWindow
	}
	return defaultWindow
}

// send sends m.
func (u *subscriber) send(m *message) outcome {
	var err error
	if u.events {
		err = http.SendPreparedEvent(u.c, m.events())
	} else {
		err = websocket.SendPrepared(u.c, m.webSocket())
	}
	switch how := u.outcome(err); {
	case err == nil:
		u.delivered++
		u.l.stats.delivered++
		u.l.stats.bytes += uint64(len(m.Data))
		return sent
	case how == sent: // it will never fit
		u.skipped++
		u.l.stats.skipped++
		return sent
	case how == gone:
		u.l.stats.lost++
		u.dropAll()
		return gone
	}
	return later
}

// outcome tells what an error of sending means.
func (u *subscriber) outcome(err error) outcome {
	switch {
	case err == nil:
		return sent
	case !u.c.IsOpen():
		return gone
	case errors.Is(err, websocket.ErrBusy):
		return later
	case errors.Is(err, conn.ErrSendLimit):
		if u.c.Pending() > 0 {
			return later
		}
		return sent
	}
	return gone
}

// pump sends what waits, and what is to be told of history, as far as the connection takes it.
func (u *subscriber) pump() {
	for u.waiting > 0 || u.behind > 0 {
		s, m := u.next()
		if m == nil {
			break
		}
		if u.c.Pending() >= s.window() || u.tell(s) != sent || u.send(m) != sent {
			return
		}
		if m == s.ahead {
			s.ahead = nil
			u.l.stats.replayed++
		} else {
			s.taken()
		}
	}
	for i := len(u.subs) - 1; i >= 0; i-- {
		s := u.subs[i]
		if u.tell(s) != sent {
			return
		}
		if s.ending {
			u.subs = slices.Delete(u.subs, i, i+1)
		}
	}
	if len(u.subs) == 0 {
		u.c.SetWatcher(nil)
	}
}

// next returns the message with the lowest offset that waits or comes from history, and its subscription.
func (u *subscriber) next() (from *subscription, first *message) {
	for _, s := range u.subs {
		if s.behind && s.ahead == nil {
			s.readHistory()
		}
		m := s.ahead
		if m == nil {
			if e := s.backlog.first(); e != nil {
				m = e.m
			}
		}
		if m != nil && (first == nil || m.at < first.at) {
			from, first = s, m
		}
	}
	return from, first
}

// readHistory sets s.ahead to the next message of history, or makes s live when there is none.
func (s *subscription) readHistory() {
	u := s.to
	for {
		m := u.l.hub.nextOf(s)
		switch {
		case m == nil:
			return
		case u.id == m.except || u.covered(s, m):
		case s.opts.Filter != nil && !s.opts.Filter(&m.Message):
		default:
			s.ahead = m
			return
		}
	}
}

// tell tells the subscriber what it has missed in front of the next message of s.
func (u *subscriber) tell(s *subscription) outcome {
	e := s.backlog.first()
	skipped := &s.backlog.skipped
	if e != nil {
		skipped = &e.skipped
	}
	if s.ahead == nil {
		s.untold.N += *skipped
		*skipped = 0
	}
	if s.untold == (Missed{}) {
		return sent
	}
	if s.opts.TellMissed {
		if how := u.sendMissed(s.untold); how != sent {
			return how
		}
	}
	s.untold = Missed{}
	return sent
}

func (u *subscriber) sendMissed(m Missed) outcome {
	op, b := u.l.hub.opts.EncodeMissed(nil, m)
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
