package mgr

import (
	"container/heap"
	"time"
)

// A Timer calls a function on the loop. It belongs to the loop's goroutine.
type Timer struct {
	m     *Manager
	f     func()
	at    int64 // on the manager's clock
	every int64 // 0 for once
	index int   // in the heap; -1 when not set
}

// AfterFunc calls f on the loop once, when d has passed. The clock is monotonic.
func (m *Manager) AfterFunc(d time.Duration, f func()) *Timer {
	return m.newTimer(d, 0, f)
}

// Every calls f on the loop each time d has passed, which must be positive. The times are counted from the first, so
// that they do not drift; those that the loop was too late for are left out.
func (m *Manager) Every(d time.Duration, f func()) *Timer {
	if d <= 0 {
		panic("mgr: Every: the interval must be positive")
	}
	return m.newTimer(d, d, f)
}

func (m *Manager) newTimer(d, every time.Duration, f func()) *Timer {
	m.check("AfterFunc and Every")
	t := &Timer{m: m, f: f, at: m.clock() + int64(max(d, 0)), every: int64(every), index: -1}
	heap.Push(&m.timers, t)
	return t
}

// Stop keeps the timer from firing again, and reports whether it would have. It may be called from the timer's own function.
func (t *Timer) Stop() bool {
	t.m.check("Timer.Stop")
	if t.index < 0 {
		return false
	}
	heap.Remove(&t.m.timers, t.index)
	return true
}

// runTimers calls the functions that are due. A timer is set again, or forgotten, before its function runs: so Stop
// works inside, and a panic leaves the heap as it should be.
func (m *Manager) runTimers() {
	for len(m.timers) > 0 && m.timers[0].at <= m.sh.Now {
		t := m.timers[0]
		if t.every == 0 {
			heap.Pop(&m.timers)
		} else {
			late := m.sh.Now - t.at
			t.at += t.every * (1 + late/t.every)
			heap.Fix(&m.timers, 0)
		}
		m.current = nil
		t.f()
	}
}

// timerHeap orders timers by time.
type timerHeap []*Timer

func (h timerHeap) Len() int           { return len(h) }
func (h timerHeap) Less(i, j int) bool { return h[i].at < h[j].at }
func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}
func (h *timerHeap) Push(x any) {
	t := x.(*Timer)
	t.index = len(*h)
	*h = append(*h, t)
}
func (h *timerHeap) Pop() any {
	old := *h
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	t.index = -1
	return t
}
