package broadcast

import (
	"math"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
)

// A subscriber is a connection with subscriptions. It watches the connection, and belongs to its
// loop.
type subscriber struct {
	// Each delivery looks at these: they are close to each other.
	l         *loop
	c         *conn.Conn
	id        uint64
	last      uint64       // offset of the last live message that a subscription took: with several, each comes once
	events    *http.Stream // nil for a WebSocket
	delivered uint64
	extra     *extra // nil for most
	busy      bool   // pump has work, and live messages have to wait for it
	due       bool   // a timer is going to call pump
	hungry    bool   // it is in loop.hungry
	over      bool   // all subscriptions were dropped
	orders    uint32 // given to subs
	readers   []*reader

	subs    []*subscription
	unmind  func()   // of the OnEnd of events
	caught  []func() // are to be called when all history has been sent
	waiting int      // messages, in all queues
	skipped uint64
}

// extra is what few subscribers need.
type extra struct {
	held   bool   // what waits and comes after upTo is not to be sent yet: see hold
	upTo   uint64 // while held
	next   int64  // when it is, or when the next message may go out at once; on Hub.clock
	merged uint64 // messages

	ends []ending // the rights of subscriptions

	alarm alarm

	has map[*topic]*message // what was sent last; nil when it takes no patches
}

// extras returns the extra of u, which it makes if there is none.
func (u *subscriber) extras() *extra {
	if u.extra == nil {
		u.extra = &extra{}
	}
	return u.extra
}

// state says where the messages of a subscription come from.
type state uint8

const (
	live      state = iota // from the loop, as they are distributed
	greeting               // the last message of each topic, up to start, from history; later ones from the loop
	replaying              // from history alone, until there is none that the loop has distributed already
	over                   // from nowhere: the subscriber has it no longer
)

// A subscription is one pattern of a subscriber: a queue of live messages, and a reader of history
// while it needs one.
type subscription struct {
	to      *subscriber
	pattern string
	opts    *SubscribeOptions
	node    *node
	index   int    // in node.subs[loop]
	order   uint32 // among those of the subscriber
	run     uint64 // Hub.runs when it began

	state state
	from  uint64 // live messages up to this offset were published before, or have come from history
	start uint64 // the subscription covers everything after this offset
	until uint64 // the offset up to which it does: that of Unsubscribe

	live   queue
	reader *reader // while greeting or replaying
	untold Missed  // not told to the subscriber yet; it comes before the next message
}

// forever is the until of a subscription that has not been ended.
const forever = math.MaxUint64

// leaving reports whether Unsubscribe was called. Something may wait still.
func (s *subscription) leaving() bool { return s.until != forever }

// greeted reports whether s gets, or got, the last message of each topic.
func (s *subscription) greeted() bool { return s.opts.Since == 0 && s.to.l.hub.opts.Retain }

// offer gives m to s, if it is for s.
func (s *subscription) offer(m *message) {
	u := s.to
	switch {
	case s.state == over, m.at <= s.from, m.at > s.until, m.at <= u.last, u.id == m.except:
		return
	case s.state == replaying:
		u.stir()
		return
	case len(u.readers) > 0 && u.covered(s, m), !s.wants(m), s.state == over:
		return
	}
	u.last = m.at
	u.deliver(s, m)
}

// wants asks the filter of s. A message at which it panics is not wanted.
func (s *subscription) wants(m *message) (yes bool) {
	f := s.opts.Filter
	if f == nil {
		return true
	}
	s.to.l.m.Try(func() { yes = f(&m.Message) })
	return yes
}

// deliver sends m, or has it wait for its turn.
func (u *subscriber) deliver(s *subscription, m *message) {
	if s.opts.MinInterval > 0 && u.hold(s, m) {
		return
	}
	if !u.busy && s.room() {
		switch u.send(m) {
		case sent:
			return
		case gone:
			u.l.stats.lost++
			u.dropAll()
			return
		case never:
			u.skip(m)
			s.live.skipped++
			u.soon()
			return
		}
	}
	if u.held() { // order: what waits goes first
		u.release()
	}
	s.live.push(m)
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
	return s.to.c.Pending() < window && !s.to.c.Layer().Lags()
}

// skip counts a message that the subscriber does not get.
func (u *subscriber) skip(m *message) {
	u.skipped++
	u.l.stats.skipped++
	if m.topic != nil {
		m.topic.skipped.Add(1)
	}
}

// dropAll ends all subscriptions at once.
func (u *subscriber) dropAll() {
	if u.over {
		return
	}
	u.over = true
	if u.unmind != nil {
		u.unmind()
	}
	u.c.SetWatcher(nil)
	h := u.l.hub
	var left []Presence
	for _, s := range u.subs {
		u.l.stats.lost += uint64(s.live.drop())
		s.state, s.reader = over, nil
		if !s.leaving() {
			left = append(left, s.presence(false, h.leave(s)))
		}
	}
	u.subs, u.readers, u.waiting = nil, nil, 0
	if u.extra != nil {
		u.l.quiet(&u.extra.alarm)
	}
	u.forget()
	u.l.show()
	for _, p := range left {
		u.l.present(p)
	}
}

// Watch sees the events of the connection.
func (u *subscriber) Watch(_ *conn.Conn, ev conn.Event) {
	switch ev.(type) {
	case *conn.Write:
		u.pump()
	case *conn.Close:
		u.dropAll()
	}
}
