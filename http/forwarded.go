package http

import (
	"bytes"
	"net/netip"

	"github.com/seed4930a636/mangusta/conn"
)

// ClientAddr returns the address of the client that r comes from, across proxies in the trusted networks: of the addresses
// in the named field, the last one that is not of a trusted network, or the first when all are. What stands in front of it
// may be made up, and is not looked at. It is the address of the connection when that is not trusted, or when there is no
// such field. It is not valid, and so in none of anyone's networks, when the field names no client there: "unknown", an
// obfuscated name, or anything malformed.
//
// The field is "Forwarded" (RFC 7239), or one that lists addresses as "X-Forwarded-For" does; empty means that one. It must
// be the one that the trusted proxies append to or replace: any other is the client's to forge. The peer of a unix
// socket has no address, and is not trusted.
func (r *Request) ClientAddr(c *conn.Conn, trusted []netip.Prefix, field string) netip.Addr {
	peer := c.RemoteAddr().Addr()
	if !InNetworks(peer, trusted) {
		return peer
	}
	if field == "" {
		field = "X-Forwarded-For"
	}
	standard := foldEqual([]byte("Forwarded"), field)
	client, first := peer, true
	for i := range r.fields {
		if !foldEqual(r.fields[i].Name, field) {
			continue
		}
		v, more := r.fields[i].Value, true
		for more {
			var element []byte
			var a netip.Addr
			if standard {
				element, v, more = cutOutside(v, ',')
				a = parseForwarded(element)
			} else {
				element, v, more = cutComma(v)
				a = parseForwardedFor(element)
			}
			if len(element) == 0 {
				continue // RFC 9110 5.6.1.2: empty elements of a list do not count
			}
			// Each element that is not trusted hides all in front of it, so one pass from the left finds the last.
			if first || !InNetworks(a, trusted) {
				client, first = a, false
			}
		}
	}
	return client
}

// InNetworks reports whether a is in one of the networks. An IPv4-mapped address counts as the IPv4 address, and the zone
// of a link-local one does not matter. An address that is not valid is in none.
func InNetworks(a netip.Addr, networks []netip.Prefix) bool {
	a = a.Unmap().WithZone("")
	for _, p := range networks {
		if p.Addr().Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// parseForwarded returns the address in an element of Forwarded: RFC 7239 4, pairs of token "=" value parted by ";", each
// name once.
func parseForwarded(element []byte) (a netip.Addr) {
	found := false
	for more := true; more; {
		var pair []byte
		pair, element, more = cutOutside(element, ';')
		if len(pair) == 0 {
			continue
		}
		n := tokenLen(pair)
		if n == 0 || n == len(pair) || pair[n] != '=' {
			return netip.Addr{}
		}
		value := pair[n+1:]
		quoted := len(value) > 0 && value[0] == '"'
		if quoted && quotedLen(value) != len(value) || !quoted && (len(value) == 0 || tokenLen(value) != len(value)) {
			return netip.Addr{}
		}
		if !foldEqual(pair[:n], "for") {
			continue
		}
		if found {
			return netip.Addr{}
		}
		found = true
		if quoted {
			value = value[1 : len(value)-1]
		}
		// RFC 7239 6: an IPv6 address is in brackets.
		if isBareIPv6(value) {
			return netip.Addr{}
		}
		a = parseForwardedFor(value)
	}
	return a
}

func isBareIPv6(v []byte) bool {
	return bytes.Count(v, []byte(":")) > 1 && v[0] != '['
}

// longestNode is the length of "[" IPv6address "]" ":" and a port.
const longestNode = 1 + 45 + 1 + 1 + 5

// parseForwardedFor returns the address in an element of X-Forwarded-For: bare, or with a port as some proxies send it, an
// IPv6 address then in brackets.
func parseForwardedFor(v []byte) netip.Addr {
	if len(v) == 0 || len(v) > longestNode {
		return netip.Addr{}
	}
	bracket := v[0] == '['
	port := []byte(nil)
	hasPort := false
	if bracket {
		end := bytes.IndexByte(v, ']')
		if end < 0 || end+1 < len(v) && v[end+1] != ':' {
			return netip.Addr{}
		}
		if hasPort = end+1 < len(v); hasPort {
			port = v[end+2:]
		}
		v = v[1:end]
	} else if i := bytes.IndexByte(v, ':'); i >= 0 && bytes.IndexByte(v[i+1:], ':') < 0 {
		v, port, hasPort = v[:i], v[i+1:], true
	}
	if _, ok := parsePort(port); hasPort && !ok {
		return netip.Addr{}
	}
	a, err := netip.ParseAddr(string(v))
	if err != nil || a.Zone() != "" || bracket && !a.Is6() {
		return netip.Addr{}
	}
	return a.Unmap()
}
