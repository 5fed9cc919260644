package mgr

import (
	"context"
	"time"

	"github.com/seed4930a636/mangusta/conn"
)

// Shutdown stops accepting, lets the protocol layers finish what they are doing (HTTP its answers, WebSocket its close
// handshake), and returns nil when the last connection has ended. When ctx is done first, the rest is cut and its error
// returned. The manager is closed afterwards: Run returns nil, Poll ErrClosed.
//
// It needs no running loop: between calls of Poll it turns the loop itself. Called from a handler it returns at once,
// and the shutdown begins in the next turn; of ctx only the deadline counts then, since handlers cancel theirs when they
// return. Safe for concurrent use.
func (m *Manager) Shutdown(ctx context.Context) error {
	if m.isDone() {
		return ErrClosed
	}
	m.ask(askShutdown)
	if m.onLoop() {
		if at, ok := ctx.Deadline(); ok {
			m.AfterFunc(time.Until(at), func() { m.closing = true })
		}
		return nil
	}
	for !m.isDone() {
		if ctx.Err() != nil {
			m.Close()
			return ctx.Err()
		}
		if err := m.help(ctx); err != nil && err != ErrClosed {
			return err
		}
	}
	return nil
}

// What ask asks the loop for.
const (
	askShutdown = 1 << iota
	askClose
)

// ask has the loop shut down or close in one of its next turns, behind the messages that are queued already. It is no message
// itself, since a full queue must not keep a program from ending.
func (m *Manager) ask(what uint32) {
	m.asked.Or(what)
	m.pair.Ring()
}

// obey does what was asked for, when the messages before it have been dealt with.
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

// help turns the loop when nobody else does, and otherwise waits a little for who does.
func (m *Manager) help(ctx context.Context) error {
	const patience = 20 * time.Millisecond
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
		l.c.SetReason(conn.ShuttingDown)
		l.c.Close()
	}
	for _, c := range m.conns {
		if c == nil || c.IsListener() || c.IsClosed() {
			continue
		}
		m.guard(func() {
			m.current = c
			if !m.refusing[c] {
				c.SetReason(conn.ShuttingDown)
			}
			c.Fire(conn.Shutdown{})
			if !c.HasProtocol() {
				c.Drain()
			}
		})
	}
}
