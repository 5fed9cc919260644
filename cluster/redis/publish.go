package redis

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/valkey-io/valkey-go"

	"github.com/seed4930a636/mangusta/broadcast"
)

// batch is how many messages are sent at once.
const batch = 256

// A publisher sends messages, in the order in which they are published, from a goroutine of its own
// for each session: those that have been queued while the server was answering go together.
type publisher struct {
	e  *Engine
	mu sync.Mutex

	up      bool // a session is there
	closed  bool
	queue   []*publishing // to be sent
	flights int           // messages that are not answered, those of queue too
	bytes   int           // of flights
	work    chan struct{}
	ended   chan struct{} // closed when the session's goroutine has ended
}

// A publishing is a message that is not acknowledged.
type publishing struct {
	*broadcast.Entry
	done func(uint64, error)
}

func (x publishing) size() int { return len(x.Topic) + len(x.Data) }

// Publish stores entry, and calls done with its offset after the server has it, as broadcast.Engine
// says: of those with the same ID within Options.Window only the first one is stored. The entry
// must not change before done is called.
//
// The errors are broadcast.ErrFull, ErrNotSent, ErrTooLarge and ErrClosed; done also gets
// ErrUnknown.
func (e *Engine) Publish(entry *broadcast.Entry, done func(offset uint64, err error)) error {
	if len(entry.Data) > e.opts.MaxMessage || len(entry.ID) > maxID {
		return ErrTooLarge
	}
	x := &publishing{entry, done}
	p := &e.out
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return ErrClosed
	case !p.up:
		return ErrNotSent
	case p.flights >= e.opts.InFlight, p.flights > 0 && p.bytes+x.size() > e.opts.InFlightBytes:
		return broadcast.ErrFull
	}
	p.queue = append(p.queue, x)
	p.flights++
	p.bytes += x.size()
	select {
	case p.work <- struct{}{}:
	default:
	}
	return nil
}

// begin sends what is published to c, until the session's ctx is over. An error that makes the
// session useless cancels it.
func (p *publisher) begin(ctx context.Context, cancel context.CancelCauseFunc, c conn, epoch uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.up = !p.closed
	p.work, p.ended = make(chan struct{}, 1), make(chan struct{})
	go p.send(ctx, cancel, c, epoch>>32, p.work, p.ended)
}

// end ends what waits. The session's ctx is over.
func (p *publisher) end() {
	p.mu.Lock()
	p.up = false
	ended := p.ended
	p.mu.Unlock()
	<-ended
	p.endQueue()
}

// close ends what waits, and what comes.
func (p *publisher) close() {
	p.mu.Lock()
	p.up, p.closed = false, true
	p.mu.Unlock()
}

// endQueue tells those in the queue that they are not sent.
func (p *publisher) endQueue() {
	p.mu.Lock()
	queue, err := p.queue, ErrNotSent
	if p.closed {
		err = ErrClosed
	}
	p.queue = nil
	p.mu.Unlock()
	for _, x := range queue {
		p.tell(x, 0, err)
	}
}

// tell says what became of x.
func (p *publisher) tell(x *publishing, offset uint64, err error) {
	p.mu.Lock()
	p.flights--
	p.bytes -= x.size()
	p.mu.Unlock()
	x.done(offset, err)
}

// send sends the queue, until an answer fails to come.
func (p *publisher) send(ctx context.Context, fail context.CancelCauseFunc, c conn, high uint64, work, ended chan struct{}) {
	defer close(ended)
	for {
		select {
		case <-work:
		case <-ctx.Done():
			return
		}
		for {
			p.mu.Lock()
			n := min(len(p.queue), batch)
			some := p.queue[:n:n]
			p.queue = p.queue[n:]
			p.mu.Unlock()
			if n == 0 {
				break
			}
			if err := p.sendBatch(ctx, c, high, some); err != nil {
				p.mu.Lock()
				p.up = false
				p.mu.Unlock()
				p.endQueue()
				fail(err)
				return
			}
		}
	}
}

// sendBatch sends some messages, and tells what became of each. It returns the error after which
// the connection is useless.
func (p *publisher) sendBatch(ctx context.Context, c conn, high uint64, some []*publishing) (over error) {
	ctx, cancel := context.WithTimeout(ctx, p.e.opts.Timeout)
	defer cancel()
	commands := make([]valkey.Completed, len(some))
	for i, x := range some {
		commands[i] = p.command(c, high, x)
	}
	for i, answer := range c.DoMulti(ctx, commands...) {
		offset, err := p.answer(answer)
		if err != nil && over == nil && errorKind(answer) != "OOM" {
			over = err
		}
		p.tell(some[i], offset, err)
	}
	return over
}

var publishSHA = sha(publishScript)

func (p *publisher) command(c conn, high uint64, x *publishing) valkey.Completed {
	o := &p.e.opts
	deleted, topics := "", "0"
	if x.Delete {
		deleted = "1"
	}
	if o.Retain {
		topics = strconv.Itoa(o.MaxTopics)
	}
	args := append([]string{"EVALSHA", publishSHA, strconv.Itoa(len(p.e.keys) + 1)}, p.e.keys...)
	return c.B().Arbitrary(append(args, "{"+o.Name+"}:"+keyID+x.ID, strconv.FormatUint(high, 10), x.Topic, valkey.BinaryString(x.Data), x.ID,
		deleted, strconv.FormatInt(o.Window.Milliseconds(), 10), strconv.Itoa(o.Backlog), topics)...).Build()
}

// answer returns the offset of the message that was stored.
func (p *publisher) answer(a valkey.ValkeyResult) (uint64, error) {
	id, err := a.ToString()
	switch kind := errorKind(a); {
	case err == nil:
		return offsetOf(id)
	case kind != "": // the server refuses it
		return 0, fmt.Errorf("%w: %w", ErrNotSent, err)
	case p.e.ctx.Err() != nil:
		return 0, ErrClosed
	}
	return 0, fmt.Errorf("%w: %w", ErrUnknown, err)
}

// errorKind returns the first word of an error that the server answered; empty for others.
func errorKind(a valkey.ValkeyResult) string {
	if err, ok := valkey.IsValkeyErr(a.Error()); ok {
		kind, _, _ := strings.Cut(err.Error(), " ")
		return kind
	}
	return ""
}
