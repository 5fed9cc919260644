package mgr

import (
	"github.com/seed4930a636/mangusta/conn"
)

// message is what another goroutine wants of the loop: one of do, each, or data for the connection numbered id.
type message struct {
	do   func()
	each func(*conn.Conn)
	id   uint64
	data []byte
}

// Do runs f on the loop, soon. Functions of one goroutine run in the order they were given. It does not wait, and returns
// ErrFull or ErrClosed when f will not run. Safe for concurrent use, from handlers too.
func (m *Manager) Do(f func()) error { return m.pair.Send(message{do: f}) }

// Wakeup fires a Wakeup event with a copy of data on the connection numbered id. It returns ErrFull or ErrClosed when it will
// not; when the connection is gone by then the data is dropped and Stats.LostWakeups counts it. Safe for concurrent use.
func (m *Manager) Wakeup(id uint64, data []byte) error {
	return m.pair.Send(message{id: id, data: append(make([]byte, 0, len(data)), data...)})
}

// Broadcast runs f on the loop for every open connection, listeners left out, and returns when that is done: it waits for
// somebody to call Poll or Run. Called from a handler, it runs in place. Called from a handler of another manager it does
// not wait, since two loops that broadcast to each other would wait for ever. It returns ErrFull or ErrClosed when f will not
// run. Safe for concurrent use.
func (m *Manager) Broadcast(f func(*conn.Conn)) error {
	g := goroutine()
	switch {
	case m.isDone():
		return ErrClosed
	case m.owner.Load() == g:
		m.each(f)
		return nil
	case isLoop(g):
		return m.pair.Send(message{each: f})
	}
	return m.pair.Call(message{each: f})
}

// handle deals with one message on the loop.
func (m *Manager) handle(msg message) {
	m.current = nil
	m.handled++
	switch {
	case msg.do != nil:
		msg.do()
	case msg.each != nil:
		m.each(msg.each)
	default:
		c := m.find(msg.id)
		if c == nil {
			m.stats.LostWakeups++
			return
		}
		m.current = c
		m.stats.Wakeups++
		m.wakeup.Data = msg.data
		c.Fire(&m.wakeup)
		m.wakeup.Data = nil
	}
}

// each calls f for every open connection.
func (m *Manager) each(f func(*conn.Conn)) {
	before := m.current
	for i, n := 0, len(m.conns); i < n; {
		i = m.eachOf(i, n, f)
	}
	m.current = before
}

// eachOf calls f for the connections on descriptors from i up to n, and returns where to go on: behind a call that panicked,
// which is the end of that connection and of none other.
func (m *Manager) eachOf(i, n int, f func(*conn.Conn)) (next int) {
	if !m.opts.CrashOnPanic {
		defer m.recovered()
	}
	for next = i; next < n; {
		c := m.conns[next]
		next++
		if c != nil && c.IsOpen() && !c.IsListener() {
			m.current = c
			f(c)
		}
	}
	return next
}
