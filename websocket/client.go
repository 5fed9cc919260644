package websocket

import (
	crand "crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/internal/weburl"
)

// ClientOptions are the options of Connect. The zero value works, and so does a nil *ClientOptions.
// The connection keeps the pointer: clients may share it, and it must not be changed once it is in
// use.
type ClientOptions struct {
	// Options are the options of both sides. A client offers Protocols and adds Header to its
	// request; Origins and Check are for servers.
	Options

	// Origin is sent as the Origin header; browsers send one, programs need not.
	Origin string

	// Address replaces the host and port of the URL as the place to connect to: a unix socket,
	// unix:///run/x.sock, or the address of a host that the URL names, tcp://192.0.2.1:80.
	Address string

	// TLS protects the connection to a wss:// URL: a *tlsconn.Client. The server's certificate must
	// be for the host of the URL.
	TLS conn.ClientTLS

	// Proxy returns the URL of the HTTP proxy for a URL, which is given with http:// for ws:// and
	// https:// for wss://; "" for none. http.ProxyFromEnvironment() is one. The proxy is asked for
	// a tunnel (CONNECT, RFC 6455 §4.1).
	Proxy func(url string) (string, error)

	// Jar has the cookies of the request, and takes those of the response; nil is none.
	Jar http.Jar

	// HandshakeTimeout bounds the time from Connect to the server's response, else http.ErrTimeout;
	// 10 s when 0. It begins again with each redirect.
	HandshakeTimeout time.Duration

	// ResolveTimeout bounds the time for the name of the server, else http.ErrResolveTimeout, and
	// ConnectTimeout that for the connection, from the name on, else http.ErrConnectTimeout. TLS
	// has a timeout of its own, else http.ErrTLSTimeout. When 0, HandshakeTimeout alone bounds
	// them.
	ResolveTimeout, ConnectTimeout time.Duration

	// MaxRedirects is how many redirects are followed, one after the other; 0 refuses them. Header
	// is sent again only to the same host and port, since it may be a credential.
	MaxRedirects int

	Limits conn.Limits        // of the connection; the zero value means the manager's
	Socket conn.SocketOptions // of the connection
}

// Redirect says that a client's connection ends because the server has named another URL, and that
// Connect goes on there.
type Redirect struct {
	URL  string     // that the server has named
	Conn *conn.Conn // the new connection: it has the same handler, and the same Data
}

// EventName implements conn.Event.
func (*Redirect) EventName() string { return "websocket.Redirect" }

const (
	defaultHandshakeTimeout = 10 * time.Second
	// maxHead bounds the head of a response together with all interim responses before it.
	maxHead = 16 << 10
	// maxRefusal bounds the part that is kept of a refusal's body.
	maxRefusal = 4 << 10
)

func (o *ClientOptions) handshakeTimeout() time.Duration {
	if o.HandshakeTimeout > 0 {
		return o.HandshakeTimeout
	}
	return defaultHandshakeTimeout
}

// http returns the options of the HTTP client that makes the handshake.
func (o *ClientOptions) http() http.ClientOptions {
	orNever := func(d time.Duration) time.Duration {
		if d <= 0 {
			return -1
		}
		return d
	}
	return http.ClientOptions{
		MaxHead: maxHead, MaxHeaders: 500, MaxBody: maxRefusal,
		Address: o.Address, TLS: o.TLS, Proxy: o.Proxy, Tunnel: true, Jar: o.Jar,
		ResolveTimeout: orNever(o.ResolveTimeout), ConnectTimeout: orNever(o.ConnectTimeout),
		FirstByteTimeout: -1, StallTimeout: -1, Timeout: o.handshakeTimeout(),
		Limits: o.Limits, Socket: o.Socket,
	}
}

var clientDefaults ClientOptions

// dial is a client's opening handshake: a request of package http, until there is a WebSocket. It
// gets the events of that request.
type dial struct {
	opts   *ClientOptions
	target *weburl.URL
	key    [24]byte
	req    http.ClientRequest

	response response
	refused  *HandshakeError // once a response has come that is no 101

	// follow goes on at another target; nil where redirects cannot be followed.
	follow func(c *conn.Conn, d *dial, to *weburl.URL) (*conn.Conn, error)
	hops   int // redirects that have been followed
}

// ConnectOver begins a client's handshake on c, a connection without a protocol layer that the
// program has made itself: with Manager.Wrap, say, or through a proxy. The url is for the request
// alone; wss:// needs a connection with TLS. Redirects are refused. The handler of c gets the
// events that Connect describes.
func ConnectOver(c *conn.Conn, url string, opts *ClientOptions) error {
	d, err := newDial(url, opts)
	if err != nil {
		return err
	}
	if err = http.ConnectOver(c, d.httpURL(), d.opts.http()); err == nil {
		err = http.Send(c, &d.req)
	} else {
		err = errors.Unwrap(err) // d.wrap says what it is about
	}
	return d.wrap(err)
}

// newDial makes the handshake with url.
func newDial(url string, opts *ClientOptions) (*dial, error) {
	if opts == nil {
		opts = &clientDefaults
	}
	t, err := parseTarget(url)
	if err == nil {
		err = opts.checkRequest()
	}
	if err != nil {
		return nil, fmt.Errorf("websocket: connect to %q: %w", url, err)
	}
	d := &dial{opts: opts, target: t}
	return d, d.wrap(d.makeRequest())
}

// wrap says what an error is about.
func (d *dial) wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("websocket: connect to %s: %w", d.target.Text, err)
}

// httpURL returns the URL of the request, with the scheme of HTTP.
func (d *dial) httpURL() string { return "http" + d.target.Text[len("ws"):] }

// makeRequest makes the client's opening handshake (§4.1).
func (d *dial) makeRequest() error {
	o := d.opts
	var nonce [16]byte // item 7: chosen at random for each connection
	crand.Read(nonce[:])
	base64.StdEncoding.Encode(d.key[:], nonce[:])
	d.req.Events = d.event
	fields := []Header{{"Upgrade", "websocket"}, {"Sec-WebSocket-Version", "13"}, {"Sec-WebSocket-Key", string(d.key[:])}}
	if o.Origin != "" {
		fields = append(fields, Header{"Origin", o.Origin})
	}
	if len(o.Protocols) > 0 {
		fields = append(fields, Header{"Sec-WebSocket-Protocol", strings.Join(o.Protocols, ", ")})
	}
	if o.Compress != nil {
		fields = append(fields, Header{"Sec-WebSocket-Extensions", string(o.Compress.AppendOffer([]byte(permessageDeflate)))})
	}
	for _, f := range append(fields, o.Header...) {
		if err := d.req.AddHeader(f.Name, f.Value); err != nil {
			return fmt.Errorf("header %s: %w", f.Name, err)
		}
	}
	return nil
}

// event handles what comes of the request.
func (d *dial) event(c *conn.Conn, ev conn.Event) {
	switch ev := ev.(type) {
	case *http.ResponseHead:
		d.response.read(ev)
		if ev.Status == 101 {
			d.switched(c, ev)
			return
		}
		d.refused = d.failure(nil, d.refusal(ev.Status))
		d.refused.Status, d.refused.Head = ev.Status, string(ev.Raw())
		d.refused.RetryAfter = retryAfter(ev.Header("Retry-After"), time.Now())
		if !d.redirected(c) {
			http.StreamResponse(c)
		}
	case *http.Chunk:
		e := d.refused
		e.Body = append(e.Body, ev.Data[:min(len(ev.Data), maxRefusal-len(e.Body))]...)
		if ev.Last || len(e.Body) == maxRefusal {
			c.Layer().Fail(conn.Protocol, e)
		}
	case *conn.Shutdown:
		d.fail(c, conn.ShuttingDown, "this side is shutting down")
	case *conn.Error:
		ev.Err = d.explain(ev.Err)
	}
}

// explain puts the end of the connection in the words of this package.
func (d *dial) explain(err error) error {
	if d.refused != nil { // its body was cut
		return d.refused
	}
	if own, ok := errors.AsType[*HandshakeError](err); ok {
		return own
	}
	e := d.failure(err, strings.TrimPrefix(err.Error(), "http: "))
	if bad, ok := errors.AsType[*http.ResponseError](err); ok {
		e.Head = string(bad.Head)
	}
	return e
}

// switched makes a WebSocket of the connection if its response is in order.
func (d *dial) switched(c *conn.Conn, head *http.ResponseHead) {
	r := &d.response
	wrong := r.check(d.key[:], d.opts.Protocols)
	var agreed *Agreement
	switch {
	case wrong != "" || !r.extensions.found:
	case d.opts.Compress == nil:
		wrong = notOffered
	default:
		var err error
		if agreed, err = d.opts.Compress.Confirm(r.extensions.deflate); err != nil {
			wrong = err.Error()
		}
	}
	if wrong != "" {
		e := d.failure(nil, wrong)
		e.Status, e.Head = head.Status, string(head.Raw())
		c.Layer().Fail(conn.Protocol, e)
		return
	}
	if http.Detach(c) != nil {
		return
	}
	begin(c, &d.opts.Options)
	s := of(c)
	s.keys, s.agreed = newKey, agreed
	c.Layer().Emit(&Open{Protocol: r.protocol})
}

// refusal says why there is no WebSocket after a response that is no 101.
func (d *dial) refusal(status int) string {
	r := &d.response
	why := fmt.Sprintf("the server responded with %d", status)
	if r.reason != "" {
		why += " " + r.reason
	}
	if isRedirect(status) {
		switch {
		case r.location == "":
			why += " without a Location"
		case d.follow == nil || d.opts.MaxRedirects <= 0:
			why += ", a redirect to " + r.location + ", which is not followed"
		default:
			why += fmt.Sprintf(", a redirect to %s, after %d others", r.location, d.hops)
		}
	}
	return why
}

func isRedirect(status int) bool {
	switch status {
	case 301, 302, 303, 307, 308:
		return true
	}
	return false
}

// redirected goes on at another URL if the response is a redirect that may be followed.
func (d *dial) redirected(c *conn.Conn) bool {
	r := &d.response
	if !isRedirect(d.refused.Status) || r.location == "" || d.follow == nil || d.hops >= d.opts.MaxRedirects {
		return false
	}
	to, err := d.target.Follow(r.location)
	var next *conn.Conn
	if err == nil {
		next, err = d.follow(c, d, to)
	}
	if err != nil {
		d.refused.Reason, d.refused.Err = fmt.Sprintf("redirect to %s: %v", r.location, err), err
		c.Layer().Fail(conn.Protocol, d.refused)
		return true
	}
	if !c.IsOpen() { // the program has given the attempt up, in an early event of next
		next.Close()
		return true
	}
	c.Layer().Emit(&Redirect{URL: to.Text, Conn: next})
	c.Close()
	return true
}

// fail ends the connection with a HandshakeError.
func (d *dial) fail(c *conn.Conn, r conn.Reason, why string) { c.Layer().Fail(r, d.failure(nil, why)) }

func (d *dial) failure(err error, why string) *HandshakeError {
	return &HandshakeError{Reason: why, URL: d.target.Text, Err: err}
}
