package http

import (
	"bytes"
	"net/netip"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/internal/wire"
)

// ClientAddr returns the address of the client that r comes from, across proxies in the trusted
// networks: of the addresses in the named field, the last one that is not of a trusted network, or
// the first if all are. The addresses before it may be made up, and are ignored. If the
// connection's own address is not trusted, or if there is no such field, that address is the
// result. If the field names no client at that place ("unknown", an obfuscated name, or anything
// malformed), the result is not valid, and so in no network.
//
// The field is "Forwarded" (RFC 7239), or one that lists addresses as "X-Forwarded-For" does; empty
// means that one. It must be the field that the trusted proxies append to or replace: a client can
// forge any other. The peer of a unix socket has no address, and is not trusted.
func (r *Request) ClientAddr(c *conn.Conn, trusted []netip.Prefix, field string) netip.Addr {
	peer := c.RemoteAddr().Addr()
	if !InNetworks(peer, trusted) {
		return peer
	}
	if field == "" {
		field = "X-Forwarded-For"
	}
	standard := wire.FoldEqual([]byte("Forwarded"), field)
	client, first := peer, true
	for _, f := range r.lines() {
		if !wire.FoldEqual(f.Name, field) {
			continue
		}
		v, more := f.Value, true
		for more {
			var element []byte
			var a netip.Addr
			if standard {
				element, v, more = wire.CutOutside(v, ',')
				a = parseForwarded(element)
			} else {
				element, v, more = wire.CutComma(v)
				a = parseForwardedFor(element)
			}
			if len(element) == 0 {
				continue // RFC 9110 5.6.1.2: empty elements of a list do not count
			}
			// Each element that is not trusted hides all before it, so one pass from the left finds
			// the last.
			if first || !InNetworks(a, trusted) {
				client, first = a, false
			}
		}
	}
	return client
}

// InNetworks reports whether a is in one of the networks. An IPv4-mapped address counts as the IPv4
// address, and the zone of a link-local one does not matter. An address that is not valid is in
// none.
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

// parseForwarded returns the address in an element of Forwarded: RFC 7239 4, pairs of token "="
// value parted by ";", each name once.
func parseForwarded(element []byte) (a netip.Addr) {
	found := false
	for more := true; more; {
		var pair []byte
		pair, element, more = wire.CutOutside(element, ';')
		if len(pair) == 0 {
			continue
		}
		n := wire.TokenLen(pair)
		if n == 0 || n == len(pair) || pair[n] != '=' {
			return netip.Addr{}
		}
		value := pair[n+1:]
		quoted := len(value) > 0 && value[0] == '"'
		if quoted && wire.QuotedLen(value) != len(value) || !quoted && (len(value) == 0 || wire.TokenLen(value) != len(value)) {
			return netip.Addr{}
		}
		if !wire.FoldEqual(pair[:n], "for") {
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

// parseForwardedFor returns the address in an element of X-Forwarded-For: bare, or with a port as
// some proxies send it, an IPv6 address then in brackets.
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
