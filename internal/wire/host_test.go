package wire

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// RFC 9112 3.2, RFC 9110 7.2.
func TestHost(t *testing.T) {
	const line = "GET / HTTP/1.1\n"
	host := func(v string) string { return line + "Host: " + v + "\n\n" }
	cases := []wireCase{
		refused("missing on 1.1", 400, line+"\n"),
		refused("twice", 400, line+"Host: h\nHost: h\n\n"),
		refused("twice with other case", 400, line+"Host: h\nhOST: i\n\n"),
		refused("missing beside the absolute form", 400, "GET http://h/ HTTP/1.1\n\n"),
		refused("bad beside the absolute form", 400, "GET http://h/ HTTP/1.1\nHost: a b\n\n"),
		{name: "missing on 1.0", in: "GET / HTTP/1.0\n\n", want: []string{"head", "message"}},
		refused("twice on 1.0", 400, "GET / HTTP/1.0\nHost: a\nHost: a\n\n"),
	}
	for _, h := range []string{"h", "h:80", "h:", "h:65535", "EXAMPLE.com", "example.com.", "127.0.0.1:8080", "[::1]",
		"[::1]:80", "[2001:db8::a.b.c.d]", "xn--bcher-kva.example", "a_b.c-d~e", "%41b", "1.example", "12345",
		"[::ffff:1.2.3.4]", strings.Repeat("a", 255)} {
		rc := accepted("ok "+h, host(h), fmt.Sprintf("host=%q", h))
		if strings.Contains(h, "a.b.c.d") {
			rc = refused("no "+h, 400, host(h))
		}
		cases = append(cases, rc)
	}
	for _, h := range []string{"", " ", ":80", "h:x", "h:-1", "h:+80", "h:65536", "h:000080", "h:80:80", "a b", "a,b", "a/b", "a?b",
		"a#b", "u@h", "http://h", "a\\b", "a\"b", "<h>", "a..b", ".a", "..", "%4", "%zz", "256.1.1.1", "1.2.3", "1.2.3.4.5",
		"01.2.3.4", "::1", "[::1", "::1]", "[]", "[:]", "[:::]", "[1:2:3:4:5:6:7]", "[1::2::3]", "[::12345]", "[::1]80", "[::1]a",
		"[::1%eth0]", "[::1%25eth0]", "[v1.a]", "[::1]:x", "[1:2:3:4:5:6:7:8:9]", "[::ffff:1.2.3]", "h\xc3\xa4", "a\tb",
		"[127.0.0.1]", "[g::1]", strings.Repeat("a", 256)} {
		cases = append(cases, refused("no "+h, 400, host(h)))
	}
	runCases(t, *newReader(), cases)
}

// Addresses are what net/netip takes for addresses; zones and IPv4 forms apart, which a Host does
// not have.
func FuzzIPv6(f *testing.F) {
	for _, s := range []string{"::", "::1", "1::", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8", "::1.2.3.4",
		"1:2:3:4:5:6:1.2.3.4", "1::8:", ":1::", "1:2:3:4:5:6:7:8::", "12345::", "1:2", "::1.2.3.4:5", "1:2:3:4:5:6:7:1.2.3.4",
		"1:2:3:4:5::1.2.3.4", "::01.2.3.4"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := netip.ParseAddr(s)
		want := err == nil && a.Is6() && a.Zone() == ""
		if got := IsIPv6([]byte(s)); got != want {
			t.Errorf("isIPv6(%q) = %v, netip says %v", s, got, want)
		}
	})
}

func FuzzIPv4(f *testing.F) {
	for _, s := range []string{"1.2.3.4", "0.0.0.0", "255.255.255.255", "256.0.0.0", "1.2.3", "1.2.3.4.5", "01.2.3.4", "1..2.3", "1.2.3."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := netip.ParseAddr(s)
		if got := IsIPv4([]byte(s)); got != (err == nil && a.Is4()) {
			t.Errorf("isIPv4(%q) = %v", s, got)
		}
	})
}
