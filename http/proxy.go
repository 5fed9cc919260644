package http

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/internal/wire"
)

// A ProxyHeader describes the connection that a proxy passes on, in the PROXY protocol.
type ProxyHeader struct {
	Version     int            // 1 or 2
	Source      netip.AddrPort // the client; not valid if the proxy names none: LOCAL, UNKNOWN, unix sockets
	Destination netip.AddrPort // what the client connected to; not valid together with Source
}

// The limits of a header, in bytes. The first is the protocol's own; receivers of version 2 have to
// take 536, and the rest is for proxies that pass certificates on.
const (
	maxProxy1 = 107
	maxProxy2 = 4096
)

// ErrProxyHeader is wrapped by the errors about a PROXY header.
var ErrProxyHeader = errors.New("http: malformed PROXY header")

type proxyError struct{ what string }

func (e *proxyError) Error() string { return ErrProxyHeader.Error() + ": " + e.what }
func (e *proxyError) Unwrap() error { return ErrProxyHeader }

var (
	errProxyNone    = &proxyError{"there is none"}
	errProxyLong    = &proxyError{"too long"}
	errProxyLine    = &proxyError{"line does not end in CR LF"}
	errProxyForm    = &proxyError{"line is not of the form of version 1"}
	errProxyAddr    = &proxyError{"malformed address"}
	errProxyPort    = &proxyError{"malformed port"}
	errProxyCommand = &proxyError{"unknown version or command"}
	errProxyFamily  = &proxyError{"unknown or unfit address family"}
	errProxyLength  = &proxyError{"too short for its addresses"}
	errProxyTLV     = &proxyError{"malformed TLV"}
	errProxySlow    = errors.New("http: PROXY header took too long")
)

const (
	proxyLine      = "PROXY "
	proxySignature = "\r\n\r\n\x00\r\nQUIT\n"
)

// ParseProxy reads a PROXY header, version 1 or 2, from the beginning of b. It returns its length,
// or 0 if more bytes are needed. As soon as b cannot become a header, it returns an error that
// wraps ErrProxyHeader.
func ParseProxy(b []byte) (h ProxyHeader, n int, err error) {
	switch {
	case hasPart(b, proxyLine):
		return parseProxy1(b)
	case hasPart(b, proxySignature):
		return parseProxy2(b)
	}
	return h, 0, errProxyNone
}

// hasPart reports whether b begins with prefix, as far as b goes.
func hasPart(b []byte, prefix string) bool {
	n := min(len(b), len(prefix))
	return string(b[:n]) == prefix[:n]
}

// parseProxy1 reads a line such as "PROXY TCP4 192.0.2.1 192.0.2.2 47011 80 CR LF".
func parseProxy1(b []byte) (h ProxyHeader, n int, err error) {
	line := b[:min(len(b), maxProxy1)]
	cr := bytes.IndexByte(line, '\r')
	switch lf := bytes.IndexByte(line, '\n'); {
	case lf >= 0 && cr != lf-1 || cr >= 0 && lf < 0 && cr < len(line)-1:
		return h, 0, errProxyLine
	case lf >= 0:
		n = lf + 1
	case len(line) == maxProxy1:
		return h, 0, errProxyLong
	default:
		return h, 0, nil
	}
	h.Version = 1
	family, rest, more := bytes.Cut(line[len(proxyLine):cr], []byte(" "))
	if string(family) == "UNKNOWN" {
		return h, n, nil // whatever follows is to be ignored
	}
	if v6 := string(family) == "TCP6"; more && (v6 || string(family) == "TCP4") {
		h.Source, h.Destination, err = proxyAddrs(rest, v6)
	} else {
		err = errProxyForm
	}
	if err != nil {
		return ProxyHeader{}, 0, err
	}
	return h, n, nil
}

// proxyAddrs reads "SRC DST SPORT DPORT".
func proxyAddrs(b []byte, v6 bool) (src, dst netip.AddrPort, err error) {
	var word [4][]byte
	for i := range word {
		var more bool
		if word[i], b, more = bytes.Cut(b, []byte(" ")); more != (i < 3) {
			return src, dst, errProxyForm
		}
	}
	var end [2]netip.AddrPort
	for i := range end {
		ip, err := netip.ParseAddr(string(word[i]))
		if err != nil || ip.Is6() != v6 || ip.Zone() != "" {
			return src, dst, errProxyAddr
		}
		port, ok := parsePort(word[2+i])
		if !ok || len(word[2+i]) > 1 && word[2+i][0] == '0' {
			return src, dst, errProxyPort
		}
		end[i] = netip.AddrPortFrom(ip, port)
	}
	return end[0], end[1], nil
}

// parsePort reads one to five digits, up to 65535.
func parsePort(b []byte) (uint16, bool) {
	if len(b) == 0 || len(b) > 5 {
		return 0, false
	}
	n := 0
	for _, x := range b {
		if !wire.IsDigit(x) {
			return 0, false
		}
		n = n*10 + int(x-'0')
	}
	return uint16(n), n <= 65535
}

// parseProxy2 reads the binary form: signature, version and command, family, length, addresses,
// TLVs.
func parseProxy2(b []byte) (h ProxyHeader, n int, err error) {
	const fixed = len(proxySignature) + 4
	if len(b) > 12 && b[12] != 0x20 && b[12] != 0x21 {
		return h, 0, errProxyCommand
	}
	if len(b) < fixed {
		return h, 0, nil
	}
	n = fixed + int(binary.BigEndian.Uint16(b[14:]))
	if n > maxProxy2 {
		return h, 0, errProxyLong
	}
	if len(b) < n {
		return h, 0, nil
	}
	h.Version = 2
	if b[12] == 0x20 {
		return h, n, nil // LOCAL: the proxy speaks for itself, and the rest is to be skipped
	}
	rest := b[fixed:n]
	addrs := 0
	switch b[13] {
	case 0x00: // UNSPEC: the rest is to be skipped
		return h, n, nil
	case 0x11:
		addrs = 12
	case 0x21:
		addrs = 36
	case 0x31: // unix, stream: two paths, which are not used
		addrs = 216
	default: // datagrams do not come over a stream
		return ProxyHeader{}, 0, errProxyFamily
	}
	if len(rest) < addrs {
		return ProxyHeader{}, 0, errProxyLength
	}
	switch a := rest[:addrs]; addrs {
	case 12:
		h.Source = netip.AddrPortFrom(netip.AddrFrom4([4]byte(a)), binary.BigEndian.Uint16(a[8:]))
		h.Destination = netip.AddrPortFrom(netip.AddrFrom4([4]byte(a[4:])), binary.BigEndian.Uint16(a[10:]))
	case 36:
		h.Source = netip.AddrPortFrom(netip.AddrFrom16([16]byte(a)), binary.BigEndian.Uint16(a[32:]))
		h.Destination = netip.AddrPortFrom(netip.AddrFrom16([16]byte(a[16:])), binary.BigEndian.Uint16(a[34:]))
	}
	if !areTLVs(rest[addrs:]) {
		return ProxyHeader{}, 0, errProxyTLV
	}
	return h, n, nil
}

// areTLVs reports whether b is a run of type, length in two bytes, value.
func areTLVs(b []byte) bool {
	for len(b) >= 3 {
		n := 3 + int(binary.BigEndian.Uint16(b[1:]))
		if n > len(b) {
			return false
		}
		b = b[n:]
	}
	return len(b) == 0
}

// awaitProxy is the protocol handler of a connection from one of Options.ProxyFrom, until its
// header is complete.
func awaitProxy(c *conn.Conn, ev conn.Event) {
	s, ok := c.Layer().ProtocolState().(*Server)
	if !ok || !c.IsOpen() {
		return
	}
	switch ev := ev.(type) {
	case *conn.Read:
		h, n, err := ParseProxy(c.Recv.Bytes())
		switch {
		case err != nil:
			c.Layer().Fail(conn.Protocol, err)
		case n > 0:
			c.Recv.Discard(n)
			if h.Source.IsValid() {
				c.Driver().SetRemote(conn.PeerOf(h.Source))
			}
			s.attach(c)
		}
	case *conn.EOF:
		drain(c) // such as a health check
	case *conn.Deadline:
		c.Layer().Fail(conn.DeadlineOver, errProxySlow)
	case *conn.Shutdown:
		if !ev.Restart { // it is new: its first request is served, as others are that come late
			s.shutdown(c, nil)
		}
	}
}
