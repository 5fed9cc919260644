package dns

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParseConfig(t *testing.T) {
	local := "[127.0.0.1:53 [::1]:53]"
	for _, tc := range []struct{ text, want string }{
		{"", local + " [] 1 5s 2 false false"},
		{"nameserver 192.0.2.1\nnameserver fe80::1%eth0\nnameserver nonsense\nnameserver ::ffff:192.0.2.2 # x\n",
			"[192.0.2.1:53 [fe80::1%eth0]:53 192.0.2.2:53] [] 1 5s 2 false false"},
		{"#nameserver 192.0.2.1\n;nameserver 192.0.2.1\nnameserver\noptions", local + " [] 1 5s 2 false false"},
		{"domain A.Test\nsearch b.test. c.test a..b\n", local + " [b.test c.test] 1 5s 2 false false"},
		{"search b.test\ndomain A.Test c.test", local + " [a.test] 1 5s 2 false false"},
		{"search .", local + " [] 1 5s 2 false false"},
		{"options ndots:3 timeout:2 attempts:4 rotate use-vc edns0 unknown:3\r\n", local + " [] 3 2s 4 true true"},
		{"options ndots:99 timeout:99 attempts:99", local + " [] 15 30s 5 false false"},
		{"options ndots:-1 timeout:0 attempts:0 ndots:x", local + " [] 1 1s 1 false false"},
		{strings.Repeat("nameserver 192.0.2.1\n", 20), "[" + strings.Repeat("192.0.2.1:53 ", 7) + "192.0.2.1:53] [] 1 5s 2 false false"},
	} {
		c := parseConfig(tc.text)
		if got := fmt.Sprint(c.servers, c.search, c.ndots, c.timeout, c.attempts, c.rotate, c.useTCP); got != tc.want {
			t.Errorf("%q:\n%s, want\n%s", tc.text, got, tc.want)
		}
	}
}

func TestCandidates(t *testing.T) {
	c := config{search: []string{"a", "b.c"}, ndots: 2}
	for name, want := range map[string]string{"x": "x.a x.b.c x", "x.y": "x.y.a x.y.b.c x.y", "x.y.z": "x.y.z x.y.z.a x.y.z.b.c"} {
		if got := strings.Join(c.candidates(name, false), " "); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
		if got := c.candidates(name, true); !slices.Equal(got, []string{name}) {
			t.Errorf("%s.: %v", name, got)
		}
	}
	long := strings.Repeat("a.", 125) + "a"
	if got := c.candidates(long, false); len(got) != 2 {
		t.Errorf("a name that is too long with a domain is asked for: %d candidates", len(got))
	}
}

func TestFile(t *testing.T) {
	f := file{path: filepath.Join(t.TempDir(), "f")}
	want := func(text string, changed bool) {
		t.Helper()
		if got, ok := f.changed(); got != text || ok != changed {
			t.Errorf("%q, %v; want %q, %v", got, ok, text, changed)
		}
	}
	want("", true)
	want("", false)
	os.WriteFile(f.path, []byte("one"), 0o600)
	want("one", true)
	want("", false)
	os.WriteFile(f.path, []byte("two"), 0o600)
	os.Chtimes(f.path, time.Time{}, time.Now().Add(time.Hour)) // some file systems have coarse times
	want("two", true)
	os.WriteFile(f.path, make([]byte, mostFile+1), 0o600)
	want("", true)
	os.Remove(f.path)
	want("", true)
	want("", false)
	os.Mkdir(f.path, 0o700)
	want("", true)
}

func TestReverse(t *testing.T) {
	for a, want := range map[string]string{
		"192.0.2.1": "1.2.0.192.in-addr.arpa", "::ffff:192.0.2.1": "1.2.0.192.in-addr.arpa",
		"2001:db8::567:89ab": "b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa", // RFC 3596 §2.5, shifted
	} {
		if got := reverse(mustAddr(a)); got != want {
			t.Errorf("%s: %s", a, got)
		}
	}
}
