package fuzz

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"regexp"
	"strconv"
	"testing"

	"github.com/seed4930a636/mangusta/http"
)

var proxyLine = regexp.MustCompile(`^PROXY (?:UNKNOWN(?: [^\r\n]*)?|TCP([46]) ([^ \r\n]+) ([^ \r\n]+) ([0-9]+) ([0-9]+))\r\n`)

const proxySignature = "\r\n\r\n\x00\r\nQUIT\n"

// slowProxy1 is the definition of version 1: the length of the header, 0 when b begins with none,
// and the client.
func slowProxy1(b []byte) (n int, client netip.AddrPort) {
	m := proxyLine.FindSubmatch(b)
	if m == nil || len(m[0]) > 107 {
		return 0, client
	}
	if m[1] == nil {
		return len(m[0]), client
	}
	var end [2]netip.AddrPort
	for i := range end {
		port, err := strconv.ParseUint(string(m[4+i]), 10, 16)
		ip, err2 := netip.ParseAddr(string(m[2+i]))
		if err != nil || err2 != nil || strconv.FormatUint(port, 10) != string(m[4+i]) || ip.Is4() != (m[1][0] == '4') || ip.Zone() != "" {
			return 0, client
		}
		end[i] = netip.AddrPortFrom(ip, uint16(port))
	}
	return len(m[0]), end[0]
}

// FuzzProxy: what is taken for a PROXY header is one by definition, has its length and its client;
// cut short it wants more, what follows it does not matter, and what is refused stays refused.
func FuzzProxy(f *testing.F) {
	for _, s := range []string{
		"PROXY TCP4 192.0.2.7 10.0.0.1 47011 80\r\nGET /", "PROXY TCP6 2001:db8::7 ::1 47011 80\r\n", "PROXY UNKNOWN\r\n",
		"PROXY UNKNOWN a b c\r\n", "PROXY TCP4 192.0.2.7 10.0.0.1 047011 80\r\n", "PROXY TCP4\n", "GET / HTTP/1.1\r\n", "",
		proxySignature + "\x20\x00\x00\x00", proxySignature + "\x21\x11\x00\x0c\xc0\x00\x02\x07\x0a\x00\x00\x01\xb7\xa3\x00\x50GET",
		proxySignature + "\x21\x11\x00\x10\xc0\x00\x02\x07\x0a\x00\x00\x01\xb7\xa3\x00\x50\x04\x00\x01x",
		proxySignature + "\x21\x21\x00\x24" + "0123456789abcdef0123456789abcdef\x00\x01\x00\x02", proxySignature + "\x21\x31\x00\xd8",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, n, err := http.ParseProxy(b)
		want, client := slowProxy1(b)
		switch {
		case err != nil && (n != 0 || h != (http.ProxyHeader{}) || !errors.Is(err, http.ErrProxyHeader)):
			t.Fatalf("%q: %v %d %v", b, h, n, err)
		case want > 0 && (n != want || h.Source != client || h.Version != 1):
			t.Fatalf("%q: %v %d %v, want %d %v", b, h, n, err, want, client)
		case n > 0 && want == 0:
			checkProxy2(t, b, h, n)
		}
		if len(b) > 5000 {
			return
		}
		failed := false
		for i := range len(b) + 1 {
			hi, k, e := http.ParseProxy(b[:i])
			switch {
			case failed && e == nil:
				t.Fatalf("%q: refused, but not with %d bytes", b, i)
			case n > 0 && i < n && (k != 0 || e != nil):
				t.Fatalf("%q: %d %v with %d of %d bytes", b, k, e, i, n)
			case n > 0 && i >= n && (k != n || e != nil || hi != h):
				t.Fatalf("%q: %d %v with %d bytes behind", b, k, e, i-n)
			case n == 0 && err == nil && e != nil:
				t.Fatalf("%q: wants more, but %v with %d bytes", b, e, i)
			}
			failed = e != nil
		}
	})
}

func checkProxy2(t *testing.T, b []byte, h http.ProxyHeader, n int) {
	switch {
	case !bytes.HasPrefix(b, []byte(proxySignature)) || h.Version != 2 || n != 16+int(binary.BigEndian.Uint16(b[14:])) || n > 4096:
		t.Fatalf("%q: %v %d", b, h, n)
	case b[12] == 0x20 || b[13] == 0 || b[13] == 0x31:
		if h.Source.IsValid() || h.Destination.IsValid() {
			t.Fatalf("%q: %v", b, h)
		}
	case b[12] == 0x21 && b[13] == 0x11:
		ip, _ := netip.AddrFromSlice(b[16:20])
		if h.Source != netip.AddrPortFrom(ip, binary.BigEndian.Uint16(b[24:])) {
			t.Fatalf("%q: %v", b, h)
		}
	case b[12] == 0x21 && b[13] == 0x21:
		ip, _ := netip.AddrFromSlice(b[16:32])
		if h.Source != netip.AddrPortFrom(ip, binary.BigEndian.Uint16(b[48:])) {
			t.Fatalf("%q: %v", b, h)
		}
	default:
		t.Fatalf("%q is taken", b)
	}
}
