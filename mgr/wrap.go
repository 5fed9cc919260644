package mgr

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
)

// Wrap makes a connection of a descriptor that is open already: a socket, a pipe, a terminal, a serial line. The manager
// makes it non-blocking and owns it from then on. A listening socket, such as one passed by a service manager, becomes a
// listener, with at most one opts. Regular files are refused: a poller has nothing to say about them.
func (m *Manager) Wrap(fd int, h conn.Handler, opts ...ListenOptions) (*conn.Conn, error) {
	m.check("Wrap")
	if m.ending() {
		return nil, ErrClosed
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, fmt.Errorf("mgr: wrap: %w", os.NewSyscallError("fstat", err))
	}
	if t := st.Mode & unix.S_IFMT; t == unix.S_IFREG || t == unix.S_IFDIR || t == unix.S_IFBLK {
		return nil, fmt.Errorf("mgr: wrap: descriptor %d is a file: it is always ready and cannot be polled", fd)
	}
	if err := m.fits(fd); err != nil {
		return nil, err
	}
	if fd < len(m.conns) && m.conns[fd] != nil {
		return nil, fmt.Errorf("mgr: wrap: descriptor %d belongs to the manager already", fd)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, fmt.Errorf("mgr: wrap: %w", os.NewSyscallError("fcntl", err))
	}
	unix.CloseOnExec(fd)
	var tr conn.Transport = conn.File{}
	if st.Mode&unix.S_IFMT == unix.S_IFSOCK {
		if on, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err == nil && on != 0 {
			return m.wrapListener(fd, h, opts)
		}
		tr = m.sock
	}
	c := m.adopt(fd, conn.RemotePeer(fd), tr, m.limits, h)
	m.begin(c, nil)
	return c, nil
}

// begin calls setup, if there is one, and fires Open, which may happen inside a handler of another connection: a panic is
// the end of c alone. Open is fired even when setup has panicked, since Close will be.
func (m *Manager) begin(c *conn.Conn, setup func(*conn.Conn)) {
	before := m.current
	if setup != nil {
		m.current = c
		m.guard(func() { setup(c) })
	}
	m.current = c
	m.guard(c.Begin)
	m.current = before
}

// adopt makes a connection of fd and puts it into the table. Begin comes next.
func (m *Manager) adopt(fd int, peer conn.Peer, tr conn.Transport, limits *conn.Limits, h conn.Handler) *conn.Conn {
	c := conn.New(m.sh, fd, conn.NewID(fd), tr, limits, h)
	c.SetRemote(peer)
	m.open++
	m.place(c)
	return c
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
