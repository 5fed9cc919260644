package broadcast

import (
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/websocket"
)

// pacer is fakes with a clock that the test sets.
type pacer struct {
	*fakes
	now int64
}

func newPacer(t testing.TB, opts Options) *pacer {
	p := &pacer{fakes: newFakes(t, opts), now: 1}
	p.hub.clock = func() int64 { return p.now }
	return p
}

// pass lets d pass.
func (p *pacer) pass(d time.Duration) {
	p.now += int64(d)
	p.turn(p.hub.loops[0].ring)
}

var each100 = SubscribeOptions{MinInterval: 100 * time.Millisecond, TellMissed: true}

func TestAnIntervalKeepsTheNewestOfEachTopic(t *testing.T) {
	p := newPacer(t, Options{})
	_, w := p.subscriber("#", each100)
	p.publish("a", "a1")
	p.publish("b", "b1")
	p.publish("a", "a2", "a3")
	p.publish("b", "b2")
	p.want(w, "a1")
	p.pass(99 * time.Millisecond)
	p.publish("c", "c1")
	p.want(w)
	p.pass(time.Millisecond)
	p.want(w, "a3", "b2", "c1")
	p.pass(50 * time.Millisecond)
	p.publish("a", "a4")
	p.want(w)
	p.pass(50 * time.Millisecond)
	p.want(w, "a4")
	// After a silence the next one goes out at once.
	p.pass(time.Second)
	p.publish("a", "a5", "a6")
	p.want(w, "a5")
	p.pass(time.Second)
	p.want(w, "a6")
	p.publish("a", "a7") // an interval after a6 has not passed
	p.want(w)
	if s := p.hub.Stats(); s.Merged != 2 || s.Skipped != 0 || s.Delivered != 7 {
		t.Errorf("%+v", s)
	}
}

// Offsets rise, whatever the intervals of the subscriptions: else the highest would not say what a
// client has.
func TestWhatHasNoIntervalTakesAlongWhatWaits(t *testing.T) {
	p := newPacer(t, Options{})
	c, w := p.subscriber("a", each100)
	slow := each100
	slow.MinInterval = time.Second
	p.subscribe(c, "b", slow)
	p.subscribe(c, "now", SubscribeOptions{})
	p.publish("a", "a1", "a2", "a3")
	p.publish("b", "b1")
	p.want(w, "a1")
	p.publish("now", "!")
	p.want(w, "a3", "b1", "!")
	p.publish("b", "b2", "b3")
	p.want(w)
	p.pass(100 * time.Millisecond) // the shortest
	p.want(w, "b3")
}

// A subscriber that is held is not slow.
func TestNobodyIsClosedBecauseOfItsInterval(t *testing.T) {
	p := newPacer(t, Options{})
	o := each100
	o.Policy, o.Limit.Messages, o.Soft.Messages, o.SoftTime = Disconnect, 3, 1, time.Nanosecond
	c, w := p.subscriber("#", o)
	for i := range 6 {
		p.publish(fmt.Sprint(i), fmt.Sprint(i))
	}
	p.want(w, "0")
	p.pass(100 * time.Millisecond)
	p.want(w, `{"missed":2}`, "3", "4", "5")
	if s := p.hub.Stats(); s.Skipped != 2 || s.Merged != 0 || !c.IsOpen() {
		t.Errorf("%+v", s)
	}
}

// A page that nobody looks at asks for fewer messages.
func TestAnIntervalChanges(t *testing.T) {
	p := newPacer(t, Options{})
	c, w := p.subscriber("#")
	p.publish("a", "a1", "a2")
	p.want(w, "a1", "a2")
	p.turn(func() { p.hub.SetMinInterval(c, 100*time.Millisecond) })
	p.publish("a", "a3", "a4", "a5")
	p.want(w, "a3")
	// It counts from the last message, however often it is changed.
	for _, ms := range []time.Duration{101, 99, 102} {
		p.turn(func() { p.hub.SetMinInterval(c, ms*time.Millisecond) })
		p.want(w)
	}
	p.pass(100 * time.Millisecond)
	p.want(w)
	p.turn(func() { p.hub.SetMinInterval(c, 50*time.Millisecond) })
	p.want(w, "a5")
	p.turn(func() { p.hub.SetMinInterval(c, time.Hour) })
	p.publish("a", "a6", "a7")
	p.want(w)
	p.pass(time.Minute)
	p.want(w)
	p.turn(func() { p.hub.SetMinInterval(c, 0) })
	p.want(w, "a7")
	p.publish("a", "a8", "a9")
	p.want(w, "a8", "a9")
	if n := len(p.hub.loops[0].alarms); n != 0 {
		t.Error(n, "alarms")
	}
	other, _ := p.open()
	p.turn(func() { p.hub.SetMinInterval(other, time.Hour) })
}

// The later one may be too large for the limit, where it waits.
func TestASkippedMessageHasPushedOutTheOneBefore(t *testing.T) {
	p := newPacer(t, Options{})
	o := each100
	o.Policy, o.Limit.Bytes = SkipNew, 10
	c, w := p.subscriber("#", o)
	p.publish("a", "a1")
	p.publish("b", "b1")
	p.publish("a", "a2", "a large one")
	p.want(w, "a1")
	if info, _ := p.hub.Subscriber(c); info.Waiting != 1 || info.WaitingBytes != 2 || info.Merged != 1 || info.Skipped != 1 {
		t.Errorf("%+v", info)
	}
	p.pass(100 * time.Millisecond)
	p.want(w, "b1", `{"missed":1}`)
	if info, _ := p.hub.Subscriber(c); info.Waiting != 0 {
		t.Errorf("%+v", info)
	}
}

// If the connection is slow, what was released goes on, and what came later waits for its time.
func TestAnIntervalOfASlowConnection(t *testing.T) {
	p := newPacer(t, Options{})
	c, w := p.subscriber("#", each100)
	p.publish("a", "a1", "a2")
	p.publish("b", "b1")
	var busy io.WriteCloser
	p.turn(func() { busy = websocket.Writer(c, websocket.Text); busy.Write([]byte("x")) })
	p.pass(100 * time.Millisecond)
	p.publish("b", "b2")
	p.turn(func() { busy.Close() })
	p.settle()
	got := w.messages()
	if n := len(got); n < 2 || got[0] != "a1" || got[n-1] != "a2" {
		t.Errorf("%q", got)
	}
	p.pass(100 * time.Millisecond)
	p.want(w, "b2")
}

func TestAHeldSubscriberEnds(t *testing.T) {
	p := newPacer(t, Options{History: History{Count: 10}})
	l := p.hub.loops[0]
	for _, end := range []string{"unsubscribe", "unsubscribe all", "history"} {
		t.Run(end, func(t *testing.T) {
			c, w := p.subscriber("a", each100)
			p.publish("a", "a1", "a2")
			p.turn(func() {})
			if len(l.alarms) != 1 || l.alarmTimer == nil {
				t.Fatal("no alarm")
			}
			p.publish("b", "b1")
			want := []string{"a1"}
			switch end {
			case "unsubscribe": // what waits still comes
				p.turn(func() { p.hub.Unsubscribe(c, "a") })
				p.publish("a", "a3")
				p.pass(100 * time.Millisecond)
				want = append(want, "a2")
			case "unsubscribe all":
				p.turn(func() { p.hub.UnsubscribeAll(c) })
			case "history": // goes out at once, and takes along what waits
				p.turn(func() { p.hub.Subscribe(c, "b", SubscribeOptions{Since: p.hub.Offset() - 1}) })
				p.settle()
				want = append(want, "a2", "b1")
				p.want(w, want...)
				want = nil
				p.turn(func() { p.hub.UnsubscribeAll(c) })
			}
			p.want(w, want...)
			if len(l.alarms) != 0 || p.hub.Stats().Subscriptions != 0 {
				t.Errorf("%d alarms, %+v", len(l.alarms), p.hub.Stats())
			}
			p.now += int64(time.Hour)
		})
	}
}

// All connections of a loop share one timer, and the first to come sets it.
func TestIntervalsShareATimer(t *testing.T) {
	p := newPacer(t, Options{})
	l := p.hub.loops[0]
	for i := range 50 {
		o := each100
		o.MinInterval = time.Duration(100+i*7%50) * time.Millisecond
		p.subscriber("a", o)
	}
	for range 10 {
		p.publish("a", "1", "2")
		p.turn(func() {})
		if len(l.alarms) != 50 || l.alarmDue != l.alarms[0].at {
			t.Fatalf("%d alarms, timer for %d, first %d", len(l.alarms), l.alarmDue, l.alarms[0].at)
		}
		for len(l.alarms) > 0 {
			p.now = l.alarms[0].at
			p.pass(0)
		}
		p.pass(time.Second)
	}
	if s := p.hub.Stats(); s.Delivered != 50*20 {
		t.Errorf("%+v", s)
	}
}

// With the real clock: the newest comes, and each message is delivered or merged.
func TestIntervalsOfAFlood(t *testing.T) {
	pollers(t, func(t *testing.T, p mgr.Poller) {
		r := newRig(t, p, Options{}, func(r *rig) { r.sub.MinInterval = 5 * time.Millisecond })
		c, e := r.ws("topic=a"), r.sse("topic=%23", "")
		const n = 2000
		for i := range n {
			r.publish("a", fmt.Sprint(i))
		}
		for _, c := range []*client{c, e} {
			for last := -1; last != n-1; {
				text, err := c.read()
				var i int
				if fmt.Sscan(text, &i); err != nil || i <= last {
					t.Fatal(text, err)
				}
				last = i
			}
		}
		if s := r.idle(); s.Delivered+s.Merged != 2*n || s.Skipped != 0 || s.Merged == 0 {
			t.Errorf("%+v", s)
		}
	})
}

// An engine's offsets are not places: see Hub.shift.
func TestClientsAreToldOffsets(t *testing.T) {
	f := newFakes(t, Options{})
	f.hub.shift = f.hub.first - 1000
	c, _ := f.subscriber("a")
	f.publish("a", "x")
	f.turn(func() {})
	if at := f.hub.loops[0].subscriber(c).sentUpTo(); at != 1001 || f.hub.Offset() != 1001 {
		t.Error(at, f.hub.Offset())
	}
}

func TestPresentSaysWhoIsThere(t *testing.T) {
	var seen []Presence
	f := newFakes(t, Options{Presence: func(p Presence) { seen = append(seen, p) }})
	a, _ := f.subscriber("room/1", SubscribeOptions{Who: "Ann"})
	b, _ := f.subscriber("room/1", SubscribeOptions{Who: "Bob"})
	f.subscriber("room/+", SubscribeOptions{Who: "Cid"})
	want := []Presence{{a.ID(), "room/1", "Ann", true, 2}, {b.ID(), "room/1", "Bob", true, 2}}
	if got := f.hub.Present("room/1", 0); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%+v", got)
	}
	if got := f.hub.Present("room/1", 1); len(got) != 1 || got[0].Count != 2 {
		t.Errorf("%+v", got)
	}
	for _, pattern := range []string{"room", "room/#", "room/2", "#", "room/1/x", ""} {
		if got := f.hub.Present(pattern, 0); len(got) != 0 {
			t.Errorf("%q: %+v", pattern, got)
		}
	}
	if got := f.hub.Present("room/+", 0); len(got) != 1 || got[0].Who != "Cid" {
		t.Errorf("%+v", got)
	}
	f.turn(func() { f.hub.UnsubscribeAll(a) })
	if got := f.hub.Present("room/1", 0); len(got) != 1 || got[0].Who != "Bob" {
		t.Errorf("%+v", got)
	}
	if last := seen[len(seen)-1]; last.Who != "Ann" || last.Joined || last.Count != 1 {
		t.Errorf("%+v", last)
	}
}
