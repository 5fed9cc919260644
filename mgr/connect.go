package mgr

import (
	"fmt"
	"time"

	"github.com/seed4930a636/mangusta/conn"
)

// ConnectOptions are the settings of one outbound connection. The zero value works.
type ConnectOptions struct {
	Socket  conn.SocketOptions // those of connections
	Limits  conn.Limits        // the zero value means the manager's
	Timeout time.Duration      // for the connection to stand; default 10 s, negative leaves it to the kernel

	// Setup is called with the connection before its Open event: the place for SetProtocol.
	Setup func(*conn.Conn)
}

const connectTimeout = 10 * time.Second

// Connect begins a connection to url (tcp://192.0.2.1:80, tcp://[::1]:80, unix:///run/x.sock, unix://@abstract) and gives its
// events to h: Open, then Connect when it stands, or Error and Close when it does not. What is written before waits.
// An error is returned only for what fails at once. Names other than localhost are not resolved. At most one opts may be
// given.
func (m *Manager) Connect(url string, h conn.Handler, opts ...ConnectOptions) (*conn.Conn, error) {
	m.check("Connect")
	if m.ending() {
		return nil, ErrClosed
	}
	var o ConnectOptions
	if len(opts) > 0 {
		o = opts[0]
	}
	if o.Timeout == 0 {
		o.Timeout = connectTimeout
	}
	addr, err := conn.ParseAddr(url)
	if err != nil {
		return nil, fmt.Errorf("mgr: connect: %w", err)
	}
	fd, err := conn.Dial(addr, o.Socket)
	if err != nil {
		return nil, fmt.Errorf("mgr: %w", err)
	}
	if err := m.fits(fd); err != nil {
		m.sock.Close(fd)
		return nil, err
	}
	limits := m.limits
	if o.Limits != (conn.Limits{}) {
		l := o.Limits.WithDefaults()
		limits = &l
	}
	c := m.adopt(fd, conn.PeerOf(addr.AddrPort), m.sock, limits, h)
	c.Connecting(o.Timeout)
	m.begin(c, o.Setup)
	return c, nil
}
