package mgr

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
)

const (
	acceptMax  = 64                     // connections that one listener accepts in one turn
	refuseMax  = 64                     // connections over MaxConns that are told so at a time; the rest is just closed
	refuseTime = time.Second            // how long such a connection may take to read it
	restTime   = 100 * time.Millisecond // how long a listener rests when descriptors have run out
)

// acceptBatch takes what waits in the kernel's queue, up to acceptMax.
func (m *Manager) acceptBatch(l *listener) {
	for range acceptMax {
		if l.c.IsClosed() || l.c.Paused() || l.c.Held() {
			return
		}
		fd, peer, err := conn.AcceptFD(l.c.FD())
		switch err {
		case nil:
			m.accepted(l, fd, peer)
		case unix.EINTR, unix.ECONNABORTED, unix.EPROTO, unix.ECONNRESET, unix.ETIMEDOUT, unix.ENETDOWN, unix.ENETUNREACH,
			unix.EHOSTDOWN, unix.EHOSTUNREACH, unix.ENOPROTOOPT, unix.EPERM:
			// The connection died while it waited, or a firewall forbids it (accept(2)): go on with the next.
		case unix.EAGAIN:
			return
		case unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM:
			m.exhausted(l, os.NewSyscallError("accept", err))
			return
		default:
			l.c.Fail(conn.IOError, fmt.Errorf("mgr: %w", os.NewSyscallError("accept", err)))
			return
		}
	}
}

// accepted makes a connection of fd.
func (m *Manager) accepted(l *listener, fd int, peer conn.Peer) {
	if err := m.fits(fd); err != nil {
		m.sock.Close(fd)
		m.stats.Exhausted++
		m.rest(l, err)
		return
	}
	if m.open >= m.opts.MaxConns {
		m.refuse(l, fd, peer)
		return
	}
	l.ill = false
	if m.reserve < 0 { // a shortage that is over has taken it
		m.openReserve()
	}
	if err := conn.SetAccepted(fd, l.addr, &l.opts.Socket); err != nil {
		m.sock.Close(fd) // the peer has gone already
		return
	}
	c := m.adopt(fd, peer, m.sock, l.limits, l.c.Handler())
	m.stats.Accepts++
	if l.c.Polls() {
		c.SetPoll(true)
	}
	m.begin(c, l.opts.Setup)
	m.current = c // a panic below ends this connection; who else waits is accepted next turn
	c.Fire(conn.Accept{})
}

// refuse turns a peer over MaxConns away.
func (m *Manager) refuse(l *listener, fd int, peer conn.Peer) {
	m.stats.Refused++
	defer m.ail(l, errTooManyConns, conn.Refused) // last: its handler may panic, and fd be forgotten
	if l.opts.Refusal == nil || len(m.refusing) >= refuseMax {
		m.sock.Close(fd)
		return
	}
	c := conn.New(m.sh, fd, conn.NewID(fd), m.sock, l.limits, nil)
	c.SetRemote(peer)
	c.SetReason(conn.Refused)
	m.refusing[c] = true
	m.place(c)
	c.Begin()
	c.WriteShared(l.opts.Refusal)
	c.DrainLinger(refuseTime)
}

// exhausted handles a process or a system without free descriptors. The poller goes on reporting the peer that waits, so the
// reserved descriptor is given up to accept that one and close it, which at least tells it; and the listener rests.
func (m *Manager) exhausted(l *listener, err error) {
	m.stats.Exhausted++
	if m.reserve >= 0 {
		unix.Close(m.reserve)
		m.reserve = -1
		if fd, _, err := conn.AcceptFD(l.c.FD()); err == nil {
			m.sock.Close(fd)
		}
	}
	if m.reserve < 0 {
		m.openReserve()
	}
	m.rest(l, err)
}

// rest keeps a listener from accepting for a moment.
func (m *Manager) rest(l *listener, err error) {
	l.c.Hold()
	m.AfterFunc(restTime, l.c.Unhold)
	m.ail(l, err, conn.IOError)
}

// ail fires the one Error event of a shortage, which lasts until a peer is accepted again.
func (m *Manager) ail(l *listener, err error, r conn.Reason) {
	if l.ill {
		return
	}
	l.ill = true
	if m.sh.Log != nil {
		m.sh.Log.Warn("listener cannot accept", "listener", l.addr.String(), "err", err)
	}
	m.current = l.c
	l.c.Fire(&conn.Error{Reason: r, Err: err})
}
