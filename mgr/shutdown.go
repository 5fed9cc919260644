package mgr

import (
	"context"
	"time"

	"github.com/seed4930a636/mangusta/conn"
)

// Shutdown stops accepting, lets the protocol layers finish what they are doing (HTTP its answers,
// WebSocket its close handshake), and returns nil when the last connection has ended. When ctx is
// done first, the rest is cut and its error returned. The manager is closed afterwards: Run returns
// nil, Poll ErrClosed. If a handler blocks the loop, Shutdown returns all the same when ctx is
// done, and the manager is closed when that handler returns.
//
// It needs no running loop: between calls of Poll it turns the loop itself. Called from a handler
// it returns at once, and the shutdown begins in the next turn; of ctx only the deadline counts
// then, since handlers cancel theirs when they return. Safe for concurrent use.
func (m *Manager) Shutdown(ctx context.Context) error {
	if m.isDone() {
		return ErrClosed
	}
	m.draining.Store(true)
	m.ask(askShutdown)
	if m.onLoop() {
		if at, ok := ctx.Deadline(); ok {
			m.AfterFunc(time.Until(at), func() { m.closing = true })
		}
		return nil
	}
	for !m.isDone() {
		if ctx.Err() != nil {
			m.cutSoon()
			return ctx.Err()
		}
		if err := m.help(ctx); err != nil && err != ErrClosed {
			return err
		}
	}
	return nil
}

// shutdownSoon is Shutdown for a handler of another loop: it does not wait, and of ctx only the
// deadline counts.
func (m *Manager) shutdownSoon(ctx context.Context) error {
	if m.isDone() {
		return ErrClosed
	}
	m.draining.Store(true)
	m.ask(askShutdown)
	if at, ok := ctx.Deadline(); ok {
		m.Complete(func() { m.AfterFunc(time.Until(at), func() { m.closing = true }) }) // an error: it is closed already
	}
	return nil
}

// patience is how long who waits for the loop waits before it looks again.
const patience = 20 * time.Millisecond

// cutSoon has the manager closed: at once if no goroutine is in Poll or Run, and otherwise by the
// one that is. It may take a moment, or, while a handler blocks the loop, as long as the handler
// does; cutSoon does not wait for it.
func (m *Manager) cutSoon() {
	m.ask(askClose)
	for end := time.Now().Add(patience); !m.isDone() && time.Now().Before(end); time.Sleep(time.Millisecond) {
		if m.mu.TryLock() {
			m.own(goroutine())
			m.finish()
			m.own(0)
			m.mu.Unlock()
		}
	}
}

// The requests that ask makes of the loop.
const (
	askShutdown = 1 << iota
	askClose
)

// ask has the loop shut down or close in one of its next turns, after the messages that are queued
// already. It is no message itself, since a full queue must not keep a program from ending.
func (m *Manager) ask(what uint32) {
	m.asked.Or(what)
	m.pair.Ring()
}

// obey does what was asked for, when the messages before it have been handled.
func (m *Manager) obey() {
	what := m.turn.asked
	if what == 0 || m.handled < m.turn.behind {
		return
	}
	m.turn.asked = 0
	if what&askClose != 0 {
		m.closing = true
	}
	if what&askShutdown != 0 {
		m.beginShutdown()
	}
}

// help turns the loop if no other goroutine does, and otherwise waits a little for that one.
func (m *Manager) help(ctx context.Context) error {
	if m.mu.TryLock() {
		defer m.mu.Unlock()
		m.own(goroutine())
		defer m.own(0)
		return m.once(patience)
	}
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case <-m.done:
	case <-ctx.Done():
	case <-t.C:
	}
	return nil
}

// beginShutdown closes the listeners and tells the connections.
func (m *Manager) beginShutdown() {
	if m.shutting {
		return
	}
	m.shutting = true
	for _, l := range m.listeners {
		m.drainBacklog(l, false)
		l.c.Layer().SetReason(conn.ShuttingDown)
		l.c.Close()
	}
	for _, c := range m.conns {
		if c != nil && !c.IsListener() && !c.IsClosed() {
			m.tellShutdown(c)
		}
	}
}

// tellShutdown gives c its Shutdown event.
func (m *Manager) tellShutdown(c *conn.Conn) {
	m.try(c, func() {
		if !m.refusing[c] {
			c.Layer().SetReason(conn.ShuttingDown)
		}
		c.Driver().Fire(&conn.Shutdown{})
		if !c.Layer().HasProtocol() {
			c.Drain()
		}
	})
}
