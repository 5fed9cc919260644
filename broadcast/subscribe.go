package broadcast

import (
	"math"
	"slices"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/websocket"
)

// SubscribeOptions are those of one subscription. Zero fields mean what Options.Subscribe says, and there what is said here.
type SubscribeOptions struct {
	// Since is the offset of the last message that the subscriber has: it gets those behind it that history keeps, and then
	// the live ones, with no gap between and none twice. All asks for all that is kept. 0 is a newcomer, who gets no history, but
	// with Options.Retain the last message of each topic. The histories of patterns that one handler subscribes to come as one.
	Since uint64

	Policy Policy // what is done with a message over Limit; DropOldest when nothing is said

	// Limit bounds the messages that wait for a subscriber whose connection is full: it has Window bytes queued already. 1024
	// messages and 1 MiB when nothing is said.
	Limit  Limit
	Window int // bytes; 64 KiB when nothing is said, 16 KiB with KeepLatest

	// Soft is a lower limit, at which a subscriber may stand for SoftTime, 10 s when nothing is said, without a break. Then
	// its connection is closed with 1013, whatever Policy says. The zero value is none.
	Soft     Limit
	SoftTime time.Duration

	// TellMissed has the subscriber told of messages that it did not get, at the place where they are missing: as Options.EncodeMissed
	// says, or by a server-sent event of type "missed".
	TellMissed bool

	// Filter, when not nil, says whether a message is sent. It is called on the subscriber's loop, more than once for a message at
	// times where several patterns match, and must not keep m.Data.
	Filter func(m *Message) bool
}

// All is the Since that asks for all the history.
const All uint64 = 1

// Limit is a bound in messages and bytes; 0 is none.
type Limit struct {
	Messages int
	Bytes    int
}

// or fills in what o leaves open from d.
func (o SubscribeOptions) or(d SubscribeOptions) SubscribeOptions {
	if o.Policy == 0 {
		o.Policy = d.Policy
	}
	if o.Limit == (Limit{}) {
		o.Limit = d.Limit
	}
	if o.Soft == (Limit{}) {
		o.Soft = d.Soft
	}
	if o.SoftTime == 0 {
		o.SoftTime = d.SoftTime
	}
	if o.Window == 0 {
		o.Window = d.Window
	}
	if o.Filter == nil {
		o.Filter = d.Filter
	}
	o.TellMissed = o.TellMissed || d.TellMissed
	return o
}

const (
	defaultWindow = 64 << 10
	latestWindow  = 16 << 10
)

// A subscriber is a connection with subscriptions. It watches the connection, and belongs to its loop.
type subscriber struct {
	l      *loop
	c      *conn.Conn
	id     uint64
	events bool // a stream of server-sent events; else a WebSocket
	subs   []*subscription
	last   uint64 // offset of the last live message that a subscription took: with several, each comes once

	busy    bool // pump has something to do, and live messages wait behind that
	due     bool // pump is going to be called
	over    bool // all subscriptions were dropped
	waiting int  // messages, of all subscriptions
	behind  int  // subscriptions that are being told history

	delivered, skipped uint64
}

// A subscription is one pattern of a subscriber.
type subscription struct {
	to      *subscriber
	pattern string
	opts    *SubscribeOptions
	node    *node
	index   int    // in node.subs[loop]
	from    uint64 // messages up to this offset were published before, or have come from history

	backlog backlog
	soft    *mgr.Timer // running while the backlog is over opts.Soft

	ending bool // Unsubscribe was called, and something may wait still
	over   bool // nothing does: the subscriber has it no longer

	// While behind is set, history is read: with lasts only the last message of each topic, up to start, and live messages wait;
	// else all, until there is none that has been distributed live.
	behind bool
	lasts  bool
	start  uint64   // the offset behind which the subscription covers all
	until  uint64   // the offset up to which it does: that of Unsubscribe
	cursor uint64   // the offset up to which history has been read; guarded by Hub.mu
	missed uint64   // messages that history lost behind cursor; guarded by Hub.mu
	ahead  *message // read from history, and not sent yet
	untold Missed   // of what the subscriber has not been told yet, in front of the next message
}

// subscriber returns what l knows of c; nil when c has no subscription, or is nil.
func (l *loop) subscriber(c *conn.Conn) *subscriber {
	if c == nil {
		return nil
	}
	if u, ok := c.Watcher().(*subscriber); ok && u.l == l {
		return u
	}
	return nil
}

// Subscribe sends c, a WebSocket or a stream of server-sent events (http.StartEvents), all messages from now on whose topics
// pattern matches, until Unsubscribe or the end of the connection. With opts it gets older ones too. A connection may have
// several patterns: a message that more than one matches comes once. A pattern that c has already stays as it is.
//
// It returns ErrBadPattern, ErrForeign, ErrNoSubscriber or ErrTooManyPatterns. Like everything that takes a connection it belongs
// to the connection's loop.
func (h *Hub) Subscribe(c *conn.Conn, pattern string, opts ...SubscribeOptions) error {
	if !ValidPattern(pattern) {
		return ErrBadPattern
	}
	l, err := h.loopOf(c)
	if err != nil {
		return err
	}
	u := l.subscriber(c)
	switch {
	case u != nil:
	case c.Watcher() != nil:
		return ErrForeign
	case !c.IsOpen() || !websocket.Is(c) && !http.IsEventStream(c):
		return ErrNoSubscriber
	default:
		u = &subscriber{l: l, c: c, id: c.ID(), events: !websocket.Is(c)}
	}
	switch {
	case u.subscription(pattern) != nil:
		return nil
	case len(u.subs) >= MaxPatterns:
		return ErrTooManyPatterns
	}
	o := &h.opts.Subscribe
	if len(opts) > 0 {
		own := opts[0].or(*o)
		o = &own
	}
	s := &subscription{to: u, pattern: pattern, opts: o, until: math.MaxUint64}
	if len(u.subs) == 0 {
		c.SetWatcher(u)
	}
	u.subs = append(u.subs, s)
	n := h.join(s)
	if s.behind || s.untold != (Missed{}) {
		u.soon()
	}
	h.present(Presence{Conn: u.id, Pattern: pattern, Joined: true, Count: n})
	return nil
}

// join puts s into the tree, and decides what history it is told. It returns how many have the pattern now.
func (h *Hub) join(s *subscription) int {
	l := s.to.l
	h.mu.Lock()
	defer h.mu.Unlock()
	x := h.root.find(s.pattern)
	s.node = x
	if x.subs == nil {
		x.subs = make([][]*subscription, len(h.loops))
	}
	s.index = len(x.subs[l.index])
	x.subs[l.index] = append(x.subs[l.index], s)
	x.count++
	h.stats.subscriptions++
	s.from, s.start, s.cursor = h.seq, h.seq, h.seq
	switch since := s.opts.Since; {
	case !h.tracking:
		h.joinWithoutHistory(s)
	case since == 0:
		s.behind, s.lasts, s.cursor = h.opts.Retain, true, 0
	case since >= h.first && since <= h.seq:
		s.behind, s.cursor, s.start = true, since, since
		s.missed = h.history.missedSince(s.pattern, since)
	default: // All, or an offset of another run
		s.behind, s.cursor, s.start = true, h.first, h.first
		if since != All {
			s.missed = h.history.missedSince(s.pattern, h.first)
			s.untold.Reset = true
		}
	}
	if s.behind {
		s.to.behind++
		h.behind = append(h.behind, s)
	}
	return x.count
}

// joinWithoutHistory tells s what it may have missed. Which topics' messages that were nobody knows.
func (h *Hub) joinWithoutHistory(s *subscription) {
	switch since := s.opts.Since; {
	case since == 0 || since == All:
	case since >= h.first && since <= h.seq:
		s.untold.N = h.seq - since
	default:
		s.untold = Missed{N: h.seq - h.first, Reset: true}
	}
}

// leave takes s out of the tree, and returns how many have the pattern still. The message that is being distributed still goes
// to it.
func (h *Hub) leave(s *subscription) int {
	l, x := s.to.l, s.node
	h.mu.Lock()
	defer h.mu.Unlock()
	if list := x.subs[l.index]; l.current != nil {
		l.holes = append(l.holes, x)
	} else {
		last := len(list) - 1
		list[s.index] = list[last]
		list[s.index].index = s.index
		list[last] = nil
		x.subs[l.index] = list[:last]
	}
	x.count--
	x.prune()
	h.stats.subscriptions--
	s.until = l.position()
	return x.count
}

// fill takes those that have left during distribute out of their lists.
func (l *loop) fill() {
	if len(l.holes) == 0 {
		return
	}
	l.hub.mu.Lock()
	defer l.hub.mu.Unlock()
	for _, x := range l.holes {
		list := slices.DeleteFunc(x.subs[l.index], func(s *subscription) bool { return s.ending })
		for i, s := range list {
			s.index = i
		}
		x.subs[l.index] = list
	}
	clear(l.holes)
	l.holes = l.holes[:0]
}

// subscription returns the one with pattern, or nil.
func (u *subscriber) subscription(pattern string) *subscription {
	for _, s := range u.subs {
		if s.pattern == pattern && !s.ending {
			return s
		}
	}
	return nil
}

// Unsubscribe ends what Subscribe began, and reports whether there was such a subscription. Messages and history that wait for a
// slow connection still go to it.
func (h *Hub) Unsubscribe(c *conn.Conn, pattern string) bool {
	u := h.subscriber(c)
	if u == nil {
		return false
	}
	s := u.subscription(pattern)
	if s == nil {
		return false
	}
	s.ending = true
	n := h.leave(s)
	if u.busy || u.l.current != nil {
		u.soon()
	} else {
		u.settle()
	}
	h.present(Presence{Conn: u.id, Pattern: s.pattern, Count: n})
	return true
}

// UnsubscribeAll ends all subscriptions of c, and drops what waits for it. A handler that completes a stream of events with
// http.End calls it first.
func (h *Hub) UnsubscribeAll(c *conn.Conn) {
	if u := h.subscriber(c); u != nil {
		u.dropAll()
	}
}

// subscriber returns what h knows of c, or nil.
func (h *Hub) subscriber(c *conn.Conn) *subscriber {
	l, err := h.loopOf(c)
	if err != nil {
		return nil
	}
	return l.subscriber(c)
}

// present tells Options.Presence.
func (h *Hub) present(p Presence) {
	if h.opts.Presence != nil {
		h.opts.Presence(p)
	}
}

// presentAll tells Options.Presence of all, even when it panics at one.
func (h *Hub) presentAll(all []Presence) {
	if len(all) > 0 {
		defer h.presentAll(all[1:])
		h.present(all[0])
	}
}

// dropAll ends all subscriptions at once.
func (u *subscriber) dropAll() {
	if u.over {
		return
	}
	u.over = true
	u.c.SetWatcher(nil)
	h := u.l.hub
	var left []Presence
	for _, s := range u.subs {
		u.l.stats.lost += uint64(s.backlog.n)
		s.backlog, s.ahead, s.over = backlog{}, nil, true
		s.calm()
		if s.behind {
			h.forget(s)
		}
		if !s.ending {
			s.ending = true
			left = append(left, Presence{Conn: u.id, Pattern: s.pattern, Count: h.leave(s)})
		}
	}
	u.subs, u.waiting = nil, 0
	u.l.show()
	h.presentAll(left)
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
