package broadcast

import (
	"strconv"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// A history takes its part of the manager's budget, and no more, whatever its Total says.
func TestHistoryIsChargedToTheBudget(t *testing.T) {
	for _, tc := range []struct {
		total, most int
	}{{0, 256 << 10}, {100 << 20, 512 << 10}, {100 << 10, 100 << 10}} {
		m, err := mgr.New(mgr.Options{Memory: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		h := NewHub(Options{History: History{Count: 1 << 20, Total: tc.total}}, m)
		for i := range 2000 {
			if _, err := h.Publish("topic/"+strconv.Itoa(i%10), make([]byte, 1000)); err != nil {
				t.Fatal(err)
			}
		}
		used, held := m.Budget().Used(), h.Stats().Held
		if used != held || held > tc.most || held < tc.most/2 {
			t.Errorf("Total %d: %d bytes are charged, %d held, at most %d allowed", tc.total, used, held, tc.most)
		}
		m.Close()
	}
}

// A message that waits in several queues is charged once, and a quarter of the limits holds while
// memory is scarce.
func TestWhatWaitsForSlowSubscribersIsCharged(t *testing.T) {
	for policy := DropOldest; policy <= KeepLatest; policy++ {
		budget := conn.NewBudget(1 << 20)
		h := &Hub{budget: budget}
		one := 1000 + messageCost
		s := []*queue{slow(policy, Limit{40, 0}), slow(policy, Limit{40, 0})}
		topic := 0
		push := func(n int) {
			for range n {
				topic++
				m := &message{hub: h, Message: Message{Topic: strconv.Itoa(topic), Data: make([]byte, 1000)}}
				for _, s := range s {
					s.push(m)
				}
			}
		}
		want := func(what string, n int) {
			t.Helper()
			if used := budget.Used(); used != n*one {
				t.Errorf("policy %d, %s: %d bytes are charged, want those of %d messages", policy, what, used, n)
			}
		}
		push(20)
		want("20 messages", 20)
		push(30)
		want("50 messages", 40)
		s[0].taken(false)
		want("one is taken from one queue", 40)
		s[1].taken(false)
		want("it is taken from the other", 39)
		budget.Charge(900 << 10)
		push(1)
		budget.Charge(-900 << 10)
		scarce := 10
		if policy == SkipNew {
			scarce = 39 // it drops nothing that waits
		}
		want("memory is scarce", scarce)
		s[0].drop()
		want("one is gone", scarce)
		s[1].drop()
		want("both are gone", 0)
	}
}
