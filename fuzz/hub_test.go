package fuzz

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/websocket"
)

// FuzzHub runs a program of publishing, subscribing, stalling, closing and coming back on a hub
// whose loop the test turns itself, and tells a naive model of it: a list of what was published,
// and of what each client has asked for. At the end each client must have got what it should have,
// once and in order, and have been told how much it has not.
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

// hubMessage is a message, or the deletion of its topic, or an offset that no message has: its
// topic is empty then.
type hubMessage struct {
	topic   string
	size    int
	except  uint64
	deleted bool
}

// hubSub is a subscription: what was published after start has to come, up to sure, and may, up to
// until.
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
	o.EncodeDeleted = func(b []byte, m *broadcast.Message) (websocket.Op, []byte) {
		return websocket.Text, fmt.Appendf(b, "%d|%s|deleted", m.Offset, m.Topic)
	}
	o.EncodeEvent = func(b []byte, m *broadcast.Message) (string, []byte) { return m.Topic, append(b, m.Data...) }
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

// step does what one byte of the program says, with those after it.
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
		switch b := op >> 4; {
		case b < 8:
			r.drain()
		case b < 12:
			r.inject(hubTopics[r.byte()%6], uint64(b-8))
		default:
			r.delete(hubTopics[r.byte()%6])
		}
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
		switch b % 4 {
		case 0:
			c.ours = true
			c.c.Drain()
		case 1:
			r.delete(hubTopics[int(b>>2)%len(hubTopics)])
		default:
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
		r.published = append(r.published, hubMessage{topic: topic, size: size})
		before = r.hub.Offset()
		x, err = r.hub.PublishExcept(except, topic, data)
	}
	clear(data)
	r.note(hubMessage{topic: topic, size: size, except: except}, before, x.Offset, err)
}

// note notes a message that was published with that offset, or refused.
func (r *hubRig) note(m hubMessage, before, offset uint64, err error) {
	switch {
	case err == broadcast.ErrFull && r.opts.Queue > 0:
		if r.hub.Offset() != before {
			r.t.Fatal("a message that was refused has an offset")
		}
	case err != nil:
		r.t.Fatal(err)
	case offset != before+1:
		r.t.Fatalf("offset %d behind %d", offset, before)
	default:
		r.published = append(r.published, m)
	}
}

func (r *hubRig) delete(topic string) {
	before := r.hub.Offset()
	x, err := r.hub.Delete(topic)
	r.note(hubMessage{topic: topic, deleted: true}, before, x.Offset, err)
}

// inject publishes a message whose offset leaves a gap.
func (r *hubRig) inject(topic string, gap uint64) {
	before := r.hub.Offset()
	if err := r.hub.Inject(before, topic, nil, time.Time{}); err != broadcast.ErrStale {
		r.t.Fatal(err)
	}
	err := r.hub.Inject(before+gap+1, topic, []byte("xxx"), time.Now().Add(-time.Minute))
	if err == nil {
		r.published = append(r.published, make([]hubMessage, gap)...)
		before += gap
	}
	r.note(hubMessage{topic: topic, size: 3}, before, before+1, err)
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
	switch {
	case which&0x41 == 0x40:
		c.opts.Soft.Messages, c.opts.SoftTime = 1, 1
	case which&0x41 == 0x41:
		c.opts.MinInterval = time.Duration(1+which&0x3e) * 20 * time.Microsecond
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

// holding reports whether a message waits for its time.
func (r *hubRig) holding() bool {
	return slices.ContainsFunc(r.clients, func(c *hubClient) bool {
		if c.over || c.opts.MinInterval == 0 {
			return false
		}
		info, _ := r.hub.Subscriber(c.c)
		return info.Waiting > 0
	})
}

// evicts reports whether history loses messages.
func (r *hubRig) evicts() bool { return r.opts.History.Count < 1<<20 || r.opts.MaxTopics > 0 }

// tracks reports whether history keeps anything.
func (r *hubRig) tracks() bool { return r.opts.History.Count > 0 || r.opts.Retain }

// deleted reports whether the topic of message i was deleted later.
func (r *hubRig) deleted(i int) bool {
	return slices.ContainsFunc(r.published[i+1:], func(m hubMessage) bool { return m.deleted && m.topic == r.published[i].topic })
}

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
	for r.holding() {
		r.m.Poll(time.Millisecond)
		r.drain()
	}
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

func (r *hubRig) close() {
	for _, c := range r.clients {
		if !c.over {
			unix.Close(c.fd)
		}
	}
	r.m.Close()
}
