package websocket

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"sync/atomic"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/internal/wire"
)

// Upgrade makes a WebSocket of the connection that sent m (RFC 6455 §4.2). Call it in the handler
// of the *http.Message. It fires *Open before it returns; frames that came together with the
// request follow in this turn. opts may be nil.
//
// If the request cannot be upgraded, Upgrade replies with the right status and returns a
// *HandshakeError. Outside of the handler of m it does nothing and returns http.ErrOutside,
// wrapped, because m may describe the request of another client by then; UpgradeLater is for that.
func Upgrade(c *conn.Conn, m *http.Message, opts *Options) error {
	if !m.Of(c) {
		return fmt.Errorf("websocket: upgrade: %w", http.ErrOutside)
	}
	if opts == nil {
		opts = &defaults
	}
	return upgrade(c, m, opts)
}

// UpgradeLater is Upgrade for a request that waits: until a token has been checked elsewhere, say.
// Options.Check gets the handle's copy of the message. The error is http.ErrGone, wrapped, if the
// request is over, and http.ErrOutside, wrapped, if l was made in an *http.Chunk, which has no
// message. UpgradeLater belongs to the goroutine of the loop.
func UpgradeLater(l *http.Later, opts *Options) error {
	if opts == nil {
		opts = &defaults
	}
	var err error
	gone := l.With(func(c *conn.Conn) {
		if m := l.Message(); m != nil {
			err = upgrade(c, m, opts)
		} else {
			err = fmt.Errorf("websocket: upgrade: %w", http.ErrOutside)
		}
	})
	if gone != nil {
		return fmt.Errorf("websocket: upgrade: %w", gone)
	}
	return err
}

func upgrade(c *conn.Conn, m *http.Message, opts *Options) error {
	h := handshake{method: m.Method, minor: m.Minor, host: m.Host, secure: http.IsHTTPS(c), protocol: len(opts.Protocols)}
	for _, f := range m.Headers() {
		h.field(f.Name, f.Value, opts.Protocols)
	}
	refusal := h.check(opts.Origins)
	if refusal == nil && opts.Check != nil {
		if err := opts.Check(c, m); err != nil {
			own, ok := errors.AsType[*HandshakeError](err)
			if refusal = own; !ok {
				refusal = &HandshakeError{Status: 403, Reason: err.Error()}
			}
		}
	}
	if refusal == nil && !validHeaders(opts.Header) {
		refusal = &HandshakeError{Status: 500, Reason: "Options.Header cannot be sent"}
	}
	if refusal != nil {
		return refuse(c, refusal)
	}
	accept := acceptKey(h.key)
	var extension []byte // the field of the reply
	var agreed *Agreement
	if z := opts.Compress; z != nil {
		extension, agreed = acceptOffer(m, z)
	}
	if err := http.Hijack(c); err != nil {
		if agreed != nil {
			agreed.Codec.Drop()
		}
		return fmt.Errorf("websocket: upgrade: %w", err)
	}
	protocol := ""
	if h.protocol < len(opts.Protocols) {
		protocol = opts.Protocols[h.protocol]
	}
	begin(c, opts)
	of(c).agreed = agreed
	if protocol != "" && h.protocol < math.MaxUint8 {
		of(c).protocol = uint8(h.protocol + 1)
	}
	reply := appendReply(c.AvailableBuffer(), &accept, protocol, opts.Header)
	if _, err := c.Write(append(append(reply, extension...), "\r\n"...)); err != nil {
		return fmt.Errorf("websocket: upgrade: %w", err)
	}
	c.Layer().Emit(&Open{Protocol: protocol})
	return nil
}

// acceptOffer has z judge the offers of m. It returns the reply's field for the first that z
// accepts (RFC 7692 §5), and the Agreement.
func acceptOffer(m *http.Message, z Compressor) (field []byte, agreed *Agreement) {
	for _, f := range m.Headers() {
		if !is(f.Name, "sec-websocket-extensions") {
			continue
		}
		for e := (elements{rest: f.Value}); e.next(); {
			if !is(e.name, permessageDeflate) {
				continue
			}
			field = append(field[:0], "Sec-WebSocket-Extensions: "+permessageDeflate...)
			if field, agreed = z.Accept(field, e.params); agreed != nil {
				return append(field, "\r\n"...), agreed
			}
		}
	}
	return nil, nil
}

// refuse replies to a request that is not upgraded.
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

// begin puts the WebSocket layer on c, which has no other layer.
func begin(c *conn.Conn, opts *Options) {
	// An incomplete frame waits in Recv. The buffer grows to twice that size, and a read may fill
	// it while the handler pauses. A message that is too big has to end with 1009, so conn's own
	// limit must be larger.
	need := 2*opts.maxMessage() + 64<<10
	if opts.Stream { // frames do not wait in Recv
		need = 256 << 10
	}
	if l := c.Limits(); l.Recv < need {
		c.SetLimits(raisedLimits(l, need))
	}
	s := &session{opts: opts}
	c.SetProtocol(handle, s)
	s.listen(c)
}

// lastRaised is the last result of raisedLimits: the connections of a listener share it.
var lastRaised atomic.Pointer[raised]

type raised struct{ from, to conn.Limits }

// raisedLimits returns l with the receive limit recv.
func raisedLimits(l conn.Limits, recv int) *conn.Limits {
	r := lastRaised.Load()
	if r == nil || r.from != l || r.to.Recv != recv {
		r = &raised{from: l, to: l}
		r.to.Recv = recv
		lastRaised.Store(r)
	}
	return &r.to
}

// appendReply appends the 101 (§4.2.2 item 5) without the empty line at its end.
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

// validHeaders reports whether the program's headers are well-formed, and none of them is one that
// the handshake sets.
func validHeaders(fields []Header) bool {
	for _, f := range fields {
		if f.Name == "" || !wire.All(f.Name, wire.TokenByte) ||
			strings.Trim(f.Value, " \t") != f.Value || !wire.All(f.Value, wire.ValueByte) {
			return false
		}
		switch name := strings.ToLower(f.Name); {
		case strings.HasPrefix(name, "sec-websocket-"), name == "upgrade", name == "connection",
			name == "content-length", name == "transfer-encoding": // RFC 9110 §15.2: no body follows a 1xx
			return false
		}
	}
	return true
}

// isToken reports whether b may stand in a token.
func isToken(b byte) bool { return wire.Is(b, wire.TokenByte) }
