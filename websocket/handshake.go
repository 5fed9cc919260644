package websocket

import (
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/seed4930a636/mangusta/internal/wire"
)

// A HandshakeError says why a handshake has failed. Upgrade returns one for a request that it has
// refused with Status. A client gets one in the *conn.Error event.
type HandshakeError struct {
	Status int    // of the reply; on a client that of the response, 0 if none came
	Reason string // what was wrong

	// On a client:
	URL  string // of the request
	Head string // the response's status line and fields, as they came; up to the byte that cannot be read
	Body []byte // the beginning of a refusal's body, at most 4 KiB
	// RetryAfter is how long the server asks to wait, with the Retry-After of a refusal; 0 if it
	// does not.
	RetryAfter time.Duration
	Err        error // why it ended without a response, or nil: http.ErrTimeout, http.ErrProxy, a system error
}

// Unwrap returns e.Err.
func (e *HandshakeError) Unwrap() error { return e.Err }

func (e *HandshakeError) Error() string {
	if e.URL != "" {
		return fmt.Sprintf("websocket: connect to %s: %s", e.URL, e.Reason)
	}
	return fmt.Sprintf("websocket: upgrade: %s (%d)", e.Reason, e.Status)
}

// handshake has the parts of a request that RFC 6455 §4.2.1 makes demands on. Its slices belong to
// the request.
type handshake struct {
	method string
	minor  int // of HTTP/1.x

	upgrade    bool // Upgrade has the token websocket
	connection bool // Connection has the token Upgrade

	secure                  bool   // it came over TLS
	host                    []byte // of the request; package http has checked it
	key, version, origin    []byte
	keys, versions, origins int // lines of each header

	malformed bool // Sec-WebSocket-Extensions breaks its grammar

	protocol int // index in Options.Protocols of the best one offered, or len(Protocols)
}

// field takes one header line. Lists may be spread over several lines (RFC 9110 §5.3).
func (h *handshake) field(name, value []byte, protocols []string) {
	switch {
	case is(name, "upgrade"):
		for t := range tokens(value) {
			h.upgrade = h.upgrade || is(t, "websocket")
		}
	case is(name, "connection"):
		for t := range tokens(value) {
			h.connection = h.connection || is(t, "upgrade")
		}
	case is(name, "origin"):
		h.origin = value
		h.origins++
	case is(name, "sec-websocket-key"):
		h.key = value
		h.keys++
	case is(name, "sec-websocket-version"):
		h.version = value
		h.versions++
	case is(name, "sec-websocket-extensions"):
		h.malformed = h.malformed || !wellFormed(value)
	case is(name, "sec-websocket-protocol"):
		for t := range tokens(value) {
			for i, p := range protocols[:h.protocol] { // our order decides, not the client's; case counts
				if string(t) == p {
					h.protocol = i
					break
				}
			}
		}
	}
}

// check says why the request must be refused, or returns nil.
func (h *handshake) check(origins []string) *HandshakeError {
	refuse := func(status int, reason string) *HandshakeError {
		return &HandshakeError{Status: status, Reason: reason}
	}
	switch {
	case h.minor < 1: // §4.2.1 item 1: HTTP/1.1 or higher, and GET
		return refuse(400, "a WebSocket needs HTTP/1.1")
	case h.method != "GET":
		return refuse(405, "a WebSocket begins with GET")
	case !h.upgrade: // item 3
		return refuse(426, "this is a WebSocket: Upgrade lacks the token websocket")
	case !h.connection: // item 4
		return refuse(400, "Connection lacks the token Upgrade")
	case h.versions > 1:
		return refuse(400, "there must be one Sec-WebSocket-Version")
	case string(h.version) != "13": // item 6 and §4.4
		return refuse(426, "Sec-WebSocket-Version must be 13")
	case h.keys != 1: // item 5; §11.3.1: not more than once
		return refuse(400, "there must be one Sec-WebSocket-Key")
	case !validKey(h.key):
		return refuse(400, "Sec-WebSocket-Key must be 16 bytes in base64")
	case h.malformed: // §9.1
		return refuse(400, "Sec-WebSocket-Extensions is malformed")
	case h.origins > 1:
		return refuse(400, "there must be one Origin at most")
	case h.origins == 1 && !h.originAllowed(origins): // §4.2.2 item 4, §10.2
		return refuse(403, fmt.Sprintf("the Origin %.100q is neither that of the Host %.100q nor one of those allowed besides", h.origin, h.host))
	}
	return nil
}

// validKey reports whether key is 16 bytes in base64.
func validKey(key []byte) bool {
	var b [18]byte
	if len(key) != 24 {
		return false
	}
	n, err := base64.StdEncoding.Decode(b[:], key)
	return err == nil && n == 16
}

// acceptSize is the length of Sec-WebSocket-Accept: 20 bytes in base64.
const acceptSize = 28

// acceptKey computes Sec-WebSocket-Accept (§4.2.2 item 5.4).
func acceptKey(key []byte) (accept [acceptSize]byte) {
	var a [24 + 36]byte
	sum := sha1.Sum(append(append(a[:0], key...), "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"...))
	base64.StdEncoding.Encode(accept[:], sum[:])
	return accept
}

// is compares without ASCII case.
func is(b []byte, want string) bool { return wire.FoldEqual(b, want) }

// tokens yields the members of a comma list without the white space around them; empty ones are
// left out.
func tokens(list []byte) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for more := true; more; {
			var t []byte
			if t, list, more = wire.CutComma(list); len(t) > 0 && !yield(t) {
				return
			}
		}
	}
}
