package broadcast

import (
	"time"

	"github.com/seed4930a636/mangusta/conn"
)

// With SubscribeOptions.MinInterval a message that comes too early is held: it waits in the queue
// of its subscription, where a later message of its topic takes its place, until the interval is
// over. The interval is one for the whole subscriber, and everything that waits goes out together:
// if one subscription went on while another is held, a client that comes back with the highest
// offset would never get the held messages.

// held reports whether the messages that wait for u wait for their time.
func (u *subscriber) held() bool { return u.extra != nil && u.extra.held }

// hold has m wait if it comes too early, and reports whether it does.
func (u *subscriber) hold(s *subscription, m *message) bool {
	p, now := u.extras(), u.l.now
	switch {
	case m.only != 0 || len(u.readers) > 0:
		return false
	case p.held:
	case now >= p.next:
		p.next = now + int64(u.interval())
		return false
	default:
		p.held, p.upTo = true, m.at-1
		u.setAlarm()
	}
	s.live.push(m)
	return true
}

// interval returns the shortest MinInterval of u's subscriptions that have one.
func (u *subscriber) interval() time.Duration {
	least := time.Duration(0)
	for _, s := range u.subs {
		if d := s.opts.MinInterval; d > 0 && (least == 0 || d < least) {
			least = d
		}
	}
	return least
}

// SetMinInterval changes the MinInterval of all subscriptions that c has now; 0 is none. The new
// interval counts from the last message that went out: what waits goes out when it is over, which
// may be at once. It belongs to the connection's loop.
func (h *Hub) SetMinInterval(c *conn.Conn, d time.Duration) {
	u := h.subscriber(c)
	if u == nil {
		return
	}
	before := u.interval()
	h.mu.Lock()
	for _, s := range u.subs {
		o := *s.opts
		o.MinInterval = d
		s.opts, s.live.opts = &o, &o
	}
	h.mu.Unlock()
	if u.extra == nil || u.extra.next == 0 {
		return
	}
	u.extra.next += int64(u.interval() - before)
	if !u.held() {
		return
	}
	if h.clock() >= u.extra.next {
		u.release()
		u.soon()
	}
	u.setAlarm()
}

// release ends the wait of what is held: it goes out as far as the connection takes it.
func (u *subscriber) release() {
	u.extra.held = false
	u.extra.next = u.l.hub.clock() + int64(u.interval())
	for _, s := range u.subs {
		s.live.mindSoft()
	}
}

// dueAt returns when something is to be done for u; 0 is never.
func (u *subscriber) dueAt() int64 {
	at := int64(0)
	if u.extra.held {
		at = u.extra.next
	}
	for _, e := range u.extra.ends {
		if x := u.l.hub.lookAt(e.at); at == 0 || x < at {
			at = x
		}
	}
	return at
}

// setAlarm sets, changes or ends the alarm of u, which has an extra.
func (u *subscriber) setAlarm() { u.l.set(&u.extra.alarm, u, u.dueAt()) }

// rung does what was to be done at this time.
func (u *subscriber) rung(now int64) {
	if u.extra.held && now >= u.extra.next {
		u.release()
		u.pump()
	}
	if len(u.extra.ends) > 0 && !u.over {
		u.expire()
	}
	if !u.over {
		u.setAlarm()
	}
}
