package redis

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/valkey-io/valkey-go"

	"github.com/seed4930a636/mangusta/broadcast"
)

const (
	retryMin = 50 * time.Millisecond
	retryMax = 2 * time.Second
	maxID    = 1 << 10 // bytes of Entry.ID
)

var (
	// ErrClosed is wrapped by the errors after Close.
	ErrClosed = broadcast.ErrEngineClosed
	// ErrNotSent is given to the callback of Publish, and returned by it, for a message that did
	// not reach the server: it is not stored.
	ErrNotSent = fmt.Errorf("redis: no server is reached: %w", broadcast.ErrDown)
	// ErrUnknown is given to the callback of Publish when the answer did not come: the server or
	// the way to it failed after the message was sent. The message may be stored, and delivered, or
	// not. Publishing it again with the same Entry.ID does not store it twice.
	ErrUnknown = fmt.Errorf("redis: the message was not acknowledged: %w", broadcast.ErrDown)
	// ErrTooLarge is returned by Publish for a message of more than Options.MaxMessage bytes.
	ErrTooLarge = fmt.Errorf("redis: %w", broadcast.ErrTooLarge)
)

// An Engine keeps the messages of a hub in a stream of Valkey or Redis, and gives them to all nodes
// in one order. Its methods are safe for concurrent use.
type Engine struct {
	opts   Options
	client valkey.ClientOption
	keys   []string
	out    publisher

	ctx    context.Context // until Close
	cancel context.CancelFunc

	mu      sync.Mutex
	running chan struct{} // closed when Run ends; nil when there is none
}

// Open checks opts, and does nothing more: Run connects, and until then Publish returns ErrNotSent.
//
// A server that has restarted may have lost its last messages, and so may a replica that takes
// over. Then the store begins a new epoch, with the messages that are left, and the hubs tell their
// subscribers: broadcast.Missed has Reset. Only with "appendonly yes" and "appendfsync always" the
// store goes on, unless a node sees that messages are gone.
func Open(opts Options) (*Engine, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	e := &Engine{opts: opts, keys: keysOf(opts.Name)}
	if e.client, err = opts.clientOption(); err != nil {
		return nil, err
	}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	e.out.e = e
	return e, nil
}

// why joins the errors that say that the store cannot be reached.
func (e *Engine) why(err error) error {
	switch {
	case e.ctx.Err() != nil:
		return ErrClosed
	case errors.Is(err, broadcast.ErrDown):
		return err
	}
	return fmt.Errorf("%w: %w", broadcast.ErrDown, err)
}

// Close ends Run and waits for it, and gives ErrClosed to the callbacks of messages that are not
// acknowledged.
func (e *Engine) Close() error {
	e.cancel()
	e.out.close()
	e.mu.Lock()
	running := e.running
	e.mu.Unlock()
	if running != nil {
		<-running
	}
	return nil
}

// Run gives sink the entries of the store, as broadcast.Engine says, until Close. It can be called
// once.
func (e *Engine) Run(sink broadcast.Sink) error {
	ended := make(chan struct{})
	defer close(ended)
	e.mu.Lock()
	running := e.running
	if running == nil {
		e.running = ended
	}
	e.mu.Unlock()
	if running != nil {
		return errors.New("redis: Run has been called before")
	}
	r := &reader{e: e, sink: sink}
	for pause := retryMin; e.ctx.Err() == nil; pause = min(2*pause, retryMax) {
		began := r.begun
		err := r.session()
		if e.ctx.Err() != nil {
			break
		}
		if r.begun != began { // it was up
			pause = retryMin
		}
		sink.Down(e.why(err))
		select {
		case <-time.After(pause):
		case <-e.ctx.Done():
		}
	}
	return nil
}
