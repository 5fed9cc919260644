package websocket

import (
	"bytes"
	"strconv"
)

// params are the parameters of permessage-deflate (RFC 7692 §7.1) as an offer or an answer has them. A number of bits is 0
// when its parameter is absent.
type params struct {
	serverNoTakeover, clientNoTakeover bool
	serverBits, clientBits             uint8
	clientBitsOpen                     bool // client_max_window_bits without a value, which only an offer may have
}

const (
	minWindowBits = 8
	maxWindowBits = 15
)

// set takes one parameter. It returns false for what §7.1 makes a reason to decline: unknown names, names that occur twice,
// values that are wrong, missing or too many.
func (p *params) set(name, value []byte, hasValue bool) bool {
	bits := windowBits(value)
	switch {
	case is(name, "server_no_context_takeover") && !p.serverNoTakeover && !hasValue:
		p.serverNoTakeover = true
	case is(name, "client_no_context_takeover") && !p.clientNoTakeover && !hasValue:
		p.clientNoTakeover = true
	case is(name, "server_max_window_bits") && p.serverBits == 0 && bits != 0:
		p.serverBits = bits
	case is(name, "client_max_window_bits") && p.clientBits == 0 && !p.clientBitsOpen && hasValue && bits != 0:
		p.clientBits = bits
	case is(name, "client_max_window_bits") && p.clientBits == 0 && !p.clientBitsOpen && !hasValue:
		p.clientBitsOpen = true
	default:
		return false
	}
	return true
}

// windowBits returns the number 8 to 15 that b is, in decimal without leading zeros, or 0 (§7.1.2).
func windowBits(b []byte) uint8 {
	switch {
	case len(b) == 1 && (b[0] == '8' || b[0] == '9'):
		return b[0] - '0'
	case len(b) == 2 && b[0] == '1' && b[1] >= '0' && b[1] <= '5':
		return 10 + b[1] - '0'
	}
	return 0
}

// append appends p as the value of Sec-WebSocket-Extensions.
func (p *params) append(b []byte) []byte {
	b = append(b, "permessage-deflate"...)
	if p.serverNoTakeover {
		b = append(b, "; server_no_context_takeover"...)
	}
	if p.clientNoTakeover {
		b = append(b, "; client_no_context_takeover"...)
	}
	if p.serverBits != 0 {
		b = strconv.AppendUint(append(b, "; server_max_window_bits="...), uint64(p.serverBits), 10)
	}
	switch {
	case p.clientBits != 0:
		b = strconv.AppendUint(append(b, "; client_max_window_bits="...), uint64(p.clientBits), 10)
	case p.clientBitsOpen:
		b = append(b, "; client_max_window_bits"...)
	}
	return b
}

// extensions is what Sec-WebSocket-Extensions says, over all its lines. Extensions other than permessage-deflate only count.
type extensions struct {
	deflate   params // of the first element that is permessage-deflate with valid parameters
	found     bool   // there is one
	declined  bool   // there is one whose parameters are invalid
	others    bool   // there are other extensions, or permessage-deflate twice
	malformed bool   // the grammar of RFC 6455 §9.1 is broken
}

// line takes the value of one line: elements of a list, each a token and its parameters (RFC 6455 §9.1).
func (x *extensions) line(b []byte) {
	for !x.malformed {
		b = bytes.TrimLeft(b, " \t,")
		if len(b) == 0 {
			return
		}
		var name []byte
		name, b = cutToken(b)
		p, valid, rest, ok := cutParams(b)
		b = bytes.TrimLeft(rest, " \t")
		switch {
		case !ok || len(name) == 0 || len(b) > 0 && b[0] != ',':
			x.malformed = true
		case !is(name, "permessage-deflate"):
			x.others = true
		case !valid:
			x.declined = true
		case x.found:
			x.others = true
		default:
			x.found, x.deflate = true, p
		}
	}
}

// cutParams takes the parameters that b begins with. They are valid when they are those of permessage-deflate, and ok when
// the grammar allows them.
func cutParams(b []byte) (p params, valid bool, rest []byte, ok bool) {
	valid = true
	for next(&b, ';') {
		var name, value []byte
		name, b = cutToken(b)
		hasValue := next(&b, '=')
		if hasValue {
			value, b = cutValue(b)
		}
		if len(name) == 0 || hasValue && len(value) == 0 {
			return p, false, b, false
		}
		valid = p.set(name, value, hasValue) && valid
	}
	return p, valid, b, true
}

// next skips white space and then c and white space again, if c is there.
func next(b *[]byte, c byte) bool {
	t := bytes.TrimLeft(*b, " \t")
	if len(t) == 0 || t[0] != c {
		return false
	}
	*b = bytes.TrimLeft(t[1:], " \t")
	return true
}

// cutToken splits b behind the token that it begins with.
func cutToken(b []byte) (token, rest []byte) {
	n := 0
	for n < len(b) && isToken(b[n]) {
		n++
	}
	return b[:n], b[n:]
}

// cutValue is cutToken for a token that may also be a quoted string, whose content has to be a token all the same.
func cutValue(b []byte) (value, rest []byte) {
	if len(b) == 0 || b[0] != '"' {
		return cutToken(b)
	}
	for i := 1; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			return value, b[i+1:]
		case c == '\\' && i+1 < len(b):
			i++
		}
		if !isToken(b[i]) {
			break
		}
		value = append(value, b[i])
	}
	return nil, nil
}
