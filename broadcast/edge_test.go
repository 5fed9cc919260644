package broadcast

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/internal/racetest"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/websocket"
)

// messages returns the payloads of the frames that w has taken, of more than a handshake.
func (w *wire) messages() (all []string) {
	if _, frames, ok := bytes.Cut(w.Sent, []byte("\r\n\r\n")); ok {
		w.Sent = frames
	}
	for b := bytes.NewReader(w.Sent); b.Len() > 0; {
		//lint:ignore SA1019 the bytes are here already: no peer can make it read more
		f, err := ws.ReadFrame(b)
		if err != nil {
			return append(all, err.Error())
		}
		all = append(all, string(f.Payload))
	}
	w.Sent = nil
	return all
}

func (f *fakes) publish(topic string, data ...string) {
	f.t.Helper()
	for _, d := range data {
		if _, err := f.hub.Publish(topic, []byte(d)); err != nil {
			f.t.Fatal(err)
		}
	}
}

// want settles everything, and compares what w has taken since.
func (f *fakes) want(w *wire, want ...string) {
	f.t.Helper()
	for range 10 {
		f.m.Poll(0)
	}
	if got := w.messages(); !slices.Equal(got, want) {
		f.t.Errorf("got %.200q, want %.200q", got, want)
	}
}

// subscriber opens a WebSocket that has subscribed, and keeps what it takes.
func (f *fakes) subscriber(pattern string, opts ...SubscribeOptions) (*conn.Conn, *wire) {
	f.t.Helper()
	c, w := f.open()
	w.Forget = false
	f.subscribe(c, pattern, opts...)
	return c, w
}

func TestPublishToAndExcept(t *testing.T) {
	f := newFakes(t, Options{History: History{Count: 10}})
	a, wa := f.subscriber("a")
	_, wb := f.subscriber("#")
	if _, err := f.hub.PublishExcept(a.ID(), "a", []byte("not a")); err != nil {
		t.Fatal(err)
	}
	f.publish("a", "all")
	f.want(wa, "all")
	f.want(wb, "not a", "all")
	f.hub.PublishTo(a.ID(), "b", []byte("not subscribed"))
	f.hub.PublishTo(12345, "a", []byte("nobody"))
	if x, err := f.hub.PublishExcept(1, "a", nil); err != nil || x.Subscribers != 2 {
		t.Error(x, err)
	}
	f.want(wa, "")
	_, wc := f.subscriber("a", SubscribeOptions{Since: All})
	f.want(wc, "not a", "all", "")
}

func TestBadTopicsPatternsAndConnectionsAreRefused(t *testing.T) {
	f := newFakes(t, Options{})
	other := New(f.m)
	c, _ := f.open()
	plain := conn.New(f.shared, 1<<20, 1, &wire{}, &f.limits, nil)
	foreign := conn.New(conn.NewShared(nil), 1<<20, 1, &wire{}, &f.limits, nil)
	f.turn(func() {
		for _, tc := range []struct{ got, want error }{
			{f.hub.Subscribe(c, "a#"), ErrBadPattern},
			{f.hub.Subscribe(plain, "a"), ErrNoSubscriber},
			{f.hub.Subscribe(foreign, "a"), ErrForeign},
			{f.hub.Subscribe(c, "a"), nil},
			{f.hub.Subscribe(c, "a"), nil},
			{other.Subscribe(c, "a"), ErrForeign},
			{f.hub.PublishTo(1, "+", nil), ErrBadTopic},
		} {
			if !errors.Is(tc.got, tc.want) {
				t.Errorf("got %v, want %v", tc.got, tc.want)
			}
		}
		for i := range MaxPatterns {
			if err := f.hub.Subscribe(c, fmt.Sprint(i)); (err == nil) != (i < MaxPatterns-1) {
				t.Errorf("pattern %d: %v", i+2, err)
			}
		}
		if f.hub.Unsubscribe(c, "x") || !f.hub.Unsubscribe(c, "a") || f.hub.Unsubscribe(foreign, "a") {
			t.Error("Unsubscribe")
		}
		if err := f.hub.Subscribe(c, "a"); err != nil {
			t.Error("an idle connection keeps what it has unsubscribed:", err)
		}
		f.hub.UnsubscribeAll(c)
	})
	if _, err := f.hub.Publish("#", nil); err != ErrBadTopic {
		t.Error(err)
	}
	if s := f.hub.Stats(); s.Subscriptions != 0 || c.Watcher() != nil {
		t.Errorf("%+v", s)
	}
}

func TestPresence(t *testing.T) {
	var got []string
	var hub *Hub
	f := newFakes(t, Options{Presence: func(p Presence) {
		got = append(got, fmt.Sprintf("%s %v %d", p.Pattern, p.Joined, p.Count))
		hub.Publish("presence", nil) // no lock is held
	}})
	hub = f.hub
	a, _ := f.subscriber("x")
	b, _ := f.subscriber("x")
	f.turn(func() { f.hub.Subscribe(b, "y"); f.hub.Unsubscribe(a, "x") })
	f.turn(func() { f.hub.UnsubscribeAll(b) })
	f.m.Poll(0)
	want := []string{"x true 1", "x true 2", "y true 1", "x false 1", "x false 0", "y false 0"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAFullQueueRefusesAMessageForAllLoops(t *testing.T) {
	a, b := newFakes(t, Options{}), newFakes(t, Options{})
	hub := NewHub(Options{Queue: 3, QueueBytes: 10}, a.m, b.m)
	a.hub, b.hub = hub, hub
	_, wa := a.subscriber("a/#")
	_, wb := b.subscriber("a/b")
	for i := range 3 {
		b.publish("a/b", fmt.Sprint(i))
	}
	a.want(wa, "0", "1", "2") // the other is full still
	before := hub.Offset()
	if x, err := hub.Publish("a/b", nil); err != ErrFull || x != (Receipt{}) || hub.Offset() != before {
		t.Errorf("%+v, %v, offset %d after %d", x, err, hub.Offset(), before)
	}
	a.publish("a/c", "3")
	a.want(wa, "3")
	b.want(wb, "0", "1", "2")
	b.publish("a/b", strings.Repeat("x", 100)) // one is never too large
	if _, err := hub.Publish("a/b", []byte("y")); err != ErrFull {
		t.Error(err)
	}
	if s := hub.Stats(); s.Refused != 2 || s.Published != 5 {
		t.Errorf("%+v", s)
	}
}

func TestAPanicOfAFilterIsTheLossOfOneMessageForOne(t *testing.T) {
	f := newFakes(t, Options{})
	panics := SubscribeOptions{Filter: func(m *Message) bool {
		if string(m.Data) == "1" {
			panic("on purpose")
		}
		return true
	}}
	_, wa := f.subscriber("a")
	_, wb := f.subscriber("a", panics)
	_, wc := f.subscriber("a")
	_, wd := f.subscriber("#")
	f.publish("a", "0", "1", "2")
	f.want(wa, "0", "1", "2")
	f.want(wb, "0", "2")
	f.want(wc, "0", "1", "2")
	f.want(wd, "0", "1", "2")
}

// Nor does it end a connection, or the reading of history.
func TestAPanicOfAFilterOfHistoryIsTheLossOfOneMessage(t *testing.T) {
	f := newFakes(t, Options{History: History{Count: 100}})
	f.publish("a", "0", "1", "2")
	c, w := f.subscriber("a", SubscribeOptions{Since: All, Filter: func(m *Message) bool {
		if string(m.Data) == "1" {
			panic("on purpose")
		}
		return true
	}})
	f.want(w, "0", "2")
	if f.publish("a", "3"); !c.IsOpen() || f.m.Stats().Panics != 1 {
		t.Errorf("open %v, %d panics", c.IsOpen(), f.m.Stats().Panics)
	}
	f.want(w, "3")
}

func TestWhatCannotTellOfMissedMessagesTellsNothing(t *testing.T) {
	f := newFakes(t, Options{EncodeMissed: func([]byte, Missed) (websocket.Op, []byte) { panic("on purpose") },
		Encode: func(b []byte, m *Message) (websocket.Op, []byte) {
			if string(m.Data) == "bad" {
				panic("on purpose")
			}
			return websocket.Text, append(b, m.Data...)
		}})
	_, w := f.subscriber("a", SubscribeOptions{TellMissed: true})
	f.publish("a", "0", "bad", "1", "2")
	f.want(w, "0", "1", "2")
}

func TestAMessageThatCannotBeEncodedIsSkipped(t *testing.T) {
	f := newFakes(t, Options{Encode: func(b []byte, m *Message) (websocket.Op, []byte) {
		switch string(m.Data) {
		case "panic":
			panic("on purpose")
		case "bad":
			return websocket.Close, b
		}
		return websocket.Text, append(b, m.Data...)
	}})
	c, w := f.subscriber("a", SubscribeOptions{TellMissed: true})
	f.publish("a", "0", "panic", "1", "bad")
	f.hub.PublishTo(c.ID(), "a", []byte("panic"))
	f.publish("a", "2")
	f.want(w, "0", `{"missed":1}`, "1", `{"missed":1}`, "2")
}

// A message may go past the send limit, and no connection ends for it.
func TestAMessageOverTheSendLimitIsSent(t *testing.T) {
	for _, policy := range []conn.SendPolicy{conn.CloseOnFull, conn.RefuseOnFull} {
		f := newFakes(t, Options{History: History{Count: 100}})
		first := f.hub.Offset()
		f.limits.Send, f.limits.OnFull = 5000, policy
		o := SubscribeOptions{TellMissed: true}
		c, w := f.subscriber("a", o)
		big, fits := strings.Repeat("x", 6000), strings.Repeat("y", 4000)
		f.publish("a", "0", big, fits, fits, "1")
		f.want(w, "0", big, fits, fits, "1")
		o.Since = first
		_, w2 := f.subscriber("a", o)
		f.want(w2, "0", big, fits, fits, "1")
		if !c.IsOpen() {
			t.Error("the connection was closed")
		}
	}
}

func TestMessagesWaitBehindAWriter(t *testing.T) {
	f := newFakes(t, Options{})
	c, w := f.subscriber("a", SubscribeOptions{Limit: Limit{Messages: 2}, TellMissed: true})
	var writer *websocket.MessageWriter
	f.turn(func() {
		writer = websocket.Writer(c, websocket.Text)
		writer.Write([]byte("first"))
	})
	f.publish("a", "0", "1", "2")
	f.want(w, "first")
	f.turn(func() { writer.Close() })
	f.want(w, "", `{"missed":1}`, "1", "2")
	f.publish("a", "3")
	f.want(w, "3")
}

// Filters run in the middle of distributing and of reading history.
func TestFiltersMaySubscribeAndUnsubscribe(t *testing.T) {
	for _, since := range []uint64{0, All} {
		f := newFakes(t, Options{History: History{Count: 100}})
		if since == All {
			f.publish("a", "0", "1", "2")
		}
		c, w := f.open()
		w.Forget = false
		other, wo := f.subscriber("a")
		f.subscribe(c, "a", SubscribeOptions{Since: since, Filter: func(m *Message) bool {
			switch string(m.Data) {
			case "0":
				f.hub.Subscribe(c, "b", SubscribeOptions{Since: All})
			case "1":
				f.hub.Unsubscribe(c, "a")
			}
			f.hub.UnsubscribeAll(other)
			return true
		}})
		if since == 0 {
			f.publish("a", "0", "1", "2")
		}
		f.publish("b", "3")
		if since == 0 {
			f.want(w, "0", "1", "3")
		} else {
			f.want(w, "0", "1", "2", "3") // history that waits is like messages that do
		}
		f.publish("a", "4")
		f.publish("b", "5")
		f.want(w, "5")
		if n := f.hub.Subscribers("a"); n != 0 {
			t.Error(n, "subscribers")
		}
		wo.Sent = nil
	}
}

func TestAnEventStreamThatEndsIsNoSubscriberAnyMore(t *testing.T) {
	pollers(t, func(t *testing.T, p mgr.Poller) {
		r := newRig(t, p, Options{})
		c := r.sse("topic=a", "")
		r.publish("a", "0")
		c.want("0")
		r.do(func() {
			r.m.Broadcast(func(c *conn.Conn) {
				if s := http.EventStream(c); s != nil {
					s.End()
				}
			})
		})
		if s := r.hub.Stats(); s.Subscriptions != 0 || s.Lost != 0 {
			t.Error(s)
		}
	})
}

// Issue 9 C11: subscriptions belong to the request, not to the connection.
func TestAnEventStreamGetsNothingOfAnotherOfItsConnection(t *testing.T) {
	pollers(t, func(t *testing.T, p mgr.Poller) {
		r := newRig(t, p, Options{})
		c := r.sse("topic=secret", "")
		var late *conn.Conn
		r.do(func() {
			r.m.Broadcast(func(c *conn.Conn) {
				if s := http.EventStream(c); s != nil {
					s.End()
					late = c
				}
			})
		})
		for { // the end of the first reply
			line, err := c.r.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			if line == "0\r\n" {
				break
			}
		}
		c.r.ReadString('\n')
		io.WriteString(c, "GET /events?topic=b HTTP/1.1\r\nHost: x\r\n\r\n")
		r.until("a second subscription", func(s Stats) bool { return s.Subscriptions == 1 })
		r.do(func() {
			if err := r.hub.Subscribe(late, "secret"); err != http.ErrOutside {
				t.Error(err)
			}
		})
		r.publish("secret", "for the first")
		r.publish("b", "1")
		c.want("1")
	})
}

func TestADeliveryAllocatesNothing(t *testing.T) {
	if racetest.Enabled {
		t.Skip("the race detector allocates")
	}
	const subscribers = 2000
	f := newFakes(t, Options{})
	for range subscribers {
		c, _ := f.open()
		f.subscribe(c, "a/+")
	}
	data := []byte("sixty-four bytes or so of a message that goes to all of them")
	n := testing.AllocsPerRun(100, func() {
		f.hub.Publish("a/b", data)
		f.m.Poll(0)
	})
	if n > 10 {
		t.Errorf("%v allocations for a message and %d deliveries", n, subscribers)
	}
	if s := f.hub.Stats(); s.Delivered != 101*subscribers {
		t.Errorf("%+v", s)
	}
}

func TestAPanicOfPresenceKeepsNobodyFromJoining(t *testing.T) {
	f := newFakes(t, Options{Presence: func(Presence) { panic("on purpose") }})
	c, w := f.open()
	w.Forget = false
	f.turn(func() {
		if err := f.hub.Subscribe(c, "a"); err != nil {
			t.Error(err)
		}
		f.hub.Subscribe(c, "b")
	})
	f.publish("a", "0")
	f.publish("b", "1")
	f.want(w, "0", "1")
}

func TestAPanicOfPresenceKeepsNoLeavingFromAnybody(t *testing.T) {
	var left []string
	f := newFakes(t, Options{Presence: func(p Presence) {
		if !p.Joined {
			left = append(left, p.Pattern)
			panic("on purpose")
		}
	}})
	c, _ := f.subscriber("a")
	f.turn(func() { f.hub.Subscribe(c, "b") })
	f.turn(func() { f.hub.UnsubscribeAll(c) })
	if !slices.Equal(left, []string{"a", "b"}) {
		t.Errorf("left %q", left)
	}
	if n := f.hub.Stats().Subscriptions; n != 0 {
		t.Errorf("%d subscriptions", n)
	}
}
