package websocket

import (
	crand "crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/seed4930a636/mangusta/conn"
)

// ClientOptions of Connect. The zero value works, and so does a nil *ClientOptions. The connection keeps the pointer: it may be
// shared, and must not be changed once it is in use.
type ClientOptions struct {
	// Options are those that both sides have. Protocols are offered, Header is added to the request; Origins and Check are
	// for servers.
	Options

	// Origin is sent as the Origin header; browsers send one, programs need not.
	Origin string

	// Address is where to connect to instead of the URL's host and port: unix:///run/x.sock, or the address of a host that
	// the URL names, tcp://192.0.2.1:80.
	Address string

	// HandshakeTimeout is how long it may take from Connect to the server's answer; 10 s when 0. Each redirect has as long
	// again.
	HandshakeTimeout time.Duration

	// MaxRedirects is how many redirects are followed, one after the other; 0 refuses them. A Header goes along to the same
	// host and port only, since it may be a credential.
	MaxRedirects int

	Limits conn.Limits        // of the connection; the zero value means the manager's
	Socket conn.SocketOptions // of the connection
}

// Redirect says that a client's connection ends because the server has pointed elsewhere, and that Connect goes on there.
type Redirect struct {
	URL  string     // where to
	Conn *conn.Conn // the new connection: it has the same handler, and the same Data
}

const defaultHandshakeTimeout = 10 * time.Second

func (o *ClientOptions) handshakeTimeout() time.Duration {
	if o.HandshakeTimeout > 0 {
		return o.HandshakeTimeout
	}
	return defaultHandshakeTimeout
}

var clientDefaults ClientOptions

// dial is a client's opening handshake, and the protocol's state until there is a WebSocket.
type dial struct {
	opts   *ClientOptions
	target *target
	answer answer
	until  int64 // on the loop's clock
	spent  int   // bytes of interim responses
	key    [24]byte
	refuse bool // the head of a response that is no 101 has come whole
	// follow goes on at another target; nil where redirects cannot be followed.
	follow func(c *conn.Conn, d *dial, to *target) (*conn.Conn, error)
	hops   int // redirects that have been followed
}

// ConnectOver begins a client's handshake on c, which no protocol layer sits on: a connection that the program has made
// itself, such as one of Manager.Wrap or through a proxy. The url is for the request alone. Redirects are refused. The
// handler of c gets the events that Connect tells of.
func ConnectOver(c *conn.Conn, url string, opts *ClientOptions) error {
	d, err := newDial(url, opts)
	if err != nil {
		return err
	}
	if c.HasProtocol() {
		return errLayer
	}
	if err := d.begin(c); err != nil {
		return fmt.Errorf("websocket: connect to %s: %w", d.target.url, err)
	}
	return nil
}

var errLayer = errors.New("websocket: connect: a protocol layer sits on the connection already")

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
	return &dial{opts: opts, target: t}, nil
}

// begin puts the handshake on c and queues the request, which waits for the connection to stand.
func (d *dial) begin(c *conn.Conn) error {
	var nonce [16]byte // RFC 6455 §4.1 item 7: chosen at random for each connection
	crand.Read(nonce[:])
	base64.StdEncoding.Encode(d.key[:], nonce[:])
	c.SetProtocol(d.handle, d)
	d.until = c.Shared().Now + int64(d.opts.handshakeTimeout())
	c.SetDeadline(d.opts.handshakeTimeout())
	_, err := c.Write(d.target.appendRequest(c.AvailableBuffer(), d.key[:], d.opts))
	return err
}

// handle is the protocol handler until there is a WebSocket.
func (d *dial) handle(c *conn.Conn, ev conn.Event) {
	switch ev.(type) {
	case conn.Connect:
		c.SetDeadline(time.Duration(max(d.until-c.Shared().Now, 1))) // that of the attempt to connect is gone
	case *conn.Read:
		d.read(c)
	case conn.EOF:
		if d.refuse {
			d.refused(c)
		} else {
			d.fail(c, conn.PeerClosed, "the server closed the connection without an answer")
		}
	case conn.Deadline:
		if d.refuse {
			d.refused(c)
		} else {
			d.fail(c, conn.DeadlineOver, "the server did not answer in time")
		}
	case conn.Shutdown:
		d.fail(c, conn.ShuttingDown, "this side is shutting down")
	}
}

// read takes what has come of the response.
func (d *dial) read(c *conn.Conn) {
	a := &d.answer
	for !d.refuse {
		done, wrong := a.take(c.Recv.Bytes())
		switch {
		case wrong != "":
			d.fail(c, conn.Protocol, wrong)
			return
		case !done:
			return
		case a.status == 101:
			d.switched(c)
			return
		case a.status >= 200:
			d.refuse = true
			if d.redirected(c) {
				return
			}
		default: // RFC 9110 §15.2: interim responses are passed over
			if d.spent += a.end; d.spent > maxAnswer {
				d.fail(c, conn.Protocol, "too many interim responses")
				return
			}
			c.Recv.Discard(a.end)
			*a = answer{}
		}
	}
	if _, done := a.refusalBody(c.Recv.Bytes()[a.end:]); done {
		d.refused(c)
	}
}

// switched makes a WebSocket of the connection, if the response says what it has to.
func (d *dial) switched(c *conn.Conn) {
	a := &d.answer
	wrong := a.check(d.key[:], d.opts.Protocols)
	var agreed *deflation
	switch {
	case wrong != "" || !a.extensions.found:
	case d.opts.Deflate == nil:
		wrong = notOffered
	default:
		agreed, wrong = d.opts.Deflate.answered(a.extensions.deflate)
	}
	if wrong != "" {
		d.fail(c, conn.Protocol, wrong)
		return
	}
	c.Recv.Discard(a.end)
	begin(c, &d.opts.Options)
	s := of(c)
	s.keys, s.deflation = newKey, agreed
	c.Emit(&Open{Protocol: a.protocol})
	if of(c) == s && c.Recv.Len() > 0 { // frames came in the packet of the response
		s.read(c)
	}
}

// refused ends the connection because of a response that is no 101, with what has come of its body.
func (d *dial) refused(c *conn.Conn) {
	a := &d.answer
	why := fmt.Sprintf("the server answered %d", a.status)
	if a.reason != "" {
		why += " " + a.reason
	}
	if a.redirects() {
		switch {
		case a.location == "":
			why += " without a Location"
		case d.follow == nil || d.opts.MaxRedirects <= 0:
			why += ", a redirect to " + a.location + ", which is not followed"
		default:
			why += fmt.Sprintf(", a redirect to %s, after %d others", a.location, d.hops)
		}
	}
	d.fail(c, conn.Protocol, why)
}

func (a *answer) redirects() bool {
	switch a.status {
	case 301, 302, 303, 307, 308:
		return true
	}
	return false
}

// redirected goes on elsewhere, if the response asks for that and it may be followed.
func (d *dial) redirected(c *conn.Conn) bool {
	if !d.answer.redirects() || d.answer.location == "" || d.follow == nil || d.hops >= d.opts.MaxRedirects {
		return false
	}
	to, err := d.target.follow(d.answer.location)
	var next *conn.Conn
	if err == nil {
		next, err = d.follow(c, d, to)
	}
	if err != nil {
		d.fail(c, conn.Protocol, fmt.Sprintf("redirect to %s: %v", d.answer.location, err))
		return true
	}
	c.Emit(&Redirect{URL: to.url.String(), Conn: next})
	c.Close()
	return true
}

// fail ends the connection with a HandshakeError.
func (d *dial) fail(c *conn.Conn, r conn.Reason, why string) {
	a := &d.answer
	e := &HandshakeError{Status: a.status, Reason: why, URL: d.target.url.String()}
	if b := c.Recv.Bytes(); a.status != 0 && a.end <= len(b) {
		e.Head = string(b[:a.end])
		if d.refuse {
			body, _ := a.refusalBody(b[a.end:])
			e.Body = append([]byte(nil), body...)
		}
	}
	c.Recv.Discard(c.Recv.Len())
	c.Fail(r, e)
}
