package websocket

import (
	"bytes"
	"slices"
	"strconv"
)

const (
	// maxAnswer bounds the head of a response, and all interim responses before it together.
	maxAnswer = 16 << 10
	// maxRefusal bounds what is kept of the body of a response that is no 101.
	maxRefusal = 4 << 10
)

const notOffered = "the server chose an extension that was not offered"

// answer is what a client needs of the response to its handshake. It is filled line by line.
type answer struct {
	status int
	reason string // the server's words behind the status

	upgrade, otherUpgrade bool // Upgrade is websocket; it has another token
	connection            bool // Connection has the token Upgrade
	accept                string
	accepts               int // how often the header was there
	protocol              string
	protocols             int
	extensions            extensions
	location              string
	length                int64 // Content-Length, -1 without one
	chunked               bool

	end int // of the lines that have been taken
}

// take takes the whole lines of b, which starts with the response, behind those taken before. It returns true when the head
// has ended, at a.end, and what is wrong with it, or "". A response means the same however it is cut into pieces.
func (a *answer) take(b []byte) (done bool, wrong string) {
	for {
		i := bytes.IndexByte(b[a.end:], '\n')
		if a.end+i >= maxAnswer || i < 0 && len(b) >= maxAnswer {
			return false, "the head of the response is too long"
		}
		if i < 0 {
			return false, ""
		}
		line := b[a.end : a.end+i]
		first := a.end == 0
		a.end += i + 1
		// RFC 9112 §2.2 lets a recipient take a bare LF; no server that speaks WebSocket sends one.
		if len(line) == 0 || line[len(line)-1] != '\r' {
			return false, "a line of the response does not end in CRLF"
		}
		line = line[:len(line)-1]
		switch {
		case first:
			wrong = a.statusLine(line)
		case len(line) == 0:
			return true, ""
		default:
			wrong = a.fieldLine(line)
		}
		if wrong != "" {
			return false, wrong
		}
	}
}

// statusLine takes HTTP/1.1 SP 3DIGIT SP reason (RFC 9112 §4). That the last SP is missing where there is no reason is common.
func (a *answer) statusLine(line []byte) string {
	rest, ok := bytes.CutPrefix(line, []byte("HTTP/1."))
	if !ok || len(rest) < 5 || rest[1] != ' ' || len(rest) > 5 && rest[5] != ' ' || !validValue(rest) {
		return "the response is not HTTP/1.1"
	}
	minor, code := rest[0], rest[2:5]
	n := 0
	for _, b := range code {
		if b < '0' || b > '9' {
			return "the response is not HTTP/1.1"
		}
		n = 10*n + int(b-'0')
	}
	if n < 100 || minor != '1' && minor != '0' {
		return "the response is not HTTP/1.1"
	}
	if minor == '0' && n < 200 { // RFC 9110 §15.2: HTTP/1.0 has no 1xx
		return "a response of HTTP/1.0 cannot switch protocols"
	}
	*a = answer{status: n, length: -1, end: a.end}
	if len(rest) > 6 {
		a.reason = string(rest[6:])
	}
	return ""
}

// fieldLine takes name: value (RFC 9112 §5).
func (a *answer) fieldLine(line []byte) string {
	name, value, ok := bytes.Cut(line, []byte(":"))
	value = bytes.Trim(value, " \t")
	for _, b := range name {
		ok = ok && isToken(b)
	}
	if !ok || len(name) == 0 || !validValue(value) {
		return "a field of the response is malformed"
	}
	switch {
	case is(name, "upgrade"):
		for t := range tokens(value) {
			a.upgrade = a.upgrade || is(t, "websocket")
			a.otherUpgrade = a.otherUpgrade || !is(t, "websocket")
		}
	case is(name, "connection"):
		for t := range tokens(value) {
			a.connection = a.connection || is(t, "upgrade")
		}
	case is(name, "sec-websocket-accept"):
		a.accept = string(value)
		a.accepts++
	case is(name, "sec-websocket-protocol"):
		a.protocol = string(value)
		a.protocols++
	case is(name, "sec-websocket-extensions"):
		a.extensions.line(value)
	case is(name, "location"):
		a.location = string(value)
	case is(name, "content-length"):
		n, err := strconv.ParseInt(string(value), 10, 64)
		if err != nil || n < 0 || a.length >= 0 && a.length != n {
			return "Content-Length of the response is malformed"
		}
		a.length = n
	case is(name, "transfer-encoding"):
		a.chunked = true
	}
	return ""
}

// validValue reports whether b may be a field's value (RFC 9110 §5.5).
func validValue(b []byte) bool {
	for _, x := range b {
		if x < ' ' && x != '\t' || x == 0x7f {
			return false
		}
	}
	return true
}

// check says why a 101 is no answer to a handshake with key that offered protocols, or "" (RFC 6455 §4.1, the list at its
// end). That the server chose no protocol is no reason to fail: the program sees it in Open.
func (a *answer) check(key []byte, protocols []string) string {
	accept := acceptKey(key)
	switch {
	case !a.upgrade || a.otherUpgrade: // item 2
		return "Upgrade of the response is not websocket"
	case !a.connection: // item 3
		return "Connection of the response lacks the token Upgrade"
	case a.accepts != 1 || a.accept != string(accept[:]): // item 4
		return "Sec-WebSocket-Accept of the response is wrong"
	case a.protocols > 1:
		return "the response has more than one Sec-WebSocket-Protocol"
	case a.protocols == 1 && !slices.Contains(protocols, a.protocol): // item 6
		return "the server chose a subprotocol that was not offered"
	case a.extensions.malformed:
		return "Sec-WebSocket-Extensions of the response is malformed"
	case a.extensions.others: // item 5
		return notOffered
	case a.extensions.declined: // RFC 7692 §7.1
		return "the server chose parameters of permessage-deflate that are not valid"
	}
	return ""
}

// refusalBody returns what is to be kept of the body of a response that is no 101, and whether that has all come. rest is
// what follows the head.
func (a *answer) refusalBody(rest []byte) (body []byte, done bool) {
	switch {
	case a.status == 204 || a.status == 304: // RFC 9112 §6.3 item 1
		return nil, true
	case a.chunked:
		body, done = dechunk(rest)
	case a.length >= 0:
		body = rest[:min(int64(len(rest)), a.length)]
		done = int64(len(body)) == a.length
	default:
		body = rest
	}
	if len(body) >= maxRefusal || len(rest) >= 2*maxRefusal {
		return body[:min(len(body), maxRefusal)], true
	}
	return body, done
}

// dechunk returns what is in the chunks at the start of b (RFC 9112 §7.1), and whether the last of them has come, or they
// are malformed.
func dechunk(b []byte) (body []byte, done bool) {
	for {
		line, rest, ok := bytes.Cut(b, []byte("\r\n"))
		if !ok {
			return body, false
		}
		size, _, _ := bytes.Cut(line, []byte(";"))
		n, err := strconv.ParseUint(string(bytes.TrimRight(size, " \t")), 16, 30)
		if err != nil || n == 0 {
			return body, true
		}
		body = append(body, rest[:min(int(n), len(rest))]...)
		if len(rest) < int(n)+2 {
			return body, false
		}
		b = rest[n+2:]
	}
}
