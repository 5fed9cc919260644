package websocket

import (
	"slices"
	"strconv"
	"time"

	"github.com/seed4930a636/mangusta/http"
)

const notOffered = "the server chose an extension that was not offered"

// response is the part that a client needs of the response to its handshake.
type response struct {
	reason string // the words after the status

	upgrade, otherUpgrade bool // Upgrade has the token websocket; it has another one
	connection            bool // Connection has the token Upgrade
	accept                string
	accepts               int // lines of Sec-WebSocket-Accept
	protocol              string
	protocols             int
	extensions            extensions
	location              string
}

// read takes the head of the response.
func (r *response) read(head *http.ResponseHead) {
	r.reason = string(head.Reason)
	for _, f := range head.Headers() {
		r.field(f.Name, f.Value)
	}
}

func (r *response) field(name, value []byte) {
	switch {
	case is(name, "upgrade"):
		for t := range tokens(value) {
			r.upgrade = r.upgrade || is(t, "websocket")
			r.otherUpgrade = r.otherUpgrade || !is(t, "websocket")
		}
	case is(name, "connection"):
		for t := range tokens(value) {
			r.connection = r.connection || is(t, "upgrade")
		}
	case is(name, "sec-websocket-accept"):
		r.accept = string(value)
		r.accepts++
	case is(name, "sec-websocket-protocol"):
		r.protocol = string(value)
		r.protocols++
	case is(name, "sec-websocket-extensions"):
		r.extensions.line(value)
	case is(name, "location"):
		r.location = string(value)
	}
}

// retryAfter returns how long a server asks to wait: Retry-After is a number of seconds, or a date
// (RFC 9110 §10.2.3). It returns 0 for what is neither.
func retryAfter(value []byte, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(string(value), 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	at, ok := http.ParseTime(value)
	if !ok {
		return 0
	}
	return max(at.Sub(now), 0)
}

// check says what is wrong with a 101 for a handshake with key that offered protocols, or returns
// "" (RFC 6455 §4.1, the list at its end). The server need not choose a protocol: the program sees
// that in Open.
func (r *response) check(key []byte, protocols []string) string {
	accept := acceptKey(key)
	switch {
	case !r.upgrade || r.otherUpgrade: // item 2
		return "Upgrade of the response is not websocket"
	case !r.connection: // item 3
		return "Connection of the response lacks the token Upgrade"
	case r.accepts != 1 || r.accept != string(accept[:]): // item 4
		return "Sec-WebSocket-Accept of the response is wrong"
	case r.protocols > 1:
		return "the response has more than one Sec-WebSocket-Protocol"
	case r.protocols == 1 && !slices.Contains(protocols, r.protocol): // item 6
		return "the server chose a subprotocol that was not offered"
	case r.extensions.malformed:
		return "Sec-WebSocket-Extensions of the response is malformed"
	case r.extensions.others: // item 5
		return notOffered
	}
	return ""
}
