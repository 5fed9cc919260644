package broadcast

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/mgr"
)

func TestEachSubscriberGetsTheMessagesOfEachPublisherInOrder(t *testing.T) {
	pollers(t, func(t *testing.T, p mgr.Poller) {
		const publishers, subscribers = 8, 100
		each := many(2000)
		r := newRig(t, p, Options{}, func(r *rig) { r.sub.Limit = Limit{Messages: publishers * each} })
		var wg sync.WaitGroup
		for i := range subscribers {
			// Half of them would get all twice if overlapping patterns did that.
			c := r.ws([]string{"topic=a/%23", "topic=a/%2B,a/%23,%23"}[i%2])
			wg.Go(func() {
				var next [publishers]int
				for range publishers * each {
					s, err := c.read()
					from, n, _ := strings.Cut(s, " ")
					k, _ := strconv.Atoi(from)
					if err != nil || n != strconv.Itoa(next[k]) {
						t.Errorf("got %q, %v instead of %d of publisher %d", s, err, next[k], k)
						return
					}
					next[k]++
				}
				c.say("the end")
				c.want("done the end")
			})
		}
		for k := range publishers {
			wg.Go(func() {
				for i := range each {
					r.publish("a/"+strconv.Itoa(k), fmt.Sprint(k, " ", i))
				}
			})
		}
		wg.Wait()
		if s := r.hub.Stats(); s.Delivered != uint64(subscribers*publishers*each) || s.Skipped+s.Lost != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// TestOneThatIsCutAgainAndAgainMissesNothing cuts a subscriber off at random, while a publisher
// runs that is at most as far ahead as history reaches.
func TestOneThatIsCutAgainAndAgainMissesNothing(t *testing.T) {
	for _, kind := range []string{"WebSocket", "events"} {
		t.Run(kind, func(t *testing.T) {
			pollers(t, func(t *testing.T, p mgr.Poller) {
				const ahead = 4000
				total := many(100_000)
				r := newRig(t, p, Options{History: History{Count: ahead}}, func(r *rig) { r.sub.TellMissed = true })
				first := r.hub.Offset()
				var got atomic.Int64
				room := make(chan struct{}, ahead)
				var wg sync.WaitGroup
				wg.Go(func() {
					for i := range total {
						room <- struct{}{}
						r.publish("a/"+strconv.Itoa(i%7), numbered(i, 20))
					}
				})
				cuts := 0
				for d := rand.New(rand.NewPCG(5, 6)); int(got.Load()) < total; cuts++ {
					// A stream of events tells where it is by its ids, a WebSocket has counted.
					since := fmt.Sprint(first + uint64(got.Load()))
					c := r.ws
					if kind == "events" {
						c = func(query string) *client { return r.sse(query, since) }
					}
					x := c("topic=a/%23&since=" + since)
					for n := 1 + d.IntN(200); n > 0 && int(got.Load()) < total; n-- {
						s, err := x.read()
						if err != nil || number(s) != int(got.Load()) {
							t.Fatalf("got %q, %v instead of message %d after %d cuts", s, err, got.Load(), cuts)
						}
						if got.Add(1); kind == "events" && x.id != fmt.Sprint(first+uint64(got.Load())) {
							t.Fatalf("id %q for message %d", x.id, got.Load())
						}
						<-room
					}
					x.Close()
				}
				wg.Wait()
				if cuts < total/200 {
					t.Errorf("%d cuts", cuts)
				}
			})
		})
	}
}

// A publisher gets an error while the manager ends, or its message is delivered, or there is no
// subscriber left.
func TestPublishWhileTheManagerEnds(t *testing.T) {
	for _, how := range []string{"Close", "Shutdown"} {
		t.Run(how, func(t *testing.T) {
			pollers(t, func(t *testing.T, p mgr.Poller) {
				for range 5 {
					r := newRig(t, p, Options{History: History{Count: 100}, Queue: 2000})
					for range 5 {
						go r.ws("topic=%23").end()
					}
					r.until("subscribers", func(s Stats) bool { return s.Subscriptions == 5 })
					var wg sync.WaitGroup
					var ended atomic.Bool
					for range 3 {
						wg.Go(func() {
							for !ended.Load() {
								switch _, err := r.hub.Publish("a", []byte("x")); err {
								case nil:
								case ErrClosed, ErrFull:
									time.Sleep(time.Millisecond) // as a program would, which has nowhere to go with it
								default:
									t.Error(err)
								}
							}
						})
					}
					r.until("messages", func(s Stats) bool { return s.Delivered > 100 })
					if how == "Close" {
						r.m.Close()
					} else if err := r.m.Shutdown(context.Background()); err != nil {
						t.Error(err)
					}
					ended.Store(true)
					wg.Wait()
					s := r.hub.Stats()
					if s.Queued != 0 || s.Subscriptions != 0 {
						t.Fatalf("left: %+v", s)
					}
					if x, err := r.hub.Publish("a", []byte("x")); err != nil || x.Subscribers != 0 {
						t.Fatalf("afterwards: %+v, %v", x, err)
					}
				}
			})
		})
	}
}

func TestSeveralManagers(t *testing.T) {
	a := newRig(t, mgr.Epoll, Options{})
	b := newRig(t, mgr.Select, Options{})
	hub := NewHub(Options{History: History{Count: 1 << 20}, Subscribe: SubscribeOptions{Limit: Limit{Messages: 1 << 20}}}, a.m, b.m)
	for _, r := range []*rig{a, b} {
		r.do(func() { r.hub = hub })
	}
	total := many(5000)
	var wg sync.WaitGroup
	for i := range 10 {
		c := a.ws
		if i%2 == 0 {
			c = b.ws
		}
		x := c("topic=a/%23")
		wg.Go(func() {
			for i := range total {
				if s, err := x.read(); err != nil || number(s) != i {
					t.Errorf("got %q, %v instead of message %d", s, err, i)
					return
				}
			}
		})
	}
	for i := range total {
		if x := a.publish(fmt.Sprintf("a/%d", i%5), numbered(i, 10)); x.Subscribers != 10 {
			t.Fatalf("%+v", x)
		}
	}
	wg.Wait()
	// One loop ends: the other goes on.
	a.m.Close()
	if s := a.until("five", func(s Stats) bool { return s.Subscriptions == 5 }); s.Queued != 0 {
		t.Errorf("%+v", s)
	}
	c := b.ws("topic=b")
	b.publish("b", "x")
	c.want("x")
}

// Two loops distribute at their own pace: a client that comes back to the other may be ahead of it.
func TestOneThatComesBackToAnotherLoopMissesNothing(t *testing.T) {
	const ahead, publishers = 4000, 4
	total := many(40_000)
	rigs := []*rig{newRig(t, mgr.Epoll, Options{}), newRig(t, mgr.Select, Options{})}
	hub := NewHub(Options{History: History{Count: 2 * ahead}, EncodeEvent: bare}, rigs[0].m, rigs[1].m)
	for _, r := range rigs {
		r.do(func() { r.hub, r.sub.TellMissed = hub, true })
		go r.ws("topic=%23").end() // who keeps the loop busy
	}
	last := hub.Offset()
	room := make(chan struct{}, ahead)
	var wg sync.WaitGroup
	for k := range publishers {
		wg.Go(func() {
			for range total / publishers {
				room <- struct{}{}
				rigs[0].publish("a/"+strconv.Itoa(k), "x")
			}
		})
	}
	d := rand.New(rand.NewPCG(7, 8))
	for got, cuts := 0, 0; got < total; cuts++ {
		x := rigs[cuts%2].sse("topic=%23", fmt.Sprint(last))
		for n := 1 + d.IntN(100); n > 0 && got < total; n-- {
			s, err := x.read()
			if err != nil || s != "x" || x.id != fmt.Sprint(last+1) {
				t.Fatalf("got %q, %q, %v after %d, with %d cuts", s, x.id, err, last, cuts)
			}
			<-room
			last++
			got++
		}
		x.Close()
	}
	wg.Wait()
}
