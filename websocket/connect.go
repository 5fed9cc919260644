package websocket

import (
	"errors"
	"math/rand/v2"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/internal/weburl"
	"github.com/seed4930a636/mangusta/mgr"
)

// Connect begins a WebSocket to url, ws://host[:port]/path?query. A host name needs
// mgr.Options.Resolver; for unix sockets see ClientOptions.Address. wss:// needs ClientOptions.TLS,
// and the server's certificate must be for the host of the URL. The handshake is a request of
// http.Connect. opts may be nil.
//
// h gets conn.Open and conn.Connect, then *Open and the same events as a server. If the attempt
// fails, h gets *conn.Error, with a *HandshakeError, and conn.Close. Connect itself returns an
// error only if the attempt cannot begin.
func Connect(m *mgr.Manager, url string, h conn.Handler, opts *ClientOptions) (*conn.Conn, error) {
	d, err := newDial(url, opts)
	if err != nil {
		return nil, err
	}
	return d.connect(m, h, nil)
}

// Reconnect keeps a WebSocket to url open: when an attempt fails, or the WebSocket ends, it tries
// again after a while. The first attempt begins with the next turn of the loop. It returns an error
// if url or opts cannot work.
//
// h gets the events of all connections, one after the other, as with Connect, and a *State for each
// change; it must not be taken off a connection with SetHandler. Messages that are sent with
// Reconnector.Send wait while there is no WebSocket. If the manager shuts down, or a name needs a
// Resolver that the manager does not have, the Reconnector closes; after the end of the manager no
// event comes.
func Reconnect(m *mgr.Manager, url string, h conn.Handler, opts *ReconnectOptions) (*Reconnector, error) {
	return newReconnector(managers{m}, url, h, opts)
}

// managers is the world of a Reconnector.
type managers struct{ m *mgr.Manager }

func (w managers) connect(url string, h conn.Handler, o *ClientOptions) (*conn.Conn, error) {
	return Connect(w.m, url, h, o)
}

func (w managers) after(d time.Duration, f func()) timer { return w.m.AfterFunc(d, f) }

func (w managers) now() int64 { return w.m.Now() }

func (w managers) random(n int64) int64 { return rand.Int64N(n) }

func (w managers) forGood(err error) bool {
	return errors.Is(err, mgr.ErrClosed) || errors.Is(err, mgr.ErrNoResolver)
}

func (d *dial) connect(m *mgr.Manager, h conn.Handler, data any) (*conn.Conn, error) {
	if d.target.Secure && d.opts.TLS == nil {
		return nil, d.wrap(errTLS)
	}
	o := d.opts.http()
	var failed error
	o.Setup = func(c *conn.Conn) { // before Open, in which the program may close it
		c.Data = data
		if failed = http.Send(c, &d.req); failed != nil {
			c.Close()
		}
	}
	d.follow = func(c *conn.Conn, d *dial, to *weburl.URL) (*conn.Conn, error) {
		opts := d.opts
		if !to.SameOrigin(d.target) {
			stripped := *d.opts
			stripped.Header, stripped.Address = nil, ""
			opts = &stripped
		}
		next, err := newDial(to.Text, opts)
		if err != nil {
			return nil, err
		}
		next.hops = d.hops + 1
		return next.connect(m, c.Layer().Handler(), c.Data)
	}
	c, err := http.Connect(m, d.httpURL(), h, o)
	switch {
	case err != nil:
		return nil, d.wrap(errors.Unwrap(err)) // which has said what it is about
	case failed != nil:
		return nil, d.wrap(failed)
	}
	return c, nil
}
