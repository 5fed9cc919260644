package mgr

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
)

const (
	acceptMax  = 64                     // connections that one listener accepts in one turn
	refuseMax  = 64                     // refused connections that are told so at a time; the rest is just closed
	refuseTime = time.Second            // how long such a connection may take to read it
	restTime   = 100 * time.Millisecond // how long a listener rests when it cannot accept,
	restMax    = 16 * restTime          // and at most, after twice as long each time
)

// acceptBatch takes what waits in the kernel's queue, up to acceptMax.
func (m *Manager) acceptBatch(l *listener) {
	for range acceptMax {
		if l.c.IsClosed() || l.c.Layer().Stopped() || l.set != nil && !l.set.takes(m, l) {
			return
		}
		fd, peer, err := m.sockets.accept(l.c.FD())
		switch err {
		case nil:
			if l.set == nil || !l.set.handOver(m, fd, peer) {
				m.accepted(l, fd, peer)
			}
		case unix.EINTR:
		case unix.EAGAIN:
			l.spoilt = 0
			m.stats.EmptyAccepts++
			return
		case unix.ECONNABORTED, unix.EPROTO, unix.ECONNRESET, unix.ETIMEDOUT, unix.ENETDOWN, unix.ENETUNREACH, unix.EHOSTDOWN,
			unix.EHOSTUNREACH, unix.ENOPROTOOPT, unix.EPERM, unix.EOPNOTSUPP, enonet:
			// The connection died while it waited, or a firewall forbids it (accept(2)): go on with
			// the next.
			m.stats.AcceptErrors++
			if l.spoilt++; l.spoilt >= acceptMax { // it may be the listener after all
				m.rest(l, os.NewSyscallError("accept", err))
				return
			}
		case unix.EMFILE, unix.ENFILE:
			m.exhausted(l, os.NewSyscallError("accept", err))
			return
		default:
			m.stats.AcceptErrors++
			m.hamper(l, os.NewSyscallError("accept", err))
			return
		}
	}
}

// drainMax is how many connections a listener accepts at most before it closes.
const drainMax = 4096

// drainBacklog accepts what waits in the backlog of l, which is about to close and has a port with
// SO_REUSEPORT: the kernel would reset these connections although the port goes on. In a shutdown
// what they have sent is read at once, because those that rest between two requests will be closed;
// with tell they are told here.
func (m *Manager) drainBacklog(l *listener, tell bool) {
	if !l.sharesPort() || m.closing {
		return
	}
	for spoilt, n := 0, 0; spoilt < acceptMax && n < drainMax; n++ {
		fd, peer, err := m.sockets.accept(l.c.FD())
		switch {
		case err == unix.EAGAIN, err == unix.EBADF, err == unix.EMFILE, err == unix.ENFILE:
			return
		case err != nil:
			spoilt++
			continue
		}
		m.accepted(l, fd, peer)
		if c := m.at(fd); c != nil && m.shutting && !m.refusing[c] {
			m.try(c, c.Driver().Readable)
			if tell {
				m.tellShutdown(c)
			}
		}
	}
}

// sharesPort reports whether other sockets have the port of l.
func (l *listener) sharesPort() bool {
	return l.opts.Socket.ReusePort || l.set != nil && l.set.accept() == AcceptReusePort
}

// hamper handles an error that keeps l from accepting. A listener is worth more than a connection,
// so it ends only for those that say that its descriptor is none; after all others, known or not,
// it rests and tries again.
func (m *Manager) hamper(l *listener, err error) {
	for _, end := range []unix.Errno{unix.EBADF, unix.EINVAL, unix.ENOTSOCK} {
		if errors.Is(err, end) {
			l.c.Layer().Fail(conn.IOError, fmt.Errorf("mgr: %w", err))
			return
		}
	}
	m.rest(l, err)
}

// accepted makes a connection of fd, if it may become one.
func (m *Manager) accepted(l *listener, fd int, peer conn.Peer) {
	if err := m.fits(fd); err != nil {
		m.closeFD(fd)
		m.stats.Exhausted++
		m.rest(l, err)
		return
	}
	if l.exempt {
		m.open++
		m.welcome(guest{l: l, fd: fd, peer: peer})
		return
	}
	g := guest{l, fd, peer, m.shares.owner(peer)}
	if !m.shares.take(g.owner) {
		m.stats.Crowded++
		m.refuse(l, fd, peer, errAddrShare)
		return
	}
	switch m.admit() {
	case admitted:
		m.welcome(g)
	case ask:
		m.member.askRoom(g)
	default:
		m.turnAway(g)
	}
}

// turnAway refuses g because of MaxConns.
func (m *Manager) turnAway(g guest) {
	m.shares.drop(g.owner)
	m.refuse(g.l, g.fd, g.peer, errTooManyConns)
}

// welcome makes a connection of g, which admit has counted.
func (m *Manager) welcome(g guest) {
	l := g.l
	l.ill, l.rested, l.spoilt = false, 0, 0
	if m.reserve < 0 { // a shortage that is over has taken it
		m.openReserve()
	}
	m.open--
	if err := m.sockets.setAccepted(g.fd, l.addr, &l.opts.Socket); err != nil {
		m.shares.drop(g.owner)
		m.closeFD(g.fd) // most probably the peer has gone already
		m.stats.AcceptErrors++
		return
	}
	c := m.adopt(g.fd, g.peer, m.sock, l.limits, l.c.Layer().Handler())
	m.shares.own(c, g.owner)
	m.stats.Accepts++
	if l.c.Driver().Polls() {
		c.SetPoll(true)
	}
	l.protect(c)
	m.begin(c, l.opts.Setup)
	m.try(c, c.Driver().Accepted)
}

// protect puts TLS beneath c where that was asked for.
func (l *listener) protect(c *conn.Conn) {
	if l.opts.TLS == nil {
		return
	}
	var preface func(b []byte) (int, error)
	if read := l.opts.Preface; read != nil {
		preface = func(b []byte) (int, error) { return read(c, b) }
	}
	l.opts.TLS.ServeTLS(c, preface)
}

// refuse turns a peer away: why is errTooManyConns or errAddrShare.
func (m *Manager) refuse(l *listener, fd int, peer conn.Peer, why error) {
	m.stats.Refused++
	if why == errTooManyConns {
		m.ail(l, why, conn.Refused)
	} else if m.shares.tell(m.sh.Now) {
		m.complain(l, why, conn.Refused)
	}
	if l.opts.Refusal == nil || len(m.refusing) >= refuseMax {
		m.closeFD(fd)
		return
	}
	c := conn.New(m.sh, fd, m.newID(), m.sock, l.limits, nil)
	c.Driver().SetRemote(peer)
	c.Layer().SetReason(conn.Refused)
	m.refusing[c] = true
	m.place(c)
	c.Driver().Begin()
	c.WriteShared(l.opts.Refusal)
	c.Layer().DrainLinger(refuseTime)
}

// exhausted handles a process or a system without free descriptors (EMFILE, ENFILE; no client need
// be turned away for ENOMEM and ENOBUFS). The poller goes on reporting the peer that waits, so the
// reserved descriptor is given up to accept that one and close it, which at least tells it; and the
// listener rests.
func (m *Manager) exhausted(l *listener, err error) {
	m.stats.Exhausted++
	if m.reserve >= 0 {
		m.sockets.closeReserve(m.reserve)
		m.reserve = -1
		if fd, _, err := m.sockets.accept(l.c.FD()); err == nil {
			m.closeFD(fd)
		}
	}
	if m.reserve < 0 {
		m.openReserve()
	}
	m.rest(l, err)
}

// rest keeps a listener from accepting for a moment: the longer, the more often in a row.
func (m *Manager) rest(l *listener, err error) {
	l.spoilt = 0
	l.rested = min(max(2*l.rested, restTime), restMax)
	if !l.idle { // else it is held already
		l.c.Layer().Hold()
		m.AfterFunc(l.rested, l.c.Layer().Unhold)
	}
	if l.set != nil {
		l.set.stops(m)
	}
	m.ail(l, err, conn.IOError)
}

// ail fires the one Error event of a shortage, which lasts until a peer is accepted again.
func (m *Manager) ail(l *listener, err error, r conn.Reason) {
	if l.ill {
		return
	}
	l.ill = true
	m.complain(l, err, r)
}

// complain logs that l does not accept a peer, and fires an Error event.
func (m *Manager) complain(l *listener, err error, r conn.Reason) {
	if m.sh.Log != nil {
		m.sh.Log.Warn("listener cannot accept", "listener", l.addr.String(), "err", err)
	}
	m.fire(l.c, &conn.Error{Reason: r, Err: err})
}
