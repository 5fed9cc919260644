package http

import (
	"net/netip"
	"testing"
)

func TestMatch(t *testing.T) {
	for _, x := range []struct {
		glob, path string
		want       bool
	}{
		{"/", "/", true}, {"/", "", false}, {"", "", true}, {"/a", "/ab", false}, {"/ab", "/a", false},
		{"/?", "/a", true}, {"/?", "/", false}, {"/?", "//", true},
		{"*", "", true}, {"*", "abc", true}, {"*", "/", false}, {"/*", "/abc", true}, {"/*", "/a/b", false}, {"/*/b", "/a/b", true},
		{"/*/b", "/a/c/b", false}, {"/*.js", "/a.js.js", true}, {"/*a*b", "/xaxxab", true}, {"/*b/x*c", "/abab/xyc", true},
		{"#", "", true}, {"#", "/a/b", true}, {"/api/#", "/api/", true}, {"/api/#", "/api/a/b", true}, {"/api/#", "/api", false},
		{"#.html", "/a/b.html", true}, {"#.html", "/a/b.htm", false}, {"#/x/*", "/a/x/b/x/c", true}, {"#/x/*", "/a/x/b/y/c", false},
		{"/#/*.c", "/a/b/c.c", true}, {"#a#b#", "xaxbx", true}, {"#a#b#", "xbxax", false}, {"/a*/#c", "/ab/dc", true},
	} {
		if got := match(x.glob, []byte(x.path)); got != x.want {
			t.Errorf("%q %q: %v", x.glob, x.path, got)
		}
	}
}

// matchSlowly is the definition of match.
func matchSlowly(glob, s string) bool {
	if glob == "" {
		return s == ""
	}
	for i := 0; i <= len(s); i++ {
		switch glob[0] {
		case '#':
		case '*':
			if i > 0 && s[i-1] == '/' {
				return false
			}
		default:
			return len(s) > 0 && (glob[0] == '?' || glob[0] == s[0]) && matchSlowly(glob[1:], s[1:])
		}
		if matchSlowly(glob[1:], s[i:]) {
			return true
		}
	}
	return false
}

// Every glob of up to five and every path of up to six letters out of a few.
func TestMatchAgainstItsDefinition(t *testing.T) {
	words := func(letters string, n int) []string {
		all := []string{""}
		for from := 0; n > 0; n-- {
			to := len(all)
			for _, w := range all[from:to] {
				for _, l := range letters {
					all = append(all, w+string(l))
				}
			}
			from = to
		}
		return all
	}
	paths := words("a/", 6)
	for _, g := range words("a/*#?", 5) {
		for _, p := range paths {
			if got, want := match(g, []byte(p)), matchSlowly(g, p); got != want {
				t.Fatalf("%q %q: %v", g, p, got)
			}
		}
	}
}

func TestHasToken(t *testing.T) {
	r := &Request{fields: []Field{{[]byte("Connection"), []byte("a,B , c d")}, {[]byte("X"), []byte("x")},
		{[]byte("connection"), []byte("Upgrade")}}}
	for token, want := range map[string]bool{"a": true, "b": true, "c": false, "c d": true, "upgrade": true, "x": false,
		"up": false} {
		if r.HasToken("CONNECTION", token) != want {
			t.Error(token)
		}
	}
	if string(r.Header("connection")) != "a,B , c d" || r.Header("none") != nil || len(r.Headers()) != 3 {
		t.Error("Header")
	}
}

// Addresses are what net/netip takes for addresses; zones and IPv4 forms apart, which a Host does not have.
func FuzzIPv6(f *testing.F) {
	for _, s := range []string{"::", "::1", "1::", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8", "::1.2.3.4",
		"1:2:3:4:5:6:1.2.3.4", "1::8:", ":1::", "1:2:3:4:5:6:7:8::", "12345::", "1:2", "::1.2.3.4:5", "1:2:3:4:5:6:7:1.2.3.4",
		"1:2:3:4:5::1.2.3.4", "::01.2.3.4"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := netip.ParseAddr(s)
		want := err == nil && a.Is6() && a.Zone() == ""
		if got := isIPv6([]byte(s)); got != want {
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
		if got := isIPv4([]byte(s)); got != (err == nil && a.Is4()) {
			t.Errorf("isIPv4(%q) = %v", s, got)
		}
	})
}
