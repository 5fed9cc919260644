package mgr

import (
	"container/heap"
	"math"
	"time"
)

// A Timer calls a function on the loop. It belongs to the loop's goroutine.
type Timer struct {
	m     *Manager
	f     func()
	at    int64 // on the manager's clock
	every int64 // 0 for once
	seq   uint64
	index int // in the heap; -1 when not set
}

// AfterFunc calls f on the loop once, when d has passed: in the next turn at the earliest. The
// clock is monotonic. Functions that are due at the same time run in the order they were set.
func (m *Manager) AfterFunc(d time.Duration, f func()) *Timer {
	return m.newTimer(d, 0, f)
}

// Every calls f on the loop each time d has passed, which must be positive. The times are counted
// from the first, so that they do not drift; those that the loop was too late for are left out.
func (m *Manager) Every(d time.Duration, f func()) *Timer {
	if d <= 0 {
		panic("mgr: Every: the interval must be positive")
	}
	return m.newTimer(d, d, f)
}

func (m *Manager) newTimer(d, every time.Duration, f func()) *Timer {
	m.check("AfterFunc and Every")
	m.timerSeq++
	t := &Timer{m: m, f: f, at: later(m.clock(), int64(max(d, 0))), every: int64(every), seq: m.timerSeq, index: -1}
	heap.Push(&m.timers, t)
	return t
}

// later returns at+d, or the end of time when that is past it.
func later(at, d int64) int64 { return at + min(d, math.MaxInt64-at) }

// Stop keeps the timer from firing again, and reports whether it would have. It may be called from
// the timer's own function.
func (t *Timer) Stop() bool {
	t.m.check("Timer.Stop")
	if t.index < 0 {
		return false
	}
	heap.Remove(&t.m.timers, t.index)
	return true
}

// runTimers calls the functions that are due. A timer is set again, or forgotten, before its
// function runs: so Stop works inside, and a panic leaves the heap as it should be. Timers that are
// set in this turn wait for the next turn, even when the clock is so coarse that they are due at
// once.
func (m *Manager) runTimers() {
	for len(m.timers) > 0 && m.timers[0].at <= m.sh.Now && m.timers[0].seq <= m.turn.timers {
		t := m.timers[0]
		if t.every == 0 {
			heap.Pop(&m.timers)
		} else {
			late := m.sh.Now - t.at
			t.at = later(t.at+late-late%t.every, t.every)
			heap.Fix(&m.timers, 0)
		}
		m.try(nil, t.f)
	}
}

// timerHeap orders timers by time.
type timerHeap []*Timer

func (h timerHeap) Len() int { return len(h) }
func (h timerHeap) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].seq < h[j].seq
}
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
