package fuzz

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/websocket"
)

// hubClient is the other end of a connection, and what it should see.
type hubClient struct {
	r      *hubRig
	fd     int
	c      *conn.Conn
	events bool
	query  func() // makes the first subscription
	opts   broadcast.SubscribeOptions
	subs   []hubSub

	stalled bool
	begun   bool // the head of the answer has been read
	over    bool // the connection has ended
	ours    bool // because the program said so
	in      []byte
	got     []uint64
	missed  uint64
	reset   bool
	alone   uint64 // messages of PublishTo that have not come
	last    uint64
	even    bool   // a filter lets only messages of even size through
	exempt  uint64 // offsets up to this one come in any order
	again   uint64 // and up to this one more than once: the client has left and joined, and is greeted as a newcomer
}

// filter gives the client a filter: one that lets messages of even size through, or one that does
// something itself.
func (c *hubClient) filter(kind byte) {
	r := c.r
	switch {
	case kind&16 == 0:
	case kind&128 != 0:
		c.opts.Filter = func(m *broadcast.Message) bool {
			if len(r.program) > 0 && !r.acting && r.depth < 3 {
				r.acting = true
				r.depth++
				r.act(9+r.byte()%6, r.byte())
				r.depth--
				r.acting = false
			}
			return true
		}
	default:
		c.even = true
		c.opts.Filter = func(m *broadcast.Message) bool { return len(m.Data)%2 == 0 }
	}
}

func (c *hubClient) handle(x *conn.Conn, ev conn.Event) {
	m, ok := ev.(*http.Message)
	if !ok {
		return
	}
	var err error
	if c.events {
		err = http.StartEvents(x)
	} else {
		err = websocket.Upgrade(x, m, nil)
	}
	if err != nil {
		c.r.t.Fatal(err)
	}
	c.query()
	c.query = nil
}

// subscribe has the client subscribe, and notes what it is to get.
func (c *hubClient) subscribe(pattern string, since uint64, o broadcast.SubscribeOptions) {
	r, now := c.r, c.r.hub.Offset()
	if !c.c.IsOpen() || c.current(pattern) != nil {
		return
	}
	again := slices.ContainsFunc(c.subs, func(s hubSub) bool { return s.pattern == pattern })
	if again && len(c.subs) > 20 {
		return
	}
	if _, ok := r.hub.Subscriber(c.c); !ok && len(c.subs) > 0 && !c.alive() {
		return
	}
	o.Since = since
	var err error
	c.inside(func() { err = r.hub.Subscribe(c.c, pattern, o) })
	if err != nil {
		if c.events && err == broadcast.ErrNoSubscriber {
			return // the hub has ended the stream
		}
		r.t.Fatalf("Subscribe: %v", err)
	}
	s := hubSub{pattern: pattern, start: now, sure: 1 << 63, until: 1 << 63, since: since, even: c.even}
	switch {
	case !r.tracks():
	case since == 0:
		if s.greeted = r.opts.Retain; s.greeted {
			c.exempt = now
			if slices.ContainsFunc(c.subs, func(s hubSub) bool { return s.until != 1<<63 }) {
				c.again = now
			}
		}
	case since >= r.first && since <= now:
		s.start = since
	default:
		s.start = r.first
		if since == broadcast.All && r.evicts() {
			s.from = now
		}
	}
	c.subs = append(c.subs, s)
}

// inside runs f where it may subscribe: in the request whose reply is the stream of events.
func (c *hubClient) inside(f func()) {
	s := http.EventStream(c.c)
	if s == nil {
		f()
		return
	}
	s.With(func(*conn.Conn) { f() })
}

// alive reports whether the hub can still send something.
func (c *hubClient) alive() bool {
	if c.events {
		return http.IsEventStream(c.c)
	}
	return c.c.IsOpen()
}

// current returns the subscription to pattern that is in force, or nil.
func (c *hubClient) current(pattern string) *hubSub {
	for i := range c.subs {
		if s := &c.subs[i]; s.pattern == pattern && s.until == 1<<63 {
			return s
		}
	}
	return nil
}

func (c *hubClient) unsubscribe(pattern string) {
	had := c.r.hub.Unsubscribe(c.c, pattern)
	s := c.current(pattern)
	if s == nil {
		if had {
			c.r.t.Fatalf("Unsubscribe(%q) found something", pattern)
		}
		return
	}
	if !had && !closes(&c.opts) {
		c.r.t.Fatalf("Unsubscribe(%q) found nothing", pattern)
	}
	s.until, s.sure = c.r.hub.Offset(), c.r.drained
}

// end notes that all subscriptions end, and that what waits is dropped.
func (c *hubClient) end() {
	for i := range c.subs {
		s := &c.subs[i]
		s.sure = 0
		s.until = min(s.until, c.r.hub.Offset())
	}
}

// cut closes the client's end.
func (c *hubClient) cut() {
	c.read()
	if !c.over {
		c.over, c.ours = true, true
		unix.Close(c.fd)
	}
}

// read takes what has arrived, and reports whether there was something.
func (c *hubClient) read() bool {
	var b [4096]byte
	got := false
	for !c.over {
		n, err := unix.Read(c.fd, b[:])
		switch {
		case n > 0:
			got = true
			c.in = append(c.in, b[:n]...)
		case err == unix.EAGAIN:
			c.parse()
			return got
		default:
			c.parse()
			if !c.over {
				c.ended("the end")
			}
			return true
		}
	}
	return got
}

// ended notes that the hub, or another part, has ended the connection.
func (c *hubClient) ended(why string) {
	if !c.ours && !closes(&c.opts) {
		c.r.t.Fatalf("client %d was closed: %s", c.c.ID(), why)
	}
	c.over = true
	unix.Close(c.fd)
}

func closes(o *broadcast.SubscribeOptions) bool {
	return o.Policy == broadcast.Disconnect || o.Soft != (broadcast.Limit{})
}

// parse takes what is complete out of c.in.
func (c *hubClient) parse() {
	if !c.begun {
		i := bytes.Index(c.in, []byte("\r\n\r\n"))
		if i < 0 {
			return
		}
		c.in, c.begun = c.in[i+4:], true
	}
	for !c.over {
		if c.events {
			i := bytes.Index(c.in, []byte("\n\n"))
			if i < 0 {
				return
			}
			c.event(string(c.in[:i]))
			c.in = c.in[i+2:]
			continue
		}
		b := bytes.NewReader(c.in)
		h, err := ws.ReadHeader(b)
		if err != nil || int64(b.Len()) < h.Length {
			return
		}
		at := len(c.in) - b.Len()
		p := c.in[at : at+int(h.Length)]
		if h.OpCode == ws.OpClose {
			c.ended("a close frame")
			return
		}
		c.message(string(p))
		c.in = c.in[at+len(p):]
	}
}

// event sees a server-sent event.
func (c *hubClient) event(text string) {
	id, kind, data := "0", "", ""
	for line := range strings.SplitSeq(text, "\n") {
		switch name, value, _ := strings.Cut(line, ": "); name {
		case "id":
			id = value
		case "event":
			kind = value
		case "data":
			data = value
		}
	}
	if kind == "missed" || kind == "deleted" {
		c.message(data)
		return
	}
	c.message(id + "|" + kind + "|" + data)
}

// message sees what the hub has sent: "offset|topic|data", or what was missed.
func (c *hubClient) message(text string) {
	t := c.r.t
	if rest, ok := strings.CutPrefix(text, `{"missed":`); ok {
		n, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimSuffix(rest, "}"), `,"reset":true`), 10, 64)
		if err != nil {
			t.Fatal(text)
		}
		c.missed += n
		c.reset = c.reset || strings.Contains(rest, "reset")
		return
	}
	id, rest, _ := strings.Cut(text, "|")
	topic, data, _ := strings.Cut(rest, "|")
	offset, err := strconv.ParseUint(id, 10, 64)
	if err != nil {
		t.Fatalf("%.100q", text)
	}
	if offset == 0 {
		if data != fmt.Sprintf("to %d", c.c.ID()) {
			t.Fatalf("client %d got %q", c.c.ID(), text)
		}
		c.alone--
		return
	}
	i := int(offset - c.r.first - 1)
	if i < 0 || i >= len(c.r.published) {
		t.Fatalf("offset %d was not published", offset)
	}
	if m := c.r.published[i]; m.deleted && m.topic == topic && data == "deleted" {
	} else if m.deleted || m.topic != topic || m.size != len(data) || strings.Trim(data, "x") != "" {
		t.Fatalf("got %d of %q, %d bytes, want %q, %d bytes", offset, topic, len(data), m.topic, m.size)
	}
	if slices.Contains(c.got, offset) && offset > c.again {
		t.Fatalf("client %d got %d twice: %+v", c.c.ID(), offset, c.subs)
	}
	if offset < c.last && offset > c.exempt {
		t.Fatalf("client %d got %d behind %d", c.c.ID(), offset, c.last)
	}
	if _, may := c.expects(i); !may {
		t.Fatalf("client %d got %d of %q, which it has not asked for: %+v", c.c.ID(), offset-c.r.first, topic, c.subs)
	}
	c.got = append(c.got, offset)
	c.last = max(c.last, offset)
}

// expects says whether message i has to reach the client, and whether it may.
func (c *hubClient) expects(i int) (must, may bool) {
	m, at := c.r.published[i], c.r.first+1+uint64(i)
	if m.except == c.c.ID() || m.topic == "" {
		return false, false
	}
	for _, s := range c.subs {
		switch {
		case !broadcast.Match(s.pattern, m.topic) || s.even && m.size%2 != 0:
		case at > s.start && at <= s.until:
			may = true
			must = must || at > s.from && at <= s.sure
		case at <= s.start && s.greeted && !m.deleted:
			may = true
			must = must || s.sure == 1<<63 && c.r.opts.MaxTopics == 0 && !c.r.superseded(i)
		}
	}
	return must && !c.r.deleted(i), may
}

// check is for a client that has read all there is.
func (c *hubClient) check() {
	t, r := c.r.t, c.r
	if info, ok := r.hub.Subscriber(c.c); ok && info.Waiting+info.WaitingBytes != 0 {
		t.Fatalf("client %d: %+v", c.c.ID(), info)
	}
	var missing, perhaps uint64
	var lost []string
	for i := range r.published {
		must, may := c.expects(i)
		switch got := slices.Contains(c.got, r.first+1+uint64(i)); {
		case got:
		case must:
			missing++
			lost = append(lost, fmt.Sprintf("%d %q %d bytes", r.first+1+uint64(i), r.published[i].topic, r.published[i].size))
		case may || r.published[i].topic == "" && !r.tracks():
			perhaps++
		}
	}
	merged := uint64(0)
	if c.opts.MinInterval > 0 {
		merged = r.hub.Stats().Merged
	}
	if missing > c.missed+merged {
		t.Fatalf("client %d misses %d, and was told %d: %+v\ngot %d\nnot %q", c.c.ID(), missing, c.missed, c.subs, c.got, lost)
	}
	ended, history, foreign := false, false, false
	for _, s := range c.subs {
		ended = ended || s.sure == 0
		history = history || s.since != 0
		foreign = foreign || s.since != 0 && s.since != broadcast.All && s.since < r.first
	}
	if history && r.evicts() {
		return // what was lost is known at most
	}
	perhaps += c.alone
	if !ended && c.again == 0 && c.missed > missing+perhaps {
		t.Fatalf("client %d misses %d to %d, and was told %d", c.c.ID(), missing, missing+perhaps, c.missed)
	}
	if s := r.hub.Stats(); missing > 0 && s.Skipped+s.Merged == 0 {
		t.Fatalf("client %d misses %d, and nothing was skipped", c.c.ID(), missing)
	}
	if foreign != c.reset && (r.opts.History.Count > 0 || r.opts.Retain) && !ended {
		t.Fatalf("client %d: reset %v, want %v", c.c.ID(), c.reset, foreign)
	}
}
