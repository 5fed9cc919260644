package enginetest

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/broadcast"
)

// A Setup is the engine that Contract tests, and what it stores in.
type Setup struct {
	// Open returns an engine of one more node. All have the same store. Contract closes it.
	Open func(t *testing.T) broadcast.Engine
	// Keep is how many messages of each topic the store keeps at least; 0 skips the test of it.
	Keep int
	// InFlight is how many messages may be on their way at once.
	InFlight int

	// Stop ends the store as a crash would, and Start brings it back with all that it had
	// acknowledged. Nil skips their tests.
	Stop, Start func(t *testing.T)
	// Forget empties the store while it is stopped. Nil skips its test.
	Forget func(t *testing.T)
}

// Patience is how long Contract waits for what must come.
const Patience = 30 * time.Second

// Contract tests that engines do what broadcast.Engine says. setup is called for each test, which
// has the store for itself.
func Contract(t *testing.T, setup func(t *testing.T) Setup) {
	for _, x := range []struct {
		name string
		test func(*testing.T, Setup)
	}{
		{"AllNodesHaveOneOrder", oneOrder},
		{"ALateNodeGetsWhatIsStored", lateNode},
		{"AnIDIsStoredOnce", storedOnce},
		{"EntriesComeAsTheyWere", asTheyWere},
		{"ADeletedTopicLeavesAMarker", marker},
		{"ClocksOfNodesDoNotMatter", clocks},
		{"TheSinkSaysWhereToBegin", whereToBegin},
		{"ATrimmedStoreSaysHowManyAreLost", trimmed},
		{"PublishNeverBlocks", neverBlocks},
		{"CloseEndsAll", closeEndsAll},
		{"ADeadStoreIsAnError", deadStore},
		{"AnEmptyStoreIsAnotherEpoch", emptyStore},
		{"AStoreThatDiesAmidAFlood", flood},
		{"AStoreThatDiesAmidAReplay", replay},
		{"ANodeThatLagsBehindTheStore", lagging},
	} {
		t.Run(x.name, func(t *testing.T) { x.test(t, setup(t)) })
	}
}

func oneOrder(t *testing.T, s Setup) {
	const each = 200
	nodes := []*Node{s.open(t, nil), s.open(t, nil), s.open(t, nil)}
	var all sync.WaitGroup
	var mu sync.Mutex
	var last uint64
	for i, n := range nodes {
		for g := range 2 {
			all.Go(func() {
				var mine sync.WaitGroup
				var before uint64
				for k := range each {
					mine.Add(1)
					who := fmt.Sprintf("%d.%d", i, g)
					e := &broadcast.Entry{Topic: "flood/" + who, Data: fmt.Append(nil, k), ID: fmt.Sprintf("%s-%d", who, k)}
					err := n.Engine.Publish(e, func(offset uint64, err error) {
						mu.Lock()
						defer mu.Unlock()
						defer mine.Done()
						if err != nil || offset <= before {
							t.Errorf("entry %d of %s has the offset %d after %d: %v", k, who, offset, before, err)
						}
						before, last = offset, max(last, offset)
					})
					if err != nil {
						t.Errorf("publish: %v", err)
						mine.Done()
					}
				}
				mine.Wait()
			})
		}
	}
	all.Wait()
	want := nodes[0].AwaitOffset(last)
	if len(want) != 6*each {
		t.Fatalf("%d entries instead of %d", len(want), 6*each)
	}
	next := map[string]int{}
	for i, e := range want {
		if i > 0 && e.Offset != want[i-1].Offset+1 {
			t.Fatalf("offset %d after %d", e.Offset, want[i-1].Offset)
		}
		if string(e.Data) != fmt.Sprint(next[e.Topic]) {
			t.Fatalf("%s has %s instead of %d", e.Topic, e.Data, next[e.Topic])
		}
		next[e.Topic]++
	}
	for _, n := range nodes[1:] {
		for i, e := range n.AwaitOffset(last) {
			if e.Offset != want[i].Offset || e.Topic != want[i].Topic || string(e.Data) != string(want[i].Data) {
				t.Fatalf("entry %d: %+v on one node, %+v on another", i, e, want[i])
			}
		}
	}
}

func lateNode(t *testing.T, s Setup) {
	n := s.open(t, nil)
	var last uint64
	for i := range 20 {
		last = n.MustPublish(broadcast.Entry{Topic: fmt.Sprintf("t/%d", i), Data: fmt.Append(nil, i), ID: fmt.Sprint(i)})
	}
	late := s.open(t, nil)
	got := late.AwaitOffset(last)
	if len(got) != 20 {
		t.Fatalf("%d entries instead of 20", len(got))
	}
	late.mu.Lock()
	defer late.mu.Unlock()
	if i := late.begins[0]; i.First != got[0].Offset || i.Last != last || i.Epoch+20 != last {
		t.Fatalf("Begin(%+v), but the entries are %d to %d", i, got[0].Offset, last)
	}
}

func storedOnce(t *testing.T, s Setup) {
	a, b := s.open(t, nil), s.open(t, nil)
	first := a.MustPublish(broadcast.Entry{Topic: "t", Data: []byte("1"), ID: "same"})
	if again := b.MustPublish(broadcast.Entry{Topic: "t", Data: []byte("1"), ID: "same"}); again != first {
		t.Fatalf("the offset is %d, then %d", first, again)
	}
	last := b.MustPublish(broadcast.Entry{Topic: "t", Data: []byte("2"), ID: "other"})
	if got := a.AwaitOffset(last); last != first+1 || len(got) != 2 {
		t.Fatalf("%d is the offset after %d, and there are %d entries", last, first, len(got))
	}
}

func asTheyWere(t *testing.T, s Setup) {
	n := s.open(t, nil)
	data := make([]byte, 256)
	for i := range data {
		data[i] = byte(i)
	}
	topics := []string{"a", "/", "//a//", "a.b/c d", "*/>", "%2E/%", "$x", "größe/温度", " ", "a/\u00a0/\u2028", "\u0080"}
	began := time.Now()
	for i, topic := range topics {
		e := broadcast.Entry{Topic: topic, Data: data[:len(data)*i/(len(topics)-1)], ID: fmt.Sprintf("id %d\t", i), Time: time.Now()}
		last := n.MustPublish(e)
		got := n.AwaitOffset(last)[i]
		if got.Topic != topic || string(got.Data) != string(e.Data) || got.ID != e.ID || got.Offset != last || got.Lost != 0 {
			t.Errorf("%+v came as %+v", e, got)
		}
		if d := got.Time.Sub(began); d < -time.Minute || d > time.Minute {
			t.Errorf("%q has the time %v", topic, got.Time)
		}
	}
}

func marker(t *testing.T, s Setup) {
	n := s.open(t, nil)
	for i := range 3 {
		n.MustPublish(broadcast.Entry{Topic: "gone", Data: []byte("1"), ID: fmt.Sprint("gone", i)})
		n.MustPublish(broadcast.Entry{Topic: "here", Data: []byte("1"), ID: fmt.Sprint("here", i)})
	}
	last := n.MustPublish(broadcast.Entry{Topic: "gone", Delete: true, ID: "marker"})
	for _, n := range []*Node{n, s.open(t, nil)} {
		got := n.AwaitOffset(last)
		here := 0
		for _, e := range got {
			if e.Topic == "here" && !e.Delete {
				here++
			}
		}
		if e := got[len(got)-1]; here != 3 || !e.Delete || e.Topic != "gone" || len(e.Data) > 0 {
			t.Errorf("%+v", got)
		}
	}
}

// clocks publishes from nodes whose clocks are an hour off. The order is that of the store, and the
// times are those of its clock.
func clocks(t *testing.T, s Setup) {
	nodes := []*Node{s.open(t, nil), s.open(t, nil)}
	var last uint64
	for i := range 10 {
		e := broadcast.Entry{Topic: "t", Data: fmt.Append(nil, i), ID: fmt.Sprint(i)}
		e.Time = time.Now().Add([]time.Duration{-time.Hour, time.Hour}[i%2])
		last = nodes[i%2].MustPublish(e)
	}
	got := nodes[0].AwaitOffset(last)
	for i, e := range got {
		if string(e.Data) != fmt.Sprint(i) || i > 0 && e.Time.Before(got[i-1].Time) || time.Since(e.Time).Abs() > time.Minute {
			t.Errorf("entry %d is %s of %v", i, e.Data, e.Time)
		}
	}
}

func whereToBegin(t *testing.T, s Setup) {
	n := s.open(t, nil)
	var offsets []uint64
	for i := range 10 {
		offsets = append(offsets, n.MustPublish(broadcast.Entry{Topic: "t", ID: fmt.Sprint(i)}))
	}
	m := s.open(t, func(broadcast.Info) uint64 { return offsets[5] })
	if got := m.AwaitOffset(offsets[9]); len(got) != 4 || got[0].Offset != offsets[6] || got[0].Lost != 0 {
		t.Fatalf("after %d come %+v", offsets[5], got)
	}
	m = s.open(t, func(i broadcast.Info) uint64 { return i.Last })
	last := n.MustPublish(broadcast.Entry{Topic: "t", ID: "10"})
	if got := m.AwaitOffset(last); len(got) != 1 {
		t.Fatalf("after the last one come %+v", got)
	}
}

func trimmed(t *testing.T, s Setup) {
	if s.Keep == 0 {
		t.Skip("it keeps all")
	}
	n := s.open(t, nil)
	first := n.MustPublish(broadcast.Entry{Topic: "rare", ID: "rare"})
	var last uint64
	for i := range 3 * s.Keep {
		last = n.MustPublish(broadcast.Entry{Topic: "often", Data: fmt.Append(nil, i), ID: fmt.Sprint(i)})
	}
	got := s.open(t, nil).AwaitOffset(last)
	seen := first - 1
	for _, e := range got {
		if e.Offset-seen-1 != e.Lost {
			t.Fatalf("%d are lost between %d and %d", e.Lost, seen, e.Offset)
		}
		seen = e.Offset
	}
	if len(got) > 2*s.Keep+1 || len(got) < s.Keep {
		t.Fatalf("%d entries of %d are kept, and %d were asked", len(got), 3*s.Keep+1, s.Keep)
	}
}

func neverBlocks(t *testing.T, s Setup) {
	n := s.open(t, nil)
	if s.Stop != nil {
		s.Stop(t)
	}
	var refused, done int
	results := make(chan error, 3*s.InFlight)
	began := time.Now()
	for i := range 3 * s.InFlight {
		if err := n.Engine.Publish(&broadcast.Entry{Topic: "t", ID: fmt.Sprint(i)}, func(_ uint64, err error) { results <- err }); err != nil {
			refused++
			if !errors.Is(err, broadcast.ErrFull) && !errors.Is(err, broadcast.ErrDown) {
				t.Fatalf("Publish: %v", err)
			}
		}
	}
	if d := time.Since(began); d > Patience/2 {
		t.Fatalf("Publish took %v", d)
	}
	for done < 3*s.InFlight-refused {
		select {
		case err := <-results:
			if s.Stop != nil && !errors.Is(err, broadcast.ErrDown) {
				t.Fatalf("done: %v", err)
			}
			done++
		case <-time.After(Patience):
			t.Fatalf("%d were refused, %d done, of %d", refused, done, 3*s.InFlight)
		}
	}
	if s.Stop != nil && done+refused != 3*s.InFlight {
		t.Fatalf("%d + %d", done, refused)
	}
}

func closeEndsAll(t *testing.T, s Setup) {
	n := s.open(t, nil)
	var all sync.WaitGroup
	for i := range 100 {
		all.Add(1)
		if n.Engine.Publish(&broadcast.Entry{Topic: "t", ID: fmt.Sprint(i)}, func(uint64, error) { all.Done() }) != nil {
			all.Done()
		}
	}
	if err := n.Engine.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	all.Wait()
	select {
	case err := <-n.ended:
		if err != nil {
			t.Fatalf("Run: %v", err)
		}
	case <-time.After(Patience):
		t.Fatal("Run goes on")
	}
	if _, err := n.Publish(broadcast.Entry{Topic: "t", ID: "late"}); !errors.Is(err, broadcast.ErrEngineClosed) {
		t.Fatalf("Publish after Close: %v", err)
	}
	n.Engine.Close() // does nothing
}
