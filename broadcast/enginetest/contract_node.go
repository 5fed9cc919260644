package enginetest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/broadcast"
)

// A Node is an engine with a sink that keeps what it gets.
type Node struct {
	t      testing.TB
	Engine broadcast.Engine
	ended  chan error

	mu      sync.Mutex
	changed chan struct{}
	after   func(broadcast.Info) uint64
	begins  []broadcast.Info
	entries []broadcast.Entry
	downs   []error
	up      bool
}

// NewNode runs e until the test ends. after is what its sink returns from Begin: nil stands for the
// offset of the last entry, or all if the epoch is another.
func NewNode(t testing.TB, e broadcast.Engine, after func(broadcast.Info) uint64) *Node {
	n := &Node{t: t, Engine: e, ended: make(chan error, 1), changed: make(chan struct{}), after: after}
	go func() { n.ended <- e.Run((*sink)(n)) }()
	t.Cleanup(func() { e.Close() })
	return n
}

type sink Node

func (s *sink) touch() {
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *sink) Begin(i broadcast.Info) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.touch()
	s.up = true
	s.begins = append(s.begins, i)
	if i.First > i.Last+1 || i.Last < i.Epoch || i.First <= i.Epoch {
		s.t.Errorf("Begin(%+v)", i)
	}
	if s.after != nil {
		return s.after(i)
	}
	if len(s.begins) > 1 && s.begins[len(s.begins)-2].Epoch == i.Epoch && len(s.entries) > 0 {
		return s.entries[len(s.entries)-1].Offset
	}
	return i.Epoch
}

func (s *sink) Deliver(e *broadcast.Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.touch()
	if !s.up {
		s.t.Errorf("entry %d comes while the engine is down", e.Offset)
	}
	x := *e
	x.Data = slices.Clone(e.Data)
	s.entries = append(s.entries, x)
}

func (s *sink) Down(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.touch()
	s.up = false
	s.downs = append(s.downs, err)
	if !errors.Is(err, broadcast.ErrDown) && !errors.Is(err, broadcast.ErrEngineClosed) {
		s.t.Errorf("Down(%v) is no ErrDown", err)
	}
}

// await waits until ok, which is called with mu held.
func (n *Node) await(what string, ok func() bool) {
	n.t.Helper()
	timeout := time.After(Patience)
	for {
		n.mu.Lock()
		done, changed := ok(), n.changed
		n.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			n.mu.Lock()
			defer n.mu.Unlock()
			n.t.Fatalf("%s: not within %v; %d begins, %d entries, downs %v", what, Patience, len(n.begins), len(n.entries), n.downs)
		}
	}
}

// AwaitUp waits until the engine has begun, and nothing has ended it.
func (n *Node) AwaitUp() {
	n.t.Helper()
	n.await("Begin", func() bool { return n.up })
}

// AwaitDown waits until the engine is down, and returns the reason.
func (n *Node) AwaitDown() error {
	n.t.Helper()
	n.await("Down", func() bool { return !n.up && len(n.downs) > 0 })
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.downs[len(n.downs)-1]
}

// AwaitEpochOtherThan waits for a Begin with another epoch.
func (n *Node) AwaitEpochOtherThan(epoch uint64) broadcast.Info {
	n.t.Helper()
	n.await("Begin with another epoch", func() bool {
		return len(n.begins) > 0 && n.begins[len(n.begins)-1].Epoch != epoch
	})
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.begins[len(n.begins)-1]
}

// AwaitLast waits until this offset is that of the last entry.
func (n *Node) AwaitLast(offset uint64) {
	n.t.Helper()
	n.await(fmt.Sprintf("entry %d", offset), func() bool {
		return len(n.entries) > 0 && n.entries[len(n.entries)-1].Offset == offset
	})
}

// AwaitOffset waits for the entry with this offset or a later one, and returns all so far.
func (n *Node) AwaitOffset(offset uint64) []broadcast.Entry {
	n.t.Helper()
	n.await(fmt.Sprintf("entry %d", offset), func() bool {
		return len(n.entries) > 0 && n.entries[len(n.entries)-1].Offset >= offset
	})
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.entries)
}

// Publish publishes e, again while the engine says that it is full, and waits for the offset.
func (n *Node) Publish(e broadcast.Entry) (uint64, error) {
	n.t.Helper()
	type result struct {
		offset uint64
		err    error
	}
	results := make(chan result, 2)
	err := n.Engine.Publish(&e, func(offset uint64, err error) { results <- result{offset, err} })
	if err != nil {
		return 0, err
	}
	select {
	case r := <-results:
		return r.offset, r.err
	case <-time.After(Patience):
		n.t.Fatalf("done of %q was not called within %v", e.ID, Patience)
		return 0, nil
	}
}

// MustPublish is Publish, without an error.
func (n *Node) MustPublish(e broadcast.Entry) uint64 {
	n.t.Helper()
	offset, err := n.Publish(e)
	if err != nil {
		n.t.Fatalf("publish %q: %v", e.Topic, err)
	}
	return offset
}

// Insist is Publish, again while the engine is down.
func (n *Node) Insist(e broadcast.Entry) uint64 {
	n.t.Helper()
	for end := time.Now().Add(Patience); ; time.Sleep(10 * time.Millisecond) {
		offset, err := n.Publish(e)
		if err == nil {
			return offset
		}
		if !errors.Is(err, broadcast.ErrDown) || time.Now().After(end) {
			n.t.Fatalf("publish %q: %v", e.Topic, err)
		}
	}
}

// open returns a node that is up.
func (s Setup) open(t *testing.T, after func(broadcast.Info) uint64) *Node {
	t.Helper()
	n := NewNode(t, s.Open(t), after)
	n.AwaitUp()
	return n
}

// A lagging sink stops at each offset of stops, and tells so, until it is told to go on.
type laggingSink struct {
	*sink
	stops         []int // of entries
	there, goOn   chan struct{}
	seen, stopped int
}

func (l *laggingSink) Deliver(e *broadcast.Entry) {
	l.sink.Deliver(e)
	if l.seen++; l.stopped < len(l.stops) && l.seen == l.stops[l.stopped] {
		l.stopped++
		l.there <- struct{}{}
		<-l.goOn
	}
}

// openLagging opens a node that stops when it has got so many entries.
func (s Setup) openLagging(t *testing.T, stops ...int) (*Node, *laggingSink) {
	n := &Node{t: t, Engine: s.Open(t), ended: make(chan error, 1), changed: make(chan struct{})}
	l := &laggingSink{sink: (*sink)(n), stops: stops, there: make(chan struct{}), goOn: make(chan struct{})}
	go func() { n.ended <- n.Engine.Run(l) }()
	t.Cleanup(func() { n.Engine.Close() })
	return n, l
}

// publishMany publishes the numbers of a range, to so many topics in turn, many at a time.
func (n *Node) publishMany(from, to, topics int) (last uint64) {
	n.t.Helper()
	results := make(chan error, to-from)
	var mu sync.Mutex
	for i := from; i < to; i++ {
		e := &broadcast.Entry{Topic: fmt.Sprint("t/", i%topics), Data: fmt.Appendf(nil, "%0500d", i), ID: fmt.Sprint(i)}
		for {
			err := n.Engine.Publish(e, func(offset uint64, err error) {
				mu.Lock()
				last = max(last, offset)
				mu.Unlock()
				results <- err
			})
			if err == nil {
				break
			}
			if !errors.Is(err, broadcast.ErrFull) {
				n.t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
		}
	}
	for range to - from {
		if err := <-results; err != nil {
			n.t.Fatal(err)
		}
	}
	return last
}
