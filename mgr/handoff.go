package mgr

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
)

// This file is for package handoff: listening sockets from another process, and connections from
// there. All of it belongs to the loop's goroutine, unless something else is said.

// Inherit has listening sockets that this process was given: by the process that it replaces, or by
// systemd. Listen asks it before it opens a socket.
type Inherit interface {
	// Take gives up the descriptor of a socket that listens on a, or is bound to it if a is for
	// datagrams, if there is one. Several sockets may have the same address; each call gives
	// another one. Safe for concurrent use.
	Take(a conn.Addr) (fd int, ok bool)
}

// Inherits are several, asked in this order.
type Inherits []Inherit

// Take implements Inherit.
func (all Inherits) Take(a conn.Addr) (fd int, ok bool) {
	for _, x := range all {
		if fd, ok = x.Take(a); ok {
			return fd, true
		}
	}
	return -1, false
}

// inherited are sockets of which some have been inherited.
type inherited struct {
	sockets
	from Inherit
}

func (s inherited) listen(a conn.Addr, o conn.SocketOptions) (int, error) {
	if fd, ok := s.take(a, listening(&o)); ok {
		return fd, nil
	}
	return s.sockets.listen(a, o)
}

func (s inherited) listenDatagrams(a conn.Addr, o conn.SocketOptions) (int, error) {
	if fd, ok := s.take(a, func(fd int) error { return conn.SetBound(fd, &o) }); ok {
		return fd, nil
	}
	return s.sockets.listenDatagrams(a, o)
}

// listenMany takes as many sockets as there are, and opens what is missing. If there are more than
// n, the others stay with from.
func (s inherited) listenMany(a conn.Addr, o conn.SocketOptions, n int) (fds []int, err error) {
	for len(fds) < n {
		fd, ok := s.take(a, listening(&o))
		if !ok {
			break
		}
		fds = append(fds, fd)
	}
	if len(fds) == 0 {
		return s.sockets.listenMany(a, o, n)
	}
	defer func() {
		if err != nil {
			for _, fd := range fds {
				unix.Close(fd)
			}
			fds = nil
		}
	}()
	for _, fd := range fds { // the process before may have had one socket alone
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
			return fds, os.NewSyscallError("setsockopt", err)
		}
	}
	o.ReusePort = true
	a.AddrPort = netip.AddrPortFrom(a.AddrPort.Addr(), conn.LocalAddr(fds[0]).Port())
	for len(fds) < n {
		fd, err := s.sockets.listen(a, o)
		if err != nil {
			return fds, err
		}
		fds = append(fds, fd)
	}
	return fds, nil
}

// listening gives a listener the options of o that its connections are to have.
func listening(o *conn.SocketOptions) func(fd int) error {
	return func(fd int) error { _, err := conn.SetListening(fd, o); return err }
}

// take takes a descriptor, and has set give it its options. One that does not take them is closed.
func (s inherited) take(a conn.Addr, set func(fd int) error) (int, bool) {
	for {
		fd, ok := s.from.Take(a)
		if !ok {
			return -1, false
		}
		unix.CloseOnExec(fd)
		if unix.SetNonblock(fd, true) == nil && set(fd) == nil {
			return fd, true
		}
		unix.Close(fd)
	}
}

// A Listening is a listener of a manager, or a socket for datagrams that is like one.
type Listening struct {
	Conn *conn.Conn
	Addr conn.Addr // that Listen was given
	Copy bool      // its socket is that of the listener of another loop, which is no Copy
}

// Listeners returns what another process could take over, in the order in which it was opened: the
// open listeners, and the sockets for datagrams that Listen has bound to a port or path of the
// program's choice. Sockets with ReuseAddr are left out: several processes have them at a time.
func (m *Manager) Listeners() []Listening {
	m.check("Listeners")
	var all []Listening
	for _, l := range m.listeners {
		if !l.c.IsClosed() {
			all = append(all, Listening{l.c, l.addr, l.set != nil && l.set.copies(m)})
		}
	}
	m.bound = slices.DeleteFunc(m.bound, func(l Listening) bool { return l.Conn.IsClosed() })
	all = append(all, m.bound...)
	slices.SortFunc(all, func(a, b Listening) int { return cmp.Compare(a.Conn.ID(), b.Conn.ID()) })
	return all
}

// Release closes a listener because another process takes its place. With shared, that process has
// its socket too: the peers that wait in the backlog are left to it, and so is the file of a unix
// socket. The listeners of other loops go on.
//
// It closes a socket for datagrams as well. Without shared it handles what waits in it before, and
// other sockets of the port get what comes from now on.
func (m *Manager) Release(c *conn.Conn, shared bool) {
	m.check("Release")
	if l := m.listeners[c.FD()]; l != nil && l.c == c {
		l.released, l.shared = true, shared
	} else if c.Driver().NoStream() && c.IsOpen() && !shared {
		m.closeFailed(conn.Deafen(c.FD()))
		for range releaseTurns {
			m.try(c, func() { c.Driver().Ready(conn.In) })
		}
		c.Drain() // the replies go out first
		return
	}
	c.Close()
}

// releaseTurns is how many turns' worth of datagrams a socket reads before it is closed.
const releaseTurns = 16

// Exempt has the peers of a listener let in although MaxConns or MaxConnsPerAddr connections are
// open. They count for MaxConns all the same.
func (m *Manager) Exempt(c *conn.Conn) {
	m.check("Exempt")
	if l := m.listeners[c.FD()]; l != nil && l.c == c {
		l.exempt = true
	}
}

// Hide says that c is no client's: Broadcast leaves it out, since a program that closes all
// connections, or writes to them, does not mean it, and scarce memory does not end it.
func (m *Manager) Hide(c *conn.Conn) {
	m.check("Hide")
	if m.hidden == nil {
		m.hidden = make(map[*conn.Conn]bool)
	}
	m.hidden[c] = true
}

// Retire tells a connection that another process has taken the listeners over: it fires
// *conn.Shutdown with Restart set. Unlike Shutdown it ends nothing by itself.
func (m *Manager) Retire(c *conn.Conn) {
	m.check("Retire")
	m.fire(c, &conn.Shutdown{Restart: true})
}

// SetDraining has Draining report on, until Shutdown is called or the manager closed: false undoes
// BeginDrain. Safe for concurrent use.
func (m *Manager) SetDraining(on bool) { m.draining.Store(on) }

// AdoptOptions say what is known of a connection that comes from elsewhere.
type AdoptOptions struct {
	Remote  conn.Peer        // its peer; default what the kernel says
	Restore func(*conn.Conn) // called after Accept: puts a layer on in the place of the listener's
	Input   []byte           // bytes that have been read from it already
}

var errNoListener = errors.New("mgr: adopt: no such listener")

// CanAdopt returns the error that Adopt would return, as far as it is known now.
func (m *Manager) CanAdopt(fd int, listener *conn.Conn) error {
	m.check("CanAdopt")
	l := m.listeners[listener.FD()]
	switch {
	case m.ending():
		return ErrClosed
	case l == nil || l.c != listener || l.opts.TLS != nil:
		return errNoListener
	case m.open >= m.opts.MaxConns:
		return fmt.Errorf("mgr: adopt: %w", errTooManyConns)
	}
	return m.fits(fd)
}

// Adopt makes a connection of fd as if listener, which need not be accepting, had accepted it: with
// its options, its handler, and the events Open and Accept. The descriptor stays the caller's if
// there is an error. Over TLS nothing can be adopted.
func (m *Manager) Adopt(fd int, listener *conn.Conn, o AdoptOptions) (*conn.Conn, error) {
	m.check("Adopt")
	if err := m.CanAdopt(fd, listener); err != nil {
		return nil, err
	}
	l := m.listeners[listener.FD()]
	unix.CloseOnExec(fd)
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, fmt.Errorf("mgr: adopt: %w", os.NewSyscallError("fcntl", err))
	}
	if o.Remote == (conn.Peer{}) {
		o.Remote = conn.RemotePeer(fd)
	}
	owner := m.shares.owner(o.Remote)
	if !m.shares.take(owner) {
		return nil, fmt.Errorf("mgr: adopt: %w", errAddrShare)
	}
	if m.admit() != admitted {
		m.shares.drop(owner)
		return nil, fmt.Errorf("mgr: adopt: %w", errTooManyConns)
	}
	m.open--
	c := m.adopt(fd, o.Remote, m.sock, l.limits, l.c.Layer().Handler())
	m.shares.own(c, owner)
	if l.c.Driver().Polls() {
		c.SetPoll(true)
	}
	m.begin(c, l.opts.Setup)
	m.try(c, c.Driver().Accepted)
	if o.Restore != nil && c.IsOpen() {
		m.with(c, o.Restore)
	}
	if len(o.Input) > 0 {
		m.try(c, func() { c.Driver().Given(o.Input) })
	}
	return c, nil
}
