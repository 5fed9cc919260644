package mgr

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
)

// batch is how many ready descriptors one turn handles at most.
const batch = 512

// messageMax is how many messages of other goroutines one turn handles at most: a flood of them
// cannot keep the loop from its connections.
const messageMax = 1024

// turn is what one turn of the loop keeps, and leaves to the next.
type turn struct {
	ready   [batch]ready
	rang    bool   // the doorbell rang, or the turn before has left messages
	unheard bool   // messages waited in the turn before, and the doorbell had not rung
	asked   uint32 // see Manager.ask
	behind  uint64 // a request takes effect once this many messages have been handled
	timers  uint64 // the last timer set before the turn
}

// Poll waits for something to happen, for timeout at most (negative: for ever), and handles it: one
// turn of the loop. All handlers run in the goroutine that calls Poll, before it returns. It
// returns ErrClosed after Close or a finished Shutdown, and any other error when the poller has
// failed.
//
// Poll finds out which goroutine calls it, so that Broadcast can tell; that costs some two
// microseconds. Run does it once.
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

// Run polls until ctx is done, and returns its error then, or until the manager has been shut down
// or closed, and returns nil then. Connections stay open when ctx ends it: call Shutdown or Close.
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

// ringWhen wakes the loop when ctx is done before Run has ended. (context.AfterFunc often needs no
// goroutine, but brings most of package context into programs that run on context.Background: 22
// KB.)
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
	timeout = m.waitFor(timeout)
	n, err := m.poller.wait(t.ready[:], timeout)
	if err == nil {
		m.pollRest = 0
	} else if n, err = 0, m.bearPoller(err, timeout); err != nil {
		return err
	}
	m.sh.Now = m.clock()
	m.stats.Turns++
	t.timers = m.timerSeq
	if what := m.asked.Swap(0); what != 0 {
		t.asked |= what
		t.behind = m.handled + uint64(m.pair.Len()+m.pair.Left())
		t.rang = true
	}
	m.proceed(t.ready[:n])
	if m.deaf {
		return fmt.Errorf("mgr: somebody else has closed the doorbell: %w", unix.EBADF)
	}
	if m.member != nil {
		m.member.turned()
	}
	if err := m.lost; err != nil && m.opts.NeedListener && !m.hasListener() && !m.ending() {
		m.lost = nil
		return err
	}
	if m.shutting && m.open == 0 && len(m.refusing) == 0 && len(m.listeners) == 0 {
		m.closing = true
	}
	if m.closing {
		m.finish()
	}
	return nil
}

// pollRestMax bounds the rest after a poller's error.
const pollRestMax = 100 * time.Millisecond

// bearPoller handles an error of the poller. Errors that say that its descriptor is none, or that
// its arguments are wrong, are returned. After others, such as ENOMEM, the turn goes on without
// ready descriptors, after a rest that grows with each in a row.
func (m *Manager) bearPoller(err error, timeout time.Duration) error {
	errno, ok := errors.AsType[unix.Errno](err)
	if !ok || errno == unix.EBADF || errno == unix.EINVAL || errno == unix.EFAULT {
		return fmt.Errorf("mgr: %s: %w", m.poller, err)
	}
	m.stats.PollErrors++
	if m.pollRest == 0 {
		m.log.Error("the poller has failed; it is tried again", "poller", m.poller.String(), "err", err)
	}
	m.pollRest = min(max(2*m.pollRest, time.Millisecond), pollRestMax)
	if timeout < 0 || timeout > m.pollRest {
		timeout = m.pollRest
	}
	time.Sleep(timeout)
	return nil
}

// waitFor shortens timeout to what timers, deadlines and unsettled connections allow.
func (m *Manager) waitFor(timeout time.Duration) time.Duration {
	if len(m.touched) > 0 || len(m.doomed) > 0 || m.turn.rang || m.closing || m.asked.Load() != 0 || m.pair.Waiting() {
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

// proceed works through the turn.
func (m *Manager) proceed(ready []ready) {
	due := m.sh.Now >= max(m.sh.NextDeadline, m.nextSweep) // handlers may bring NextDeadline forward: that is for the next turn
	for i := range ready {
		m.dispatch(ready[i])
		if m.sh.Overfull() {
			m.relieve()
		}
	}
	if m.heard() {
		m.tellMisses()
		m.turn.rang = m.pair.DrainSome(messageMax, m.handle)
	}
	m.obey()
	m.runTimers()
	if due {
		m.expire()
	}
	m.firePolls()
	m.settle()
}

// heard reports whether to take messages: when the doorbell rang, or when messages have waited for
// a whole turn without it. A stroke may fail, so the bell is not the only way to notice; but most
// messages that come before their bell are only a moment ahead of it, and are left to it.
func (m *Manager) heard() bool {
	t := &m.turn
	waited := t.unheard
	t.unheard = !t.rang && m.pair.Waiting()
	t.rang = t.rang || t.unheard && waited
	return t.rang
}

// tellMisses logs that strokes of the doorbell have failed.
func (m *Manager) tellMisses() {
	n := m.pair.Misses()
	if n == m.misses {
		return
	}
	m.misses = n
	if m.sh.Log != nil {
		m.sh.Log.Warn("the doorbell of the loop has failed", "times", n)
	}
}

// dispatch handles one ready descriptor.
func (m *Manager) dispatch(r ready) {
	fd := int(r.fd)
	if fd == m.pair.FD() {
		m.turn.rang = true
		m.deaf = m.deaf || r.closed
		return
	}
	c := m.at(fd)
	if c == nil {
		if m.races != nil {
			m.races.decided(r)
		}
		return
	}
	defer m.recovered(c)
	if r.closed {
		c.Driver().Lose()
		return
	}
	if c.IsListener() {
		m.acceptBatch(m.listeners[fd])
		return
	}
	if c.Driver().NoStream() {
		c.Driver().Ready(r.got)
		return
	}
	if r.got&(conn.Out|conn.Pri) != 0 {
		if r.got&conn.Pri != 0 {
			c.Driver().Urgent()
		}
		if r.got&conn.Out != 0 {
			c.Driver().Writable()
		}
	}
	if r.got&conn.In != 0 {
		c.Driver().Readable()
	}
}

// Try calls f, and survives its panic as that of a handler: it is logged and counted, unless
// Options.CrashOnPanic is set. It is for packages that call several functions of the program in a
// row, and must get to the last. It belongs to the loop's goroutine.
func (m *Manager) Try(f func()) { m.try(nil, f) }

// try calls f for c, which is nil if f belongs to no connection, and survives its panic: see
// recovered.
func (m *Manager) try(c *conn.Conn, f func()) {
	defer m.recovered(c)
	f()
}

// recovered is deferred by each function that calls a handler of c. It makes a panic the end of c,
// and of nothing else, unless the program wants to crash. Listeners live on, and so do datagram
// sockets that serve many peers.
func (m *Manager) recovered(c *conn.Conn) {
	if m.opts.CrashOnPanic {
		return
	}
	v := recover()
	if v == nil {
		return
	}
	m.sh.Stats.Panics++
	var id uint64
	if c != nil {
		id = c.ID()
	}
	m.log.Error("handler panicked", "conn", id, "panic", v, "stack", string(debug.Stack()))
	if c != nil && !c.IsListener() {
		c.Driver().Unlend()
		if c.Driver().Serves() {
			return
		}
		err := fmt.Errorf("panic: %v", v)
		if d := lastWord(c); d > 0 {
			c.Driver().FailAfter(conn.Panicked, err, d)
		} else {
			c.Layer().Fail(conn.Panicked, err)
		}
	}
}

// A panicWord is the state of a protocol layer that has something to tell the peer when a handler
// of the connection has panicked, such as status 500. Panicked queues it, and returns how long to
// linger for the peer to read it; 0 when there is nothing to tell.
type panicWord interface {
	Panicked(c *conn.Conn) time.Duration
}

// lastWord has the layer of c tell the peer that a handler has panicked. The layer may call the
// program again, for an error page, and that may panic too.
func lastWord(c *conn.Conn) (linger time.Duration) {
	w, ok := c.Layer().ProtocolState().(panicWord)
	if !ok || !c.IsOpen() {
		return 0
	}
	defer func() {
		if recover() != nil {
			linger = 0
		}
	}()
	return w.Panicked(c)
}

// Sweeping all connections costs some 10 ns each. sweepEvery keeps sweeps this far apart, and
// farther when there are many connections, so that they take a thousandth of a processor at most.
func sweepEvery(conns int) int64 { return int64(50*time.Millisecond) + int64(conns)*10_000 }

// expire has all connections look at their timeouts.
func (m *Manager) expire() {
	m.sh.NextDeadline = math.MaxInt64
	for slot := 0; slot < len(m.conns); slot++ {
		if c := m.conns[slot]; c != nil {
			m.expireOne(c)
		}
	}
	m.nextSweep = m.sh.Now + sweepEvery(m.open)
}

func (m *Manager) expireOne(c *conn.Conn) {
	defer m.recovered(c)
	if c.FD() < 0 && m.races != nil {
		m.races.hear(c)
	}
	m.sh.NextDeadline = min(m.sh.NextDeadline, c.Driver().Expire())
}

// fire gives ev to the handlers of c.
func (m *Manager) fire(c *conn.Conn, ev conn.Event) {
	defer m.recovered(c)
	c.Driver().Fire(ev)
}

// firePolls gives Poll to the connections that asked for it, and drops the holes that others left
// in the list.
func (m *Manager) firePolls() {
	for i, n := 0, len(m.polls); i < n; i++ {
		if c := m.polls[i]; c != nil {
			m.fire(c, &conn.Poll{})
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

// settle flushes and closes the connections that were touched since the last turn and in this one.
// A connection that is touched while it works is for the next turn, which will not wait: so two
// connections that keep waking each other do not stop the loop.
func (m *Manager) settle() {
	m.settling, m.touched = m.touched, m.settling[:0]
	for _, c := range m.settling {
		m.settleOne(c)
		if m.sh.Overfull() {
			m.relieve()
		}
	}
	clear(m.settling)
	if len(m.doomed) > 0 {
		m.closeDoomed()
	}
	m.sh.Settled()
	if m.sh.Overfull() {
		m.relieve() // another loop has used up the budget, or what is no connection
	}
	if m.budget.Scarce() || len(m.rationed) > 0 {
		m.ration()
	}
}

func (m *Manager) settleOne(c *conn.Conn) {
	defer m.recovered(c)
	next := c.Driver().Settle()
	if next.Was != next.Want {
		was, want := next.Was, next.Want
		if c.IsListener() {
			was, want = m.listeners[c.FD()].watch(was), m.listeners[c.FD()].watch(want)
		}
		err := m.poller.set(c.FD(), was, want)
		if err != nil && want == 0 {
			err = m.poller.set(c.FD(), was, want) // nothing but trouble comes of what is watched for nothing
		}
		// A connection that is over is closed all the same: the kernel stops watching a closed
		// descriptor.
		if err != nil && !next.Done {
			c.Driver().Watched(next.Was)
			if l := m.listeners[c.FD()]; l != nil && l.c == c {
				m.stats.AcceptErrors++
				m.hamper(l, err)
			} else {
				c.Layer().Fail(conn.IOError, err)
			}
			return
		}
	}
	if next.Done {
		m.remove(c)
	}
}

// remove takes a connection that is over out of the table. Its descriptor is closed after the Close
// event, so that the handler can still ask for its addresses.
func (m *Manager) remove(c *conn.Conn) {
	if c.IsListener() {
		m.listenerEnds(c)
	}
	if c.FD() < 0 && m.races != nil {
		m.races.end(c)
	}
	for !c.Driver().Finished() { // a second time when the Error handler panicked: Close is still to come
		m.try(c, c.Driver().Finish)
	}
	fd := c.FD()
	delete(m.hidden, c)
	m.take(c)
	m.closeFailed(c.Driver().CloseFD())
	switch {
	case c.IsListener():
		if l := m.listeners[fd]; l != nil && l.c == c {
			l.unlink() // after the close: a file that another process listens on stays
			delete(m.listeners, fd)
			m.listenerLeft(l)
		}
	case m.refusing[c]:
		delete(m.refusing, c)
	case m.leaving[c]:
		delete(m.leaving, c)
		m.shares.give(c)
	default:
		m.open--
		m.shares.give(c)
	}
}
