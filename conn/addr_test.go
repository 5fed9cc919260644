package conn

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

func tcpAddr(s string) Addr  { return Addr{Network: "tcp", AddrPort: netip.MustParseAddrPort(s)} }
func unixAddr(s string) Addr { return Addr{Network: "unix", Path: s} }

func TestParseAddrReadsAndStringGivesBack(t *testing.T) {
	anyAddr := tcpAddr("[::]:80")
	anyAddr.AnyStack = true
	tests := []struct {
		url  string
		want Addr
		back string // what String gives, when it is not url
	}{
		{"tcp://127.0.0.1:80", tcpAddr("127.0.0.1:80"), ""},
		{"TCP://127.0.0.1:80", tcpAddr("127.0.0.1:80"), "tcp://127.0.0.1:80"},
		{"tcp://0.0.0.0:0", tcpAddr("0.0.0.0:0"), ""},
		{"tcp://127.0.0.1:65535", tcpAddr("127.0.0.1:65535"), ""},
		{"tcp://127.0.0.1:0080", tcpAddr("127.0.0.1:80"), "tcp://127.0.0.1:80"},
		{"tcp://localhost:80", tcpAddr("127.0.0.1:80"), "tcp://127.0.0.1:80"},
		{"tcp://LocalHost:80", tcpAddr("127.0.0.1:80"), "tcp://127.0.0.1:80"},
		{"tcp://:80", anyAddr, ""},
		{"tcp://[::]:80", tcpAddr("[::]:80"), ""},
		{"tcp://[::1]:80", tcpAddr("[::1]:80"), ""},
		{"tcp://[0:0::1]:80", tcpAddr("[::1]:80"), "tcp://[::1]:80"},
		{"tcp://[::ffff:10.1.2.3]:80", tcpAddr("10.1.2.3:80"), "tcp://10.1.2.3:80"},
		{"tcp://[fe80::1%eth0]:80", tcpAddr("[fe80::1%eth0]:80"), "tcp://[fe80::1%25eth0]:80"},
		{"tcp://[fe80::1%25eth0]:80", tcpAddr("[fe80::1%eth0]:80"), ""},
		{"tcp://[fe80::1%3]:80", tcpAddr("[fe80::1%3]:80"), "tcp://[fe80::1%253]:80"},
		{"tcp://[fe80::1%25]:80", tcpAddr("[fe80::1%25]:80"), "tcp://[fe80::1%2525]:80"},
		{"tcp://[fe80::1%2525]:80", tcpAddr("[fe80::1%25]:80"), ""},
		{"tcp://[fe80::1%25251]:80", tcpAddr("[fe80::1%251]:80"), ""},
		{"udp://127.0.0.1:53", Addr{Network: "udp", AddrPort: tcpAddr("127.0.0.1:53").AddrPort}, ""},
		{"udp://:53", Addr{Network: "udp", AddrPort: netip.AddrPortFrom(netip.IPv6Unspecified(), 53), AnyStack: true}, ""},
		{"UDP://[fe80::1%eth0]:53", Addr{Network: "udp", AddrPort: tcpAddr("[fe80::1%eth0]:53").AddrPort}, "udp://[fe80::1%25eth0]:53"},
		{"unixgram:///run/x.sock", Addr{Network: "unixgram", Path: "/run/x.sock"}, ""},
		{"unix:///run/x.sock", unixAddr("/run/x.sock"), ""},
		{"unix://x.sock", unixAddr("x.sock"), ""},
		{"unix:///run/50%25 off:1", unixAddr("/run/50%25 off:1"), ""},
		{"unix://./@x", unixAddr("./@x"), ""},
		{"unix:///" + strings.Repeat("x", sunPath-2), unixAddr("/" + strings.Repeat("x", sunPath-2)), ""},
	}
	for _, tt := range tests {
		got, err := ParseAddr(tt.url)
		if err != nil || got != tt.want {
			t.Errorf("ParseAddr(%q) = %+v, %v; want %+v", tt.url, got, err, tt.want)
			continue
		}
		back := tt.back
		if back == "" {
			back = tt.url
		}
		if s := got.String(); s != back {
			t.Errorf("ParseAddr(%q).String() = %q, want %q", tt.url, s, back)
		}
		if again, err := ParseAddr(got.String()); err != nil || again != got {
			t.Errorf("ParseAddr(%q) = %+v, %v; want the same as for %q: %+v", got, again, err, tt.url, got)
		}
	}
}

func TestParseAddrSaysWhatIsWrong(t *testing.T) {
	long := strings.Repeat("x", sunPath)
	tests := []struct{ url, want string }{
		{"", `no scheme, want tcp://host:port or unix:///path`},
		{"127.0.0.1:80", `no scheme, want tcp://host:port or unix:///path`},
		{"tcp:127.0.0.1:80", `no scheme, want tcp://host:port or unix:///path`},
		{"http://127.0.0.1:80", `unknown scheme "http", want tcp, udp, unix or unixgram`},
		{"://127.0.0.1:80", `unknown scheme "", want tcp, udp, unix or unixgram`},
		{"tcp://", `no port`},
		{"tcp://x", `no port`},
		{"tcp://127.0.0.1", `no port`},
		{"tcp://127.0.0.1:", `no port`},
		{"tcp://[::1]", `no port`},
		{"tcp://[::1]:", `no port`},
		{"tcp://127.0.0.1:http", `port "http" is not a number from 0 to 65535`},
		{"tcp://127.0.0.1:65536", `port "65536" is not a number from 0 to 65535`},
		{"tcp://127.0.0.1:-1", `port "-1" is not a number from 0 to 65535`},
		{"tcp://127.0.0.1:+1", `port "+1" is not a number from 0 to 65535`},
		{"tcp://127.0.0.1: 80", `port " 80" is not a number from 0 to 65535`},
		{"tcp://127.0.0.1:80/", `unexpected "/" after the port`},
		{"tcp://127.0.0.1:80/x:1", `unexpected "/x:1" after the port`},
		{"tcp://example.org:80", `host names are not resolved, give an IP address instead of "example.org"`},
		{"tcp://me@127.0.0.1:80", `host names are not resolved, give an IP address instead of "me@127.0.0.1"`},
		{"tcp://*:80", `host names are not resolved, give an IP address instead of "*"`},
		{"tcp://127.0.0.256:80", `"127.0.0.256" is not an IPv4 address`},
		{"tcp://127.1:80", `"127.1" is not an IPv4 address`},
		{"tcp://127.0.0.01:80", `"127.0.0.01" is not an IPv4 address`},
		{"tcp://::1:80", `an IPv6 address needs brackets, as in tcp://[::1]:80`},
		{"tcp://[::1:80", `no closing bracket`},
		{"tcp://[::1]x:80", `unexpected "x:80" after the closing bracket`},
		{"tcp://[]:80", `"" is not an IPv6 address`},
		{"tcp://[127.0.0.1]:80", `"127.0.0.1" is not an IPv6 address`},
		{"tcp://[::12345]:80", `"::12345" is not an IPv6 address`},
		{"tcp://[localhost]:80", `"localhost" is not an IPv6 address`},
		{"tcp://[fe80::1%]:80", `"" is not a zone of fe80::1`},
		{"tcp://[fe80::1%25a%b]:80", `"a%b" is not a zone of fe80::1`},
		{"tcp://[fe80::1%a b]:80", `"a b" is not a zone of fe80::1`},
		{"tcp://[::ffff:10.1.2.3%eth0]:80", `"eth0" is not a zone of 10.1.2.3`},
		{"unix://", `no path`},
		{"unix://@", `no path`},
		{"unix:///a\x00b", `a NUL byte in the path`},
		{"unix://" + long, fmt.Sprintf(`a path of %d bytes is too long, sun_path holds %d`, sunPath, sunPath-1)},
	}
	for _, tt := range tests {
		want := fmt.Sprintf("conn: address %q: %s", tt.url, tt.want)
		got, err := ParseAddr(tt.url)
		if err == nil || err.Error() != want || got != (Addr{}) {
			t.Errorf("ParseAddr(%q) = %+v, %v\nwant %s", tt.url, got, err, want)
		}
	}
}

func FuzzParseAddrRoundTrip(f *testing.F) {
	for _, s := range []string{"tcp://:80", "tcp://[fe80::1%25eth0]:80", "tcp://[::ffff:1.2.3.4]:1", "unix://@x", "unix:///a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, url string) {
		a, err := ParseAddr(url)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "conn: address ") || a != (Addr{}) {
				t.Fatalf("ParseAddr(%q) = %+v, %v", url, a, err)
			}
			return
		}
		if again, err := ParseAddr(a.String()); err != nil || again != a {
			t.Fatalf("%q gives %+v, whose String %q gives %+v, %v", url, a, a, again, err)
		}
	})
}
