// Package ctlpair is how other goroutines reach a poll loop: a queue for messages, and a socketpair as the doorbell that
// wakes the loop out of its poller.
//
// Send puts a message into the queue, and one byte into the socketpair when the queue was empty; the loop watches FD for
// input and calls Drain or DrainSome, which take all that is queued. A thousand messages sent while the loop is busy so cost one
// byte. The queue is bounded, and a message that does not fit is refused with an error: none is lost without a word.
package ctlpair

import (
	"errors"
	"fmt"
	"math"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

var (
	// ErrClosed is returned behind Close.
	ErrClosed = errors.New("ctlpair: closed")
	// ErrFull is returned when as many messages are queued as New was told.
	ErrFull = errors.New("ctlpair: the queue is full")

	// ErrPanicked is what Call returns when the handling of its message panicked.
	ErrPanicked = errors.New("ctlpair: the function panicked")
)

var stroke = []byte{1}

// DefaultLimit is the number of messages that a Pair queues when New is given 0.
const DefaultLimit = 1 << 20

// A Pair carries messages of type T from any goroutine to one loop. Send, Call, Ring and Close are safe for concurrent use; FD,
// Drain, DrainSome and Left belong to the loop.
type Pair[T any] struct {
	limit int
	fds   [2]int // the loop reads 0, senders write 1

	mu     sync.Mutex
	queue  []entry[T]
	rung   bool // a byte is in the socketpair, or on its way
	closed bool

	bell sync.Mutex // held while fds[1] is written to or closed
	hung bool       // fds are closed; guarded by bell

	taken []entry[T] // what Drain works on; swapped with queue, so that neither is allocated again
	next  int        // taken[:next] has been handled
}

type entry[T any] struct {
	msg  T
	done chan error // of a Call; nil for a Send
}

// New opens the socketpair. limit bounds the queued messages; 0 means DefaultLimit.
func New[T any](limit int) (*Pair[T], error) {
	if limit <= 0 {
		limit = DefaultLimit
	}
	fds, err := socketpair()
	if err != nil {
		return nil, fmt.Errorf("ctlpair: %w", os.NewSyscallError("socketpair", err))
	}
	return &Pair[T]{limit: limit, fds: fds}, nil
}

// FD returns the descriptor to watch for input. It is readable, or about to be, while Len is not 0; of what DrainSome has left it
// says nothing.
func (p *Pair[T]) FD() int { return p.fds[0] }

// Send queues msg. It never waits for the loop. It returns ErrFull or ErrClosed, and msg is not queued then. Safe for
// concurrent use.
func (p *Pair[T]) Send(msg T) error { return p.push(entry[T]{msg: msg}) }

// Call queues msg and waits until the loop has handled it. It must not be called on the loop's own goroutine, which
// would wait for itself. Safe for concurrent use.
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
	}
	p.queue = append(p.queue, e)
	p.unlockAndRing()
	return nil
}

// Ring wakes the loop without a message. Safe for concurrent use.
func (p *Pair[T]) Ring() {
	p.mu.Lock()
	p.unlockAndRing()
}

// unlockAndRing unlocks mu and rings, unless the bell rings already. The loop wakes up at once, on another processor maybe, and
// wants mu: so it must not be held here any more.
func (p *Pair[T]) unlockAndRing() {
	rung := p.rung
	p.rung = true
	p.mu.Unlock()
	if rung {
		return
	}
	p.bell.Lock()
	defer p.bell.Unlock()
	for !p.hung {
		// EAGAIN would mean that the socketpair is full of bytes: the bell rings already.
		if _, err := unix.Write(p.fds[1], stroke); err != unix.EINTR {
			return
		}
	}
}

// Len returns the number of queued messages. Safe for concurrent use.
func (p *Pair[T]) Len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.queue)
}

// Drain takes what is queued and gives it to f, in the order it was sent. What f sends to the same Pair comes with the
// next Drain. A panic of f goes up; Drain, called again, goes on behind the message that caused it.
func (p *Pair[T]) Drain(f func(T)) { p.DrainSome(math.MaxInt, f) }

// DrainSome is Drain for max messages at most, so that a loop that is flooded with messages can look after its connections in
// between. It reports whether it has left some of what it took: the bell, which it has silenced, tells nothing of those.
func (p *Pair[T]) DrainSome(max int, f func(T)) (left bool) {
	if p.next == len(p.taken) {
		p.take()
	}
	for ; p.next < len(p.taken) && max > 0; max-- {
		e := p.taken[p.next]
		p.taken[p.next] = entry[T]{}
		p.next++
		e.handle(f)
	}
	return p.next < len(p.taken)
}

// Left returns how many messages DrainSome has taken and left, which Len does not count. It belongs to the loop.
func (p *Pair[T]) Left() int { return len(p.taken) - p.next }

// take silences the bell and makes the queued messages the ones to handle. A stroke that comes behind the silence although its
// message is among those is one turn of the loop for nothing.
func (p *Pair[T]) take() {
	if !p.closed {
		var b [8]byte
		for {
			if _, err := unix.Read(p.fds[0], b[:]); err != unix.EINTR {
				break
			}
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rung = false
	room := p.taken[:0]
	if cap(room) > keepEntries {
		room = nil
	}
	p.taken, p.queue, p.next = p.queue, room, 0
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

// Close refuses further messages, gives those that are queued to f, and closes the descriptors. It belongs to the loop.
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
	p.bell.Lock()
	defer p.bell.Unlock()
	p.hung = true
	err := unix.Close(p.fds[0])
	if err2 := unix.Close(p.fds[1]); err == nil {
		err = err2
	}
	if err != nil {
		return fmt.Errorf("ctlpair: %w", os.NewSyscallError("close", err))
	}
	return nil
}
