// Package origin compares the Origin of a request (RFC 6454) with the server it is for, and with
// the patterns of those that a program lets in. CSRF, CORS and the WebSocket handshake share it.
package origin

import (
	"bytes"
	"strings"
)

// Same reports whether a page of origin belongs to the server that the client calls host, by the
// Host field. Scheme, host and port count (RFC 6454 §5), and a missing port is the default one of
// the scheme, on either side. secure says that the request came over TLS: then the origin's scheme
// must be https, since anybody on the way can make a page of http. Without it https passes too: a
// proxy may have taken TLS off. No other scheme passes.
func Same(origin, host []byte, secure bool) bool {
	scheme, authority, ok := Split(origin)
	if !ok || len(host) == 0 || !isWeb(scheme) || secure && len(scheme) != len("https") {
		return false
	}
	return bytes.EqualFold(trimPort(scheme, authority), trimPort(scheme, host))
}

// Match reports whether origin fits the pattern. In a pattern "*" stands for any run of bytes, and
// case is ignored. A pattern with "://" is compared with the whole origin, any other with its host
// and port; with the default port of its scheme and without, whichever the browser has sent. "*"
// alone lets in anything. "null", which sandboxed pages and file: URLs send (RFC 6454 §6.1), has to
// be named.
func Match(pattern string, origin []byte) bool {
	switch {
	case pattern == "*":
		return true
	case pattern == "null":
		return string(origin) == "null"
	}
	scheme, authority, ok := Split(origin)
	if !ok {
		return false
	}
	var room [300]byte
	b := room[:0]
	if strings.Contains(pattern, "://") {
		b = append(append(b, scheme...), "://"...)
	}
	b = append(b, trimPort(scheme, authority)...)
	if glob(pattern, b) {
		return true
	}
	return isWeb(scheme) && len(trimPort(scheme, authority)) == len(hostOf(authority)) && glob(pattern, append(b, defaultPort(scheme)...))
}

// Split cuts scheme://host[:port]. Anything more (a path, user information), and any byte that is
// none of a host, makes it no origin (RFC 6454 §7.1).
func Split(origin []byte) (scheme, authority []byte, ok bool) {
	scheme, authority, ok = bytes.Cut(origin, []byte("://"))
	if !ok || len(scheme) == 0 {
		return nil, nil, false
	}
	host := hostOf(authority)
	port := authority[len(host):]
	if !isHost(host) || len(port) > 6 {
		return nil, nil, false
	}
	for i, x := range port {
		if i > 0 && !isDigit(x) {
			return nil, nil, false
		}
	}
	return scheme, authority, true
}

// Host returns the host of an authority, host[:port], without the port; an address of IPv6 has its
// brackets. It returns false for one that is empty, and for a malformed one.
func Host(authority []byte) (host []byte, ok bool) {
	host = hostOf(authority)
	return host, isHost(host)
}

// hostOf cuts the port off, and the colon in front of it.
func hostOf(authority []byte) []byte {
	if len(authority) > 0 && authority[0] == '[' {
		i := bytes.IndexByte(authority, ']')
		if i >= 0 && (i+1 == len(authority) || authority[i+1] == ':') {
			return authority[:i+1]
		}
		return authority
	}
	if i := bytes.IndexByte(authority, ':'); i >= 0 {
		return authority[:i]
	}
	return authority
}

// isHost accepts a name in ASCII without empty labels, but for that of the root after the last dot,
// and an address in brackets.
func isHost(b []byte) bool {
	if len(b) > 2 && b[0] == '[' && b[len(b)-1] == ']' {
		for _, x := range b[1 : len(b)-1] {
			if !isDigit(x) && lower(x)-'a' >= 6 && x != ':' && x != '.' {
				return false
			}
		}
		return true
	}
	for i, x := range b {
		if x == '.' && (i == 0 || b[i-1] == '.') || x != '.' && x != '-' && x != '_' && !isDigit(x) && lower(x)-'a' >= 26 {
			return false
		}
	}
	return len(b) > 0 && len(b) <= 255
}

func isWeb(scheme []byte) bool { return defaultPort(scheme) != "" }

// defaultPort returns the port of scheme, with a colon in front of it; "" for a scheme that has
// none.
func defaultPort(scheme []byte) string {
	switch {
	case bytes.EqualFold(scheme, []byte("http")):
		return ":80"
	case bytes.EqualFold(scheme, []byte("https")):
		return ":443"
	}
	return ""
}

// trimPort drops the port where it is empty (RFC 3986 §3.2.3), or the default of scheme.
func trimPort(scheme, authority []byte) []byte {
	host := hostOf(authority)
	if port := authority[len(host):]; string(port) == ":" || string(port) == defaultPort(scheme) {
		return host
	}
	return authority
}

// glob matches s with a pattern in which * stands for any run of bytes; ASCII case is ignored. It
// goes back to the last * only, so its time is bounded by the product of the lengths.
func glob(pattern string, s []byte) bool {
	p, i := 0, 0
	star, from := -1, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, from = p, i
			p++
		case p < len(pattern) && lower(pattern[p]) == lower(s[i]):
			p++
			i++
		case star >= 0:
			from++
			p, i = star+1, from
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

func isDigit(b byte) bool { return b-'0' < 10 }

func lower(b byte) byte {
	if b-'A' < 26 {
		return b | 0x20
	}
	return b
}
