package http

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/internal/weburl"
	"github.com/seed4930a636/mangusta/mgr"
)

var errNoClientTLS = errors.New("an https:// URL needs ClientOptions.TLS, such as a *tlsconn.Client")

// Connect begins a connection to the server of url, http://host[:port]/path or https:// with
// ClientOptions.TLS, and gives its events to h: those of package conn, and those of the responses
// to the requests that Send sends on it. Requests may be sent at once, and wait for the connection
// to stand.
//
//	event          when
//	*Interim       an interim response came, other than 100
//	*ResponseHead  the head of a response is complete; once for each request
//	*Chunk         a piece of a body for which StreamResponse was called in ResponseHead
//	*Response      the response is complete; not after StreamResponse
//
// If a response cannot be read, or a limit is passed, the connection ends with a *conn.Error, whose
// error wraps ErrBadResponse, ErrTimeout or the like. Connect itself returns an error only if the
// attempt cannot begin. At most one ClientOptions may be given.
func Connect(m *mgr.Manager, url string, h conn.Handler, opts ...ClientOptions) (*conn.Conn, error) {
	var o ClientOptions
	if len(opts) > 0 {
		o = opts[0]
	}
	side, err := newClientSide(o)
	if err != nil {
		return nil, fmt.Errorf("http: connect: %w", err)
	}
	t, err := weburl.Parse(url, weburl.HTTP)
	if err != nil {
		return nil, fmt.Errorf("http: connect to %q: %w", url, err)
	}
	var c *conn.Conn
	via, err := side.opts.proxyFor(t)
	if err == nil {
		c, err = dialTo(m, t, via, h, &side.opts, side.opts.ConnectTimeout, func(c *conn.Conn) {
			k := attachClient(c, side)
			k.base, k.via = t, via
			k.askTunnel(t)
		})
	}
	if err != nil {
		return nil, fmt.Errorf("http: connect to %s: %w", t.Text, err)
	}
	return c, nil
}

// ConnectOver is Connect over c, a connection without a protocol layer that the program has made
// itself: with Manager.Wrap, say, or through a proxy that is not one of HTTP. The url is for the
// requests alone; https:// needs a connection with TLS. The fields of ClientOptions that say
// how to connect do not count.
func ConnectOver(c *conn.Conn, url string, opts ...ClientOptions) error {
	var o ClientOptions
	if len(opts) > 0 {
		o = opts[0]
	}
	side, err := newClientSide(o)
	if err != nil {
		return fmt.Errorf("http: connect: %w", err)
	}
	t, err := weburl.Parse(url, weburl.HTTP)
	_, protected := c.Layer().Transport().(conn.Layered)
	switch {
	case err != nil:
		return fmt.Errorf("http: connect to %q: %w", url, err)
	case c.Layer().HasProtocol():
		err = errHasLayer
	case t.Secure && !protected:
		err = errNotSecure
	case !c.IsOpen():
		err = conn.ErrClosed
	}
	if err != nil {
		return fmt.Errorf("http: connect to %s: %w", t.Text, err)
	}
	k := attachClient(c, side)
	k.base = t
	k.connected = !c.Layer().Connecting()
	return nil
}

var (
	errHasLayer  = errors.New("a protocol layer sits on the connection already")
	errNotSecure = errors.New("the connection has no TLS")
)

// dialTo begins a connection to the server of t, or to the proxy via for it.
func dialTo(m *mgr.Manager, t *weburl.URL, via *clientProxy, h conn.Handler, o *ClientOptions, timeout time.Duration, setup func(*conn.Conn)) (*conn.Conn, error) {
	co := mgr.ConnectOptions{Socket: o.Socket, Limits: o.Limits, Timeout: timeout}
	address := t.Address
	switch {
	case o.Address != "":
		address = o.Address
	case via != nil:
		address = via.address
	}
	if t.Secure {
		if o.TLS == nil {
			return nil, errNoClientTLS
		}
		co.TLS, co.ServerName = o.TLS, t.Host()
		if via != nil {
			co.TLS = &tunnelTLS{o.TLS, t.HostPort(), via}
		}
		if rest, ok := strings.CutPrefix(address, "tcp://"); ok {
			address = "tls://" + rest
		}
	}
	co.Setup = func(c *conn.Conn) {
		setup(c)
		if name, _, err := conn.SplitName(strings.Replace(address, "tls://", "tcp://", 1)); err == nil && name != "" && o.ResolveTimeout > 0 && (timeout < 0 || o.ResolveTimeout < timeout) {
			clientOf(c).watchName(m, o.ResolveTimeout)
		}
		if o.Setup != nil {
			o.Setup(c)
		}
	}
	return m.ConnectStream(address, h, co)
}

// Send sends a request on c, a connection of Connect, after those that were sent before. The
// response comes as events. r must not change until then. It returns an error that wraps
// ErrBadRequest if r cannot be sent, and conn.ErrClosed if no further request can be sent on c.
func Send(c *conn.Conn, r *ClientRequest) error {
	k := clientOf(c)
	if k == nil || k.base == nil || k.closing || !c.IsOpen() {
		r.drop()
		return conn.ErrClosed
	}
	t, err := r.locate(k.base)
	if err == nil && !t.SameOrigin(k.base) {
		err = badRequest(r.URL, errOtherOrigin)
	}
	if err != nil {
		r.drop()
		return err
	}
	a, err := k.side.begin(r, t, k.now())
	if err != nil {
		return err
	}
	k.add(a)
	return nil
}

// begin makes a call of a request to t. If r cannot be sent, it drops r.
func (s *clientSide) begin(r *ClientRequest, t *weburl.URL, now int64) (*clientCall, error) {
	length, err := r.check()
	if err != nil {
		r.drop()
		return nil, err
	}
	a := s.take()
	a.req, a.target, a.method, a.length, a.begun = r, t, r.method(), length, now
	timeout := s.opts.Timeout
	if r.Timeout != 0 {
		timeout = r.Timeout
	}
	a.until = timeAfter(now, timeout)
	return a, nil
}

// A Client sends requests over connections that it makes, keeps and shares. It belongs to the loop
// of its manager, like all else in this package.
type Client struct {
	m    *mgr.Manager
	side *clientSide
	pool
}

// NewClient makes a client whose connections are on the loop of m. It returns an error for options
// that are malformed. At most one ClientOptions may be given.
func NewClient(m *mgr.Manager, opts ...ClientOptions) (*Client, error) {
	var o ClientOptions
	if len(opts) > 0 {
		o = opts[0]
	}
	side, err := newClientSide(o)
	if err != nil {
		return nil, fmt.Errorf("http: new client: %w", err)
	}
	side.opts.Pipeline = 1
	return &Client{m: m, side: side, pool: pool{hosts: map[hostKey]*clientHost{}}}, nil
}

// Do sends a request, and calls done on the loop, exactly once, after Do has returned: with the
// whole response, or with an error. The response is valid until done returns. r must not change
// until then, and may then be sent again.
//
// If Do itself returns an error, done is not called: r cannot be sent (ErrBadRequest), too many
// requests wait (ErrQueueFull), or the client is closed (ErrClientClosed). The errors given to done
// wrap those of ClientOptions, ErrBadResponse, ErrNoResponse, ErrCut, ErrRedirect, and the errors
// of the connection.
//
// A request that was sent on a connection that was kept, and that the server closed before a byte
// of the response came, is sent once more on a new connection: if none of it had been sent, or if
// its method is idempotent (RFC 9110 9.2.2).
func (c *Client) Do(r *ClientRequest, done func(*Response, error)) (Call, error) {
	if c.closed {
		r.drop()
		return Call{}, ErrClientClosed
	}
	t, err := r.locate(nil)
	if err != nil {
		r.drop()
		return Call{}, err
	}
	a, err := c.side.begin(r, t, c.m.Now())
	if err != nil {
		return Call{}, err
	}
	a.done = done
	if h := r.host; h != nil && h.client == c && !h.over {
		a.of = h
	} else if a.of, err = c.hostOf(t); err != nil {
		c.side.put(a)
		return Call{}, badRequest(r.URL, err)
	}
	r.host = a.of
	if err := c.place(a); err != nil {
		c.side.put(a)
		return Call{}, err
	}
	return Call{c, a, a.turn}, nil
}
