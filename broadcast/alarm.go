package broadcast

import (
	timers "container/heap"
	"time"
)

// An alarm calls its ringer at a time. It is a field of what it calls, and belongs to the loop. All
// alarms of a loop share one timer.
type alarm struct {
	who   ringer
	at    int64 // on Hub.clock
	place int   // in loop.alarms, counted from 1; 0 when it is not set
}

// A ringer is what an alarm calls. The alarm is not set any more then.
type ringer interface {
	rung(now int64)
}

// alarms is a heap of those that are set, the first one in front.
type alarms []*alarm

func (a alarms) Len() int           { return len(a) }
func (a alarms) Less(i, k int) bool { return a[i].at < a[k].at }
func (a alarms) Swap(i, k int) {
	a[i], a[k] = a[k], a[i]
	a[i].place, a[k].place = i+1, k+1
}
func (a *alarms) Push(x any) {
	p := x.(*alarm)
	*a = append(*a, p)
	p.place = len(*a)
}
func (a *alarms) Pop() any {
	last := len(*a) - 1
	p := (*a)[last]
	(*a)[last] = nil
	*a = (*a)[:last]
	p.place = 0
	return p
}

// set sets or changes an alarm of who; at 0 ends it.
func (l *loop) set(p *alarm, who ringer, at int64) {
	p.who = who
	switch {
	case at == 0:
		l.quiet(p)
		return
	case p.place > 0:
		p.at = at
		timers.Fix(&l.alarms, p.place-1)
	default:
		p.at = at
		timers.Push(&l.alarms, p)
	}
	l.setTimer()
}

// quiet ends an alarm, if it is set.
func (l *loop) quiet(p *alarm) {
	if p.place > 0 {
		timers.Remove(&l.alarms, p.place-1)
	}
}

// setTimer sets the timer for the first alarm. One that is early does no harm.
func (l *loop) setTimer() {
	if len(l.alarms) == 0 || l.alarmTimer != nil && l.alarmDue <= l.alarms[0].at {
		return
	}
	if l.alarmTimer != nil {
		l.alarmTimer.Stop()
	}
	l.alarmDue = l.alarms[0].at
	l.alarmTimer = l.m.AfterFunc(time.Duration(l.alarmDue-l.hub.clock()), l.ring)
}

// ring calls those whose time has come.
func (l *loop) ring() {
	l.alarmTimer = nil
	now := l.hub.clock()
	for len(l.alarms) > 0 && l.alarms[0].at <= now {
		timers.Pop(&l.alarms).(*alarm).who.rung(now)
	}
	l.setTimer()
}

// recheck is the longest time between two looks at the end of rights. That end is a time of the
// system's clock, which may be set, and which goes on while the system is suspended. Timers are on
// a clock that does neither.
const recheck = time.Minute

// left returns how much of the time up to t is left by the clock of the system.
func (h *Hub) left(t time.Time) time.Duration { return t.Sub(h.wall()) }

// lookAt returns when to look whether rights that end at t have ended, on Hub.clock.
func (h *Hub) lookAt(t time.Time) int64 { return h.clock() + int64(max(min(h.left(t), recheck), 0)) }

// A term is the time for which a client of a Door has its rights.
type term struct {
	l     *loop
	alarm alarm
	until time.Time // the zero value is for ever
	over  func()    // is called at the end
}

// begin begins a term, which ends the one before.
func (t *term) begin(l *loop, until time.Time, over func()) {
	t.end()
	t.l, t.until, t.over = l, until, over
	if !until.IsZero() {
		l.set(&t.alarm, t, l.hub.lookAt(until))
	}
}

// end ends a term before its time.
func (t *term) end() {
	if t.l != nil {
		t.l.quiet(&t.alarm)
	}
}

func (t *term) rung(int64) {
	if h := t.l.hub; h.left(t.until) > 0 {
		t.l.set(&t.alarm, t, h.lookAt(t.until))
	} else {
		t.over()
	}
}
