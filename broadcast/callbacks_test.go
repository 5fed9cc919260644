package broadcast

import (
	"fmt"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/websocket"
)

// deeds are what a program may do inside each of its functions that the hub calls on the loop.
var deeds = []struct {
	name string
	do   func(h *Hub, c *conn.Conn)
}{
	{"publish", func(h *Hub, c *conn.Conn) { h.Publish("a/deed", []byte("x")) }},
	{"publish to it", func(h *Hub, c *conn.Conn) { h.PublishTo(c.ID(), "a/deed", []byte("x")) }},
	{"delete", func(h *Hub, c *conn.Conn) { h.Delete("a/1") }},
	{"subscribe", func(h *Hub, c *conn.Conn) { h.Subscribe(c, "b/+", SubscribeOptions{Since: All}) }},
	{"subscribe to the same", func(h *Hub, c *conn.Conn) { h.Subscribe(c, "a/+", SubscribeOptions{Greet: true}) }},
	{"unsubscribe", func(h *Hub, c *conn.Conn) { h.Unsubscribe(c, "a/+") }},
	{"leave and come back", func(h *Hub, c *conn.Conn) {
		h.Unsubscribe(c, "a/+")
		h.Subscribe(c, "a/+", SubscribeOptions{Since: All})
	}},
	{"unsubscribe from all", func(h *Hub, c *conn.Conn) { h.UnsubscribeAll(c) }},
	{"renew", func(h *Hub, c *conn.Conn) { h.Renew(c, Rights{Subscribe: func(p string) bool { return p != "a/+" }}) }},
	{"pace", func(h *Hub, c *conn.Conn) { h.SetMinInterval(c, time.Hour) }},
	{"close", func(h *Hub, c *conn.Conn) { c.Close() }},
	{"close with a code", func(h *Hub, c *conn.Conn) { websocket.CloseWith(c, websocket.CloseNormal, "") }},
	{"panic", func(h *Hub, c *conn.Conn) { panic("on purpose") }},
}

// calls are the functions: each makes a hub and its subscriptions call act.
var calls = []struct {
	name string
	set  func(o *Options, s *SubscribeOptions, act func())
}{
	{"Encode", func(o *Options, _ *SubscribeOptions, act func()) {
		o.Encode = func(b []byte, m *Message) (websocket.Op, []byte) { act(); return JSON(b, m) }
	}},
	{"EncodeDeleted", func(o *Options, _ *SubscribeOptions, act func()) {
		o.EncodeDeleted = func(b []byte, m *Message) (websocket.Op, []byte) { act(); return JSON(b, m) }
	}},
	{"EncodeMissed", func(o *Options, _ *SubscribeOptions, act func()) {
		o.EncodeMissed = func(b []byte, m Missed) (websocket.Op, []byte) { act(); return defaultMissed(b, m) }
	}},
	{"Presence", func(o *Options, _ *SubscribeOptions, act func()) { o.Presence = func(Presence) { act() } }},
	{"Filter", func(_ *Options, s *SubscribeOptions, act func()) {
		s.Filter = func(*Message) bool { act(); return true }
	}},
	{"Rights", func(_ *Options, s *SubscribeOptions, act func()) {
		s.Rights = &Rights{Until: time.Now().Add(time.Hour), Subscribe: func(string) bool { act(); return true }}
	}},
}

// Whatever a function of the program does to the hub and to the connection that it is called for,
// the hub stands: the next function is called, another subscriber gets each message once and in
// order, and nothing is left when the connection is gone.
func TestFunctionsOfTheProgramMayDoAnything(t *testing.T) {
	pollers(t, func(t *testing.T, p mgr.Poller) {
		for _, call := range calls {
			for _, deed := range deeds {
				t.Run(call.name+"/"+deed.name, func(t *testing.T) { playDeed(t, p, call.set, deed.do) })
			}
		}
	})
}

func playDeed(t *testing.T, p mgr.Poller, set func(*Options, *SubscribeOptions, func()), deed func(*Hub, *conn.Conn)) {
	var h *Hub
	var c *conn.Conn
	depth, acts := 0, 0
	act := func() {
		if c == nil || depth > 0 || acts == 20 { // not within itself, and not for ever
			return
		}
		depth++
		acts++
		defer func() { depth-- }()
		deed(h, c)
	}
	o := Options{Encode: JSON, History: History{Count: 4}, Retain: true}
	s := SubscribeOptions{TellMissed: true, Delta: true}
	set(&o, &s, act)
	var log panics
	r := newRig(t, p, o, func(r *rig) { r.log = &log })
	h = r.hub
	for n := range 6 { // two are missed
		h.Publish("a/1", fmt.Append(nil, n))
		h.Publish("b/1", fmt.Append(nil, n))
	}
	var heard []uint64
	other := r.connect()
	try := func(do func()) {
		r.do(func() { r.m.Try(do) })
		for range 4 {
			r.do(func() {})
		}
	}
	try(func() {
		h.Subscribe(other, "a/+", SubscribeOptions{Since: h.Offset(), Filter: func(m *Message) bool {
			heard = append(heard, m.Offset)
			return false
		}})
	})
	it := r.connect()
	replay := s
	replay.Since = h.first + 1
	try(func() { c = it; h.Subscribe(it, "a/+", replay) })
	try(func() { h.Subscribe(it, "#", s) })
	var want []uint64
	for n := range 4 {
		try(func() {
			if x, err := h.Publish("a/2", fmt.Append(nil, n)); err == nil {
				want = append(want, x.Offset)
			}
		})
	}
	try(func() { h.Delete("a/2") })
	try(func() {
		h.Renew(it, Rights{Until: time.Now().Add(time.Hour), Subscribe: func(string) bool { act(); return true }})
	})
	try(func() { h.Renew(it, Rights{Subscribe: func(string) bool { act(); return false }}) })
	try(func() { c = nil; it.Close() }) // nothing more is done
	try(func() { h.UnsubscribeAll(other) })
	try(func() {
		seen := make(map[uint64]bool)
		for i, at := range heard {
			if i > 0 && at <= heard[i-1] {
				t.Errorf("%d comes after %d", at-h.first, heard[i-1]-h.first)
			}
			seen[at] = true
		}
		for _, at := range want {
			if !seen[at] {
				t.Errorf("another subscriber does not get %d", at-h.first)
			}
		}
		l := h.loops[0]
		if n := len(l.subscriptions()); n != 0 || len(l.alarms) != 0 || len(l.hungry) != 0 || len(h.root.kids) != 0 || h.root.plus != nil || h.root.hash != nil {
			t.Errorf("%d subscriptions, %d alarms, %d hungry, the tree is %+v", n, len(l.alarms), len(l.hungry), h.root)
		}
	})
	if s := h.Stats(); s.Subscriptions != 0 || s.Queued != 0 {
		t.Errorf("%+v", s)
	}
	for _, text := range log.list {
		if text != "on purpose" {
			t.Error(text)
		}
	}
}

// panics is a Log that keeps them. It belongs to the loop.
type panics struct {
	conn.Logger
	list []string
}

func (p *panics) Error(text string, args ...any) {
	for i := 0; i+1 < len(args); i += 2 {
		if args[i] == "panic" {
			text = fmt.Sprint(args[i+1])
		}
	}
	p.list = append(p.list, text)
}
func (p *panics) Warn(string, ...any) {}

// connect opens a WebSocket that has no subscription.
func (r *rig) connect() (c *conn.Conn) {
	r.t.Helper()
	r.ws("topic=x")
	r.do(func() {
		c = r.m.Lookup(r.newest)
		r.hub.UnsubscribeAll(c)
	})
	return c
}
