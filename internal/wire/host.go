package wire

import (
	"bytes"
)

var errHost = &Refusal{400, "malformed host"}

// MaxHost is the longest name DNS can hold (RFC 3986 3.2.2).
const MaxHost = 255

// CheckHost checks uri-host [ ":" port ] (RFC 9110 7.2): a name, an IPv4 address or an IPv6 address
// in brackets. The name must not be empty (RFC 9110 4.2.1), and neither must the port when needPort
// is set (RFC 9112 3.2.3).
func CheckHost(b []byte, needPort bool) *Refusal {
	var port []byte
	colon := false
	if len(b) > 0 && b[0] == '[' {
		end := bytes.IndexByte(b, ']')
		if end < 0 || !IsIPv6(b[1:end]) {
			return errHost
		}
		if rest := b[end+1:]; len(rest) > 0 {
			if rest[0] != ':' {
				return errHost
			}
			port, colon = rest[1:], true
		}
	} else {
		name := b
		if i := bytes.IndexByte(b, ':'); i >= 0 {
			name, port, colon = b[:i], b[i+1:], true
		}
		if !isHostName(name) {
			return errHost
		}
	}
	if !isPort(port) || needPort && (!colon || len(port) == 0) {
		return errHost
	}
	return nil
}

// isPort accepts the empty port too: RFC 3986 3.2.3 allows a colon with nothing after it.
func isPort(b []byte) bool {
	n := 0
	for _, x := range b {
		if !IsDigit(x) {
			return false
		}
		if n = n*10 + int(x-'0'); n > 65535 {
			return false
		}
	}
	return len(b) <= 5
}

// isHostName checks a reg-name, or an IPv4 address when there is nothing but digits and dots.
func isHostName(b []byte) bool {
	if len(b) == 0 || len(b) > MaxHost {
		return false
	}
	dots, digits := 0, 0
	for i, x := range b {
		switch {
		case IsDigit(x):
			digits++
		case x == '.':
			// No label is empty; only the root's, after the last dot, may be left out.
			if i == 0 || b[i-1] == '.' {
				return false
			}
			dots++
		case classes[x]&HostByte == 0:
			return false
		case x == '%':
			if !IsEscape(b[i:]) {
				return false
			}
		}
	}
	if dots > 0 && dots+digits == len(b) {
		return IsIPv4(b)
	}
	return true
}

// IsEscape reports whether b begins with "%" HEXDIG HEXDIG.
func IsEscape(b []byte) bool {
	return len(b) >= 3 && classes[b[1]]&HexByte != 0 && classes[b[2]]&HexByte != 0
}

func IsIPv4(b []byte) bool {
	parts := 0
	for {
		n, i := 0, 0
		for i < len(b) && IsDigit(b[i]) {
			if n = n*10 + int(b[i]-'0'); n > 255 {
				return false
			}
			i++
		}
		// RFC 3986 3.2.2: dec-octet has no leading zero.
		if i == 0 || i > 1 && b[0] == '0' {
			return false
		}
		parts++
		if i == len(b) {
			return parts == 4
		}
		if b[i] != '.' || parts == 4 {
			return false
		}
		b = b[i+1:]
	}
}

// IsIPv6 checks the text form of RFC 3986 3.2.2, which has no zone.
func IsIPv6(b []byte) bool {
	groups, gap := 0, false
	if bytes.HasPrefix(b, []byte("::")) {
		b, gap = b[2:], true
		if len(b) == 0 {
			return true
		}
	}
	for {
		i := 0
		for i < len(b) && i < 5 && classes[b[i]]&HexByte != 0 {
			i++
		}
		if i < len(b) && b[i] == '.' {
			// The last 32 bits may be written as an IPv4 address.
			groups += 2
			return IsIPv4(b) && (groups == 8 && !gap || groups < 8 && gap)
		}
		if i == 0 || i > 4 {
			return false
		}
		groups++
		b = b[i:]
		if len(b) == 0 {
			return groups == 8 && !gap || groups < 8 && gap
		}
		if b[0] != ':' || groups == 8 {
			return false
		}
		b = b[1:]
		if len(b) > 0 && b[0] == ':' {
			if gap {
				return false
			}
			b, gap = b[1:], true
			if len(b) == 0 {
				return groups < 8
			}
		}
	}
}

// AppendHost appends the host of a Host field, in lower case, without the port and without the dot
// that may end a name (RFC 3986 3.2.2). The parser has refused a Host of more than MaxHost
// bytes.
func AppendHost(b, host []byte) []byte {
	if end := bytes.LastIndexByte(host, ':'); end > bytes.IndexByte(host, ']') {
		host = host[:end]
	}
	for _, x := range bytes.TrimSuffix(host, []byte(".")) {
		b = append(b, Lower(x))
	}
	return b
}
