package conn

import (
	"math"
	"sync"
	"sync/atomic"
)

// A Budget is how much memory the connections of one or more loops may hold together, and what else
// is charged to it. Each loop counts for itself, and settles with the Budget once a turn and when it
// has grown by a 64th of it: nothing else is shared. All methods are safe for concurrent use.
//
// A Budget has two marks. From 7/8 of it on memory is scarce, and the largest connections stop
// reading. Past all of it they end.
type Budget struct {
	limit  int64        // math.MaxInt64 is none
	loops  atomic.Int64 // bytes that connections hold, as the loops have told
	others atomic.Int64 // bytes of Charge
	made   atomic.Int64 // bytes of large buffers since a collection: see makeLarge

	mu      sync.Mutex
	members map[*Shared]func() // how to wake the loop
	count   atomic.Int64       // of members
}

// NewBudget returns a Budget of so many bytes; 0 and less is one without a limit, which only
// counts.
func NewBudget(bytes int) *Budget {
	b := &Budget{limit: int64(bytes), members: make(map[*Shared]func())}
	if bytes <= 0 {
		b.limit = math.MaxInt64
	}
	return b
}

// Limit returns the bytes of NewBudget, math.MaxInt when there is no limit.
func (b *Budget) Limit() int { return int(min(b.limit, math.MaxInt)) }

// Used returns how many bytes are held: by connections, as of the last turn of each loop, and of
// Charge.
func (b *Budget) Used() int { return int(b.used()) }

// Scarce reports whether 7/8 of the Budget are held.
func (b *Budget) Scarce() bool { return b.used() > b.limit-b.limit/8 }

// Charge says that n bytes more are held in something else than connections, such as the history of
// a broadcast; negative says that they are given back. It never ends or stops anything by itself:
// the loops see it at the end of their next turn.
func (b *Budget) Charge(n int) { b.others.Add(int64(n)) }

func (b *Budget) used() int64 { return b.loops.Load() + b.others.Load() }

// Eased reports whether less than 3/4 of the Budget are held, after it was scarce: those that were
// stopped may go on.
func (b *Budget) Eased() bool { return b.used() < b.limit-b.limit/4 }

// The loop's side. held is what the loop has counted, told is what the Budget knows of that, and
// allowed is how much held may become before the loop has to look at the Budget again: what is left,
// but not more than a 64th, because the other loops cannot see what this one has not told. So the
// check between two events is one comparison.

// JoinBudget has the loop count to b. wake makes it take a turn, and is called on other goroutines.
// It is for the loop.
func (s *Shared) JoinBudget(b *Budget, wake func()) {
	s.budget = b
	b.mu.Lock()
	b.members[s] = wake
	b.mu.Unlock()
	b.count.Add(1)
	s.tell()
}

// LeaveBudget ends JoinBudget. The memory that the loop holds counts no longer.
func (s *Shared) LeaveBudget() {
	b := s.budget
	if b == nil {
		return
	}
	b.mu.Lock()
	delete(b.members, s)
	b.mu.Unlock()
	b.count.Add(-1)
	b.loops.Add(int64(-s.told))
	s.budget, s.told, s.allowed = nil, 0, math.MaxInt
}

// Budget returns that of JoinBudget, or nil.
func (s *Shared) Budget() *Budget { return s.budget }

// tell settles with the budget.
func (s *Shared) tell() {
	b := s.budget
	if b == nil {
		return
	}
	if s.held != s.told {
		b.loops.Add(int64(s.held - s.told))
		s.told = s.held
	}
	if b.limit < math.MaxInt64 {
		s.allowed = s.held + int(min(b.limit-b.used(), b.limit/64))
	}
}

// Overfull reports whether the budget is overdrawn.
func (s *Shared) Overfull() bool { return s.held > s.allowed && s.overfull() }

func (s *Shared) overfull() bool {
	s.tell()
	return s.held > s.allowed
}

// Left returns how many bytes of the budget are left, less than 0 when it is overdrawn.
func (s *Shared) Left() int {
	s.tell()
	return int(s.budget.limit - s.budget.used())
}

// Spend reports whether it is this loop's turn to give something up: it holds as much as the loops
// of the budget do on average, or more. There is always one that does. If it is not this one, the
// others are woken. When the budget is overdrawn by an eighth, because that one is busy, each loop
// has to.
func (s *Shared) Spend() bool {
	b := s.budget
	if int64(s.held)*b.count.Load() >= b.loops.Load() || b.used() > b.limit+b.limit/8 {
		return true
	}
	if s.Now >= s.nextWake {
		s.nextWake = s.Now + wakeOthers
		b.wake(s)
	}
	return false
}

// wakeOthers is how long a loop waits before it wakes the others again, in nanoseconds.
const wakeOthers = 10e6

// wake has the other loops take a turn.
func (b *Budget) wake(but *Shared) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for s, f := range b.members {
		if s != but {
			f()
		}
	}
}
