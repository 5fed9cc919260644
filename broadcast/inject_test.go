package broadcast

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

// sinkOf is an engine that hands its sink to the test.
type sinkOf struct {
	Engine
	sink chan Sink
	end  chan struct{}
}

func newSinkOf(t testing.TB) *sinkOf {
	e := &sinkOf{sink: make(chan Sink, 1), end: make(chan struct{})}
	t.Cleanup(func() { close(e.end) })
	return e
}

func (e *sinkOf) Run(s Sink) error {
	e.sink <- s
	<-e.end
	return nil
}

const base = 7 << 32

func stored(n uint64, topic string) *Entry {
	return &Entry{Offset: base + n, Topic: topic, Data: []byte("x"), Time: time.Now()}
}

// A loop whose manager was closed takes nothing from its queue any more, and tells nobody. The
// engine, which waits for room in it, must notice that its subscribers have gone.
func TestAnEngineDoesNotWaitForAClosedManager(t *testing.T) {
	e := newSinkOf(t)
	f := newFakes(t, Options{Queue: 3, Engine: e})
	s := <-e.sink
	s.Begin(Info{Epoch: base, First: base + 1, Last: base})
	f.turn(func() {})
	f.subscriber("a")
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range uint64(10) {
			s.Deliver(stored(i+1, "a"))
		}
	}()
	for f.hub.Stats().Queued < 3 {
		time.Sleep(time.Millisecond)
	}
	f.m.Close()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatal("it waits for ever")
	}
	if at := f.hub.Offset(); at != base+10 {
		t.Error(at - base)
	}
}

// Each subscriber is told once, whatever its patterns are: what a stream has lost, where it is
// missing, and a Reset in front of the new stream. Messages of the old one that waited are dropped.
func TestNewsOfTheEngineReachWhoIsSlow(t *testing.T) {
	e := newSinkOf(t)
	f := newFakes(t, Options{History: History{Count: 100}, Engine: e})
	s := <-e.sink
	s.Begin(Info{Epoch: base, First: base + 1, Last: base})
	f.turn(func() {})
	told := SubscribeOptions{TellMissed: true}
	c, w := f.subscriber("a", told)
	f.subscribe(c, "#", told)
	s.Deliver(stored(1, "a"))
	f.turn(func() {})
	u := f.hub.loops[0].subscriber(c)
	f.want(w, "x")
	end := f.stall(c)
	x := *stored(5, "a")
	x.Lost = 3 // no more than the hole of two that there is
	s.Deliver(stored(2, "b"))
	s.Deliver(&x)
	f.turn(func() {})
	if u.waiting != 2 {
		t.Fatal(u.waiting, "wait")
	}
	end()
	f.want(w, "-", "", "x", `{"missed":2}`, "x")
	end = f.stall(c)
	s.Deliver(stored(6, "a"))
	s.Deliver(stored(7, "b"))
	f.turn(func() {})
	s.Begin(Info{Epoch: base << 1, First: base<<1 + 1, Last: base << 1})
	s.Deliver(&Entry{Offset: base<<1 + 1, Topic: "a", Data: []byte("new")})
	f.turn(func() {})
	end()
	f.want(w, "-", "", `{"missed":2,"reset":true}`, "new")
	if u.waiting != 0 || f.hub.Stats().Skipped != 2 || f.hub.Offset() != base<<1+1 {
		t.Errorf("%d wait, %+v", u.waiting, f.hub.Stats())
	}
	// A reader of history that is in the middle of the old stream goes on with the new one.
	_, w = f.subscriber("#", SubscribeOptions{Since: base<<1 + 1, TellMissed: true})
	s.Begin(Info{Epoch: base, First: base + 1, Last: base})
	s.Deliver(stored(1, "a"))
	f.want(w, `{"missed":0,"reset":true}`, "x")
}

// History.Age counts by the clock of the store. A node whose own one is an hour off, or begins in
// 1970, keeps what others keep. An entry that the store did not have at Begin is new, whatever it
// is dated: a server with another clock may have taken over.
func TestAgesCountByTheClockOfTheStore(t *testing.T) {
	for _, off := range []time.Duration{0, time.Hour, -time.Hour, -50 * 365 * 24 * time.Hour} {
		e := newSinkOf(t)
		f := newFakes(t, Options{History: History{Count: 100, Age: time.Minute}, Engine: e})
		s := <-e.sink
		store := time.Now().Add(off)
		s.Begin(Info{Epoch: base, First: base + 1, Last: base + 3, Now: store})
		for i, dated := range []time.Time{store.Add(-time.Hour), store.Add(-30 * time.Second), store.Add(-2 * time.Minute), store, store.Add(-time.Hour), store.Add(time.Hour)} {
			s.Deliver(&Entry{Offset: base + uint64(i+1), Topic: "a", Data: []byte{'1' + byte(i)}, Time: dated})
		}
		_, w := f.subscriber("a", SubscribeOptions{Since: All})
		f.turn(func() {})
		f.want(w, "2", "4", "5", "6")
	}
}

// An error of Publish says once that the engine is down, whether the engine's own error says it or
// not.
func TestDownIsSaidOnce(t *testing.T) {
	e := newSinkOf(t)
	f := newFakes(t, Options{Engine: e})
	s := <-e.sink
	s.Begin(Info{Epoch: base, First: base + 1, Last: base})
	for why, want := range map[error]string{
		nil:                   "broadcast: the engine is down: it has not connected yet",
		errors.New("cut off"): "broadcast: the engine is down: cut off",
		fmt.Errorf("store: it is gone: %w", ErrDown): "store: it is gone: broadcast: the engine is down",
	} {
		s.Down(why)
		if _, err := f.hub.Publish("a", nil); !errors.Is(err, ErrDown) || err.Error() != want {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// A loop that hangs has losses wait for it, which no limit refuses. Those with nothing between them
// are one: a store that has lost every other message of topics that nobody wants must not fill the
// memory.
func TestLossesThatWaitForALoopAreJoined(t *testing.T) {
	e := newSinkOf(t)
	f := newFakes(t, Options{Engine: e, Queue: 10})
	s := <-e.sink
	s.Begin(Info{Epoch: base, First: base + 1, Last: base})
	f.turn(func() {})
	_, w := f.subscriber("a", SubscribeOptions{TellMissed: true})
	const n = 1000
	deliver := func(at uint64, topic string) {
		x := stored(at, topic)
		x.Lost = 1
		s.Deliver(x)
	}
	for i := range uint64(n) {
		deliver(2*i+2, "other")
	}
	if q := f.hub.Stats().Queued; q != 1 {
		t.Fatalf("%d wait", q) // the next would wait for the loop, which is this goroutine
	}
	deliver(2*n+2, "a")
	for i := range uint64(n) {
		deliver(2*n+4+2*i, "other")
	}
	if q := f.hub.Stats().Queued; q != 3 {
		t.Errorf("%d wait", q)
	}
	f.want(w, fmt.Sprintf(`{"missed":%d}`, n+1), "x", fmt.Sprintf(`{"missed":%d}`, n))
	if at := f.hub.Offset(); at != base+4*n+2 {
		t.Error(at - base)
	}
}
