package mgr

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"
)

// fake is a manager whose clock the test moves.
type fake struct {
	*Manager
	t   *testing.T
	now time.Duration
	log []string
}

func newFake(t *testing.T) *fake {
	t.Helper()
	m, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{Manager: m, t: t}
	m.clock = func() int64 { return int64(f.now) }
	t.Cleanup(func() { m.Close() })
	return f
}

// at sets the clock and makes one turn.
func (f *fake) at(now time.Duration) {
	f.t.Helper()
	f.now = now
	if err := f.Poll(0); err != nil {
		f.t.Fatal(err)
	}
}

// note returns a function that notes what it is called, and when.
func (f *fake) note(name string) func() {
	return func() { f.log = append(f.log, fmt.Sprint(name, "@", f.now)) }
}

func (f *fake) want(notes ...string) {
	f.t.Helper()
	if !slices.Equal(f.log, notes) {
		f.t.Errorf("at %v: %q, want %q", f.now, f.log, notes)
	}
	f.log = nil
}

func TestTimersFireInTheOrderOfTheirTimes(t *testing.T) {
	f := newFake(t)
	for _, ms := range []int{30, 10, 50, 20, 40} {
		f.AfterFunc(time.Duration(ms)*time.Millisecond, f.note(fmt.Sprint(ms)))
	}
	f.at(time.Second)
	f.want("10@1s", "20@1s", "30@1s", "40@1s", "50@1s")
}

// The clock of small boards may tick only every few milliseconds.
func TestTimersOfTheSameTimeFireInTheOrderTheyWereSet(t *testing.T) {
	f := newFake(t)
	var want []string
	for i := range 20 {
		name := fmt.Sprint(i)
		f.AfterFunc(time.Second, f.note(name))
		want = append(want, name+"@1s")
	}
	f.at(time.Second)
	f.want(want...)
}

func TestATimerDoesNotFireEarly(t *testing.T) {
	f := newFake(t)
	f.AfterFunc(time.Second, f.note("t"))
	f.at(time.Second - 1)
	f.want()
	f.at(time.Second)
	f.want("t@1s")
	f.at(2 * time.Second)
	f.want()
}

func TestAfterFuncZeroFiresInTheNextTurn(t *testing.T) {
	f := newFake(t)
	f.AfterFunc(0, f.note("zero"))
	f.AfterFunc(-time.Second, f.note("negative"))
	f.at(0)
	f.want("zero@0s", "negative@0s")
}

func TestATimerThatSetsItselfAgainLeavesTheTurn(t *testing.T) {
	f := newFake(t)
	n := 0
	var again func()
	again = func() {
		if n++; n > 1000 {
			t.Fatal("one turn runs the same timer for ever")
		}
		f.AfterFunc(0, again)
	}
	f.AfterFunc(0, again)
	f.at(0)
	if n != 1 {
		t.Errorf("it ran %d times in one turn", n)
	}
	f.at(0)
	if n != 2 {
		t.Errorf("it ran %d times in two turns", n)
	}
}

func TestEveryDoesNotDrift(t *testing.T) {
	f := newFake(t)
	f.Every(100*time.Millisecond, f.note("e"))
	for _, ms := range []time.Duration{99, 103, 199, 250, 300, 399, 401} {
		f.at(ms * time.Millisecond)
	}
	f.want("e@103ms", "e@250ms", "e@300ms", "e@401ms")
	f.at(500 * time.Millisecond)
	f.want("e@500ms")
}

func TestEveryLeavesOutTheTimesItMissed(t *testing.T) {
	f := newFake(t)
	f.Every(100*time.Millisecond, f.note("e"))
	f.at(1050 * time.Millisecond)
	f.at(1060 * time.Millisecond)
	f.want("e@1.05s")
	f.at(1100 * time.Millisecond)
	f.want("e@1.1s")
}

func TestEveryRefusesAnIntervalThatIsNotPositive(t *testing.T) {
	f := newFake(t)
	defer func() {
		if v := recover(); v != "mgr: Every: the interval must be positive" {
			t.Errorf("panic %v", v)
		}
	}()
	f.Every(0, func() {})
}

func TestForeverIsNotThePast(t *testing.T) {
	f := newFake(t)
	f.at(time.Hour)
	f.AfterFunc(math.MaxInt64, f.note("never"))
	e := f.Every(math.MaxInt64, f.note("never"))
	f.at(2 * time.Hour)
	f.want()
	if !e.Stop() {
		t.Error("Stop says that the timer was not set")
	}
}

func TestStopKeepsATimerFromFiring(t *testing.T) {
	f := newFake(t)
	a, b := f.AfterFunc(time.Second, f.note("a")), f.AfterFunc(time.Second, f.note("b"))
	if !a.Stop() || a.Stop() {
		t.Error("Stop: want true the first time, false the second")
	}
	f.at(time.Second)
	f.want("b@1s")
	if b.Stop() {
		t.Error("Stop of a timer that has fired returned true")
	}
}

func TestStopInsideItsOwnFunction(t *testing.T) {
	f := newFake(t)
	var once, every *Timer
	once = f.AfterFunc(time.Second, func() {
		if once.Stop() {
			t.Error("Stop of a timer that is firing for the only time returned true")
		}
	})
	every = f.Every(time.Second, func() {
		f.note("e")()
		if !every.Stop() || every.Stop() {
			t.Error("Stop of a repeating timer in its function: want true, then false")
		}
	})
	f.at(time.Second)
	f.at(2 * time.Second)
	f.want("e@1s")
}

func TestStopOfAnotherTimerThatIsDueInTheSameTurn(t *testing.T) {
	f := newFake(t)
	var b *Timer
	f.AfterFunc(1, func() {
		f.note("a")()
		if !b.Stop() {
			t.Error("Stop returned false for a timer that is due but has not fired")
		}
	})
	b = f.AfterFunc(2, f.note("b"))
	f.AfterFunc(3, f.note("c"))
	f.at(time.Second)
	f.want("a@1s", "c@1s")
}

func TestAPanicInATimerLeavesTheOthers(t *testing.T) {
	f := newFake(t)
	f.Every(time.Second, func() {
		f.note("bad")()
		panic("bad")
	})
	f.AfterFunc(time.Second, f.note("good"))
	f.at(time.Second)
	f.want("bad@1s", "good@1s")
	f.at(2 * time.Second)
	f.want("bad@2s")
	if n := f.Stats().Panics; n != 2 {
		t.Errorf("Stats.Panics %d, want 2", n)
	}
}

func TestThePollerWaitsForTheNextTimerOnly(t *testing.T) {
	f := newFake(t)
	const ms = time.Millisecond
	for _, tt := range []struct {
		timer         time.Duration // when the next timer is due, -1 for none
		timeout, want time.Duration
	}{
		{-1, -1, -1}, {-1, 0, 0}, {-1, 5 * ms, 5 * ms}, {10 * ms, -1, 10 * ms}, {10 * ms, 5 * ms, 5 * ms}, {10 * ms, 20 * ms, 10 * ms},
		{0, -1, 0}, {0, 5 * ms, 0}, {10 * ms, 0, 0},
	} {
		var timer *Timer
		if tt.timer >= 0 {
			timer = f.AfterFunc(tt.timer, func() {})
		}
		if got := f.waitFor(tt.timeout); got != tt.want {
			t.Errorf("timer %v, timeout %v: waits for %v, want %v", tt.timer, tt.timeout, got, tt.want)
		}
		if timer != nil {
			timer.Stop()
		}
	}
}

func TestTimersPassOnTheRealClock(t *testing.T) {
	for _, p := range []Poller{Epoll, Select} {
		t.Run(p.String(), func(t *testing.T) {
			m, err := New(Options{Poller: p})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			const d = 20*time.Millisecond + 300*time.Microsecond
			begin := time.Now()
			fired := false
			m.AfterFunc(d, func() { fired = true })
			for !fired {
				if err := m.Poll(-1); err != nil {
					t.Fatal(err)
				}
			}
			if took := time.Since(begin); took < d || m.Stats().Turns > 3 {
				t.Errorf("fired after %v in %d turns, want %v and 3 at most", took, m.Stats().Turns, d)
			}
		})
	}
}
