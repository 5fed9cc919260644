package websocket

import (
	"fmt"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// Connect begins a WebSocket to url, ws://host[:port]/path?query, where host is an IP address or localhost; for names and unix
// sockets see ClientOptions.Address. wss is not supported yet. opts may be nil.
//
// h gets conn.Open and conn.Connect, then *Open and the events that follow it, which are those of a server; or *conn.Error,
// with a *HandshakeError when it was the handshake that failed, and conn.Close. An error is returned only for what fails
// at once.
func Connect(m *mgr.Manager, url string, h conn.Handler, opts *ClientOptions) (*conn.Conn, error) {
	d, err := newDial(url, opts)
	if err != nil {
		return nil, err
	}
	address := d.opts.Address
	if address == "" {
		address = d.target.address
	}
	return d.connect(m, address, h, nil)
}

func (d *dial) connect(m *mgr.Manager, address string, h conn.Handler, data any) (*conn.Conn, error) {
	var failed error
	c, err := m.Connect(address, h, mgr.ConnectOptions{
		Socket:  d.opts.Socket,
		Limits:  d.opts.Limits,
		Timeout: d.opts.handshakeTimeout(),
		Setup: func(c *conn.Conn) {
			c.Data = data
			if failed = d.begin(c); failed != nil {
				c.Close()
			}
		},
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return nil, fmt.Errorf("websocket: connect to %s: %w", d.target.url, err)
	}
	d.follow = func(c *conn.Conn, d *dial, to *target) (*conn.Conn, error) {
		next := &dial{opts: d.opts, target: to, hops: d.hops + 1}
		address := d.opts.Address
		if to.authority != d.target.authority {
			stripped := *d.opts
			stripped.Header, stripped.Address = nil, ""
			next.opts, address = &stripped, ""
		}
		if address == "" {
			address = to.address
		}
		return next.connect(m, address, c.Handler(), c.Data)
	}
	return c, nil
}
