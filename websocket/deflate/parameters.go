package deflate

import (
	"bytes"
	"strconv"

	"github.com/seed4930a636/mangusta/websocket"
)

// parameters are the parameters of permessage-deflate (RFC 7692 §7.1), of an offer, a reply or a
// response. A number of bits is 0 when its parameter is absent.
type parameters struct {
	serverNoTakeover, clientNoTakeover bool
	serverBits, clientBits             uint8
	clientBitsOpen                     bool // client_max_window_bits without a value, which only an offer may have
}

// parse reads all parameters. It returns false for the mistakes for which §7.1 declines an offer: a
// name that is unknown or occurs twice, a value that is wrong, missing or too much.
func parse(from websocket.Parameters) (p parameters, ok bool) {
	for {
		name, value, more := from.Next()
		if !more {
			return p, true
		}
		if !p.set(name, value) {
			return p, false
		}
	}
}

// set takes one parameter; value is nil if it has none.
func (p *parameters) set(name, value []byte) bool {
	bits := windowBits(value)
	switch {
	case is(name, "server_no_context_takeover") && !p.serverNoTakeover && value == nil:
		p.serverNoTakeover = true
	case is(name, "client_no_context_takeover") && !p.clientNoTakeover && value == nil:
		p.clientNoTakeover = true
	case is(name, "server_max_window_bits") && p.serverBits == 0 && bits != 0:
		p.serverBits = bits
	case is(name, "client_max_window_bits") && p.clientBits == 0 && !p.clientBitsOpen && bits != 0:
		p.clientBits = bits
	case is(name, "client_max_window_bits") && p.clientBits == 0 && !p.clientBitsOpen && value == nil:
		p.clientBitsOpen = true
	default:
		return false
	}
	return true
}

// is compares without regard to case; want is in lower case.
func is(name []byte, want string) bool {
	return len(name) == len(want) && bytes.EqualFold(name, []byte(want))
}

// windowBits returns the number in b, 8 to 15 in decimal without leading zeros, otherwise 0
// (§7.1.2).
func windowBits(b []byte) uint8 {
	switch {
	case len(b) == 1 && (b[0] == '8' || b[0] == '9'):
		return b[0] - '0'
	case len(b) == 2 && b[0] == '1' && b[1] >= '0' && b[1] <= '5':
		return 10 + b[1] - '0'
	}
	return 0
}

// append appends p in the form that follows the name of the extension.
func (p *parameters) append(b []byte) []byte {
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
