package broadcast

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
)

// slow is the queue of a subscription whose connection takes nothing.
func slow(p Policy, limit Limit) *queue {
	l := &loop{hub: New()}
	return &queue{to: &subscriber{l: l}, opts: &SubscribeOptions{Policy: p, Limit: limit}}
}

// waits tells what waits: "2+a1" is the message a1 after 2 that were skipped.
func (s *queue) waits() string {
	var all []string
	b := &s.backlog
	skipped := func(n uint64) string {
		if n == 0 {
			return ""
		}
		return fmt.Sprintf("%d+", n)
	}
	n, bytes, open := 0, 0, uint64(0)
	for _, e := range b.entries[b.front:] {
		if open += e.skipped; e.m == nil {
			continue
		}
		all = append(all, skipped(open)+string(e.m.Data))
		open = 0
		n++
		bytes += len(e.m.Data)
	}
	if b.skipped+open > 0 {
		all = append(all, skipped(b.skipped+open))
	}
	if n != b.n || bytes != b.bytes || n != s.to.waiting {
		all = append(all, fmt.Sprintf("counted %d, %d bytes, %d", b.n, b.bytes, s.to.waiting))
	}
	return strings.Join(all, " ")
}

// TestPolicies has messages wait, whose topics are their first letters.
func TestPolicies(t *testing.T) {
	for _, tc := range []struct {
		name    string
		policy  Policy
		limit   Limit
		push    string
		want    string
		skipped uint64
	}{
		{"below the limit", DropOldest, Limit{3, 0}, "a1 a2 b1", "a1 a2 b1", 0},
		{"the oldest make room", DropOldest, Limit{3, 0}, "a1 a2 b1 a3 b2", "2+b1 a3 b2", 2},
		{"the oldest make room for many bytes", DropOldest, Limit{0, 6}, "a1 a2 b1 a333", "2+b1 a333", 2},
		{"one is never too large", DropOldest, Limit{0, 3}, "a1 a22222", "1+a22222", 1},
		{"nothing is said", 0, Limit{1, 0}, "a1 a2", "1+a2", 1},
		{"the new ones are skipped", SkipNew, Limit{3, 0}, "a1 a2 b1 a3 b2", "a1 a2 b1 2+", 2},
		{"a small one fits after a skipped one", SkipNew, Limit{0, 8}, "a1 a2 b55555 a3 b2", "a1 a2 1+a3 b2", 1},
		{"the latest of each topic", KeepLatest, Limit{3, 0}, "a1 b1 a2 a3 c1 b2", "3+a3 c1 b2", 3},
		{"the latest, with holes in the middle", KeepLatest, Limit{9, 0}, "a1 b1 c1 b2 c2 c3", "a1 2+b2 1+c3", 3},
		{"the latest of one topic", KeepLatest, Limit{3, 0}, "a1 a2 a3 a4", "3+a4", 3},
		{"too many topics", KeepLatest, Limit{2, 0}, "a1 b1 c1 d1 c2", "3+d1 c2", 3},
		{"no limit", DropOldest, Limit{}, strings.Repeat("a1 ", 100) + "a1", strings.Repeat("a1 ", 100) + "a1", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := slow(tc.policy, tc.limit)
			for data := range strings.FieldsSeq(tc.push) {
				s.push(&message{hub: new(Hub), Message: Message{Topic: data[:1], Data: []byte(data)}})
			}
			if got := s.waits(); got != tc.want {
				t.Errorf("%q waits, want %q", got, tc.want)
			}
			if s.to.skipped != tc.skipped || s.to.l.stats.skipped != tc.skipped {
				t.Errorf("%d skipped, want %d", s.to.skipped, tc.skipped)
			}
		})
	}
}

// TestBacklogAgainstAModel does at random what happens to backlogs. A skip is never lost, nor a
// hole kept for long.
func TestBacklogAgainstAModel(t *testing.T) {
	d := rand.New(rand.NewPCG(3, 4))
	for _, policy := range []Policy{DropOldest, SkipNew, KeepLatest} {
		s := slow(policy, Limit{1 + d.IntN(50), 0})
		hub := &Hub{budget: conn.NewBudget(0)}
		var pushed, taken, told uint64
		for i := range 20_000 {
			if d.IntN(100) < 60 || i%1000 < 300 {
				s.push(&message{hub: hub, Message: Message{Topic: fmt.Sprint(d.IntN(40)), Data: []byte("x")}, at: uint64(i)})
				pushed++
			} else if e := s.backlog.first(); e != nil {
				told += e.skipped
				e.skipped = 0
				s.taken(false)
				taken++
			}
			if used := hub.budget.Used(); used != s.backlog.n*(1+messageCost) {
				t.Fatalf("%d bytes are charged for %d messages", used, s.backlog.n)
			}
			if n := len(s.backlog.entries); n > 2*s.backlog.n+40 {
				t.Fatalf("%d entries for %d messages", n, s.backlog.n)
			}
			last := uint64(0)
			for _, e := range s.backlog.entries {
				if e.m != nil && e.m.at < last {
					t.Fatal("out of order")
				} else if e.m != nil {
					last = e.m.at
				}
			}
		}
		for e := s.backlog.first(); e != nil; e = s.backlog.first() {
			told += e.skipped
			e.skipped = 0
			s.taken(false)
			taken++
		}
		told += s.backlog.skipped
		if told != s.to.skipped || pushed != taken+told || s.to.waiting != 0 || s.backlog.bytes != 0 || len(s.backlog.latest) != 0 {
			t.Errorf("policy %d: pushed %d, taken %d, told of %d, skipped %d: %s", policy, pushed, taken, told, s.to.skipped, s.waits())
		}
	}
}

// A topic that waits in front must not keep the holes after it.
func TestTheLatestOfAnotherTopicTakesNoRoom(t *testing.T) {
	s := slow(KeepLatest, Limit{1000, 0})
	s.push(&message{hub: new(Hub), Message: Message{Topic: "first"}})
	for range 100_000 {
		s.push(&message{hub: new(Hub), Message: Message{Topic: "busy"}})
	}
	if n := cap(s.backlog.entries); n > 200 {
		t.Errorf("room for %d entries is taken by 2 messages", n)
	}
	if s.to.waiting != 2 || s.to.skipped != 99_999 {
		t.Errorf("%d wait, %d skipped", s.to.waiting, s.to.skipped)
	}
}

// A message for one connection alone is none of those that a later one replaces, although it waits
// among them, also after the queue was compacted.
func TestAnIntervalReplacesNoMessageForOneConnection(t *testing.T) {
	s := slow(DropOldest, Limit{})
	s.opts.MinInterval = time.Hour
	s.to.extra = &extra{}
	push := func(data string, only uint64) {
		s.push(&message{hub: new(Hub), Message: Message{Topic: data[:1], Data: []byte(data)}, only: only})
	}
	push("a only", 1)
	for range 100 { // leaves holes
		push("b", 0)
	}
	push("a1", 0)
	push("a2", 0)
	if got := s.waits(); got != "a only b a2" {
		t.Errorf("%s wait", got)
	}
	s.taken(false) // the message for one is sent
	push("a3", 0)
	if got := s.waits(); got != "b a3" {
		t.Errorf("%s wait", got)
	}
}
