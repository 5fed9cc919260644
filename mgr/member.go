package mgr

import (
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/seed4930a636/mangusta/conn"
)

// A membership is what a manager asks of the Loops that it belongs to: its *member. It is an
// interface, so that a program without Loops is linked without their code.
type membership interface {
	turned()
	admit() admission
	askRoom(guest)
	listening(n int)
	hasListener() bool
}

// A member is a manager as one of Loops: what it tells the others, and what it counts for the sum.
// Its loop settles with the sum at the end of each turn, as it does with its Budget, and before it
// takes a place for a connection.
type member struct {
	loops  *Loops
	m      *Manager
	index  int
	most   int // connections that the IDs of this loop can number
	told   int // of Manager.open, what Loops.open has in it
	guests int // that wait for room

	open  atomic.Int64 // connections, for the other loops to see
	onWay atomic.Int64 // connections that were handed over and have not arrived

	mu    sync.Mutex
	shown Stats
}

// spareSlots are slots for what is no connection: listeners, and peers that are being refused.
const spareSlots = 1024

// turned is called at the end of a turn.
func (b *member) turned() {
	b.tell()
	s := b.m.figures()
	b.mu.Lock()
	b.shown = s
	b.mu.Unlock()
}

// listening is called when the manager has n listeners more.
func (b *member) listening(n int) { b.loops.listeners.Add(int64(n)) }

// hasListener reports whether a loop has a listener.
func (b *member) hasListener() bool { return b.loops.listeners.Load() > 0 }

// stats returns the figures of the last turn. It is called on any goroutine.
func (b *member) stats() Stats {
	b.mu.Lock()
	s := b.shown
	b.mu.Unlock()
	s.Queued += b.m.pair.Len()
	return s
}

// tell settles with the sum.
func (b *member) tell() {
	if d := b.m.open - b.told; d != 0 {
		b.told = b.m.open
		b.loops.open.Add(int64(d))
		b.open.Store(int64(b.told))
	}
}

// An admission is the answer to a connection that would be one more.
type admission uint8

const (
	full     admission = iota
	admitted           // it is counted in Manager.open
	ask                // another loop may have an idle one, whose place it could take
)

// admit counts one more accepted connection, if MaxConns allows it or if a connection that rests
// between two requests makes room.
func (m *Manager) admit() admission {
	if m.member != nil {
		return m.member.admit()
	}
	if m.open >= m.opts.MaxConns && !m.makeRoom() {
		return full
	}
	m.open++
	return admitted
}

// admit is Manager.admit for the sum.
func (b *member) admit() admission {
	b.tell()
	switch l := b.loops; {
	case b.m.open >= b.most:
		if !b.m.makeRoom() {
			return full
		}
	case l.open.Add(1) <= int64(l.max):
		b.told++
	default:
		l.open.Add(-1)
		if !b.m.makeRoom() { // else its place is the new one's
			return ask
		}
	}
	b.m.open++
	return admitted
}

// A guest is a peer that was accepted and has no place yet.
type guest struct {
	l     *listener
	fd    int
	peer  conn.Peer
	owner netip.Addr // see shares
}

// askRoom asks the other loops, one after the other, for the place of a connection that rests
// between two requests. Meanwhile g waits.
func (b *member) askRoom(g guest) {
	if b.guests >= refuseMax || len(b.loops.members) == 1 {
		b.m.turnAway(g)
		return
	}
	b.guests++
	b.askNext(g, 1)
}

// askNext asks the loop that is so many after b, and then the next one. It runs on any loop.
func (b *member) askNext(g guest, step int) {
	for ; step < len(b.loops.members); step++ {
		other := b.loops.members[(b.index+step)%len(b.loops.members)]
		next := step + 1
		err := other.m.Complete(func() {
			if other.m.ending() || !other.m.makeRoom() {
				b.askNext(g, next)
				return
			}
			other.told-- // the sum keeps the place, for g
			b.answer(g, true)
		})
		if err == nil {
			return
		}
	}
	b.answer(g, false)
}

// answer ends askRoom. It runs on any loop.
func (b *member) answer(g guest, room bool) {
	err := b.m.Complete(func() {
		b.guests--
		if room {
			b.m.open++
			b.told++
		}
		switch {
		case b.m.ending() || g.l.c.IsClosed():
			if room {
				b.m.open--
			}
			b.m.shares.drop(g.owner)
			b.m.closeFD(g.fd)
		case room || b.admit() == admitted: // a place may have become free meanwhile
			b.m.welcome(g)
		default:
			b.m.turnAway(g)
		}
	})
	if err != nil { // its loop has been closed
		if room {
			b.loops.open.Add(-1)
		}
		b.m.shares.drop(g.owner)
		b.m.sock.Close(g.fd)
	}
}
