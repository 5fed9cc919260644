package mgr

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/ctlpair"
)

// message is what another goroutine wants of the loop: an order. It is a struct with that one field
// because the names of what is instantiated for it, 30 functions of ctlpair, spell the fields of a
// struct out: 8 KB of names.
type message struct{ order }

// order is one of do, each, or data for the connection numbered id.
type order struct {
	do   func()
	each func(*conn.Conn)
	id   uint64
	data []byte

	posted bool // by Complete: it was not queued with the others
}

// Do runs f on the loop, soon. Functions of one goroutine run in the order they were given. It does
// not wait, and returns ErrFull, ErrClosed or ErrDeaf when f will not run. Safe for concurrent use,
// from handlers too.
func (m *Manager) Do(f func()) error { return queued(m.pair.Send(message{order{do: f}})) }

// Complete runs f on the loop, soon, before what Do has queued: f brings the result of work that
// the loop has had begun, such as a step of a TLS handshake. It is never refused because the queue
// is full; whoever begins the work bounds how much of it is under way. It returns ErrClosed when f
// will not run. Safe for concurrent use, from handlers too.
func (m *Manager) Complete(f func()) error {
	return queued(m.pair.Post(message{order{do: f, posted: true}}))
}

// Wakeup fires a Wakeup event with a copy of data on the connection numbered id. It returns
// ErrFull, ErrClosed or ErrDeaf when it will not; when the connection is gone by then the data is
// dropped and Stats.LostWakeups counts it. Safe for concurrent use.
func (m *Manager) Wakeup(id uint64, data []byte) error {
	return queued(m.pair.Send(message{order{id: id, data: append(make([]byte, 0, len(data)), data...)}}))
}

// SendMsg is Conn.SendMsg for the connection numbered id, on a unix socket: p goes out with
// descriptors beside its first byte. p is copied and the descriptors are duplicated now, so the
// caller may close its own at once. It returns ErrFull, ErrClosed or ErrDeaf when nothing will be
// sent. When the connection is gone by then, or does not take it, p is dropped, the duplicates are
// closed and Stats.LostWakeups counts it. Safe for concurrent use.
func (m *Manager) SendMsg(id uint64, p []byte, files ...int) error {
	if len(p) == 0 {
		return errors.New("mgr: send message: descriptors need a byte to go with")
	}
	own := make([]int, 0, len(files))
	closeOwn := func() {
		for _, fd := range own {
			unix.Close(fd)
		}
	}
	for _, fd := range files {
		dup, err := conn.Dup(fd)
		if err != nil {
			closeOwn()
			return fmt.Errorf("mgr: send message: descriptor %d: %w", fd, err)
		}
		own = append(own, dup)
	}
	p = append([]byte(nil), p...)
	err := m.Do(func() {
		defer closeOwn()
		if c := m.find(id); c == nil || c.SendMsg(p, own...) != nil {
			m.stats.LostWakeups++
		}
	})
	if err != nil {
		closeOwn()
	}
	return err
}

// Broadcast runs f on the loop for every open connection, except listeners, datagram sockets,
// descriptors given to Watch, and those between two processes of package handoff. It returns when
// that is done, so it waits for a goroutine to call Poll or Run. Called from a handler, it runs in
// place. Called from a handler of another manager it does not wait, since two loops that broadcast
// to each other would wait for ever. It returns ErrFull, ErrClosed or ErrDeaf when f will not run.
// Safe for concurrent use.
func (m *Manager) Broadcast(f func(*conn.Conn)) error {
	g := goroutine()
	switch {
	case m.isDone():
		return ErrClosed
	case m.owner.Load() == g:
		m.each(f)
		return nil
	case isLoop(g):
		return queued(m.pair.Send(message{order{each: f}}))
	}
	return queued(m.pair.Call(message{order{each: f}}))
}

// queued makes this package's errors of ctlpair's.
func queued(err error) error {
	switch err {
	case nil:
		return nil
	case ctlpair.ErrFull:
		return ErrFull
	case ctlpair.ErrClosed:
		return ErrClosed
	case ctlpair.ErrDeaf:
		return ErrDeaf
	}
	return err
}

// handle does one message on the loop.
func (m *Manager) handle(msg message) {
	if !msg.posted {
		m.handled++
	}
	switch {
	case msg.do != nil:
		m.try(nil, msg.do)
	case msg.each != nil:
		m.each(msg.each)
	default:
		c := m.find(msg.id)
		if c == nil {
			m.stats.LostWakeups++
			return
		}
		m.stats.Wakeups++
		m.wakeup.Data = msg.data
		m.fire(c, &m.wakeup)
		m.wakeup.Data = nil
	}
}

// each calls f for every open connection.
func (m *Manager) each(f func(*conn.Conn)) {
	for slot, n := 0, len(m.conns); slot < n; slot++ {
		if c := m.conns[slot]; c != nil && c.IsOpen() && !c.IsListener() && !c.Driver().NoStream() && !m.hidden[c] {
			m.with(c, f)
		}
	}
}

// with calls f for c.
func (m *Manager) with(c *conn.Conn, f func(*conn.Conn)) {
	defer m.recovered(c)
	f(c)
}
