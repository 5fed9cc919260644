package mgr

import (
	"context"
	"fmt"
	"math"
	"runtime/debug"
	"time"

	"github.com/seed4930a636/mangusta/conn"
)

// batch is how many ready descriptors one turn deals with at most.
const batch = 512

// messageMax is how many messages of other goroutines one turn deals with at most: those who flood the loop with work do not
// keep it from its connections.
const messageMax = 1024

// turn is how far the current turn has come. A handler that panics unwinds the turn; it then goes on from here.
type turn struct {
	ready   [batch]ready
	n, next int    // ready[next:n] are still to do
	rang    bool   // the doorbell rang, or the turn before has left messages
	asked   uint32 // see Manager.ask
	behind  uint64 // what was asked comes when so many messages have been dealt with
	timers  uint64 // the last timer set before the turn
	sweep   int    // the next descriptor whose timeouts to look at, -1 when no sweep is on
	poll    int    // the next of polls
	settle  int    // the next of settling
}

// Poll waits for something to happen, for timeout at most (negative: for ever), and deals with it: one turn of the loop. All
// handlers run in the goroutine that calls Poll, before it returns. It returns ErrClosed after Close or a finished Shutdown,
// and any other error when the poller has failed.
//
// Poll finds out which goroutine calls it, so that Broadcast can tell; that costs some two microseconds. Run does it once.
func (m *Manager) Poll(timeout time.Duration) error {
	g := goroutine()
	if m.owner.Load() == g {
		panic("mgr: Poll was called from a handler of the same manager")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.own(g)
	defer m.own(0)
	return m.once(timeout)
}

// Run polls until ctx is done, and returns its error then, or until the manager has been shut down or closed, and returns nil
// then. Connections stay open when ctx ends it: call Shutdown or Close.
func (m *Manager) Run(ctx context.Context) error {
	if ctx.Done() != nil {
		ended := make(chan struct{})
		defer close(ended)
		go m.ringWhen(ctx, ended)
	}
	g := goroutine()
	if m.owner.Load() == g {
		panic("mgr: Run was called from a handler of the same manager")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.own(g)
	defer m.own(0)
	for ctx.Err() == nil {
		if err := m.once(-1); err == ErrClosed {
			return nil
		} else if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// ringWhen wakes the loop when ctx is done before Run has ended. (context.AfterFunc often needs no goroutine, but brings most
// of package context into programs that run on context.Background: 22 KB.)
func (m *Manager) ringWhen(ctx context.Context, ended <-chan struct{}) {
	select {
	case <-ctx.Done():
		m.pair.Ring()
	case <-ended:
	}
}

// once is one turn.
func (m *Manager) once(timeout time.Duration) error {
	if m.isDone() {
		return ErrClosed
	}
	t := &m.turn
	n, err := m.poller.wait(t.ready[:], m.waitFor(timeout))
	if err != nil {
		return fmt.Errorf("mgr: %s: %w", m.poller, err)
	}
	m.sh.Now = m.clock()
	m.stats.Turns++
	t.n, t.next, t.poll = n, 0, 0
	t.timers = m.timerSeq
	if what := m.asked.Swap(0); what != 0 {
		t.asked |= what
		t.behind = m.handled + uint64(m.pair.Len()+m.pair.Left())
		t.rang = true
	}
	t.sweep = -1
	if m.sh.Now >= max(m.sh.NextDeadline, m.nextSweep) {
		t.sweep = 0
		m.sh.NextDeadline = math.MaxInt64
	}
	for !m.proceed() {
	}
	if m.shutting && m.open == 0 && len(m.refusing) == 0 && len(m.listeners) == 0 {
		m.closing = true
	}
	if m.closing {
		m.finish()
	}
	return nil
}

// waitFor shortens timeout to what timers, deadlines and unsettled connections allow.
func (m *Manager) waitFor(timeout time.Duration) time.Duration {
	if len(m.touched) > 0 || m.turn.rang || m.closing || m.asked.Load() != 0 {
		return 0
	}
	at := int64(math.MaxInt64)
	if len(m.timers) > 0 {
		at = m.timers[0].at
	}
	if m.sh.NextDeadline != math.MaxInt64 {
		at = min(at, max(m.sh.NextDeadline, m.nextSweep))
	}
	if at == math.MaxInt64 {
		return timeout
	}
	d := max(time.Duration(at-m.clock()), 0)
	if timeout >= 0 && timeout < d {
		return timeout
	}
	return d
}

// proceed works through the turn from where it stands, and reports whether it came to the end. It did not when a handler
// panicked; it is called again then, and goes on behind that handler.
func (m *Manager) proceed() (finished bool) {
	if !m.opts.CrashOnPanic {
		defer m.recovered()
	}
	t := &m.turn
	for t.next < t.n {
		r := t.ready[t.next]
		t.next++
		m.dispatch(r)
	}
	if t.rang {
		m.current = nil
		t.rang = m.pair.DrainSome(messageMax, m.handle)
	}
	m.obey()
	m.runTimers()
	m.expire()
	m.firePolls()
	m.settle()
	return true
}

// dispatch deals with one ready descriptor.
func (m *Manager) dispatch(r ready) {
	fd := int(r.fd)
	if fd == m.pair.FD() {
		m.turn.rang = true
		return
	}
	c := m.conns[fd]
	if c == nil {
		return
	}
	m.current = c
	if c.IsListener() {
		m.acceptBatch(m.listeners[fd])
		return
	}
	if r.got&conn.Out != 0 {
		c.Writable()
	}
	if r.got&conn.In != 0 {
		c.Readable()
	}
}

// recovered makes a panic the end of the connection whose handler it happened in, and of nothing else. Listeners live on.
func (m *Manager) recovered() {
	v := recover()
	if v == nil {
		return
	}
	m.sh.Stats.Panics++
	c := m.current
	m.current = nil
	if m.sh.Log != nil {
		var id uint64
		if c != nil {
			id = c.ID()
		}
		m.sh.Log.Error("handler panicked", "conn", id, "panic", v, "stack", string(debug.Stack()))
	}
	if c != nil && !c.IsListener() {
		c.Fail(conn.Panicked, fmt.Errorf("panic: %v", v))
	}
}

// guard calls f and survives its panic, unless the program wants to crash.
func (m *Manager) guard(f func()) {
	if !m.opts.CrashOnPanic {
		defer m.recovered()
	}
	f()
}

// Sweeping all connections costs some 10 ns each. sweepEvery keeps sweeps this far apart, and farther when there are many
// connections, so that they take a thousandth of a processor at most.
func sweepEvery(conns int) int64 { return int64(50*time.Millisecond) + int64(conns)*10_000 }

// expire has the connections look at their timeouts when the first of them may be due.
func (m *Manager) expire() {
	t := &m.turn
	if t.sweep < 0 {
		return
	}
	for t.sweep < len(m.conns) {
		c := m.conns[t.sweep]
		t.sweep++
		if c == nil {
			continue
		}
		m.current = c
		m.sh.NextDeadline = min(m.sh.NextDeadline, c.Expire())
	}
	t.sweep = -1
	m.nextSweep = m.sh.Now + sweepEvery(m.open)
}

// firePolls gives Poll to those who asked, and drops the holes that others left in the list.
func (m *Manager) firePolls() {
	t := &m.turn
	for n := len(m.polls); t.poll < n; {
		c := m.polls[t.poll]
		t.poll++
		if c != nil {
			m.current = c
			c.Fire(conn.Poll{})
		}
	}
	kept := m.polls[:0]
	for _, c := range m.polls {
		if c != nil {
			kept = append(kept, c)
		}
	}
	clear(m.polls[len(kept):])
	m.polls = kept
}

// settle flushes and closes the connections that were touched since the last turn and in this one. Those that are touched
// while it works are for the next turn, which will not wait: so two connections that keep waking each other do not stop
// the loop.
func (m *Manager) settle() {
	t := &m.turn
	if t.settle == 0 {
		m.settling, m.touched = m.touched, m.settling[:0]
	}
	for t.settle < len(m.settling) {
		c := m.settling[t.settle]
		t.settle++
		m.settleOne(c)
	}
	clear(m.settling)
	m.sh.Settled()
	t.settle = 0
	m.current = nil
}

func (m *Manager) settleOne(c *conn.Conn) {
	m.current = c
	next := c.Settle()
	if next.Was != next.Want {
		// What is over is closed all the same: the kernel forgets to watch what is closed.
		if err := m.poller.set(c.FD(), next.Was, next.Want); err != nil && !next.Done {
			c.Watched(next.Was)
			c.Fail(conn.IOError, err)
			return
		}
	}
	if next.Done {
		m.remove(c)
	}
}

// remove takes a connection that is over out of the table. Its descriptor is closed behind the Close event, so that the
// handler can still ask for its addresses.
func (m *Manager) remove(c *conn.Conn) {
	for !c.Finished() { // a second time when the Error handler panicked: Close is still to come
		m.current = c
		m.guard(c.Finish)
	}
	fd := c.FD()
	m.conns[fd] = nil
	c.CloseFD()
	switch {
	case c.IsListener():
		m.listeners[fd].unlink() // behind the close: a file that somebody listens on stays
		delete(m.listeners, fd)
	case m.refusing[c]:
		delete(m.refusing, c)
	default:
		m.open--
	}
}
