package websocket

import "bytes"

// originAllowed reports whether a page of origin may connect to a server that it calls host (the Host header).
func originAllowed(origin, host []byte, patterns []string) bool {
	scheme, authority, ok := splitOrigin(origin)
	if ok && sameHost(scheme, authority, host) {
		return true
	}
	for _, p := range patterns {
		switch {
		case p == "*":
			return true
		case bytes.Contains([]byte(p), []byte("://")), p == "null":
			// "null" is what sandboxed pages and file: URLs send (RFC 6454 §6.1): it has to be named to be let in.
			if (ok || p == "null") && matchFold(p, origin) {
				return true
			}
		case ok && matchFold(p, authority):
			return true
		}
	}
	return false
}

// splitOrigin splits scheme://host[:port]. Anything more (a path, user information) is not an origin (RFC 6454 §7.1).
func splitOrigin(origin []byte) (scheme, authority []byte, ok bool) {
	scheme, authority, ok = bytes.Cut(origin, []byte("://"))
	if !ok || len(scheme) == 0 || len(authority) == 0 || bytes.ContainsAny(authority, "/\\@?# \t,") {
		return nil, nil, false
	}
	return scheme, authority, true
}

// sameHost compares host and port, a missing port being the default of the origin's scheme.
func sameHost(scheme, authority, host []byte) bool {
	return len(host) > 0 && bytes.EqualFold(trimPort(scheme, authority), trimPort(scheme, host))
}

// trimPort drops the port where it is the default of scheme.
func trimPort(scheme, host []byte) []byte {
	var port []byte
	switch {
	case bytes.EqualFold(scheme, []byte("http")):
		port = []byte(":80")
	case bytes.EqualFold(scheme, []byte("https")):
		port = []byte(":443")
	default:
		return host
	}
	return bytes.TrimSuffix(host, port)
}

// matchFold matches s with a pattern in which * stands for any run of bytes; ASCII case is ignored. It goes back to the last *
// only, so its time is bounded by the product of the lengths.
func matchFold(pattern string, s []byte) bool {
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

func lower(b byte) byte {
	if 'A' <= b && b <= 'Z' {
		b += 'a' - 'A'
	}
	return b
}
