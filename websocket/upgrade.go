package websocket

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
)

// Upgrade makes a WebSocket of the connection that sent m (RFC 6455 §4.2): call it in the handler of the *http.Message. It
// fires *Open before it returns, and frames that came together with the request follow in this turn. opts may be nil.
//
// A request that cannot be upgraded is answered with the right status, and the error is then a *HandshakeError.
func Upgrade(c *conn.Conn, m *http.Message, opts *Options) error {
	if opts == nil {
		opts = &defaults
	}
	h := handshake{method: m.Method, minor: m.Minor, host: m.Host, protocol: len(opts.Protocols)}
	for _, f := range m.Headers() {
		h.field(f.Name, f.Value, opts.Protocols)
	}
	refusal := h.check(opts.Origins)
	if refusal == nil && opts.Check != nil {
		if err := opts.Check(c, m); err != nil && !errors.As(err, &refusal) {
			refusal = &HandshakeError{Status: 403, Reason: err.Error()}
		}
	}
	if refusal == nil && !validHeaders(opts.Header) {
		refusal = &HandshakeError{Status: 500, Reason: "Options.Header cannot be sent"}
	}
	if refusal != nil {
		return refuse(c, refusal)
	}
	accept := acceptKey(h.key)
	if err := http.Hijack(c); err != nil {
		return fmt.Errorf("websocket: upgrade: %w", err)
	}
	protocol := ""
	if h.protocol < len(opts.Protocols) {
		protocol = opts.Protocols[h.protocol]
	}
	begin(c, opts)
	reply := appendReply(c.AvailableBuffer(), &accept, protocol, opts.Header)
	if opts.Deflate != nil && h.extensions.found {
		reply, of(c).deflation = opts.Deflate.reply(reply, h.extensions.deflate)
	}
	if _, err := c.Write(append(reply, "\r\n"...)); err != nil {
		return fmt.Errorf("websocket: upgrade: %w", err)
	}
	c.Emit(&Open{Protocol: protocol})
	return nil
}

// refuse answers a request that is not upgraded.
func refuse(c *conn.Conn, e *HandshakeError) error {
	var err error
	switch e.Status {
	case 405:
		err = http.SetHeader(c, "Allow", "GET")
	case 426:
		// RFC 6455 §4.4, RFC 9110 §15.5.22
		err = errors.Join(http.SetHeader(c, "Upgrade", "websocket"), http.SetHeader(c, "Sec-WebSocket-Version", "13"))
	}
	if err == nil {
		err = http.Reply(c, e.Status, "text/plain; charset=utf-8", "%s\n", e.Reason)
	}
	if err != nil {
		return fmt.Errorf("%w; the reply failed: %w", e, err)
	}
	return e
}

// minSend is a send limit whose half, which is free while frames are processed, has room for a pong and a Close frame.
const minSend = 4 * (maxHeader + maxControl)

// begin puts the WebSocket layer on c, which no other layer sits on.
func begin(c *conn.Conn, opts *Options) {
	// An incomplete frame waits in Recv, whose buffer grows to twice that, and a read may fill it while the handler pauses:
	// 1009 has to come before conn's own limit.
	need := 2*opts.maxMessage() + 64<<10
	if opts.Stream { // frames do not wait
		need = 256 << 10
	}
	if l := c.Limits(); l.Recv < need || l.Send < minSend {
		c.SetLimits(raisedLimits(l, max(need, l.Recv), max(minSend, l.Send)))
	}
	s := &session{opts: opts}
	c.SetProtocol(handle, s)
	s.listen(c)
}

// lastRaised is what raisedLimits returned last: the connections of a listener share it.
var lastRaised atomic.Pointer[raised]

type raised struct{ from, to conn.Limits }

// raisedLimits returns l with the limits recv and send.
func raisedLimits(l conn.Limits, recv, send int) *conn.Limits {
	r := lastRaised.Load()
	if r == nil || r.from != l || r.to.Recv != recv || r.to.Send != send {
		r = &raised{from: l, to: l}
		r.to.Recv, r.to.Send = recv, send
		lastRaised.Store(r)
	}
	return &r.to
}

// appendReply appends the 101 (§4.2.2 item 5) but for the empty line at its end.
func appendReply(b []byte, accept *[acceptSize]byte, protocol string, extra []Header) []byte {
	b = append(b, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Accept: "...)
	b = append(append(b, accept[:]...), "\r\n"...)
	if protocol != "" {
		b = appendField(b, "Sec-WebSocket-Protocol", protocol)
	}
	for _, f := range extra {
		b = appendField(b, f.Name, f.Value)
	}
	return b
}

func appendField(b []byte, name, value string) []byte {
	b = append(append(b, name...), ": "...)
	return append(append(b, value...), "\r\n"...)
}

// validHeaders reports whether the program's headers are well-formed and none of those that the handshake itself makes.
func validHeaders(fields []Header) bool {
	for _, f := range fields {
		if f.Name == "" || strings.Trim(f.Value, " \t") != f.Value {
			return false
		}
		for _, b := range []byte(f.Name) {
			if !isToken(b) {
				return false
			}
		}
		for _, b := range []byte(f.Value) {
			if b < ' ' && b != '\t' || b == 0x7f {
				return false
			}
		}
		switch name := strings.ToLower(f.Name); {
		case strings.HasPrefix(name, "sec-websocket-"), name == "upgrade", name == "connection",
			name == "content-length", name == "transfer-encoding": // RFC 9110 §15.2: no body follows a 1xx
			return false
		}
	}
	return true
}

// isToken reports whether b may stand in a header's name (RFC 9110 §5.6.2).
func isToken(b byte) bool {
	return 'a' <= lower(b) && lower(b) <= 'z' || '0' <= b && b <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", b) >= 0
}
