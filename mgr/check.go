package mgr

import (
	"runtime"
	"slices"
	"strconv"
	"sync"
)

// goroutine returns the number of the calling goroutine, which the runtime tells only in the text
// of a stack trace: "goroutine 17 [running]:". It takes some microseconds, so nothing on the path
// of a byte calls it.
func goroutine() uint64 {
	var b [40]byte
	n := runtime.Stack(b[:], false)
	const prefix = len("goroutine ")
	end := prefix
	for end < n && b[end] != ' ' {
		end++
	}
	id, err := strconv.ParseUint(string(b[prefix:end]), 10, 64)
	if err != nil {
		panic("mgr: the runtime no longer tells a goroutine's number")
	}
	return id
}

// own records that goroutine g is inside Poll; 0 that none is.
func (m *Manager) own(g uint64) { m.owner.Store(g) }

// onLoop reports whether the caller is a handler of m.
func (m *Manager) onLoop() bool {
	g := m.owner.Load()
	return g != 0 && g == goroutine()
}

func (m *Manager) check(op string) {
	if m.sh.Check != nil {
		m.sh.Check(op)
	}
}

// checkOwner panics when another goroutine than the caller is inside Poll.
func (m *Manager) checkOwner(op string) {
	if g := m.owner.Load(); g != 0 && g != goroutine() {
		panic("mangusta: " + op + " was called off the loop while the loop was running; use Manager.Do, Wakeup or Broadcast")
	}
}

// loops are the open managers of the process, for Broadcast to know a caller that is some manager's
// loop.
var loops struct {
	sync.Mutex
	all []*Manager
}

func register(m *Manager) {
	loops.Lock()
	defer loops.Unlock()
	loops.all = append(loops.all, m)
}

func unregister(m *Manager) {
	loops.Lock()
	defer loops.Unlock()
	loops.all = slices.DeleteFunc(loops.all, func(x *Manager) bool { return x == m })
}

// isLoop reports whether goroutine g is inside the Poll of some manager.
func isLoop(g uint64) bool {
	loops.Lock()
	defer loops.Unlock()
	return slices.ContainsFunc(loops.all, func(m *Manager) bool { return m.owner.Load() == g })
}
