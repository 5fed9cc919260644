package mgr

import (
	"fmt"
	"strings"
	"time"

	"github.com/seed4930a636/mangusta/conn"
)

// ConnectOptions are the settings of one outbound connection. The zero value works.
type ConnectOptions struct {
	Socket  conn.SocketOptions // those of connections
	Limits  conn.Limits        // the zero value means the manager's
	Timeout time.Duration      // for the connection to stand, from the name on; default 10 s, negative leaves it to the kernel
	Stagger time.Duration      // between attempts to reach the addresses of a name; default 250 ms, 10 ms at least

	// TLS protects the connection: a *tlsconn.Client. Connect then comes when the handshake is
	// over, for which TLS has a timeout of its own. ServerName is what the server's certificate
	// must be for; default the host of the URL.
	TLS        conn.ClientTLS
	ServerName string

	// Setup is called with the connection before its Open event: the place for SetProtocol.
	Setup func(*conn.Conn)
}

const connectTimeout = 10 * time.Second

// Connect begins a connection to url (tcp://192.0.2.1:80, tcp://[::1]:80, tcp://example.org:80,
// tls:// for tcp:// with TLS, unix:///run/x.sock, unix://@abstract) and gives its events to h:
// Open, then Connect when it stands, or Error and Close when it does not. Bytes that are written
// before wait. An error is returned only for what fails at once. At most one opts may be given.
//
// A host name needs Options.Resolver, and is an error without (ErrNoResolver); localhost is
// 127.0.0.1 then. The connection has no descriptor before one of the addresses is connected to. A
// *conn.Resolve comes when they are known, never before Connect has returned. They are tried by the
// rules of RFC 8305: IPv6 and IPv4 by turns, the next one when the last has failed or has not
// answered for Stagger, 16 at most; the first that stands is taken. If there is no address, the
// connection ends with the reason Unresolved; if none can be reached, the error names each address.
// Timeout covers all of this.
//
// udp:// and unixgram:// connect a datagram socket: each Write is a datagram, each *conn.Datagram
// comes from that peer. Connect comes although the peer has not been heard of. Of the addresses of
// a name the first is taken to which there is a route.
//
// If the backlog of a unix listener is full, the attempt is repeated until Timeout. A TCP socket
// that the kernel has connected to itself, as happens with a port of this machine on which no
// program listens, is refused (ECONNREFUSED).
func (m *Manager) Connect(url string, h conn.Handler, opts ...ConnectOptions) (*conn.Conn, error) {
	if isDatagrams(url) {
		return m.connectDatagrams(url, h, opts)
	}
	return m.ConnectStream(url, h, opts...)
}

// ConnectStream is Connect without udp:// and unixgram://, whose code it leaves out of the program:
// see ListenStream.
func (m *Manager) ConnectStream(url string, h conn.Handler, opts ...ConnectOptions) (*conn.Conn, error) {
	m.check("Connect")
	if isDatagrams(url) {
		return nil, errStream("connect")
	}
	t, err := m.toConnect(url, opts)
	if err != nil {
		return nil, err
	}
	o := &t.o
	if t.name != "" {
		c := m.adopt(-1, conn.Peer{}, m.sock, t.limits, h)
		if o.TLS != nil {
			o.TLS.DialTLS(c, o.ServerName)
		}
		newRace(m, c, t).start(o)
		return c, nil
	}
	fd, again, err := m.sockets.dial(t.addr, o.Socket)
	if err != nil {
		return nil, fmt.Errorf("mgr: %w", err)
	}
	if err := m.fits(fd); err != nil {
		m.closeFD(fd)
		return nil, err
	}
	c := m.adopt(fd, conn.PeerOf(t.addr.AddrPort), m.sock, t.limits, h)
	if o.TLS != nil {
		o.TLS.DialTLS(c, o.ServerName)
	}
	if again {
		c.Driver().BeginWaiting(o.Timeout)
		m.redial(c, t.addr, redialFirst)
	} else {
		c.Driver().BeginConnecting(o.Timeout)
	}
	m.begin(c, o.Setup)
	return c, nil
}

// A target is what Connect was given: an address, or a name that the Resolver is to be asked for.
type target struct {
	o             ConnectOptions
	limits        *conn.Limits
	addr          conn.Addr // if name is ""
	network, name string
	port          uint16
}

// toConnect takes the arguments of Connect apart.
func (m *Manager) toConnect(url string, opts []ConnectOptions) (*target, error) {
	if m.ending() {
		return nil, ErrClosed
	}
	t := &target{limits: m.limits}
	if len(opts) > 0 {
		t.o = opts[0]
	}
	o := &t.o
	if o.Timeout == 0 {
		o.Timeout = connectTimeout
	}
	if o.ServerName == "" {
		o.ServerName = hostOf(url)
	}
	if o.Limits != (conn.Limits{}) {
		l := o.Limits.WithDefaults()
		t.limits = &l
	}
	plain, err := plainURL(url, o.TLS != nil)
	if err != nil {
		return nil, fmt.Errorf("mgr: connect: %w", err)
	}
	name, port, err := conn.SplitName(plain)
	switch {
	case err != nil:
		return nil, fmt.Errorf("mgr: connect: %w", err)
	case name != "" && m.opts.Resolver != nil:
		t.network, _, _ = strings.Cut(plain, "://")
		t.network, t.name, t.port = strings.ToLower(t.network), name, port
		return t, nil
	case name != "" && !strings.EqualFold(name, "localhost"):
		return nil, fmt.Errorf("mgr: connect: %s: %w", url, ErrNoResolver)
	}
	if t.addr, err = conn.ParseAddr(plain); err != nil {
		return nil, fmt.Errorf("mgr: connect: %w", err)
	}
	return t, nil
}

// How long to wait for room in the backlog of a unix listener, before the first attempt and at
// most. No poller tells of it.
const (
	redialFirst = time.Millisecond
	redialMax   = 64 * time.Millisecond
)

// redial tries to connect c to a after d, and again until there is room, or c has ended: its
// timeout sees to that.
func (m *Manager) redial(c *conn.Conn, a conn.Addr, d time.Duration) {
	m.AfterFunc(d, func() {
		if c.IsClosed() {
			return
		}
		again, err := m.sockets.redial(c.FD(), a)
		switch {
		case err != nil:
			c.Layer().Fail(conn.ErrnoReason(err), err)
		case again:
			m.redial(c, a, min(2*d, redialMax))
		default:
			c.Driver().Redialed()
		}
	})
}
