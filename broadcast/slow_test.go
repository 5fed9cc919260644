package broadcast

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/internal/exhaustive"
	"github.com/seed4930a636/mangusta/internal/racetest"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/websocket"
)

// many is n, or less where that would take long.
func many(n int) int {
	switch {
	case racetest.Enabled:
		return n / 40
	case !exhaustive.On():
		return n / 10
	}
	return n
}

// numbered is a message of size bytes that begins with its number.
func numbered(i, size int) string {
	s := strconv.Itoa(i) + " "
	return s + strings.Repeat("x", size-len(s))
}

func number(message string) int {
	s, _, _ := strings.Cut(message, " ")
	n, err := strconv.Atoi(s)
	if err != nil {
		return -1
	}
	return n
}

// batches has a publisher wait for its readers: a batch begins when all have got the last but one.
type batches struct {
	size int
	done []sync.WaitGroup
}

func newBatches(total, size, readers int) *batches {
	b := &batches{size: size, done: make([]sync.WaitGroup, total/size)}
	for i := range b.done {
		b.done[i].Add(readers)
	}
	return b
}

func (b *batches) publishing(i int) {
	if k := i/b.size - 2; i%b.size == 0 && k >= 0 {
		b.done[k].Wait()
	}
}

func (b *batches) got(i int) {
	if i%b.size == b.size-1 {
		b.done[i/b.size].Done()
	}
}

func TestSlowSubscribersHoldUpNobodyElse(t *testing.T) {
	pollers(t, func(t *testing.T, p mgr.Poller) {
		const readers, size, limit = 45, 1 << 10, 256 << 10
		total := many(20_000)
		r := newRig(t, p, Options{}, func(r *rig) {
			r.sub = SubscribeOptions{Limit: Limit{10_000, limit}, TellMissed: true}
		})
		b := newBatches(total, 250, readers)
		var wg sync.WaitGroup
		for range readers {
			c := r.ws("topic=a")
			wg.Go(func() {
				for i := range total {
					got, err := c.read()
					if err != nil || number(got) != i || len(got) != size {
						t.Errorf("%.20q, %v instead of message %d", got, err, i)
						for ; i < total; i++ {
							b.got(i)
						}
						return
					}
					b.got(i)
				}
			})
		}
		slow := map[string]*client{}
		for _, policy := range []string{"oldest", "skip", "latest"} {
			slow[policy] = r.ws("topic=a&policy=" + policy)
		}
		slow["oldest by events"] = r.sse("topic=a&policy=oldest", "")
		closed := r.ws("topic=a&policy=close")

		published, offered := 0, uint64(0)
		for i := range total {
			b.publishing(i)
			offered += uint64(r.publish("a", numbered(i, size)).Subscribers)
			published++
		}
		wg.Wait()
		r.idle()
		r.do(func() {
			r.m.Broadcast(func(c *conn.Conn) {
				s, _ := r.hub.Subscriber(c)
				if s.WaitingBytes > limit || c.Pending() > defaultWindow+2*size {
					t.Errorf("%d bytes wait, %d are queued on the connection", s.WaitingBytes, c.Pending())
				}
			})
		})
		for policy, c := range slow {
			got, missed, last := 0, 0, -1
			for got+missed < total {
				s, err := c.read()
				if err != nil {
					t.Fatalf("%s: %v with %d got, %d missed", policy, err, got, missed)
				}
				if n, ok := strings.CutPrefix(s, `{"missed":`); ok {
					k, _ := strconv.Atoi(strings.TrimSuffix(n, "}"))
					missed += k
					last += k
					continue
				}
				if got++; number(s) != last+1 {
					t.Fatalf("%s: message %d after %d", policy, number(s), last)
				}
				last = number(s)
			}
			if missed == 0 || policy != "skip" && last != total-1 {
				t.Errorf("%s: %d got, %d missed, %d at last", policy, got, missed, last)
			}
			if policy == "latest" && missed < total-200 {
				t.Errorf("latest: only %d missed", missed)
			}
		}
		closed.end()
		s := r.until("the end of the slow", func(s Stats) bool { return s.Subscriptions == 49 })
		if sum := s.Delivered + s.Skipped + s.Lost; s.Disconnected != 1 || s.Lost == 0 || sum > offered || sum < uint64(49*published) {
			t.Errorf("%d offered: %+v", offered, s)
		}
	})
}

func TestCountersOfAPolicyAddUp(t *testing.T) {
	const total = 3000
	for name := range policyNames {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, mgr.Auto, Options{Subscribe: SubscribeOptions{Limit: Limit{Messages: 20}}})
			c, e := r.ws("topic=%23&policy="+name), r.sse("topic=%23&policy="+name, "")
			for i := range total {
				r.publish(fmt.Sprint(i%10), numbered(i, 1000))
				if i%100 == 0 {
					r.idle() // so that nothing is offered to one that is gone
				}
			}
			s := r.idle()
			if name == "close" {
				if got := c.end(); got != "close 1013" {
					t.Errorf("the WebSocket ends with %s", got)
				}
			}
			c.Close()
			e.Close()
			s = r.until("the end", func(s Stats) bool { return s.Subscriptions == 0 })
			if closes := name == "close"; (s.Skipped == 0) != closes || (s.Disconnected == 2) != closes || closes && s.Lost == 0 {
				t.Errorf("%+v", s)
			}
			if sum := s.Delivered + s.Skipped + s.Lost; name != "close" && sum != 2*total {
				t.Errorf("%d of %d: %+v", sum, 2*total, s)
			}
			skipped := uint64(0)
			for _, x := range r.hub.Topics() {
				skipped += x.Skipped
			}
			if skipped != s.Skipped {
				t.Errorf("%d skipped by topic, %d in all", skipped, s.Skipped)
			}
		})
	}
}

func TestASlowSubscriberIsClosedWithTheCodeThatWasAskedFor(t *testing.T) {
	for code, want := range map[websocket.Code]string{0: "close 1013", websocket.ClosePolicy: "close 1008"} {
		t.Run(want, func(t *testing.T) {
			pollers(t, func(t *testing.T, p mgr.Poller) {
				r := newRig(t, p, Options{Subscribe: SubscribeOptions{Limit: Limit{Messages: 20}}}, func(r *rig) { r.lagCode = code })
				c := r.ws("topic=a&policy=close")
				for i := 0; r.hub.Stats().Disconnected == 0; i++ {
					r.publish("a", numbered(i, 1000))
					r.idle()
				}
				if got := c.end(); got != want {
					t.Errorf("the WebSocket ends with %s, want %s", got, want)
				}
			})
		})
	}
}

func TestASubscriberAtItsSoftLimitForTooLongIsClosed(t *testing.T) {
	r := newRig(t, mgr.Auto, Options{}, func(r *rig) {
		r.sub = SubscribeOptions{Soft: Limit{Messages: 10}, SoftTime: 1}
	})
	c := r.ws("topic=a&policy=oldest")
	for i := 0; r.hub.Stats().Disconnected == 0; i++ {
		r.publish("a", numbered(i, 1000))
		r.idle()
	}
	if got := c.end(); got != "close 1013" {
		t.Error(got)
	}
}
