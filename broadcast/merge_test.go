package broadcast

import (
	"fmt"
	"io"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/websocket"
)

// stall has c take nothing until end is called.
func (f *fakes) stall(c *conn.Conn) (end func()) {
	f.t.Helper()
	var b io.WriteCloser
	f.turn(func() { b = websocket.Writer(c, websocket.Text); b.Write([]byte("-")) })
	return func() {
		f.t.Helper()
		f.turn(func() { b.Close() })
		f.settle()
	}
}

// A reader that needs several turns for its names has lost a message, and finds none. Then comes a
// message that is later than the one which waits in the queue of another pattern. The loss lies in
// front of both. It must be told before either goes out: a client that is cut off after the first
// comes back with its offset, and never learns of anything before it.
func TestALossOfALongReadIsToldBeforeWhatWaits(t *testing.T) {
	f := newFakes(t, Options{History: History{Count: 1}})
	c, w := f.subscriber("live", SubscribeOptions{TellMissed: true})
	for i := range turnLooks { // one turn cannot look at all of them
		if _, err := f.hub.PublishExcept(c.ID(), fmt.Sprint("t/", i), []byte("not c")); err != nil {
			t.Fatal(err)
		}
	}
	since := f.hub.Offset()
	for range tail/16 + 1 { // more than a look at the log would find
		f.publish("t/1", "lost")
	}
	if _, err := f.hub.PublishExcept(c.ID(), "t/1", []byte("not c")); err != nil {
		t.Fatal(err)
	}
	f.turn(func() {})
	end := f.stall(c)
	f.publish("live", "waits")
	f.turn(func() {})
	l := f.hub.loops[0]
	if err := f.m.Do(func() {
		if err := f.hub.Subscribe(c, "t/+", SubscribeOptions{Since: since, TellMissed: true}); err != nil {
			t.Error(err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	for len(l.hungry) == 0 {
		f.m.Poll(0)
	}
	f.publish("t/2", "later")
	for range 10 {
		f.m.Poll(0)
	}
	end()
	f.want(w, "-", "", `{"missed":65}`, "waits", "later")
}

// A subscriber still reads the history of a stream when that is replaced by a second one, and soon
// by a third. The second stream is over, so nothing of it may come, least of all before the Reset:
// its offsets would count as those of the first.
func TestAReaderOfAStreamGetsNothingOfOneThatWasSoonReplaced(t *testing.T) {
	e := newSinkOf(t)
	f := newFakes(t, Options{Engine: e, History: History{Count: 1000}})
	s := <-e.sink
	s.Begin(Info{Epoch: base, First: base + 1, Last: base})
	for i := range uint64(3) {
		s.Deliver(stored(i+1, "a"))
	}
	f.turn(func() {})
	c, w := f.open()
	w.Forget = false
	f.turn(func() {
		if err := f.hub.Subscribe(c, "a", SubscribeOptions{Since: base + 1, TellMissed: true}); err != nil {
			t.Error(err)
		}
		for n := range uint64(2) {
			first := (n + 2) * base
			s.Begin(Info{Epoch: first, First: first + 1, Last: first})
			for i := range uint64(turnMessages + 10) { // the loop needs a turn more
				s.Deliver(&Entry{Offset: first + 1 + i, Topic: "a", Data: fmt.Append(nil, n)})
			}
		}
	})
	f.settle()
	for range 20 {
		f.m.Poll(0)
	}
	for i, m := range w.messages() {
		if want := []string{`{"missed":0,"reset":true}`, "1"}[min(i, 1)]; m != want {
			t.Fatalf("message %d is %s, want %s", i, m, want)
		}
	}
}

// Of patterns that are subscribed to together, one is told of what is missing, and the others are
// not. The loss may be of any of them, so it is told, whichever came first.
func TestALossIsToldIfOneOfThePatternsIsToBeTold(t *testing.T) {
	for _, tt := range []struct {
		history int
		newest  bool // there is a message after the loss
		want    []string
	}{
		{0, true, []string{`{"missed":2}`}},
		{1, true, []string{`{"missed":1}`, "newest"}},
		{1, false, []string{`{"missed":1}`}}, // the history of both ends before anything is sent
	} {
		for _, first := range []bool{true, false} {
			f := newFakes(t, Options{History: History{Count: tt.history}})
			f.publish("a", "had")
			since := f.hub.Offset()
			c, w := f.open()
			w.Forget = false
			f.publish("b", "lost")
			except := c.ID()
			if tt.newest {
				except = 0
			}
			f.hub.PublishExcept(except, "b", []byte("newest"))
			f.turn(func() {
				f.hub.Subscribe(c, "a", SubscribeOptions{Since: since, TellMissed: first})
				f.hub.Subscribe(c, "b", SubscribeOptions{Since: since, TellMissed: !first})
			})
			f.want(w, tt.want...)
		}
	}
}

// EncodeMissed may end subscriptions of the connection that it is called for, also where nothing
// waits any more.
func TestEncodeMissedMayUnsubscribe(t *testing.T) {
	for name, deed := range map[string]func(h *Hub, c *conn.Conn){
		"all":        func(h *Hub, c *conn.Conn) { h.UnsubscribeAll(c) },
		"one":        func(h *Hub, c *conn.Conn) { h.Unsubscribe(c, "a") },
		"the others": func(h *Hub, c *conn.Conn) { h.Unsubscribe(c, "b"); h.Unsubscribe(c, "c") },
	} {
		for _, history := range []int{0, 1} {
			t.Run(fmt.Sprint(name, history), func(t *testing.T) {
				var c *conn.Conn
				var h *Hub
				told := 0
				var log panics
				f := newFakesOn(t, mgr.Options{Log: &log}, Options{History: History{Count: history}, EncodeMissed: func(b []byte, m Missed) (websocket.Op, []byte) {
					told++
					deed(h, c)
					return defaultMissed(b, m)
				}})
				h = f.hub
				f.publish("x", "had")
				since := h.Offset()
				c, _ = f.open()
				for _, topic := range []string{"a", "b", "c"} {
					f.publish(topic, "lost")
					h.PublishExcept(c.ID(), topic, nil)
				}
				f.turn(func() {
					for _, topic := range []string{"a", "b", "c"} {
						h.Subscribe(c, topic, SubscribeOptions{Since: since, TellMissed: true})
					}
				})
				f.turn(func() {})
				f.turn(func() { h.UnsubscribeAll(c) })
				if s := h.Stats(); s.Subscriptions != 0 || s.Queued != 0 || told != 1 || len(log.list) > 0 {
					t.Errorf("%+v, told %d times, %q", s, told, log.list)
				}
			})
		}
	}
}
