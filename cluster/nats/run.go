package nats

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	client "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed4930a636/mangusta/broadcast"
)

const (
	heartbeat = time.Second   // of a consumer that has nothing to deliver
	silence   = 3 * heartbeat // after which it is taken for dead
	retryMin  = 50 * time.Millisecond
	retryMax  = 2 * time.Second
)

var (
	errGap    = errors.New("nats: the consumer has lost a message")
	errSilent = errors.New("nats: the consumer is silent")
	errTurned = errors.New("nats: the connection has broken")
)

// Run gives sink the entries of the stream, as broadcast.Engine says, until Close. It can be
// called once.
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
		return errors.New("nats: Run has been called before")
	}
	r := &reader{e: e, sink: sink}
	for pause := retryMin; e.ctx.Err() == nil; {
		r.reading = time.Time{}
		err := r.follow()
		if e.ctx.Err() != nil {
			break
		}
		if !r.reading.IsZero() {
			e.opts.Log.Info("nats: the stream is asked again", "why", err, "after", r.last)
			if time.Since(r.reading) > retryMax { // else it may fail again at once
				pause = retryMin
				if e.nc.IsConnected() {
					continue
				}
			}
		}
		r.fell(err)
		e.rest(pause)
		pause = min(2*pause, retryMax)
	}
	return nil
}

// rest waits for d, or until the connection is another.
func (e *Engine) rest(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-e.again:
	case <-t.C:
	case <-e.ctx.Done():
	}
}

// A reader is the state of Run.
type reader struct {
	e       *Engine
	sink    broadcast.Sink
	epoch   uint64
	last    uint64    // the offset of what was delivered last
	begun   int       // how many times Begin was called
	reading time.Time // since when the stream has been read; zero when follow did not come to that
	down    bool      // sink was told so
}

// fell tells that the stream cannot be read.
func (r *reader) fell(err error) {
	if r.begun > 0 && !r.down || r.begun == 0 {
		r.sink.Down(r.e.why(err))
	}
	r.down = true
}

// follow reads the stream until something fails.
func (r *reader) follow() error {
	e := r.e
	select {
	case <-e.again: // it is seen below
	default:
	}
	if !e.nc.IsConnected() {
		return ErrNotSent
	}
	made := e.nc.Stats().Reconnects
	ctx, cancel := context.WithTimeout(e.ctx, askTimeout)
	defer cancel()
	l, err := e.stream(ctx)
	if err != nil {
		return err
	}
	if l.info.Epoch == r.epoch && l.info.Last < r.last {
		if l, err = e.renew(ctx, l); err != nil {
			return err
		}
	}
	r.epoch = l.info.Epoch
	r.begun++
	r.down = false
	r.last = max(r.sink.Begin(l.info), l.info.Epoch)

	c := &consumer{reader: r, failed: make(chan error, 1)}
	c.saw()
	inbox := e.nc.NewInbox()
	sub, err := e.nc.Subscribe(inbox, c.receive)
	if err != nil {
		return err
	}
	defer c.end(sub)
	sub.SetPendingLimits(-1, -1) // flow control bounds what waits
	_, err = e.js.CreatePushConsumer(ctx, l.name, jetstream.ConsumerConfig{
		DeliverSubject:    inbox,
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       r.last + 1,
		AckPolicy:         jetstream.AckNonePolicy,
		FlowControl:       true,
		IdleHeartbeat:     heartbeat,
		MemoryStorage:     true,
		Replicas:          1,
		InactiveThreshold: 30 * time.Second,
	})
	if err != nil {
		return err
	}
	r.reading = time.Now()
	return c.watch(made)
}

// A consumer delivers the stream in order, from after the reader's last offset. It numbers what it
// delivers, so that a loss on the way is seen.
type consumer struct {
	*reader
	failed chan error
	seen   atomic.Int64 // when it last sent something, in nanoseconds since started
	busy   atomic.Bool  // the sink is at work

	mu        sync.Mutex // held during receive
	over      bool
	delivered uint64 // the consumer's number of the last message
}

// started is when the program began, for times that a change of the clock does not touch.
var started = time.Now()

// saw notes that the consumer lives.
func (c *consumer) saw() { c.seen.Store(int64(time.Since(started))) }

// watch waits until the consumer fails or falls silent, or the connection is another than the one
// with this number.
func (c *consumer) watch(made uint64) error {
	tick := time.NewTicker(heartbeat)
	defer tick.Stop()
	for {
		select {
		case err := <-c.failed:
			return err
		case <-c.e.again:
			if !c.e.nc.IsConnected() || c.e.nc.Stats().Reconnects != made {
				return errTurned
			}
		case <-tick.C:
			if !c.busy.Load() && time.Since(started)-time.Duration(c.seen.Load()) > silence {
				return errSilent
			}
		case <-c.e.ctx.Done():
			return c.e.ctx.Err()
		}
	}
}

// end makes sure that receive does nothing more.
func (c *consumer) end(sub *client.Subscription) {
	sub.Unsubscribe()
	c.mu.Lock()
	c.over = true
	c.mu.Unlock()
}

func (c *consumer) fail(err error) {
	c.over = true
	c.failed <- err
}

// receive gets the messages of the consumer, from one goroutine.
func (c *consumer) receive(m *client.Msg) {
	c.busy.Store(true)
	c.mu.Lock()
	defer func() {
		c.mu.Unlock()
		c.saw()
		c.busy.Store(false)
	}()
	switch {
	case c.over:
	case m.Header != nil && len(m.Data) == 0 && m.Header.Get("Status") != "":
		c.status(m)
	default:
		c.message(m)
	}
}

// status is a heartbeat, or asks whether all before it has been dealt with.
func (c *consumer) status(m *client.Msg) {
	if m.Header.Get("Status") != "100" {
		c.fail(errors.New("nats: the consumer ends: " + m.Header.Get("Description")))
		return
	}
	if m.Reply != "" {
		c.e.nc.Publish(m.Reply, nil)
	}
	if stalled := m.Header.Get("Nats-Consumer-Stalled"); stalled != "" {
		c.e.nc.Publish(stalled, nil)
	}
	if text := m.Header.Get("Nats-Last-Consumer"); text != "" {
		if n, err := strconv.ParseUint(text, 10, 64); err != nil || n != c.delivered {
			c.fail(errGap)
		}
	}
}

func (c *consumer) message(m *client.Msg) {
	at, err := m.Metadata()
	if err != nil {
		c.fail(err)
		return
	}
	if at.Sequence.Consumer != c.delivered+1 {
		c.fail(errGap)
		return
	}
	c.delivered++
	entry, err := c.e.entryOf(m, at)
	if err != nil {
		c.e.opts.Log.Warn("nats: a message that is not of this engine is left out", "subject", m.Subject)
		return
	}
	// The numbers of the consumer have no hole: what is missing before the message has been removed
	// from the stream.
	entry.Lost = entry.Offset - c.last - 1
	c.last = entry.Offset
	c.sink.Deliver(entry)
}
