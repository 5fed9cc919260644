package broadcast

import (
	"errors"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/websocket"
)

var (
	// ErrClosed is returned by Publish when the manager of a subscriber is closed.
	ErrClosed = mgr.ErrClosed
	// ErrFull is returned by Publish when Options.Queue messages, or Options.QueueBytes, wait for a
	// loop already.
	ErrFull = mgr.ErrFull
	// ErrForeign is returned for a connection that is on none of the hub's managers, or that
	// another hub has.
	ErrForeign = errors.New("broadcast: the connection is not of this hub's managers, or another hub's")
	// ErrNoSubscriber is returned by Subscribe for a connection that is neither a WebSocket nor a
	// stream of events.
	ErrNoSubscriber = errors.New("broadcast: the connection is neither a WebSocket nor a stream of events")
	// ErrTooManyPatterns is returned by Subscribe when the connection has MaxPatterns already.
	ErrTooManyPatterns = errors.New("broadcast: the connection has too many subscriptions")
)

// MaxPatterns is how many patterns one connection may subscribe to.
const MaxPatterns = 256

// Options are the settings of a Hub. The zero value works.
type Options struct {
	// History bounds what is kept of each topic for subscribers that come back. The zero value
	// keeps nothing.
	History History

	// Retain keeps the last message of each topic, whatever History's Count, Bytes and Age say, and
	// gives it to each new subscriber.
	Retain bool

	// Queue and QueueBytes bound the messages that wait for one loop, in number and in bytes;
	// 65,536 and 64 MiB when 0.
	Queue      int
	QueueBytes int

	// MaxTopics bounds the topics that are kept track of; 65,536 when 0. With History or Retain the
	// topic with the oldest message then makes room; without, further topics work but Topics does
	// not list them.
	MaxTopics int

	// Subscribe is what subscriptions get that say nothing else.
	Subscribe SubscribeOptions

	// Encode appends what a WebSocket is sent of m to b, and says as what: Text or Binary. It is
	// called once for each message, on a loop; it must be safe for concurrent use when the hub has
	// several. Nil sends m.Data as it is, as Text if it is UTF-8; the function JSON sends topic and
	// offset too. A message at which it panics is skipped.
	Encode func(b []byte, m *Message) (websocket.Op, []byte)

	// EncodeEvent is Encode for streams of events: it appends the data to b, and says of which type
	// the event is. Those of the empty type are "message" to an EventSource, and the only ones that
	// its onmessage sees. The id is the offset. Nil makes events of the empty type, whose data is
	// what the function JSON makes of m.
	EncodeEvent func(b []byte, m *Message) (event string, data []byte)

	// EncodeDeleted is Encode for topics that were deleted: m.Deleted is true. Nil sends
	// {"topic":"a/b","offset":12,"deleted":true} as Text. A stream of events gets it as an event of
	// the type "deleted".
	EncodeDeleted func(b []byte, m *Message) (websocket.Op, []byte)

	// EncodeMissed is Encode for Missed. Nil sends {"missed":12} as Text.
	EncodeMissed func(b []byte, m Missed) (websocket.Op, []byte)

	// Engine, when not nil, puts the messages into their order and stores them, for this hub and
	// others: see Publish. The hub runs it until it is closed, which is the program's part.
	Engine Engine

	// Tap, when not nil, is called for each message and each deletion that gets an offset, in their
	// order, whether or not there are subscribers; id is PublishOptions.ID. With an Engine it gets
	// what comes from there, of all nodes. It is called inside Publish, under the hub's lock: it
	// must neither wait nor call the hub. It may keep m. It is for bridges to other systems.
	Tap func(m *Message, id string)

	// PublishFailed, when not nil, is called for each message that Publish or PublishExcept gave to
	// the engine and that the engine could not store. It is called on a goroutine of the engine,
	// and must not block. PublishLater tells its own caller.
	PublishFailed func(topic string, err error)

	// Presence, when not nil, is called when a connection has joined or left a pattern, on the
	// connection's loop. If it panics, no connection ends.
	Presence func(Presence)
}

// A Hub distributes messages by topic. Publish and its like, Subscribers, Topics and Stats are safe
// for concurrent use; what takes a connection belongs to that connection's loop.
type Hub struct {
	opts   Options
	loops  []*loop
	budget *conn.Budget     // of the first manager; nil when the hub has none
	clock  func() int64     // ns, for spans of time
	wall   func() time.Time // the clock of the system, for the ends of rights
	link   *link            // to the engine; nil when there is none

	// The messages of a run have places, which rise: without an engine they are the offsets. When
	// an engine's stream is new, its offsets may be lower than those before; then shift changes.
	mu       sync.Mutex
	seq      uint64 // the place of the last message
	first    uint64 // places up to this one are of another run, or of a stream that is gone
	shift    uint64 // a place is the offset and shift
	runs     uint64 // the streams that the engine has had
	blocked  int    // that wait for room
	room     sync.Cond
	root     node
	found    []*node // scratch of Publish
	history  history
	stats    hubStats
	tracking bool // history or retained messages are kept
}

// New makes a hub for the connections of groups, with the default Options.
func New(groups ...mgr.Group) *Hub { return NewHub(Options{}, groups...) }

// NewHub makes a hub for the connections of groups: of a *mgr.Manager, of *mgr.Loops, or of several
// of them. A message is encoded, and compressed, once for all loops.
func NewHub(opts Options, groups ...mgr.Group) *Hub {
	setDefault(&opts.Queue, 1<<16)
	setDefault(&opts.QueueBytes, 64<<20)
	setDefault(&opts.MaxTopics, 1<<16)
	var managers []*mgr.Manager
	for _, g := range groups {
		managers = append(managers, g.Managers()...)
	}
	var budget *conn.Budget
	if len(managers) > 0 {
		budget = managers[0].Budget()
	}
	opts.History.Total = historyTotal(opts.History.Total, budget)
	opts.Subscribe = opts.Subscribe.or(SubscribeOptions{Limit: Limit{1024, 1 << 20}, SoftTime: 10 * time.Second})
	if opts.EncodeMissed == nil {
		opts.EncodeMissed = defaultMissed
	}
	if opts.EncodeDeleted == nil {
		opts.EncodeDeleted = defaultDeleted
	}
	h := &Hub{opts: opts, first: epoch(), clock: monotonic, wall: time.Now, tracking: opts.History.Count > 0 || opts.Retain}
	h.seq = h.first
	h.room.L = &h.mu
	h.history.opts, h.history.retain, h.history.max = opts.History, opts.Retain, opts.MaxTopics
	h.budget, h.history.budget = budget, budget
	h.history.topics, h.history.complete = make(map[string]*topic), h.first
	for i, m := range managers {
		h.loops = append(h.loops, newLoop(h, m, i))
	}
	if opts.Engine != nil {
		h.link = newLink(h, opts.Engine)
		go h.link.run()
	}
	return h
}

// historyTotal returns what History.Total, of this value, stands for.
func historyTotal(n int, budget *conn.Budget) int {
	limit := math.MaxInt
	if budget != nil {
		limit = budget.Limit()
	}
	if n == 0 {
		return min(64<<20, limit/4)
	}
	return min(n, limit/2)
}

func setDefault(n *int, d int) {
	if *n == 0 {
		*n = d
	}
}

// epoch returns the offset before the first one of this run: a random number in the high bits, so
// that the offsets of one run are not those of another, and small enough that 2^52 of them are
// exact numbers in JavaScript. The clock would not do: many a device starts in 1970 each time.
func epoch() uint64 { return (1 + rand.Uint64N(1<<20)) << 32 }

var clockBase = time.Now()

func monotonic() int64 { return int64(time.Since(clockBase)) }

// loopOf returns the loop of c.
func (h *Hub) loopOf(c *conn.Conn) (*loop, error) {
	for _, l := range h.loops {
		if c.Layer().Shared().Loop == conn.Loop(l.m) {
			return l, nil
		}
	}
	return nil, ErrForeign
}

// Subscribers returns how many subscriptions match topic: how many connections a message would go
// to, but that one with several matching patterns counts for each. Safe for concurrent use.
func (h *Hub) Subscribers(topic string) int {
	if !ValidTopic(topic) {
		return 0
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.found = h.root.match(h.found[:0], topic)
	return countOf(h.found)
}

func countOf(nodes []*node) int {
	n := 0
	for _, x := range nodes {
		n += x.count
	}
	return n
}

// Offset returns the offset of the message published last; with an engine, of the one that came
// last, and 0 before it has connected. Safe for concurrent use.
func (h *Hub) Offset() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.link != nil && h.runs == 0 {
		return 0
	}
	return h.seq - h.shift
}
