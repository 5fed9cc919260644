package mgr

import (
	"fmt"

	"github.com/seed4930a636/mangusta/conn"
)

// ListenOptions are the settings of one listener. The zero value works.
type ListenOptions struct {
	Socket conn.SocketOptions
	Limits conn.Limits // of the accepted connections; the zero value means the manager's

	// Setup is called with each accepted connection before its Open event: the place for SetProtocol.
	Setup func(*conn.Conn)

	// Refusal is sent to a peer over MaxConns before its connection is closed. Without it the peer is closed at once.
	Refusal []byte
}

// listener is what a listening descriptor has besides its Conn.
type listener struct {
	c      *conn.Conn
	addr   conn.Addr
	opts   ListenOptions
	limits *conn.Limits
	ill    bool // an Error event for the present shortage has been fired
}

// Listen opens a listener on url (tcp://127.0.0.1:80, tcp://:80 for all addresses of both families, tcp://[::1]:0,
// unix:///run/x.sock, unix://@abstract; see conn.ParseAddr) and gives the events of its connections to h. The listener has an
// object of its own, whose Open, Error and Close events go to h too; its LocalAddr tells the port that port 0 became.
// At most one opts may be given.
func (m *Manager) Listen(url string, h conn.Handler, opts ...ListenOptions) (*conn.Conn, error) {
	m.check("Listen")
	if m.ending() {
		return nil, ErrClosed
	}
	var o ListenOptions
	if len(opts) > 0 {
		o = opts[0]
	}
	addr, err := conn.ParseAddr(url)
	if err != nil {
		return nil, fmt.Errorf("mgr: listen: %w", err)
	}
	fd, err := conn.Listen(addr, o.Socket)
	if err != nil {
		return nil, fmt.Errorf("mgr: %w", err)
	}
	return m.addListener(fd, addr, h, o)
}

// addListener makes the listening descriptor fd one of the manager's, and closes it when that fails.
func (m *Manager) addListener(fd int, addr conn.Addr, h conn.Handler, o ListenOptions) (*conn.Conn, error) {
	if err := m.fits(fd); err != nil {
		m.sock.Close(fd)
		return nil, err
	}
	l := &listener{addr: addr, opts: o, limits: m.limits}
	if o.Limits != (conn.Limits{}) {
		limits := o.Limits.WithDefaults()
		l.limits = &limits
	}
	l.c = conn.NewListener(m.sh, fd, conn.NewID(fd), m.sock, l.limits, h)
	m.listeners[fd] = l
	m.place(l.c)
	m.begin(l.c, nil)
	return l.c, nil
}

// unlink removes the file of a unix socket that is closed.
func (l *listener) unlink() { conn.RemoveUnix(l.addr) }
