package mgr

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
)

// Wrap makes a connection of a descriptor that is open already: a stream socket, a pipe, a
// terminal, a serial line. The manager makes it non-blocking and owns it from then on. A listening
// socket, such as one passed by a service manager, becomes a listener, with at most one opts. A
// socket for datagrams, of any family (UDP, unix, netlink, raw), becomes one as Listen makes them;
// of opts, Limits and Socket.DatagramSize count for it. Of other descriptors Watch tells the
// readiness.
//
// Wrap refuses descriptors that cannot be polled (regular files, directories, /dev/null and devices
// like it) and sockets that have both connections and messages (SOCK_SEQPACKET): an empty message
// looks like the end there. The descriptor stays the caller's when there is an error.
func (m *Manager) Wrap(fd int, h conn.Handler, opts ...ListenOptions) (*conn.Conn, error) {
	m.check("Wrap")
	if m.ending() {
		return nil, ErrClosed
	}
	st, err := m.wrappable(fd)
	if err != nil {
		return nil, err
	}
	socket, datagrams := st.Mode&unix.S_IFMT == unix.S_IFSOCK, false
	if socket {
		kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
		if err != nil {
			return nil, fmt.Errorf("mgr: wrap: %w", os.NewSyscallError("getsockopt", err))
		}
		switch datagrams = keepsMessages(kind); {
		case datagrams:
		case kind != unix.SOCK_STREAM:
			return nil, fmt.Errorf("mgr: wrap: descriptor %d is a socket of type %d: neither a stream nor for datagrams", fd, kind)
		}
	}
	if err := ownDescriptor(fd); err != nil {
		return nil, err
	}
	if datagrams {
		var o ListenOptions
		if len(opts) > 0 {
			o = opts[0]
		}
		return m.wrapDatagrams(fd, h, &o)
	}
	var tr conn.Transport = conn.File{}
	if socket {
		if on, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err == nil && on != 0 {
			return m.wrapListener(fd, h, opts)
		}
		tr = m.sock
	}
	c := m.adopt(fd, conn.RemotePeer(fd), tr, m.limits, h)
	m.begin(c, nil)
	return c, nil
}

// WrapDevice is Wrap for what is no socket, such as a serial line, whose bytes tr moves in place of a
// conn.File. tr closes the descriptor at the end.
func (m *Manager) WrapDevice(fd int, tr conn.Transport, h conn.Handler) (*conn.Conn, error) {
	m.check("WrapDevice")
	if m.ending() {
		return nil, ErrClosed
	}
	st, err := m.wrappable(fd)
	if err != nil {
		return nil, err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFSOCK {
		return nil, fmt.Errorf("mgr: wrap: descriptor %d is a socket", fd)
	}
	if err := ownDescriptor(fd); err != nil {
		return nil, err
	}
	c := m.adopt(fd, conn.Peer{}, tr, m.limits, h)
	m.begin(c, nil)
	return c, nil
}

// wrappable returns the status of fd, or why it cannot be wrapped.
func (m *Manager) wrappable(fd int) (*unix.Stat_t, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, fmt.Errorf("mgr: wrap: %w", os.NewSyscallError("fstat", err))
	}
	return &st, m.watchable("wrap", fd, &st)
}

// ownDescriptor makes fd non-blocking and close-on-exec.
func ownDescriptor(fd int) error {
	if err := unix.SetNonblock(fd, true); err != nil {
		return fmt.Errorf("mgr: wrap: %w", os.NewSyscallError("fcntl", err))
	}
	unix.CloseOnExec(fd)
	return nil
}

// begin calls setup, if there is one, and fires Open, which may happen inside a handler of another
// connection: a panic is the end of c alone. Open is fired even when setup has panicked, since
// Close will be.
func (m *Manager) begin(c *conn.Conn, setup func(*conn.Conn)) {
	if setup != nil {
		m.with(c, setup)
	}
	m.try(c, c.Driver().Begin)
}

// adopt makes a connection of fd and puts it into the table. Begin comes next. With the fd -1 there
// is no descriptor yet: see attach.
func (m *Manager) adopt(fd int, peer conn.Peer, tr conn.Transport, limits *conn.Limits, h conn.Handler) *conn.Conn {
	c := conn.New(m.sh, fd, m.newID(), tr, limits, h)
	c.Driver().SetRemote(peer)
	m.open++
	m.place(c)
	return c
}

// attach gives c, which was adopted without a descriptor, the descriptor fd, on which an attempt to
// connect is going on or done. It closes fd if c does not take it any more. c fails if the poller
// cannot watch fd.
func (m *Manager) attach(c *conn.Conn, fd int) {
	if c.IsClosed() {
		m.closeFD(fd)
		return
	}
	if err := m.fits(fd); err != nil {
		m.closeFD(fd)
		c.Layer().Fail(conn.IOError, err)
		return
	}
	c.Driver().Attach(fd)
	m.place(c)
}

func (m *Manager) wrapListener(fd int, h conn.Handler, opts []ListenOptions) (*conn.Conn, error) {
	var o ListenOptions
	if len(opts) > 0 {
		o = opts[0]
	}
	addr, err := conn.SetListening(fd, &o.Socket)
	if err != nil {
		return nil, fmt.Errorf("mgr: wrap: %w", err)
	}
	return m.addListener(fd, addr, h, o)
}

// watchable says why the poller cannot watch fd, whose status is st.
func (m *Manager) watchable(op string, fd int, st *unix.Stat_t) error {
	if t := st.Mode & unix.S_IFMT; t == unix.S_IFREG || t == unix.S_IFDIR || t == unix.S_IFBLK {
		return fmt.Errorf("mgr: %s: descriptor %d is a file: it is always ready and cannot be polled", op, fd)
	}
	if err := m.fits(fd); err != nil {
		return err
	}
	if m.at(fd) != nil {
		return fmt.Errorf("mgr: %s: descriptor %d belongs to the manager already", op, fd)
	}
	if !pollable(fd) {
		return fmt.Errorf("mgr: %s: descriptor %d is of a device that is always ready and cannot be polled: %w",
			op, fd, os.NewSyscallError("epoll_ctl", unix.EPERM))
	}
	return nil
}
