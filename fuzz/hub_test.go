package fuzz

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/websocket"
)

// FuzzHub runs a program of publishing, subscribing, stalling, closing and coming back on a hub whose loop the test turns
// itself, and tells a naive model of it: a list of what was published, and of what each client has asked for. At the end each
// client must have got what it should have, once and in order, and have been told how much it has not.
func FuzzHub(f *testing.F) {
	for _, s := range []string{
		"\x00\x00\x00\x10\x01\x20\x02\x00\x00\x10\x00\x11\x0f\x00\x12\x0f",
		"\x02\x00\x10\x00\x21\x00\x02\x10\x00\x05\x00\x00\x01\x00\x02\x0f\x06\x00\x00\x10\x00\x0f",
		"\x07\x01\x00\x00\x10\x00\x21\x00\x02\x13\x00\x05\x00\x00\x01\x09\x00\x02\x00\x20\x00\x30\x08\x00\x0f\x06\x00\x00\x10\x00",
		"\x05\x12\x00\x01\x02\x44\x00\x05\x00\x00\x3f\x00\x3f\x00\x3f\x00\x3f\x00\x3f\x00\x3f\x00\x3f\x00\x3f\x0f\x0f\x06\x00\x0f",
	} {
		f.Add([]byte(s))
		f.Add([]byte(strings.Repeat(s, 5)))
	}
	f.Fuzz(func(t *testing.T, program []byte) {
		if len(program) > 2 && len(program) < 1000 {
			runHub(t, program)
		}
	})
}

// TestHubPrograms runs random programs, which reach farther than what the fuzzer begins with.
func TestHubPrograms(t *testing.T) {
	for seed := *hubFirst; seed < *hubFirst+*hubRuns; seed++ {
		d := rand.New(rand.NewPCG(seed, 0))
		program := make([]byte, 20+d.IntN(600))
		for i := range program {
			program[i] = byte(d.Uint32())
		}
		if !t.Run(fmt.Sprint(seed), func(t *testing.T) { runHub(t, program) }) {
			t.Fatalf("replay: go test ./fuzz -run HubPrograms -hub.first=%d -hub.runs=1", seed)
		}
	}
}

var (
	hubFirst = flag.Uint64("hub.first", 1, "the seed of the first program")
	hubRuns  = flag.Uint64("hub.runs", 300, "programs to run")
)

var (
	hubTopics   = []string{"a", "a/b", "a/c", "d/b", "d", "$s/b"}
	hubPatterns = []string{"#", "a", "a/b", "a/#", "+/b", "+", "d/#", "$s/#"}
	hubSizes    = []int{0, 1, 10, 11, 300, 1001, 3000, 9000}
	hubLimits   = conn.Limits{Send: 8192, Stall: -1}
)

// hubRig is the hub, its manager, and the model.
type hubRig struct {
	t       *testing.T
	program []byte
	m       *mgr.Manager
	hub     *broadcast.Hub
	server  *http.Server
	opts    broadcast.Options

	published []hubMessage
	first     uint64 // the offset before that of published[0]
	drained   uint64 // what was published up to here has been distributed
	clients   []*hubClient
	depth     int // of filters that act
	acting    bool
}

type hubMessage struct {
	topic  string
	size   int
	except uint64
}

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

// hubSub is a subscription: what was published behind start has to come, up to sure, and may, up to until.
type hubSub struct {
	pattern            string
	start, sure, until uint64
	from               uint64 // what is kept up to here may come, and what is not is not told
	greeted            bool
	since              uint64
	even               bool
}

func runHub(t *testing.T, program []byte) {
	m, err := mgr.New(mgr.Options{Poller: mgr.Epoll, CrashOnPanic: true})
	if err != nil {
		t.Fatal(err)
	}
	r := &hubRig{t: t, m: m, server: http.NewServer(http.Options{Limits: hubLimits})}
	defer r.close()
	o := &r.opts
	r.program = program
	kind := r.byte()
	o.History.Count = []int{0, 1, 3, 1 << 20}[kind%4]
	o.Retain = kind&4 != 0
	if kind&8 != 0 {
		o.MaxTopics = 2
	}
	if kind&16 != 0 {
		o.Queue = 3
	}
	o.Subscribe.Limit.Messages = 1 + int(kind>>5)
	o.Encode = func(b []byte, m *broadcast.Message) (websocket.Op, []byte) {
		return websocket.Text, fmt.Appendf(b, "%d|%s|%s", m.Offset, m.Topic, m.Data)
	}
	r.hub = broadcast.NewHub(*o, m)
	r.first = r.hub.Offset()
	r.drained = r.first
	for len(r.program) > 0 {
		r.step(r.byte())
	}
	r.finish()
}

// byte takes the next byte of the program.
func (r *hubRig) byte() byte {
	if len(r.program) == 0 {
		return 0
	}
	b := r.program[0]
	r.program = r.program[1:]
	return b
}

// step does what one byte of the program says, with those behind it.
func (r *hubRig) step(op byte) {
	switch op % 16 {
	case 0, 1, 2, 15:
		switch op % 16 {
		case 2:
			r.open(nil)
		case 15:
			r.turn()
		default:
			r.onLoop(func() { r.publish(r.byte()) })
		}
	case 3:
		for range r.byte() % 32 {
			r.hubPublish(hubTopics[op>>4%6], 10, 0)
		}
	case 4:
		r.drain()
	case 5, 6:
		if c := r.some(); c != nil {
			c.stalled = op%16 == 5
		}
	case 7:
		if c := r.some(); c != nil {
			c.cut()
		}
	case 8:
		r.comeBack()
	default:
		b := r.byte()
		r.onLoop(func() { r.act(op%16, b) })
	}
}

// act does what may be done on the loop: between two turns, or in a filter.
func (r *hubRig) act(op, b byte) {
	c := r.some()
	if c == nil || c.c == nil {
		return
	}
	pattern := hubPatterns[int(b)%len(hubPatterns)]
	switch op {
	case 9:
		c.subscribe(pattern, 0, c.opts)
	case 10:
		c.unsubscribe(pattern)
	case 11:
		if b%4 == 0 {
			c.end()
			r.hub.UnsubscribeAll(c.c)
		} else {
			c.unsubscribe(pattern)
		}
	case 12:
		r.hubPublish(hubTopics[int(b)%len(hubTopics)], int(b>>4), c.c.ID())
	case 13:
		topic := hubTopics[int(b)%len(hubTopics)]
		if err := r.hub.PublishTo(c.c.ID(), topic, fmt.Appendf(nil, "to %d", c.c.ID())); err == nil {
			c.alone++
		} else if err != broadcast.ErrFull || r.opts.Queue == 0 {
			r.t.Fatal(err)
		}
	case 14:
		if b%4 == 0 {
			c.ours = true
			c.c.Drain()
		} else {
			r.publish(b)
		}
	}
}

// onLoop runs f in a turn of the loop. The turn may distribute something too.
func (r *hubRig) onLoop(f func()) {
	if err := r.m.Do(f); err != nil {
		r.t.Fatal(err)
	}
	r.turn()
}

func (r *hubRig) publish(b byte) {
	r.hubPublish(hubTopics[int(b&15)%len(hubTopics)], hubSizes[b>>4&7], 0)
}

func (r *hubRig) hubPublish(topic string, size int, except uint64) {
	data := bytes.Repeat([]byte{'x'}, size)
	before := r.hub.Offset()
	x, err := r.hub.Publish(topic, data)
	if except != 0 && err == nil { // the first was for all, this one is not
		r.published = append(r.published, hubMessage{topic, size, 0})
		before = r.hub.Offset()
		x, err = r.hub.PublishExcept(except, topic, data)
	}
	clear(data)
	switch {
	case err == broadcast.ErrFull && r.opts.Queue > 0:
		if r.hub.Offset() != before {
			r.t.Fatal("a message that was refused has an offset")
		}
	case err != nil:
		r.t.Fatal(err)
	case x.Offset != before+1:
		r.t.Fatalf("offset %d behind %d", x.Offset, before)
	default:
		r.published = append(r.published, hubMessage{topic, size, except})
	}
}

// turn turns the loop once, and has the clients read that do.
func (r *hubRig) turn() (moved bool) {
	queued := r.hub.Stats().Queued
	if err := r.m.Poll(0); err != nil {
		r.t.Fatal(err)
	}
	if r.hub.Stats().Queued == 0 {
		if queued == 0 {
			r.drained = r.hub.Offset()
		} else {
			moved = true
		}
	}
	for _, c := range r.clients {
		if !c.stalled && !c.over && c.read() {
			moved = true
		}
	}
	return moved || queued > 0
}

// drain turns the loop until nothing happens any more.
func (r *hubRig) drain() {
	for quiet, n := 0, 0; quiet < 4; quiet, n = quiet+1, n+1 {
		if n > 20_000 {
			r.t.Fatal("the hub does not come to rest")
		}
		if r.turn() {
			quiet = -1
		}
	}
}

// some returns a client that is connected, or nil.
func (r *hubRig) some() *hubClient {
	live := slices.DeleteFunc(slices.Clone(r.clients), func(c *hubClient) bool { return c.over || c.ours || c.query != nil })
	if len(live) == 0 {
		return nil
	}
	return live[int(r.byte())%len(live)]
}

// comeBack cuts a client, and opens another that goes on from where it was.
func (r *hubRig) comeBack() {
	c := r.some()
	if c == nil {
		return
	}
	c.cut()
	r.open(c)
}

// open connects a client: one that is new, or the successor of old.
func (r *hubRig) open(old *hubClient) {
	kind, which := r.byte(), r.byte()
	live := 0
	for _, c := range r.clients {
		if !c.over {
			live++
		}
	}
	if live >= 6 {
		return
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	unix.SetsockoptInt(fds[0], unix.SOL_SOCKET, unix.SO_SNDBUF, 1)
	c := &hubClient{r: r, fd: fds[1], events: kind&4 != 0}
	r.clients = append(r.clients, c)
	c.opts = broadcast.SubscribeOptions{Policy: broadcast.Policy(1 + kind%4), Window: 1500, TellMissed: true}
	if which&0x40 != 0 {
		c.opts.Soft.Messages, c.opts.SoftTime = 1, 1
	}
	if kind&8 != 0 {
		c.opts.Limit.Bytes = 4000
	}
	c.filter(kind)
	patterns := []string{hubPatterns[which%8]}
	if kind&32 != 0 {
		patterns = append(patterns, hubPatterns[which>>3%8])
	}
	var since uint64
	switch {
	case old != nil:
		since = max(old.last, r.first)
	case kind&64 != 0:
		since = broadcast.All + uint64(which>>7) // 2 is of no run
	}
	c.query = func() {
		for _, p := range patterns {
			c.subscribe(p, since, c.opts)
		}
	}
	request := wsRequest
	if c.events {
		request = "GET / HTTP/1.0\r\n\r\n"
	}
	unix.Write(c.fd, []byte(request))
	r.onLoop(func() {
		var err error
		if c.c, err = r.m.Wrap(fds[0], c.handle); err != nil {
			r.t.Fatal(err)
		}
		http.Attach(c.c, r.server)
		c.c.SetLimits(&hubLimits)
	})
	for range 3 {
		r.turn()
	}
	if c.query != nil {
		r.t.Fatal("there was no request")
	}
}

// filter gives the client a filter: one that lets messages of even size through, or one that does something itself.
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
	if err := r.hub.Subscribe(c.c, pattern, o); err != nil {
		if c.events && err == broadcast.ErrNoSubscriber {
			return // the hub has ended the stream
		}
		r.t.Fatalf("Subscribe: %v", err)
	}
	s := hubSub{pattern: pattern, start: now, sure: 1 << 63, until: 1 << 63, since: since, even: c.even}
	tracking := r.opts.History.Count > 0 || r.opts.Retain
	switch {
	case !tracking:
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

// ended notes that the hub, or somebody, has ended the connection.
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
	if kind == "missed" {
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
	if m := c.r.published[i]; m.topic != topic || m.size != len(data) || strings.Trim(data, "x") != "" {
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
	if m.except == c.c.ID() {
		return false, false
	}
	for _, s := range c.subs {
		switch {
		case !broadcast.Match(s.pattern, m.topic) || s.even && m.size%2 != 0:
		case at > s.start && at <= s.until:
			may = true
			must = must || at > s.from && at <= s.sure
		case at <= s.start && s.greeted:
			may = true
			must = must || s.sure == 1<<63 && c.r.opts.MaxTopics == 0 && !c.r.superseded(i)
		}
	}
	return must, may
}

// evicts reports whether history loses messages.
func (r *hubRig) evicts() bool { return r.opts.History.Count < 1<<20 || r.opts.MaxTopics > 0 }

// superseded reports whether there is a later message with the topic of message i.
func (r *hubRig) superseded(i int) bool {
	return slices.ContainsFunc(r.published[i+1:], func(m hubMessage) bool { return m.topic == r.published[i].topic })
}

// finish lets everybody read, and compares what they got with what they should have.
func (r *hubRig) finish() {
	for _, c := range r.clients {
		c.stalled = false
	}
	r.drain()
	for _, c := range r.clients {
		if !c.over {
			c.check()
		}
		c.cut()
	}
	for n := 0; r.m.Stats().Conns > 0; n++ {
		if r.turn(); n > 1000 {
			r.t.Fatal("connections stay")
		}
	}
	if s := r.hub.Stats(); s.Subscriptions != 0 || s.Queued != 0 || s.QueuedBytes != 0 {
		r.t.Fatalf("left: %+v", s)
	}
	for _, topic := range hubTopics {
		if n := r.hub.Subscribers(topic); n != 0 {
			r.t.Fatalf("%d subscribers of %q are left", n, topic)
		}
	}
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
		case may:
			perhaps++
		}
	}
	if missing > c.missed {
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
	if missing > 0 && r.hub.Stats().Skipped == 0 {
		t.Fatalf("client %d misses %d, and nothing was skipped", c.c.ID(), missing)
	}
	if foreign != c.reset && (r.opts.History.Count > 0 || r.opts.Retain) && !ended {
		t.Fatalf("client %d: reset %v, want %v", c.c.ID(), c.reset, foreign)
	}
}

func (r *hubRig) close() {
	for _, c := range r.clients {
		if !c.over {
			unix.Close(c.fd)
		}
	}
	r.m.Close()
}
