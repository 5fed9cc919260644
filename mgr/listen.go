package mgr

import (
	"errors"
	"fmt"
	"time"

	"github.com/seed4930a636/mangusta/conn"
)

// ListenOptions are the settings of one listener. The zero value works.
type ListenOptions struct {
	Socket conn.SocketOptions
	Limits conn.Limits // of the accepted connections; the zero value means the manager's

	// Setup is called with each accepted connection before its Open event: the place for
	// SetProtocol.
	Setup func(*conn.Conn)

	// Refusal is sent to a peer over MaxConns or MaxConnsPerAddr before its connection is closed.
	// Without it the peer is closed at once. With TLS the peer gets an alert instead.
	Refusal []byte

	// TLS protects the accepted connections: a *tlsconn.Server. Accept then comes when the
	// handshake is over.
	TLS conn.ServerTLS
	// Preface, with TLS, reads what may come before it on a connection, such as a PROXY header. It
	// is given all that has come, and returns how long the preface is: 0 when more bytes are
	// needed, negative when there is none. An error ends the connection, with reason TLSFailed.
	Preface func(c *conn.Conn, b []byte) (n int, err error)

	// Accept is how Loops spread the connections. A Manager that stands alone does not look at it.
	Accept Accept

	set    sharing // of Loops.Listen
	copied bool    // the socket for datagrams is another loop's, too
}

// listener is what a listening descriptor has besides its Conn.
type listener struct {
	c      *conn.Conn
	addr   conn.Addr
	opts   ListenOptions
	limits *conn.Limits
	ill    bool          // an Error event for the present shortage has been fired
	rested time.Duration // its last rest of the present shortage
	spoilt int           // connections in a row that died before they were accepted

	set      sharing // nil unless Loops.Listen has made it
	idle     bool    // it is held for ever: another listener of the set accepts
	failed   bool    // it is closed because of an error
	released bool    // see Release
	shared   bool    // see Release
	exempt   bool    // see Exempt
	grace    int     // connections that it accepts although its loop has more than its share
}

// sharing is what a listener asks of the *listenerSet that it belongs to. It is an interface, so
// that a program without Loops is linked without their code.
type sharing interface {
	joined(m *Manager, l *listener)
	left(m *Manager, l *listener)
	takes(m *Manager, l *listener) bool
	handOver(m *Manager, fd int, peer conn.Peer) bool
	stops(m *Manager)
	accept() Accept
	copies(m *Manager) bool
}

// Listen opens a listener on url (tcp://127.0.0.1:80, tcp://:80 for all addresses of both families,
// tcp://[::1]:0, tls:// for tcp:// with TLS, unix:///run/x.sock, unix://@abstract; see
// conn.ParseAddr) and gives the events of its connections to h. The listener has an object of its
// own, whose Open, Error and Close events go to h too; its LocalAddr tells the port that port 0
// became. At most one opts may be given.
//
// udp:// and unixgram:// open a datagram socket, with the same forms of addresses. There are no
// connections then: the returned Conn gets a *conn.Datagram for each datagram that comes, and sends
// with SendTo and Datagram.Reply. It counts as a connection. Setup, TLS and Refusal are refused.
func (m *Manager) Listen(url string, h conn.Handler, opts ...ListenOptions) (*conn.Conn, error) {
	if isDatagrams(url) {
		return m.listenDatagrams(url, h, opts)
	}
	return m.ListenStream(url, h, opts...)
}

// ListenStream is Listen without udp:// and unixgram://. A program that calls it instead of Listen,
// or leaves that to http.Listen, is linked without the code for datagrams, 80 KB, unless it
// mentions Listen, Connect or Wrap elsewhere.
func (m *Manager) ListenStream(url string, h conn.Handler, opts ...ListenOptions) (*conn.Conn, error) {
	m.check("Listen")
	addr, o, err := m.toListen(url, opts)
	if err != nil {
		return nil, err
	}
	if addr.Datagrams() {
		return nil, errStream("listen")
	}
	fd, err := m.sockets.listen(addr, o.Socket)
	if err != nil {
		return nil, fmt.Errorf("mgr: %w", err)
	}
	return m.addListener(fd, addr, h, o)
}

// toListen takes the arguments of Listen apart.
func (m *Manager) toListen(url string, opts []ListenOptions) (a conn.Addr, o ListenOptions, err error) {
	if m.ending() {
		return a, o, ErrClosed
	}
	if len(opts) > 0 {
		o = opts[0]
	}
	if a, err = parseURL(url, o.TLS != nil); err != nil {
		return a, o, fmt.Errorf("mgr: listen: %w", err)
	}
	return a, o, nil
}

// errStream is the error of what takes no URL for datagrams.
func errStream(op string) error {
	return errors.New("mgr: " + op + ": udp:// and unixgram:// are for Listen and Connect of a Manager or Loops")
}

// addListener makes the listening descriptor fd one of the manager's, and closes it when that
// fails.
func (m *Manager) addListener(fd int, addr conn.Addr, h conn.Handler, o ListenOptions) (*conn.Conn, error) {
	if err := m.fits(fd); err != nil {
		m.closeFD(fd)
		return nil, err
	}
	if o.TLS != nil {
		o.Refusal = o.TLS.RefusalTLS()
	}
	l := &listener{addr: addr, opts: o, limits: m.limits, set: o.set}
	if o.Limits != (conn.Limits{}) {
		limits := o.Limits.WithDefaults()
		l.limits = &limits
	}
	l.c = conn.NewListener(m.sh, fd, m.newID(), m.sock, l.limits, h)
	m.listeners[fd] = l
	m.place(l.c)
	if m.member != nil {
		m.member.listening(1)
	}
	if l.set != nil {
		l.set.joined(m, l)
	}
	m.begin(l.c, nil)
	return l.c, nil
}

// unlink removes the file of a unix socket that is closed.
func (l *listener) unlink() {
	if !l.shared {
		conn.RemoveUnix(l.addr)
	}
}

// hasListener reports whether m, or one of the Loops that it belongs to, has a listener.
func (m *Manager) hasListener() bool {
	return len(m.listeners) > 0 || m.member != nil && m.member.hasListener()
}

// listenerEnds is called before the listener of c is closed.
func (m *Manager) listenerEnds(c *conn.Conn) {
	l := m.listeners[c.FD()]
	err := c.Driver().Err()
	if err != nil {
		m.lost = fmt.Errorf("%w: %w", ErrNoListener, err)
		m.log.Error("listener has ended", "listener", l.addr.String(), "err", err)
	}
	if l != nil && l.c == c {
		l.failed = err != nil
		if err == nil && !l.shared {
			m.drainBacklog(l, true)
		}
	}
}

// listenerLeft is called when l is closed.
func (m *Manager) listenerLeft(l *listener) {
	if m.member != nil {
		m.member.listening(-1)
	}
	if l.set != nil {
		l.set.left(m, l)
	}
}
