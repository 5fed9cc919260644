package enginetest

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/broadcast"
)

// The part of the contract about stores that die, forget, or go faster than a node.

func deadStore(t *testing.T, s Setup) {
	if s.Stop == nil {
		t.Skip("it cannot be stopped")
	}
	n := s.open(t, nil)
	first := n.MustPublish(broadcast.Entry{Topic: "t", Data: []byte("before"), ID: "before"})
	n.AwaitOffset(first)
	s.Stop(t)
	if _, err := n.Publish(broadcast.Entry{Topic: "t", ID: "amid"}); !errors.Is(err, broadcast.ErrDown) {
		t.Fatalf("Publish: %v", err)
	}
	n.AwaitDown()
	s.Start(t)
	n.AwaitUp()
	last := n.Insist(broadcast.Entry{Topic: "t", Data: []byte("after"), ID: "after"})
	got := n.AwaitOffset(last)
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(got) != 2 || n.begins[0].Epoch != n.begins[len(n.begins)-1].Epoch {
		t.Fatalf("%d entries, begins %+v", len(got), n.begins)
	}
}

func emptyStore(t *testing.T, s Setup) {
	if s.Forget == nil {
		t.Skip("it does not forget")
	}
	n := s.open(t, nil)
	for i := range 10 {
		n.AwaitOffset(n.MustPublish(broadcast.Entry{Topic: "t", ID: fmt.Sprint(i)}))
	}
	s.Stop(t)
	s.Forget(t)
	s.Start(t)
	n.AwaitEpochOtherThan(n.begins[0].Epoch)
	last := n.Insist(broadcast.Entry{Topic: "t", ID: "new"})
	n.AwaitLast(last)
	n.mu.Lock()
	defer n.mu.Unlock()
	if i := n.begins[len(n.begins)-1]; last != i.Epoch+1 || len(n.entries) != 11 {
		t.Fatalf("the first offset is %d after Begin(%+v); %d entries", last, i, len(n.entries))
	}
}

// flood stops the store while two nodes publish, several times. An acknowledged message comes once,
// in one order; any other comes once at most.
func flood(t *testing.T, s Setup) {
	if s.Stop == nil {
		t.Skip("it cannot be stopped")
	}
	nodes := []*Node{s.open(t, nil), s.open(t, nil)}
	over := make(chan struct{})
	acked := make([]map[string]uint64, len(nodes))
	var all sync.WaitGroup
	for i, n := range nodes {
		acked[i] = map[string]uint64{}
		all.Go(func() {
			for k := 0; ; k++ {
				select {
				case <-over:
					return
				default:
				}
				id := fmt.Sprintf("%d-%d", i, k)
				if offset, err := n.Publish(broadcast.Entry{Topic: fmt.Sprintf("t/%d", k), Data: []byte(id), ID: id}); err == nil {
					acked[i][id] = offset
				} else {
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	for range 3 {
		time.Sleep(100 * time.Millisecond) // of flood
		s.Stop(t)
		s.Start(t)
		for _, n := range nodes {
			n.AwaitUp()
		}
	}
	time.Sleep(100 * time.Millisecond)
	close(over)
	all.Wait()
	last := nodes[0].Insist(broadcast.Entry{Topic: "last", ID: "last"})
	var lists [][]broadcast.Entry
	for _, n := range nodes {
		lists = append(lists, n.AwaitOffset(last))
	}
	for i, e := range lists[0] {
		if j := lists[1][i]; j.Offset != e.Offset || j.ID != e.ID {
			t.Fatalf("entry %d: %d %s on one node, %d %s on the other", i, e.Offset, e.ID, j.Offset, j.ID)
		}
	}
	seen := map[string]uint64{}
	var before uint64
	for _, e := range lists[0] {
		if e.Offset <= before || seen[e.ID] != 0 || e.Lost != 0 {
			t.Fatalf("%+v after %d; its ID was at %d", e, before, seen[e.ID])
		}
		before, seen[e.ID] = e.Offset, e.Offset
	}
	for _, m := range acked {
		for id, offset := range m {
			if seen[id] != offset {
				t.Errorf("%s was acknowledged with %d and delivered with %d", id, offset, seen[id])
			}
		}
	}
	t.Logf("%d entries, of which %d and %d were acknowledged", len(lists[0]), len(acked[0]), len(acked[1]))
}

// replay stops the store while a node reads what it has missed, twice. The node gets each entry once.
func replay(t *testing.T, s Setup) {
	if s.Stop == nil || s.Keep == 0 {
		t.Skip("it cannot be stopped, or keeps nothing")
	}
	n := s.open(t, nil)
	all := s.Keep * 9 / 10
	last := n.publishMany(0, all, 10)
	late, l := s.openLagging(t, all/10, all/2)
	for range l.stops {
		<-l.there
		s.Stop(t)
		l.goOn <- struct{}{}
		s.Start(t)
	}
	got := late.AwaitOffset(last)
	for i, e := range got {
		if string(e.Data) != fmt.Sprintf("%0500d", i) || e.Lost != 0 {
			t.Fatalf("entry %d is %d %s, with %d lost", i, e.Offset, e.Data, e.Lost)
		}
	}
	if len(got) != all {
		t.Fatalf("%d entries instead of %d", len(got), all)
	}
}

// lagging has a node that takes nothing for a while, in which the store drops much of what it has not
// got, and then dies. It gets the rest, and is told the number of what it does not get.
func lagging(t *testing.T, s Setup) {
	if s.Keep == 0 {
		t.Skip("it keeps all")
	}
	n := s.open(t, nil)
	slow, l := s.openLagging(t, 10)
	n.publishMany(0, 100, 2)
	<-l.there
	last := n.publishMany(100, 3*s.Keep, 2)
	if s.Stop != nil {
		s.Stop(t)
		s.Start(t)
	}
	l.goOn <- struct{}{}
	got := slow.AwaitOffset(last)
	seen := got[0].Offset - 1
	for _, e := range got {
		if e.Offset <= seen || e.Offset-seen-1 != e.Lost {
			t.Fatalf("%d are lost between %d and %d", e.Lost, seen, e.Offset)
		}
		seen = e.Offset
	}
	t.Logf("%d entries of %d", len(got), 3*s.Keep)
}
