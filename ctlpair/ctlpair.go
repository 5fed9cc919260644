// Package ctlpair is how other goroutines reach a poll loop: a queue for messages, and a socketpair
// as the doorbell that wakes the loop out of its poller.
//
// Send puts a message into the queue, and one byte into the socketpair when the queue was empty;
// the loop watches FD for input and calls Drain or DrainSome, which take all that is queued. A
// thousand messages sent while the loop is busy so cost one byte. The queue is bounded, and a
// message that does not fit is refused with an error: none is lost without a word.
//
// The write of that byte may fail. The bell is then rung again after a moment, until a stroke
// succeeds or the loop has looked by itself: a loop asks Waiting before it sleeps.
package ctlpair

import (
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	_ "github.com/seed4930a636/mangusta/internal/unixonly"
)

var (
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("ctlpair: closed")
	// ErrFull is returned when as many messages are queued as New was told.
	ErrFull = errors.New("ctlpair: the queue is full")

	// ErrDeaf is returned by Send and Call while the doorbell keeps failing: nothing would wake the
	// loop.
	ErrDeaf = errors.New("ctlpair: the doorbell fails")

	// ErrPanicked is what Call returns when the handling of its message panicked.
	ErrPanicked = errors.New("ctlpair: the function panicked")
)

// DefaultLimit is the number of messages that a Pair queues when New is given 0.
const DefaultLimit = 1 << 20

// A Pair carries messages of type T from any goroutine to one loop. Send, Call, Post, Ring and
// Close are safe for concurrent use; FD, Drain, DrainSome and Left belong to the loop.
type Pair[T any] struct {
	limit int
	bell  Bell

	mu     sync.Mutex
	queue  []entry[T]
	posted []T  // of Post
	rung   bool // a byte is in the socketpair, or on its way
	closed bool

	owed    bool          // a stroke failed, and the loop has not come since
	pause   time.Duration // until the stroke is tried again; 0 when no try is due
	waiting atomic.Bool   // the queue is not empty, or a stroke is owed
	misses  atomic.Uint64 // strokes that failed

	striking sync.Mutex // held during a stroke, and while the bell is closed
	hung     bool       // the bell is closed; guarded by striking

	taken []entry[T] // what Drain works on; swapped with queue, so that neither is allocated again
	next  int        // taken[:next] has been handled
	first []T        // what Drain works on before taken: of Post
}

type entry[T any] struct {
	msg  T
	done chan error // of a Call; nil for a Send
}

// New opens the socketpair. limit bounds the queued messages; 0 means DefaultLimit.
func New[T any](limit int) (*Pair[T], error) {
	b, err := NewBell()
	if err != nil {
		return nil, err
	}
	return NewOver[T](limit, b), nil
}

// NewOver is New with another doorbell than a socketpair, for tests of loops.
func NewOver[T any](limit int, b Bell) *Pair[T] {
	if limit <= 0 {
		limit = DefaultLimit
	}
	return &Pair[T]{limit: limit, bell: b}
}

// FD returns the descriptor to watch for input. It is readable, or about to be, while Len is not 0,
// unless the bell fails; of what DrainSome has left it says nothing.
func (p *Pair[T]) FD() int { return p.bell.FD }

// Send queues msg. It never waits for the loop. It returns ErrFull, ErrClosed or ErrDeaf, and msg
// is not queued then. Safe for concurrent use.
func (p *Pair[T]) Send(msg T) error { return p.push(entry[T]{msg: msg}) }

// Call queues msg and waits until the loop has handled it. It must not be called on the loop's own
// goroutine, which would wait for itself. Safe for concurrent use.
func (p *Pair[T]) Call(msg T) error {
	done := make(chan error, 1)
	if err := p.push(entry[T]{msg: msg, done: done}); err != nil {
		return err
	}
	return <-done
}

func (p *Pair[T]) push(e entry[T]) error {
	p.mu.Lock()
	switch {
	case p.closed:
		p.mu.Unlock()
		return ErrClosed
	case len(p.queue) >= p.limit:
		p.mu.Unlock()
		return ErrFull
	case p.pause == pauseMax && p.strike() != nil:
		p.mu.Unlock()
		return ErrDeaf
	}
	if p.queue = append(p.queue, e); len(p.queue) == 1 {
		p.waiting.Store(true)
	}
	p.unlockAndRing()
	return nil
}

// Post queues msg although the queue may be full, and in front of what Send has queued: it is for
// the result of work that the loop has begun, which must not be lost. The caller bounds how many
// are under way. It returns ErrClosed, and never another error: if the doorbell fails, the loop
// finds msg by Waiting. Safe for concurrent use.
func (p *Pair[T]) Post(msg T) error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return ErrClosed
	}
	p.posted = append(p.posted, msg)
	p.waiting.Store(true)
	p.unlockAndRing()
	return nil
}

// Ring wakes the loop without a message. Safe for concurrent use.
func (p *Pair[T]) Ring() {
	p.mu.Lock()
	p.unlockAndRing()
}

// unlockAndRing unlocks mu and rings, unless the bell rings already. The loop wakes up at once, on
// another processor maybe, and wants mu: so it must not be held here any more. If the stroke fails,
// rung is taken back.
func (p *Pair[T]) unlockAndRing() {
	rung := p.rung
	p.rung = true
	p.mu.Unlock()
	if !rung && p.strike() != nil && p.strike() != nil {
		p.missed()
	}
}

// strike strikes the bell once.
func (p *Pair[T]) strike() error {
	p.striking.Lock()
	defer p.striking.Unlock()
	if p.hung {
		return nil
	}
	err := p.bell.Strike()
	if err != nil {
		p.misses.Add(1)
	}
	return err
}

// A stroke that failed is tried again after pauseMin, then after twice that, and so on up to
// pauseMax. From then on messages are refused as long as a stroke fails.
const (
	pauseMin = time.Millisecond
	pauseMax = 1024 * pauseMin
)

// missed says that the bell does not ring although it should, and has it rung again.
func (p *Pair[T]) missed() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rung = false
	p.owed = true
	p.waiting.Store(true)
	if p.pause == 0 {
		p.pause = pauseMin
		p.bell.After(p.pause, p.again)
	}
}

// again is the next try after a failed stroke.
func (p *Pair[T]) again() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.owed || p.closed {
		p.pause = 0
		return
	}
	if p.strike() == nil {
		p.rung, p.pause = true, 0
		return
	}
	p.pause = min(2*p.pause, pauseMax)
	p.bell.After(p.pause, p.again)
}

// Waiting reports whether the loop has something to take, told without the bell: a loop that asks
// before it sleeps misses nothing even when a stroke has failed. It is one atomic load. Safe for
// concurrent use.
func (p *Pair[T]) Waiting() bool { return p.waiting.Load() }

// Misses returns how many strokes of the bell have failed. Safe for concurrent use.
func (p *Pair[T]) Misses() uint64 { return p.misses.Load() }

// Len returns the number of queued messages, without those of Post. Safe for concurrent use.
func (p *Pair[T]) Len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.queue)
}

// Drain takes what is queued and gives it to f, in the order it was sent. What f sends to the same
// Pair comes with the next Drain. A panic of f goes up; the next Drain goes on after the message
// that caused it.
func (p *Pair[T]) Drain(f func(T)) { p.DrainSome(math.MaxInt, f) }

// DrainSome is Drain for max messages at most, so that a loop that is flooded with messages can
// look after its connections in between. It reports whether it has left some of what it took: the
// bell, which it has silenced, tells nothing of those.
//
// What Post has queued comes first, and all of it.
func (p *Pair[T]) DrainSome(max int, f func(T)) (left bool) {
	if p.next == len(p.taken) {
		p.take()
	} else {
		p.takePosted()
	}
	for len(p.first) > 0 {
		msg := p.first[0]
		p.first = slices.Delete(p.first, 0, 1)
		f(msg)
	}
	for ; p.next < len(p.taken) && max > 0; max-- {
		e := p.taken[p.next]
		p.taken[p.next] = entry[T]{}
		p.next++
		e.handle(f)
	}
	return p.next < len(p.taken)
}

// Left returns how many messages DrainSome has taken and left, which Len does not count. It belongs
// to the loop.
func (p *Pair[T]) Left() int { return len(p.taken) - p.next }

// take silences the bell and makes the queued messages the ones to handle. A stroke may come after
// the silence although its message is among them: that costs one turn of the loop, and no more.
func (p *Pair[T]) take() {
	if !p.closed {
		p.bell.Silence()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rung, p.owed = false, false
	p.waiting.Store(false)
	room := p.taken[:0]
	if cap(room) > keepEntries {
		room = nil
	}
	p.taken, p.queue, p.next = p.queue, room, 0
	p.first, p.posted = append(p.first, p.posted...), nil
}

// takePosted is take for what Post has queued, while some of what take took is left.
func (p *Pair[T]) takePosted() {
	p.mu.Lock()
	p.first, p.posted = append(p.first, p.posted...), nil
	p.mu.Unlock()
}

// keepEntries is the length up to which an emptied queue is kept for the next messages.
const keepEntries = 8192

func (e *entry[T]) handle(f func(T)) {
	if e.done != nil {
		err := ErrPanicked
		defer func() { e.done <- err }()
		f(e.msg)
		err = nil
		return
	}
	f(e.msg)
}

// Close refuses further messages, gives those that are queued to f, and closes the descriptors. It
// belongs to the loop.
func (p *Pair[T]) Close(f func(T)) error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return ErrClosed
	}
	p.closed = true
	p.mu.Unlock()
	p.Drain(f) // what an interrupted Drain left
	p.Drain(f)
	p.striking.Lock()
	defer p.striking.Unlock()
	p.hung = true
	if err := p.bell.Close(); err != nil {
		return fmt.Errorf("ctlpair: %w", os.NewSyscallError("close", err))
	}
	return nil
}
