package broadcast

import (
	"slices"
	"strconv"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/websocket"
)

// SubscribeOptions are those of one subscription. Zero fields mean what Options.Subscribe says, and
// there what is said here.
type SubscribeOptions struct {
	// Since is the offset of the last message that the subscriber has: it gets those after it that
	// history keeps, and then the live ones, with no gap between and none twice. All asks for all
	// that is kept. 0 is a newcomer, who gets no history, but with Options.Retain the last message
	// of each topic. The histories of patterns that one handler subscribes to come as one.
	Since uint64

	Policy Policy // what is done with a message over Limit; DropOldest when nothing is said

	// Limit bounds the messages that wait for a subscriber whose connection is full: it has Window
	// bytes queued already. 1024 messages and 1 MiB when nothing is said.
	Limit  Limit
	Window int // bytes; 64 KiB when nothing is said, 16 KiB with KeepLatest

	// Soft is a lower limit, at which a subscriber may stand for SoftTime, 10 s when nothing is
	// said, without a break. Then its connection is closed as by Disconnect, whatever Policy says.
	// The zero value is none.
	Soft     Limit
	SoftTime time.Duration

	// MinInterval is the time that must pass between two messages of the same topic; none when 0. A
	// message that comes too early waits until the time is over, and goes out if no later one of
	// its topic has taken its place. Replaced messages are counted as Merged, and are not told as
	// Missed: the subscriber gets the newest of each topic, as it has asked for. Since offsets have
	// to rise, all messages that wait for a connection go out together: the shortest interval of
	// its subscriptions counts, and a message of one without an interval, which goes out at once,
	// takes along the messages that wait. History is not thinned. While a message waits for its
	// time, the subscriber is not closed by Disconnect or Soft.
	MinInterval time.Duration

	// With Delta a connection is sent, instead of a JSON object, a JSON merge patch (RFC 7396)
	// against the last object of the same topic that it was sent, if there is such a patch and it
	// is shorter. A patch is made and encoded once for all who have the same. The functions JSON
	// and Framed, and events by default, mark them: see Message.From. It holds for all
	// subscriptions of the connection. The first message of a topic is whole, on each connection
	// anew. So are those of more than 1024 topics or 256 KiB, those that differ more than 16
	// objects deep, and those in which a member becomes null. Subscribe returns ErrDelta where the
	// hub keeps nothing, or Options.Encode is nil.
	Delta bool

	// With Greet and Options.Retain a newcomer gets the last message of each topic even if another
	// subscription of the connection has brought it, and Subscribe without Since, for a pattern
	// that the connection has already, brings them again. It is for connections that several parts of a
	// client share, which tell by its offset whether they have a message.
	Greet bool

	// Rights, when not nil, say whether the pattern is allowed: Subscribe returns ErrForbidden if
	// not. When their time is over the subscription ends: the subscriber is told
	// {"expired":["a/+"]}, on a stream of events as an event of the type "expired", and is closed
	// if it has no other subscription: a WebSocket with CloseToken. If it has others, messages and
	// history up to then that wait for it still come, as after Unsubscribe. Renew gives it other
	// rights before. A Door does all this by itself, and closes the connection in any case.
	Rights *Rights

	// Who identifies the subscriber for Presence and Hub.Present. The hub passes it on.
	Who any

	// TellMissed has the subscriber told of messages that it did not get: as Options.EncodeMissed
	// says, or by a server-sent event of type "missed". Before any message is sent, all that is
	// missing in front of it has been told. Where a connection has several patterns it may be told
	// earlier than that: a loss of one pattern goes out with the next message of any of them. So a
	// client that is cut off anywhere, and comes back with the offset of its last message, knows of
	// every loss; one that it was told too early may be told once more.
	TellMissed bool

	// Filter, when not nil, says whether a message is sent. It is called on the subscriber's loop,
	// more than once for a message at times where several patterns match, and must not keep m.Data.
	// A message at which it panics is not sent; no connection ends.
	Filter func(m *Message) bool
}

const (
	// All is the Since that asks for all the history.
	All uint64 = 1
	// Unknown is the Since of a subscriber whose offset cannot be made out: of another run, as far
	// as anybody knows. It gets all that is kept, and is told Missed with Reset.
	Unknown uint64 = 2
)

// ParseSince returns the Since for the offset that a client says it has got last, such as that of
// http.LastEventID: 0 for an empty text, which is a newcomer's, All for "0", and Unknown for what
// is no offset. To refuse that would be no use: an EventSource that is refused does not come again.
func ParseSince(text []byte) uint64 {
	if len(text) == 0 {
		return 0
	}
	n, err := strconv.ParseUint(string(text), 10, 64)
	switch {
	case err != nil || n == All || n == Unknown:
		return Unknown
	case n == 0:
		return All
	}
	return n
}

// Limit is a bound in messages and bytes; 0 is none. While memory is scarce (conn.Budget), a
// quarter of it holds for a slow subscriber, and 256 KiB where none is set.
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
	if o.MinInterval == 0 {
		o.MinInterval = d.MinInterval
	}
	if o.Rights == nil {
		o.Rights = d.Rights
	}
	if o.Who == nil {
		o.Who = d.Who
	}
	o.Delta = o.Delta || d.Delta
	o.Greet = o.Greet || d.Greet
	o.TellMissed = o.TellMissed || d.TellMissed
	return o
}

const (
	defaultWindow = 64 << 10
	latestWindow  = 16 << 10
)

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

// Subscribe sends c, a WebSocket or a stream of server-sent events (http.StartEvents), all messages
// from now on whose topics pattern matches, until Unsubscribe or the end of the connection. With
// opts it gets older ones too. A connection may have several patterns: a message that more than one
// matches comes once. A pattern that c has already stays as it is; see SubscribeOptions.Greet.
//
// For a stream of events it has to be called in an event of its request, or in http.Stream.With,
// and is over with that reply: another request of c is another subscriber. Elsewhere it returns
// http.ErrOutside.
//
// It returns ErrBadPattern, ErrForeign, ErrNoSubscriber, ErrTooManyPatterns, ErrForbidden or
// ErrDelta. Like everything that takes a connection it belongs to the connection's loop.
func (h *Hub) Subscribe(c *conn.Conn, pattern string, opts ...SubscribeOptions) error {
	if !ValidPattern(pattern) {
		return ErrBadPattern
	}
	l, err := h.loopOf(c)
	if err != nil {
		return err
	}
	o := &h.opts.Subscribe
	if len(opts) > 0 {
		own := opts[0].or(*o)
		o = &own
	}
	// Rights are the program's code, which may do anything to c: what c has is looked at later.
	if u := l.subscriber(c); u == nil || u.subscription(pattern) == nil {
		if r := o.Rights; r != nil && (r.expired(h.wall()) || !r.maySubscribe(pattern)) {
			return ErrForbidden
		}
	}
	u, err := l.admit(c)
	if err != nil {
		return err
	}
	switch old := u.subscription(pattern); {
	case old != nil && o.Greet && o.Since == 0 && h.opts.Retain:
		return old.greetAgain()
	case old != nil:
		return nil
	case len(u.subs) >= MaxPatterns:
		return ErrTooManyPatterns
	}
	if o.Delta && (!h.tracking || u.events == nil && h.opts.Encode == nil) {
		return ErrDelta
	}
	u.begin(pattern, o)
	return nil
}

// admit returns the subscriber that c is, or may become with its first subscription.
func (l *loop) admit(c *conn.Conn) (*subscriber, error) {
	u := l.subscriber(c)
	switch {
	case u != nil:
	case c.Watcher() != nil:
		return nil, ErrForeign
	case !c.IsOpen():
		return nil, ErrNoSubscriber
	default:
		u = &subscriber{l: l, c: c, id: c.ID()}
		if !websocket.Is(c) {
			if u.events = http.EventStream(c); u.events == nil {
				return nil, ErrNoSubscriber
			}
		}
	}
	if u.events != nil && !http.Handling(c) {
		return nil, http.ErrOutside // c may carry the stream of another request than the caller thinks of
	}
	return u, nil
}

// begin makes a subscription, whose options are o.
func (u *subscriber) begin(pattern string, o *SubscribeOptions) {
	s := &subscription{to: u, pattern: pattern, opts: o, until: forever, live: queue{to: u, opts: o}, order: u.orders}
	u.orders++
	if len(u.subs) == 0 {
		u.c.SetWatcher(u)
		if u.events != nil {
			u.unmind = u.events.OnEnd(u.dropAll)
		}
	}
	u.subs = append(u.subs, s)
	if x := u.extra; o.Delta && (x == nil || x.has == nil) {
		u.extras().has = make(map[*topic]*message)
	}
	if o.Rights != nil {
		u.ends(s, o.Rights.Until)
	}
	n := u.l.hub.join(s)
	if s.state != live || s.untold != (Missed{}) {
		u.soon()
	}
	u.l.present(s.presence(true, n))
}

// greetAgain brings the last message of each topic of s, which goes on. Another subscription, which
// is over when it has brought them, does it.
func (s *subscription) greetAgain() error {
	u, h := s.to, s.to.l.hub
	if len(u.subs) >= MaxPatterns {
		return ErrTooManyPatterns
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.link != nil && h.runs == 0 { // s itself has nothing yet
		return nil
	}
	o := *s.opts
	o.Since, o.Greet = 0, true
	x := &subscription{to: u, pattern: s.pattern, opts: &o, node: s.node, order: u.orders, run: h.runs,
		from: h.seq, start: h.seq, until: h.seq, live: queue{to: u, opts: &o}}
	u.orders++
	u.subs = append(u.subs, x)
	h.joinHistory(x)
	u.soon()
	return nil
}

// join puts s into the tree, and decides what history it is told. It returns how many have the
// pattern now.
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
	s.from, s.start, s.run = h.seq, h.seq, h.runs
	switch {
	case h.link != nil && h.runs == 0: // its Since means nothing yet: see tellRestart
	case h.tracking:
		h.joinHistory(s)
	default:
		h.joinWithoutHistory(s)
	}
	return x.count
}

// place returns the place of the offset since; false when it is of no message of this run. With an
// engine it may be higher than seq: a client comes from another node, and this one lags.
func (h *Hub) place(since uint64) (uint64, bool) {
	at := since + h.shift
	return at, at >= h.first && (at <= h.seq || h.link != nil && at-h.seq < 1<<32)
}

// joinHistory decides what history s is told.
func (h *Hub) joinHistory(s *subscription) {
	y := &h.history
	r := reader{hub: h, to: s.to, blame: h.seq, anew: s.opts.Greet && s.opts.Since == 0}
	since := s.opts.Since
	at, known := h.place(since)
	switch {
	case since == 0 && !h.opts.Retain:
		s.from = max(s.from, h.stored())
		return
	case since == 0:
		s.state = greeting
	case known && at > h.seq:
		s.from, s.start = at, at
		return
	case known:
		s.state, s.start = replaying, at
		r.blame = at
	default: // All, or an offset of another run
		s.state, s.start = replaying, h.first
		if since != All {
			r.blame, r.untold.Reset = h.first, true
		}
	}
	if s.state == replaying {
		r.cursor = s.start
	}
	r.state, r.start = s.state, s.start
	if r.blame == h.seq {
		r.gone = y.goneLost
	}
	s.to.read(s, r)
}

// joinWithoutHistory tells s what it may have missed. Nobody knows which topics that concerns, so
// one of several patterns tells it for all.
func (h *Hub) joinWithoutHistory(s *subscription) {
	since := s.opts.Since
	for _, x := range s.to.subs {
		if x != s && x.opts.Since == since && x.untold != (Missed{}) {
			if s.opts.TellMissed && !x.opts.TellMissed {
				s.untold, x.untold = x.untold, Missed{}
			}
			return
		}
	}
	at, known := h.place(since)
	switch {
	case since == 0 || since == All:
		s.from = max(s.from, h.stored())
	case known && at > h.seq:
		s.from, s.start = at, at
	case known:
		s.untold.N = h.seq - at
	default:
		s.untold = Missed{N: h.seq - h.first, Reset: true}
	}
}

// stored returns the place of the last message that is known to be stored: it was published before
// now, although an engine may not have delivered it yet.
func (h *Hub) stored() uint64 {
	if h.link == nil {
		return h.seq
	}
	return max(h.seq, h.link.last+h.shift)
}

// leave takes s out of the tree, and returns how many have the pattern still. The message that is
// being distributed still goes to it.
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
		list := slices.DeleteFunc(x.subs[l.index], (*subscription).leaving)
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
		if s.pattern == pattern && !s.leaving() {
			return s
		}
	}
	return nil
}

// Unsubscribe ends what Subscribe began, and reports whether there was such a subscription.
// Messages and history that wait for a slow connection still go to it.
func (h *Hub) Unsubscribe(c *conn.Conn, pattern string) bool {
	u := h.subscriber(c)
	if u == nil {
		return false
	}
	s := u.subscription(pattern)
	if s == nil {
		return false
	}
	n := h.leave(s)
	if u.busy || u.l.current != nil {
		u.soon()
	} else {
		u.settle()
	}
	u.l.present(s.presence(false, n))
	return true
}

// UnsubscribeAll ends all subscriptions of c, and drops what waits for it.
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
