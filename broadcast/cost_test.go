package broadcast

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/internal/racetest"
	"github.com/seed4930a636/mangusta/websocket"
	"github.com/seed4930a636/mangusta/websocket/deflate"
)

// settle turns the loop until no subscriber waits for history, and checks that no turn takes more
// looks than it may.
func (f *fakes) settle() (turns int) {
	f.t.Helper()
	l := f.hub.loops[0]
	for ; ; turns++ {
		before := l.stats.looks
		f.m.Poll(0)
		took := l.stats.looks - before
		// One step of a walk may take a look for each of its patterns.
		if took > turnLooks+2*MaxPatterns {
			f.t.Fatalf("a turn took %d looks", took)
		}
		if took == 0 && len(l.hungry) == 0 {
			return turns
		}
		if turns > 100_000 {
			f.t.Fatal("there is no end")
		}
	}
}

// looks is how many do takes, and what it leaves to be done.
func (f *fakes) looks(do func()) uint64 {
	f.t.Helper()
	before := f.hub.loops[0].stats.looks
	f.turn(do)
	f.settle()
	return f.hub.loops[0].stats.looks - before
}

// One request for 32 patterns that match nothing once had all messages looked at for each.
func TestManyPatternsThatMatchNothingCostOneWalkThroughTheTopics(t *testing.T) {
	const topics, messages = 1000, 50
	f := newFakes(t, Options{History: History{Count: 1000}})
	for range messages {
		for i := range topics {
			f.hub.Publish(fmt.Sprintf("a/b%d/c/d", i), []byte("1"))
		}
	}
	c, _ := f.open()
	n := f.looks(func() {
		for i := range 32 {
			f.hub.Subscribe(c, fmt.Sprint("+/+/+/n", i), SubscribeOptions{Since: All})
		}
	})
	if n > 10*topics {
		t.Errorf("%d looks for %d topics", n, topics)
	}
}

// The cost of a subscriber grows with what it gets, not with what others have published.
func TestHistoryCostsWhatItBrings(t *testing.T) {
	const subscribers, noise = 2000, 20
	f := newFakes(t, Options{History: History{Count: 1000}})
	since := f.hub.Offset()
	for range noise {
		for i := range subscribers {
			f.hub.Publish(fmt.Sprintf("noise/%d", i), nil)
		}
	}
	for i := range subscribers {
		f.hub.Publish(fmt.Sprintf("device/%d/state", i), []byte("on"))
	}
	for _, pattern := range []string{"device/%d/+", "+/%d/state", "device/%d/#", "device/%d/state"} {
		before := f.hub.Stats().Replayed
		n := uint64(0)
		for i := range subscribers {
			c, _ := f.open()
			n += f.looks(func() { f.hub.Subscribe(c, fmt.Sprintf(pattern, i), SubscribeOptions{Since: since}) })
		}
		if got := f.hub.Stats().Replayed - before; got != subscribers || n > 30*subscribers {
			t.Errorf("%q: %d looks for %d messages", pattern, n, got)
		}
	}
}

// A connection that takes nothing is behind for as long as it likes. It costs the publishers
// nothing.
func TestAStalledReaderCostsAPublisherNothing(t *testing.T) {
	f := newFakes(t, Options{History: History{Count: 10}})
	for i := range 1000 {
		f.hub.Publish(fmt.Sprint("a/", i), []byte(strings.Repeat("x", 1000)))
	}
	for range 50 {
		c, _ := f.open()
		f.turn(func() { websocket.Writer(c, websocket.Text).Write([]byte("a message without an end")) })
		f.subscribe(c, "#", SubscribeOptions{Since: All})
	}
	f.settle()
	if s := f.hub.Stats(); s.Subscriptions != 50 || s.Delivered != 0 {
		t.Fatalf("%+v", s)
	}
	if n := len(f.hub.loops[0].hungry); n != 0 {
		t.Fatal(n, "wait for looks")
	}
	n := f.looks(func() {
		for i := range 1000 {
			f.hub.Publish(fmt.Sprint("a/", i), []byte("y"))
		}
	})
	if n != 0 {
		t.Errorf("%d looks", n)
	}
}

// A reader that gets many topics remembers a part of them at a time.
func TestAReaderOfManyTopicsIsBounded(t *testing.T) {
	const topics = 5*maxSources + 1
	f := newFakes(t, Options{History: History{Count: 10}})
	var want []string
	for i := range 2 * topics {
		f.publish(fmt.Sprint("a/", i*7919%topics), fmt.Sprint(i))
		want = append(want, fmt.Sprint(i))
	}
	c, w := f.open()
	w.Forget = false
	f.turn(func() { f.hub.Subscribe(c, "a/+", SubscribeOptions{Since: All}) })
	u := f.hub.loops[0].subscriber(c)
	for most := 0; ; {
		f.m.Poll(0)
		if len(u.readers) == 0 {
			if most < maxSources/4 {
				t.Errorf("%d sources at most", most)
			}
			break
		}
		n := len(u.readers[0].sources)
		if most = max(most, n); n > maxSources {
			t.Fatalf("%d sources", n)
		}
	}
	f.want(w, want...)
}

// Several may be there with more to be looked through than a turn allows: each gets its share, and
// a subscriber with little to look through does not wait for all of them.
func TestHistoryIsReadInTurns(t *testing.T) {
	const topics = 20_000
	f := newFakes(t, Options{History: History{Count: 1}})
	for i := range topics {
		f.hub.Publish(fmt.Sprint("a/", i, "/x"), nil)
	}
	f.publish("b", "b")
	for range 20 {
		c, _ := f.open()
		if err := f.m.Do(func() { f.hub.Subscribe(c, "+/+/y", SubscribeOptions{Since: All}) }); err != nil {
			t.Fatal(err)
		}
	}
	c, w := f.open()
	w.Forget = false
	f.turn(func() { f.hub.Subscribe(c, "b", SubscribeOptions{Since: All}) })
	f.want(w, "b")
	if n := len(f.hub.loops[0].hungry); n < 10 {
		t.Errorf("only %d still wait", n)
	}
	f.settle()
}

// heap returns how many bytes are in use.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// History.Total bounds memory: names of topics and encoded forms count too.
func TestTotalBoundsMemory(t *testing.T) {
	if racetest.Enabled {
		t.Skip("the race detector takes memory of its own")
	}
	const total = 8 << 20
	for _, tc := range []struct {
		name    string
		publish func(h *Hub, i int)
		n       int
		listen  bool
	}{
		{"small messages", func(h *Hub, i int) { h.Publish("a", []byte("x")) }, 100_000, false},
		{"long names", func(h *Hub, i int) { h.Publish(fmt.Sprint(strings.Repeat("x", 1000), i), nil) }, 20_000, false},
		{"deep names", func(h *Hub, i int) { h.Publish(fmt.Sprint(strings.Repeat("x/", 50), i), nil) }, 50_000, false},
		{"names deep from the first level", func(h *Hub, i int) { h.Publish(fmt.Sprint(i, strings.Repeat("/x", 60)), nil) }, 20_000, false},
		{"one name, long", func(h *Hub, i int) { h.Publish(strings.Repeat("x", 1000), []byte("x")) }, 100_000, false},
		{"encoded", func(h *Hub, i int) { h.Publish("a", []byte(strings.Repeat("\x01", 10_000))) }, 2000, true},
		{"encoded and small", func(h *Hub, i int) { h.Publish("a", []byte("x")) }, 60_000, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFakes(t, Options{History: History{Count: 1 << 20, Total: total},
				Encode: func(b []byte, m *Message) (websocket.Op, []byte) {
					return websocket.Text, fmt.Appendf(b, "%q", m.Data)
				}})
			if tc.listen {
				f.subscriberThatForgets("a")
			}
			before := heap()
			for i := range tc.n {
				tc.publish(f.hub, i)
				if tc.listen {
					f.m.Poll(0)
				}
			}
			for f.hub.Stats().Queued > 0 {
				f.m.Poll(0)
			}
			took := heap() - before
			s := f.hub.Stats()
			if took > total*5/4 || s.Held > total*17/16 || s.Held < total*3/4 {
				t.Errorf("%d bytes are taken, %d counted, of %d: %+v", took, s.Held, total, s)
			}
		})
	}
}

func (f *fakes) subscriberThatForgets(pattern string) {
	c, _ := f.open()
	f.subscribe(c, pattern)
}

// A message is charged for each form of it once, and gives back all when it goes.
func TestEachFormOfAMessageIsCharged(t *testing.T) {
	f := newFakes(t, Options{History: History{Count: 1}})
	held := func() int { return f.hub.Stats().Held }
	f.publish("a", "x")
	alone := held()
	var with []*wire
	for _, opts := range []*websocket.Options{nil, {Compress: deflate.New()}} {
		f.ws = opts
		for range 3 {
			_, w := f.subscriber("a")
			with = append(with, w)
		}
	}
	before := with[3].Taken
	data := strings.Repeat("compressible ", 500)
	f.publish("a", data)
	for range 5 {
		f.m.Poll(0)
	}
	plain := websocket.Prepare(websocket.Text, []byte(data)).Len()
	deflated := with[3].Taken - before
	want := alone - 1 + len(data) + plain + formCost + deflated + formCost
	if got := held(); got != want || deflated < 10 || deflated > plain/10 {
		t.Errorf("%d held, want %d; %d deflated", got, want, deflated)
	}
	f.publish("b", "")
	f.hub.mu.Lock()
	for f.hub.history.kept() > 0 {
		f.hub.history.evict(f.hub.history.log[f.hub.history.first].t)
	}
	f.hub.mu.Unlock()
	if n := held(); n != 0 {
		t.Errorf("%d bytes are held for nothing", n)
	}
}
