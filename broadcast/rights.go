package broadcast

import (
	"errors"
	"slices"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/websocket"
)

// ErrForbidden is returned by Subscribe when SubscribeOptions.Rights do not allow the pattern, or
// are over.
var ErrForbidden = errors.New("broadcast: the rights of this client do not allow it")

// MaySubscribe reports whether r allows a valid pattern, now.
func (r *Rights) MaySubscribe(pattern string) bool {
	return !r.expired(time.Now()) && r.maySubscribe(pattern)
}

// MayPublish reports whether r allows a valid topic, now.
func (r *Rights) MayPublish(topic string) bool { return !r.expired(time.Now()) && r.mayPublish(topic) }

// ending says when the rights of a subscription end.
type ending struct {
	s  *subscription
	at time.Time
}

// ends notes until when s may last.
func (u *subscriber) ends(s *subscription, until time.Time) {
	if until.IsZero() {
		return
	}
	p := u.extras()
	p.ends = append(p.ends, ending{s, until})
	u.setAlarm()
}

// expire ends the subscriptions whose rights are over, and tells the subscriber.
func (u *subscriber) expire() {
	var patterns []string
	u.extra.ends = slices.DeleteFunc(u.extra.ends, func(e ending) bool {
		if e.s.leaving() || e.s.state == over {
			return true
		}
		if u.l.hub.left(e.at) > 0 {
			return false
		}
		patterns = append(patterns, e.s.pattern)
		return true
	})
	u.revoke(patterns)
}

// revoke ends the subscriptions to patterns, and says so. A subscriber that has no others is
// closed, and what waits for it is dropped.
func (u *subscriber) revoke(patterns []string) {
	if len(patterns) == 0 {
		return
	}
	u.l.stats.expired += uint64(len(patterns))
	others := slices.ContainsFunc(u.subs, func(s *subscription) bool {
		return !s.leaving() && !slices.Contains(patterns, s.pattern)
	})
	told := u.sendExpired(patterns)
	if others && told {
		for _, p := range patterns {
			u.l.hub.Unsubscribe(u.c, p)
		}
		return
	}
	var err error
	if u.events != nil {
		err = u.events.End()
	} else {
		err = websocket.CloseWith(u.c, CloseToken, ErrTokenExpired.Error())
	}
	if err != nil { // there is no room even for that
		u.c.Drain()
	}
	u.dropAll()
}

// sendExpired sends {"expired":["a/+"]}. It returns false if there is no room.
func (u *subscriber) sendExpired(patterns []string) bool {
	b := []byte(`{"expired":[`)
	for i, p := range patterns {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendQuoted(b, p)
	}
	b = append(b, "]}"...)
	if !u.c.Layer().Fits(len(b)) {
		return false
	}
	if u.events != nil {
		return u.events.SendEvent("", "expired", string(b)) == nil
	}
	return websocket.Send(u.c, websocket.Text, b) == nil
}

// Renew gives the subscriptions of c that have SubscribeOptions.Rights other ones: they go on,
// without a gap, until those end. A subscription that r does not allow ends now, and is told as if
// its time were over. It belongs to the connection's loop.
func (h *Hub) Renew(c *conn.Conn, r Rights) {
	u := h.subscriber(c)
	if u == nil {
		return
	}
	var refused []string
	for _, s := range slices.Clone(u.subs) { // r is the program's code, which may end some
		if s.opts.Rights == nil || s.leaving() || s.state == over {
			continue
		}
		allowed := !r.expired(h.wall()) && r.maySubscribe(s.pattern)
		if s.leaving() || s.state == over {
			continue
		}
		if u.extra != nil {
			u.extra.ends = slices.DeleteFunc(u.extra.ends, func(e ending) bool { return e.s == s })
		}
		if allowed {
			u.ends(s, r.Until)
		} else {
			refused = append(refused, s.pattern)
		}
	}
	if u.over {
		return
	}
	u.revoke(refused)
	if u.extra != nil && !u.over {
		u.setAlarm()
	}
}
