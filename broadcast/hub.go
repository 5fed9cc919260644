package broadcast

import (
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/ctlpair"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/websocket"
)

var (
	// ErrClosed is returned by Publish when the manager of a subscriber is closed.
	ErrClosed = mgr.ErrClosed
	// ErrFull is returned by Publish when Options.Queue messages, or Options.QueueBytes, wait for a loop already.
	ErrFull = ctlpair.ErrFull
	// ErrForeign is returned for a connection that is on none of the hub's managers, or that another hub has.
	ErrForeign = errors.New("broadcast: the connection is not of this hub's managers, or another hub's")
	// ErrNoSubscriber is returned by Subscribe for a connection that is neither a WebSocket nor a stream of events.
	ErrNoSubscriber = errors.New("broadcast: the connection is neither a WebSocket nor a stream of events")
	// ErrTooManyPatterns is returned by Subscribe when the connection has MaxPatterns already.
	ErrTooManyPatterns = errors.New("broadcast: the connection has too many subscriptions")
)

// MaxPatterns is how many patterns one connection may subscribe to.
const MaxPatterns = 256

// Options are the settings of a Hub. The zero value works.
type Options struct {
	// History bounds what is kept of each topic for those who come back; nothing is with the zero value.
	History History

	// Retain keeps the last message of each topic, whatever History's Count, Bytes and Age say, and gives it to each new subscriber.
	Retain bool

	// Queue and QueueBytes bound the messages that wait for one loop, in number and in bytes; 65,536 and 64 MiB when 0.
	Queue      int
	QueueBytes int

	// MaxTopics bounds the topics that are kept track of; 65,536 when 0. With History or Retain the topic with the oldest
	// message then makes room; without, further topics work but Topics does not list them.
	MaxTopics int

	// Subscribe is what subscriptions get that say nothing else.
	Subscribe SubscribeOptions

	// Encode appends what a WebSocket is sent of m to b, and says as what: Text or Binary. It is called once for each message,
	// on a loop; it must be safe for concurrent use when the hub has several. Nil sends m.Data as it is, as Text if it is UTF-8.
	Encode func(b []byte, m *Message) (websocket.Op, []byte)

	// EncodeMissed is Encode for Missed. Nil sends {"missed":12} as Text.
	EncodeMissed func(b []byte, m Missed) (websocket.Op, []byte)

	// Presence, when not nil, is called when a connection has joined or left a pattern, on the connection's loop.
	Presence func(Presence)
}

// Presence says that a connection has joined or left.
type Presence struct {
	Conn    uint64 // its ID
	Pattern string
	Joined  bool
	Count   int // of those subscribed to the pattern now
}

// A Hub distributes messages by topic. Publish and its like, Subscribers, Topics and Stats are safe for concurrent use; what
// takes a connection belongs to that connection's loop.
type Hub struct {
	opts  Options
	loops []*loop
	first uint64 // offsets up to this one are of another run
	clock func() int64

	mu       sync.Mutex
	seq      uint64 // the last offset
	root     node
	found    []*node // scratch of Publish
	history  history
	behind   []*subscription // that are being told history
	stats    hubStats
	tracking bool // history or retained messages are kept
}

// New makes a hub for the connections of managers, with the default Options.
func New(managers ...*mgr.Manager) *Hub { return NewHub(Options{}, managers...) }

// NewHub makes a hub for the connections of managers.
func NewHub(opts Options, managers ...*mgr.Manager) *Hub {
	setDefault(&opts.Queue, 1<<16)
	setDefault(&opts.QueueBytes, 64<<20)
	setDefault(&opts.MaxTopics, 1<<16)
	setDefault(&opts.History.Total, 64<<20)
	opts.Subscribe = opts.Subscribe.or(SubscribeOptions{Limit: Limit{1024, 1 << 20}, SoftTime: 10 * time.Second})
	if opts.EncodeMissed == nil {
		opts.EncodeMissed = defaultMissed
	}
	h := &Hub{opts: opts, first: epoch(), clock: monotonic, tracking: opts.History.Count > 0 || opts.Retain}
	h.seq = h.first
	h.history = history{opts: opts.History, retain: opts.Retain, max: opts.MaxTopics, topics: make(map[string]*topic)}
	for i, m := range managers {
		h.loops = append(h.loops, newLoop(h, m, i))
	}
	return h
}

func setDefault(n *int, d int) {
	if *n == 0 {
		*n = d
	}
}

// epoch returns the offset before the first one of this run: a random number in the high bits, so that the offsets of one
// run are not those of another, and small enough that 2^52 of them are exact numbers in JavaScript. The clock would not do:
// many a device starts in 1970 each time.
func epoch() uint64 { return (1 + rand.Uint64N(1<<20)) << 32 }

var clockBase = time.Now()

func monotonic() int64 { return int64(time.Since(clockBase)) }

// loopOf returns the loop of c.
func (h *Hub) loopOf(c *conn.Conn) (*loop, error) {
	for _, l := range h.loops {
		if c.Shared().Loop == conn.Loop(l.m) {
			return l, nil
		}
	}
	return nil, ErrForeign
}

// Subscribers returns how many subscriptions match topic: how many connections a message would go to, but that one with
// several matching patterns counts for each. Safe for concurrent use.
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

// Offset returns the offset of the message published last. Safe for concurrent use.
func (h *Hub) Offset() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.seq
}
