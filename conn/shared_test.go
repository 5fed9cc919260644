package conn

import (
	"runtime/debug"
	"testing"

	"github.com/seed4930a636/mangusta/internal/racetest"
)

func TestLargeBuffersAreUsedAgain(t *testing.T) {
	s := NewShared(nil)
	b := s.getBuf(1 << 20)
	s.putBuf(b)
	if c := s.getBuf(900_000); cap(c) != cap(b) {
		t.Error("a new buffer was made")
	}
	for range 2 * poolLarge / 100_000 {
		s.putBuf(make([]byte, 0, 100_000))
	}
	s.putBuf(make([]byte, 0, 2*largeMax))
	if n := len(s.large); n != poolLarge/100_000 || s.inLarge != n*100_000 {
		t.Errorf("%d large buffers of %d bytes are kept", n, s.inLarge)
	}
	if c := s.getBuf(70_000); cap(c) != 100_000 {
		t.Error("a large buffer is not used again")
	}
	s.putBuf(make([]byte, 0, largeMax))
	if c := s.getBuf(largeMax); cap(c) != largeMax || s.inLarge > poolLarge-largeMax {
		t.Error("what has waited long is in the way of what is used now")
	}
}

func TestDropPools(t *testing.T) {
	s := NewShared(nil)
	for _, n := range []int{100, 5000, 100_000} {
		s.putBuf(s.getBuf(n))
	}
	s.putQueue(s.getQueue())
	s.DropPools()
	if n := len(s.bufs[0]) + len(s.large) + len(s.queues) + s.inLarge; n != 0 {
		t.Error("something is left")
	}
	s.putBuf(s.getBuf(100_000))
	if s.inLarge != 100_000 {
		t.Errorf("%d bytes of large buffers are counted, want 100000", s.inLarge)
	}
}

// Of queues that wait to be used again only the first keep their buffers, and only short ones.
func TestBuffersOfFreeQueues(t *testing.T) {
	s := NewShared(nil)
	for i, n := range []int{smallOwn, 2 * smallOwn} {
		var all []*queue
		for range 2 * poolOwn {
			q := s.getQueue()
			s.growOwn(q, n)
			all = append(all, q)
		}
		for _, q := range all {
			s.putQueue(q)
		}
		kept := 0
		for _, q := range s.queues {
			if cap(q.own) > 0 {
				kept++
			}
			if len(q.own) != 0 || cap(q.own) > smallOwn {
				t.Fatalf("a free queue has %d bytes of %d", len(q.own), cap(q.own))
			}
		}
		if want := []int{poolOwn, 0}[i]; kept != want || s.held != 0 {
			t.Errorf("%d of %d queues keep a buffer of %d bytes, want %d; %d bytes are held", kept, len(s.queues), n, want, s.held)
		}
	}
}

// The buffer that waits for n bytes never has more than five times what has come, and the last step
// makes room for all of them, without much copied before.
func TestSizesOfExpectedInput(t *testing.T) {
	for _, total := range []int{100_000, 1 << 20, 3_000_000, 16<<20 + 14, 100_000_000} {
		limits := Limits{}.WithDefaults()
		c := New(NewShared(nil), 7, NewID(7), nil, &limits, nil)
		c.rarely().expect = total
		copied, have := 0, readSize
		for have < total {
			c.Recv = Buffer{buf: make([]byte, have)}
			size := c.sizeFor(have)
			if size > growth*have || size <= have && have < total || size > total {
				t.Fatalf("%d of %d bytes have come: a buffer of %d", have, total, size)
			}
			copied += have
			have = size
		}
		if copied > total/3+readSize {
			t.Errorf("%d bytes were copied on the way to %d", copied, total)
		}
	}
}

// A buffer larger than the pool takes is used again while it is fresh.
func TestHugeBuffersAreUsedAgain(t *testing.T) {
	s := NewShared(nil)
	again := 0
	for range 100 { // a sync.Pool may drop any, and does so under the race detector
		b := s.getBuf(2 * largeMax)
		s.putBuf(append(b, "old"...))
		c := s.getBuf(2*largeMax - 1)
		if len(c) != 0 {
			t.Fatal("a buffer that is not empty")
		}
		if &b[:1][0] == &c[:1][0] {
			again++
		}
	}
	if again == 0 {
		t.Error("each was made anew")
	}
	s.putBuf(make([]byte, 0, 5*largeMax))
	if c := s.getBuf(2 * largeMax); cap(c) > 4*largeMax {
		t.Errorf("%d bytes of room for %d", cap(c), 2*largeMax)
	}
}

// A loop that has its buffers takes and returns them without an allocation.
func TestBuffersOfThePoolCostNoAllocation(t *testing.T) {
	if racetest.Enabled {
		t.Skip("under the race detector a sync.Pool drops what it is given")
	}
	s := NewShared(nil)
	for k := range numClasses {
		n := 1 << (k + minClass)
		wantNoAllocs(t, s, n-1)
		wantNoAllocs(t, s, n)
	}
	for _, n := range []int{1<<maxClass + 1, largeMax, largeMax + 1, 4 * largeMax} {
		wantNoAllocs(t, s, n)
	}
}

func wantNoAllocs(t *testing.T, s *Shared, n int) {
	t.Helper()
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // a collection would empty the sync.Pool
	if allocs := testing.AllocsPerRun(100, func() { s.putBuf(s.getBuf(n)) }); allocs != 0 {
		t.Errorf("a buffer of %d bytes: %v allocations, want 0", n, allocs)
	}
}
