package mgr

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
)

var errDatagramOptions = errors.New("mgr: listen: the options Setup, Refusal and Preface are for connections, not for datagrams")

// isDatagrams reports whether url is one for datagrams.
func isDatagrams(url string) bool {
	scheme, _, _ := strings.Cut(url, "://")
	return strings.EqualFold(scheme, "udp") || strings.EqualFold(scheme, "unixgram")
}

// listenDatagrams is Listen for datagrams.
func (m *Manager) listenDatagrams(url string, h conn.Handler, opts []ListenOptions) (*conn.Conn, error) {
	m.check("Listen")
	addr, o, err := m.toListen(url, opts)
	if err != nil {
		return nil, err
	}
	if o.Setup != nil || o.Refusal != nil || o.Preface != nil {
		return nil, errDatagramOptions
	}
	fd, err := m.sockets.listenDatagrams(addr, o.Socket)
	if err != nil {
		return nil, fmt.Errorf("mgr: %w", err)
	}
	return m.addDatagrams(fd, addr, h, &o)
}

// addDatagrams makes fd, a datagram socket bound to addr, one of the manager's, and closes it when
// that fails.
func (m *Manager) addDatagrams(fd int, addr conn.Addr, h conn.Handler, o *ListenOptions) (*conn.Conn, error) {
	s, err := m.describe(fd, &o.Socket)
	if err == nil {
		err = m.fits(fd)
	}
	if err != nil {
		m.closeFD(fd)
		conn.RemoveUnix(addr)
		return nil, err
	}
	limits := m.limits
	if o.Limits != (conn.Limits{}) {
		l := o.Limits.WithDefaults()
		limits = &l
	}
	s.Remove = addr
	c := m.adoptDatagrams(fd, conn.Peer{}, s, limits, h)
	if chosen := addr.Network == "unixgram" || addr.AddrPort.Port() != 0; chosen && !o.Socket.ReuseAddr {
		m.bound = append(m.bound, Listening{c, addr, o.copied})
	}
	m.begin(c, nil)
	return c, nil
}

// describe prepares the datagram socket fd.
func (m *Manager) describe(fd int, o *conn.SocketOptions) (conn.DatagramSetup, error) {
	s, err := m.sockets.describe(fd, o)
	if err != nil {
		err = fmt.Errorf("mgr: %w", err)
	}
	return s, err
}

// connectDatagrams is Connect for datagrams.
func (m *Manager) connectDatagrams(url string, h conn.Handler, opts []ConnectOptions) (*conn.Conn, error) {
	m.check("Connect")
	t, err := m.toConnect(url, opts)
	if err != nil {
		return nil, err
	}
	o := &t.o
	if t.name != "" {
		c := m.adoptDatagrams(-1, conn.Peer{}, conn.DatagramSetup{Connected: true}, t.limits, h)
		r := newRace(m, c, t)
		r.dial = m.sockets.dialDatagrams
		r.won = func(fd int) error {
			s, err := m.sockets.describe(fd, &o.Socket)
			if err == nil {
				c.Driver().Describe(s)
			}
			return err
		}
		r.start(o)
		return c, nil
	}
	fd, err := m.sockets.dialDatagrams(t.addr, o.Socket)
	if err != nil {
		return nil, fmt.Errorf("mgr: %w", err)
	}
	if err := m.fits(fd); err != nil {
		m.closeFD(fd)
		return nil, err
	}
	s, err := m.describe(fd, &o.Socket)
	if err != nil {
		m.closeFD(fd)
		return nil, err
	}
	s.TellConnect = true
	c := m.adoptDatagrams(fd, conn.PeerOf(t.addr.AddrPort), s, t.limits, h)
	m.begin(c, o.Setup)
	return c, nil
}

// wrapDatagrams makes fd, a datagram socket that the caller has opened, one of the manager's.
func (m *Manager) wrapDatagrams(fd int, h conn.Handler, o *ListenOptions) (*conn.Conn, error) {
	s, err := m.describe(fd, &o.Socket)
	if err != nil {
		return nil, err
	}
	limits := m.limits
	if o.Limits != (conn.Limits{}) {
		l := o.Limits.WithDefaults()
		limits = &l
	}
	c := m.adoptDatagrams(fd, conn.RemotePeer(fd), s, limits, h)
	m.begin(c, nil)
	return c, nil
}

// listenDatagrams opens a datagram socket for each loop: for UDP on Linux sockets of their own,
// over which the kernel spreads the peers (SO_REUSEPORT), elsewhere the same one.
func (l *Loops) listenDatagrams(url string, h conn.Handler, opts []ListenOptions) (*conn.Conn, error) {
	var o ListenOptions
	if len(opts) > 0 {
		o = opts[0]
	}
	addr, err := parseURL(url, o.TLS != nil)
	if err != nil {
		return nil, fmt.Errorf("mgr: listen: %w", err)
	}
	if o.Setup != nil || o.Refusal != nil || o.Preface != nil {
		return nil, errDatagramOptions
	}
	fds, err := l.openDatagrams(addr, &o)
	if err != nil {
		return nil, fmt.Errorf("mgr: %w", err)
	}
	return l.listenOn(addr, fds, func(m *Manager, fd int) (*conn.Conn, error) {
		own := o
		own.copied = m != l.all[0] && !ownDatagrams(addr)
		return m.addDatagrams(fd, addr, h, &own)
	})
}

func (l *Loops) openDatagrams(addr conn.Addr, o *ListenOptions) (fds []int, err error) {
	own := ownDatagrams(addr) && len(l.all) > 1
	o.Socket.ReusePort = o.Socket.ReusePort || own
	at := addr
	for len(fds) < len(l.all) {
		fd := -1
		if own || len(fds) == 0 {
			fd, err = l.all[0].sockets.listenDatagrams(at, o.Socket)
		} else {
			fd, err = l.all[0].sockets.dup(fds[0])
		}
		if err != nil {
			l.giveUp(addr, fds)
			return nil, err
		}
		fds = append(fds, fd)
		if own { // the port that the kernel has chosen
			at.AddrPort = netip.AddrPortFrom(at.AddrPort.Addr(), conn.LocalAddr(fd).Port())
		}
	}
	return fds, nil
}

// ownDatagrams reports whether each of several loops has a socket of its own on addr.
func ownDatagrams(addr conn.Addr) bool { return addr.Network == "udp" && runtime.GOOS == "linux" }

// adoptDatagrams is adopt for a datagram socket.
func (m *Manager) adoptDatagrams(fd int, peer conn.Peer, s conn.DatagramSetup, limits *conn.Limits, h conn.Handler) *conn.Conn {
	if m.grams == nil {
		m.grams = new(conn.Datagrams)
	}
	c := conn.NewDatagram(m.sh, fd, m.newID(), m.grams, s, limits, h)
	c.Driver().SetRemote(peer)
	m.open++
	m.place(c)
	return c
}

// keepsMessages reports whether a socket of that type is one for datagrams. One that has both
// connections and messages (SOCK_SEQPACKET) is not: an empty message looks like the end there.
func keepsMessages(kind int) bool { return kind == unix.SOCK_DGRAM || kind == unix.SOCK_RAW }
