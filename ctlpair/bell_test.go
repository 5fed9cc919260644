package ctlpair

import (
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// failingBell is a Bell whose strokes fail as often as fails says. A call for later waits until the
// test makes it.
type failingBell struct {
	fails  int
	rings  bool
	pauses []time.Duration
	later  func()
}

func (b *failingBell) bell() Bell {
	return Bell{
		FD: -1,
		Strike: func() error {
			if b.fails > 0 {
				b.fails--
				return unix.ENOBUFS
			}
			b.rings = true
			return nil
		},
		Silence: func() { b.rings = false },
		After:   func(d time.Duration, f func()) { b.pauses = append(b.pauses, d); b.later = f },
		Close:   func() error { return nil },
	}
}

func TestOneFailedStrokeIsMadeUpForAtOnce(t *testing.T) {
	b := &failingBell{fails: 1}
	p := NewOver[int](0, b.bell())
	if err := p.Send(1); err != nil || !b.rings || p.Misses() != 1 {
		t.Errorf("Send: %v; rings %v, %d misses", err, b.rings, p.Misses())
	}
}

func TestAFailedStrokeIsTriedAgainUntilTheLoopIsWoken(t *testing.T) {
	b := &failingBell{fails: 5}
	p := NewOver[int](0, b.bell())
	p.Send(1)
	for range 3 {
		if b.rings || !p.Waiting() {
			t.Fatalf("rings %v, Waiting %v", b.rings, p.Waiting())
		}
		b.later()
	}
	if b.later(); !b.rings {
		t.Error("the bell is silent though a message waits")
	}
	if want := []time.Duration{1e6, 2e6, 4e6, 8e6}; !slices.Equal(b.pauses, want) {
		t.Errorf("pauses %v, want %v", b.pauses, want)
	}
	if got := drained(p); !slices.Equal(got, []int{1}) || p.Waiting() {
		t.Errorf("got %v, Waiting %v", got, p.Waiting())
	}
}

// The flag that says "the bell rings" must not outlive a stroke that failed.
func TestTheNextSendRingsAfterAFailedStroke(t *testing.T) {
	b := &failingBell{fails: 2}
	p := NewOver[int](0, b.bell())
	p.Send(1)
	if b.rings {
		t.Fatal("the stroke did not fail")
	}
	if p.Send(2); !b.rings {
		t.Error("the second message did not ring")
	}
	if got := drained(p); !slices.Equal(got, []int{1, 2}) {
		t.Errorf("got %v", got)
	}
}

func TestALoopThatLooksByItselfEndsTheTries(t *testing.T) {
	b := &failingBell{fails: 2}
	p := NewOver[int](0, b.bell())
	p.Ring()
	if !p.Waiting() {
		t.Error("a stroke without a message is owed, and Waiting says nothing")
	}
	drained(p)
	if b.later(); b.rings || len(b.pauses) != 1 {
		t.Errorf("rings %v, pauses %v", b.rings, b.pauses)
	}
	b.fails = 2
	if p.Send(1); len(b.pauses) != 2 {
		t.Error("nobody tries the next failed stroke again")
	}
}

func TestABellThatKeepsFailingRefusesMessages(t *testing.T) {
	b := &failingBell{fails: 1 << 30}
	p := NewOver[int](0, b.bell())
	for range 20 {
		if b.later != nil {
			b.later()
		} else if err := p.Send(1); err != nil {
			t.Fatal(err)
		}
	}
	if last := b.pauses[len(b.pauses)-1]; last != pauseMax {
		t.Errorf("the last pause was %v, want %v", last, pauseMax)
	}
	if err := p.Send(2); err != ErrDeaf {
		t.Errorf("Send: %v, want ErrDeaf", err)
	}
	if err := p.Call(2); err != ErrDeaf {
		t.Errorf("Call: %v, want ErrDeaf", err)
	}
	b.fails = 0
	if err := p.Send(3); err != nil || !b.rings {
		t.Errorf("Send over a bell that works again: %v; rings %v", err, b.rings)
	}
	if got := drained(p); !slices.Equal(got, []int{1, 3}) {
		t.Errorf("got %v", got)
	}
}

func TestNobodyRingsAfterClose(t *testing.T) {
	b := &failingBell{fails: 2}
	p := NewOver[int](0, b.bell())
	p.Send(1)
	p.Close(func(int) {})
	if b.later(); b.rings || len(b.pauses) != 1 {
		t.Errorf("rings %v, pauses %v", b.rings, b.pauses)
	}
}

// The real bell and real timers.
func TestARealStrokeThatFailedIsTriedAgain(t *testing.T) {
	fds, err := socketpair()
	if err != nil {
		t.Fatal(err)
	}
	b := bellOf(fds)
	fails := 6
	real := b.Strike
	b.Strike = func() error { // called with striking held
		if fails > 0 {
			fails--
			return unix.ENOBUFS
		}
		return real()
	}
	p := NewOver[int](0, b)
	t.Cleanup(func() { p.Close(func(int) {}) })
	p.Send(1)
	if !readable(t, p.FD(), 10*time.Second) {
		t.Fatal("the bell is silent though a message waits")
	}
	if got := drained(p); !slices.Equal(got, []int{1}) {
		t.Errorf("got %v", got)
	}
}
