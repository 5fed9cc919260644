package conn_test

import (
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
)

func TestSplitName(t *testing.T) {
	long := strings.Repeat(strings.Repeat("a", 63)+".", 3) + strings.Repeat("a", 61)
	for _, tc := range []struct {
		url, name string
		port      uint16
	}{
		{"tcp://example.org:80", "example.org", 80},
		{"TCP://Example.org.:443", "Example.org.", 443},
		{"udp://time.example:123", "time.example", 123},
		{"tcp://localhost:0", "localhost", 0},
		{"tcp://a-b._srv.x1:65535", "a-b._srv.x1", 65535},
		{"tcp://xn--bcher-kva.example:1", "xn--bcher-kva.example", 1},
		{"tcp://" + long + ":1", long, 1},

		{"tcp://192.0.2.1:80", "", 0}, // ParseAddr's
		{"tcp://[::1]:80", "", 0},
		{"tcp://:80", "", 0},
		{"tcp://1.2.3:80", "", 0},
		{"tcp://example.org", "", 0},
		{"tcp://example.org:x", "", 0},
		{"tcp://example.org:65536", "", 0},
		{"unix://example.org:80", "", 0},
		{"example.org:80", "", 0},
	} {
		name, port, err := conn.SplitName(tc.url)
		if name != tc.name || port != tc.port || err != nil {
			t.Errorf("%s: %q, %d, %v", tc.url, name, port, err)
		}
	}
	for _, host := range []string{"me@example.org", "*", "a..b", ".a", "a. b", "-a.b", "a-.b", "bücher.example", "a.1", "0x7f.1",
		"a%00", "exa\x00mple", strings.Repeat("a", 64) + ".b", "a." + long} {
		if name, _, err := conn.SplitName("tcp://" + host + ":80"); err == nil || name != "" {
			t.Errorf("%q is taken for a name", host)
		}
	}
}
