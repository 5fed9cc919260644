package broadcast

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/websocket"
)

func TestHistoryBounds(t *testing.T) {
	now, name := int64(0), int(memory("a"))
	kept := func(h *Hub) (n int) { return h.Stats().Kept }
	publish := func(h *Hub, topic string, sizes ...int) {
		for _, n := range sizes {
			if _, err := h.Publish(topic, make([]byte, n)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, tc := range []struct {
		name string
		opts Options
		do   func(*Hub)
		want int
	}{
		{"none", Options{}, func(h *Hub) { publish(h, "a", 1, 1) }, 0},
		{"count", Options{History: History{Count: 2}}, func(h *Hub) { publish(h, "a", 1, 1, 1); publish(h, "b", 1) }, 3},
		{"bytes", Options{History: History{Count: 9, Bytes: 10}}, func(h *Hub) { publish(h, "a", 4, 4, 4); publish(h, "b", 1) }, 3},
		{"too large", Options{History: History{Count: 9, Bytes: 10}}, func(h *Hub) { publish(h, "a", 4, 11) }, 0},
		{"too large, retained", Options{Retain: true, History: History{Count: 9, Bytes: 10}}, func(h *Hub) { publish(h, "a", 4, 11) }, 1},
		{"total", Options{History: History{Count: 9, Total: 2*messageCost + name + 10}}, func(h *Hub) { publish(h, "a", 4); publish(h, "b", 4, 4) }, 2},
		{"total holds for what is retained", Options{Retain: true, History: History{Total: 2*messageCost + 2*name + 10}},
			func(h *Hub) { publish(h, "a", 4); publish(h, "b", 4); publish(h, "c", 4) }, 2},
		{"total, of small messages", Options{History: History{Count: 99, Total: 5*messageCost + name + 5}},
			func(h *Hub) { publish(h, "a", 1, 1, 1, 1, 1, 1, 1, 1) }, 5},
		{"age", Options{History: History{Count: 9, Age: time.Second}},
			func(h *Hub) { publish(h, "a", 1, 1); now += int64(time.Minute); publish(h, "b", 1) }, 1},
		{"age, retained", Options{Retain: true, History: History{Count: 9, Age: time.Second}},
			func(h *Hub) { publish(h, "a", 1, 1); now += int64(time.Minute); publish(h, "a", 1); publish(h, "b", 1) }, 2},
		{"retained only", Options{Retain: true}, func(h *Hub) { publish(h, "a", 1, 1); publish(h, "b", 1) }, 2},
		{"topics", Options{History: History{Count: 9}, MaxTopics: 2},
			func(h *Hub) { publish(h, "a", 1, 1); publish(h, "b", 1); publish(h, "a", 1); publish(h, "c", 1) }, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := NewHub(tc.opts)
			h.clock = func() int64 { return now }
			tc.do(h)
			if got := kept(h); got != tc.want {
				t.Errorf("%d kept, want %d", got, tc.want)
			}
			n, size := 0, 0
			for _, x := range h.Topics() {
				n += x.Kept
				size += x.KeptBytes
			}
			if s := h.Stats(); n != s.Kept || size != s.KeptBytes || s.Topics > 3 {
				t.Errorf("%d messages, %d bytes by topic: %+v", n, size, s)
			}
		})
	}
}

// After a silence many messages are too old at once. No publisher has to wait until all of them are
// gone, and no subscriber gets them.
func TestOldMessagesGoLittleByLittle(t *testing.T) {
	now := int64(0)
	f := newFakes(t, Options{History: History{Count: 10_000, Age: time.Second}})
	f.hub.clock = func() int64 { return now }
	for range 1000 {
		f.publish("a", "old")
	}
	now += int64(time.Minute)
	f.publish("b", "new")
	if n := f.hub.Stats().Kept; n != 1001-maxExpired {
		t.Errorf("%d kept", n)
	}
	_, w := f.subscriber("#", SubscribeOptions{Since: All})
	f.want(w, "new")
	for range 1000/maxExpired - 1 {
		f.publish("a", "new")
	}
	if n := f.hub.Stats().Kept; n != 1000/maxExpired {
		t.Errorf("%d kept", n)
	}
}

// Messages that history loses while a subscriber reads it are told, in their place.
func TestEvictionDuringCatchUpIsTold(t *testing.T) {
	f := newFakes(t, Options{History: History{Count: 4}})
	first := f.hub.Offset()
	f.publish("a", "0", "1", "2", "3")
	c, w := f.open()
	w.Forget = false
	writer := websocket.Writer(c, websocket.Text)
	f.turn(func() {
		writer.Write([]byte("holds up the rest"))
		f.hub.Subscribe(c, "a", SubscribeOptions{Since: first, TellMissed: true})
	})
	f.want(w, "holds up the rest")
	f.publish("b", "not this")
	f.publish("a", "4", "5", "6") // 1 and 2 go; 0 has been read already
	f.turn(func() { writer.Close() })
	f.want(w, "", "0", `{"missed":2}`, "3", "4", "5", "6")
	f.publish("a", "live")
	f.want(w, "live")
}

func TestRetainedMessagesComeOnceToWhoeverAsksTwice(t *testing.T) {
	f := newFakes(t, Options{Retain: true})
	f.publish("a", "1", "2")
	f.publish("b", "3")
	c, w := f.open()
	w.Forget = false
	f.turn(func() { f.hub.Subscribe(c, "a"); f.hub.Subscribe(c, "#"); f.hub.Subscribe(c, "+") })
	f.want(w, "2", "3")
}

// The histories of several patterns come as one, or one that is cut in the middle would miss
// messages by its last offset.
func TestHistoriesOfSeveralPatternsComeInOrder(t *testing.T) {
	f := newFakes(t, Options{History: History{Count: 9}})
	f.publish("a", "0")
	f.publish("b", "1")
	f.publish("a", "2")
	f.publish("b", "3")
	c, w := f.open()
	w.Forget = false
	f.turn(func() {
		f.hub.Subscribe(c, "b", SubscribeOptions{Since: All})
		f.hub.Subscribe(c, "a", SubscribeOptions{Since: All})
		f.hub.Publish("a", []byte("4"))
	})
	f.publish("b", "5")
	f.want(w, "0", "1", "2", "3", "4", "5")
}

// One subscription comes to the end of history while messages, which are another's too, still wait
// for the loop.
func TestCatchingUpKeepsBehindTheLoop(t *testing.T) {
	f := newFakes(t, Options{History: History{Count: 9}})
	f.publish("a", "0")
	c, w := f.open()
	w.Forget = false
	writer := websocket.Writer(c, websocket.Text)
	f.turn(func() {
		writer.Write([]byte("holds up the rest"))
		f.hub.Subscribe(c, "a", SubscribeOptions{Since: All})
		f.hub.Subscribe(c, "#")
	})
	f.want(w, "holds up the rest")
	f.turn(func() {
		f.m.AfterFunc(0, func() { // after the messages of this turn, before what it has to send
			f.hub.Publish("b", []byte("1"))
			f.hub.Publish("a", []byte("2"))
			writer.Close()
		})
	})
	f.want(w, "", "0", "1", "2")
}

func TestNothingMissedButTheRunIsTold(t *testing.T) {
	f := newFakes(t, Options{History: History{Count: 9}})
	_, w := f.subscriber("a", SubscribeOptions{Since: 42, TellMissed: true})
	f.want(w, `{"missed":0,"reset":true}`)
}

func TestALongHistoryIsLookedThroughInSeveralTurns(t *testing.T) {
	const n = 3 * turnLooks
	f := newFakes(t, Options{History: History{Count: 1, Total: 1 << 30}, MaxTopics: 2 * n})
	for i := range n {
		f.hub.Publish(fmt.Sprint("a/", i, "/x"), nil)
	}
	f.publish("b/b/x", "b")
	f.publish("c", "c")
	_, live := f.subscriber("live")
	c, w := f.open()
	w.Forget = false
	f.turn(func() {
		f.hub.Subscribe(c, "c", SubscribeOptions{Since: All})
		f.hub.Subscribe(c, "+/b/+", SubscribeOptions{Since: All})
		f.hub.Subscribe(c, "+/+/y", SubscribeOptions{Since: All})
	})
	f.publish("live", "1")
	f.want(live, "1")
	if got := w.messages(); got != nil {
		t.Errorf("got %q at once", got)
	}
	f.want(w, "b", "c") // c has waited for b
}

func TestTheNewestTopics(t *testing.T) {
	f := newFakes(t, Options{History: History{Count: 1}, MaxTopics: 4})
	for _, topic := range strings.Fields("a b c a d b e") { // with e, c is forgotten
		f.publish(topic, "x")
	}
	var all []string
	for _, x := range f.hub.Newest(10) {
		all = append(all, x.Name)
	}
	if got := strings.Join(all, " "); got != "e b d a" {
		t.Errorf("got %q", got)
	}
	if n := len(f.hub.Newest(2)); n != 2 || len(f.hub.Newest(-1)) != 0 || len(f.hub.Topics()) != 4 {
		t.Errorf("%d of two", n)
	}
}
