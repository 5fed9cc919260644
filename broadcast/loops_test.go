package broadcast

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/websocket"
)

// newLoopsRig is newRig on several loops: connections are handed over in turn, so each loop has
// some.
func newLoopsRig(t *testing.T, p mgr.Poller, n int, opts Options, sub SubscribeOptions) (*rig, *mgr.Loops) {
	l, err := mgr.NewLoops(n, mgr.Options{Poller: p})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, m: l.Managers()[0], hub: NewHub(opts, l), sub: sub}
	c, err := http.Listen(l, "http://127.0.0.1:0", r.handle, http.Options{Accept: mgr.AcceptHandOver})
	if err != nil {
		t.Fatal(err)
	}
	r.addr = c.LocalAddr().String()
	ran := make(chan error, 1)
	go func() { ran <- l.Run(context.Background()) }()
	t.Cleanup(func() {
		l.Close()
		<-ran
	})
	return r, l
}

// Goroutines and handlers of both loops publish at the same time. Each subscriber, on whichever
// loop, gets all messages in the order of their offsets, and each message is encoded once.
func TestOverLoopsSubscribersSeeOneOrderAndMessagesAreEncodedOnce(t *testing.T) {
	pollers(t, func(t *testing.T, p mgr.Poller) {
		const publishers, each, subscribers, total = 4, 100, 6, 2 * 4 * 100
		var frames, events atomic.Int64
		opts := Options{
			Encode: func(b []byte, m *Message) (websocket.Op, []byte) {
				frames.Add(1)
				return websocket.Text, fmt.Appendf(b, "%d %s", m.Offset, m.Data)
			},
			EncodeEvent: func(b []byte, m *Message) (string, []byte) {
				events.Add(1)
				return m.Topic, fmt.Appendf(b, "%d %s", m.Offset, m.Data)
			},
		}
		r, l := newLoopsRig(t, p, 2, opts, SubscribeOptions{Limit: Limit{Messages: total}})
		var clients []*client
		for i := range subscribers {
			if i%3 == 2 {
				clients = append(clients, r.sse("topic=a/%23", ""))
			} else {
				clients = append(clients, r.ws("topic=a/%23"))
			}
		}
		on := l.StatsEach()
		if on[0].Conns == 0 || on[1].Conns == 0 {
			t.Fatalf("connections: %d and %d", on[0].Conns, on[1].Conns)
		}
		var wg sync.WaitGroup
		for _, c := range clients {
			wg.Go(func() {
				last, next := uint64(0), map[string]int{}
				for range total {
					s, err := c.read()
					offset, rest, _ := strings.Cut(s, " ")
					from, n, _ := strings.Cut(rest, " ")
					at, _ := strconv.ParseUint(offset, 10, 64)
					if err != nil || at <= last || n != strconv.Itoa(next[from]) {
						t.Errorf("got %q, %v after offset %d, want number %d of %s", s, err, last, next[from], from)
						return
					}
					last = at
					next[from]++
				}
			})
		}
		for k := range publishers {
			wg.Go(func() {
				for i := range each {
					r.publish("a/"+strconv.Itoa(k), fmt.Sprintf("g%d %d", k, i))
				}
			})
			m := l.Managers()[k%2]
			for i := range each { // those of one loop in their order
				if err := m.Do(func() { r.publish("a/h", fmt.Sprintf("h%d %d", k, i)) }); err != nil {
					t.Error(err)
				}
			}
		}
		wg.Wait()
		if frames.Load() != total || events.Load() != total {
			t.Errorf("%d frames and %d events were encoded for %d messages", frames.Load(), events.Load(), total)
		}
		r.until("all are counted", func(s Stats) bool { return s.Delivered == subscribers*total })
	})
}

// One that comes back on another loop misses nothing.
func TestASubscriberThatComesBackOnAnotherLoopMissesNothing(t *testing.T) {
	pollers(t, func(t *testing.T, p mgr.Poller) {
		r, l := newLoopsRig(t, p, 2, Options{History: History{Count: 100}}, SubscribeOptions{})
		a := r.ws("topic=a")
		first := r.publish("a", "one")
		a.want("one")
		var of conn.Loop
		find := func() (loop conn.Loop) {
			var mu sync.Mutex
			l.Broadcast(func(c *conn.Conn) {
				mu.Lock()
				defer mu.Unlock()
				loop = c.Layer().Shared().Loop
			})
			return loop
		}
		of = find()
		a.Close()
		r.until("it is gone", func(s Stats) bool { return s.Subscriptions == 0 })
		r.publish("a", "two")
		r.publish("a", "three")
		l.Broadcast(func(*conn.Conn) {})
		keep := r.dial() // takes the turn of the loop that has the fewest
		defer keep.Close()
		for l.Stats().Conns != 1 {
			l.Broadcast(func(*conn.Conn) {})
		}
		b := r.ws(fmt.Sprintf("topic=a&since=%d", first.Offset))
		b.want("two")
		b.want("three")
		var loops []conn.Loop
		var mu sync.Mutex
		l.Broadcast(func(c *conn.Conn) {
			mu.Lock()
			defer mu.Unlock()
			loops = append(loops, c.Layer().Shared().Loop)
		})
		if len(loops) != 2 || loops[0] == loops[1] || of == nil {
			t.Errorf("the two are on the same loop, or not there: %d", len(loops))
		}
	})
}

// Intervals, presence and the news of an engine reach the subscribers of all loops.
func TestOverLoopsSubscribersArePacedAndListed(t *testing.T) {
	pollers(t, func(t *testing.T, p mgr.Poller) {
		sub := SubscribeOptions{MinInterval: time.Millisecond, Who: "somebody", TellMissed: true}
		r, _ := newLoopsRig(t, p, 2, Options{History: History{Count: 10}}, sub)
		var clients []*client
		for range 6 {
			clients = append(clients, r.ws("topic=%23"))
		}
		loops := make(map[int]bool)
		for _, x := range r.hub.Present("#", 0) {
			if x.Who != "somebody" || x.Count != 6 {
				t.Errorf("%+v", x)
			}
		}
		for i, l := range r.hub.loops {
			loops[i] = len(l.subscriptions()) > 0
		}
		if len(r.hub.Present("#", 0)) != 6 || !loops[0] || !loops[1] {
			t.Fatal(len(r.hub.Present("#", 0)), loops)
		}
		const n = 500
		for i := range n {
			r.publish("a", fmt.Sprint(i))
		}
		at := r.hub.Offset()
		r.hub.mu.Lock()
		r.hub.lose(at+5, 5)
		r.hub.mu.Unlock()
		if err := r.hub.Inject(at+6, "b", []byte("the end"), time.Now()); err != nil {
			t.Fatal(err)
		}
		for _, c := range clients {
			var got []string
			for len(got) == 0 || got[len(got)-1] != "the end" {
				m, err := c.read()
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, m)
			}
			if k := len(got); k < 3 || !slices.Equal(got[k-3:], []string{fmt.Sprint(n - 1), `{"missed":5}`, "the end"}) {
				t.Errorf("%q", got)
			}
		}
	})
}
