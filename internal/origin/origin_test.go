package origin

import "testing"

// RFC 6455 §10.2: servers that are not meant for any page should verify the Origin.
func TestOrigin(t *testing.T) {
	for _, tc := range []struct {
		origin, host string
		patterns     []string
		want         bool
	}{
		{"http://example.com", "example.com", nil, true},
		{"https://example.com", "example.com", nil, true},
		{"http://EXAMPLE.com", "example.COM", nil, true},
		{"http://example.com:80", "example.com", nil, true},
		{"http://example.com", "example.com:80", nil, true},
		{"https://example.com", "example.com:443", nil, true},
		{"https://example.com", "example.com:80", nil, false},
		{"http://example.com:8080", "example.com:8080", nil, true},
		{"http://example.com:8080", "example.com", nil, false},
		{"http://example.com", "example.com:8080", nil, false},
		{"http://[::1]:8080", "[::1]:8080", nil, true},
		{"https://[::1]", "[::1]:443", nil, true},
		{"http://[::A]", "[::a]", nil, true},
		{"http://[::1", "[::1", nil, false},
		{"http://example.com.", "example.com.", nil, true},
		{"http://example.com", "example.com:", nil, true},
		{"http://example.com:", "example.com", nil, true},
		{"http://example.com:8x", "example.com:8x", nil, false},
		{"http://example.com:80:80", "example.com:80", nil, false},
		// The scheme counts.
		{"file://example.com:8080", "example.com:8080", nil, false},
		{"app://example.com", "example.com", nil, false},
		{"ws://example.com", "example.com", nil, false},
		{"://example.com", "example.com", nil, false},
		{"http://evil.com", "example.com", nil, false},
		{"http://example.com.evil.com", "example.com", nil, false},
		{"http://notexample.com", "example.com", nil, false},
		{"http://example.com@evil.com", "example.com", nil, false},
		{"http://evil.com/example.com", "example.com", nil, false},
		{"http://example.com/", "example.com", nil, false},
		{"null", "example.com", nil, false},
		{"", "example.com", nil, false},
		{"example.com", "example.com", nil, false},
		{"http://", "", nil, false},

		{"http://evil.com", "example.com", []string{"*"}, true},
		{"null", "example.com", []string{"*"}, true},
		{"null", "example.com", []string{"null"}, true},
		{"null", "example.com", []string{"n*"}, false},
		{"http://a.example.org", "example.com", []string{"*.example.org"}, true},
		{"http://a.b.example.org", "example.com", []string{"*.example.org"}, true},
		{"http://example.org", "example.com", []string{"*.example.org"}, false},
		{"http://aexample.org", "example.com", []string{"*.example.org"}, false},
		{"http://evil.com/.example.org", "example.com", []string{"*.example.org"}, false},
		{"http://evil.com?.example.org", "example.com", []string{"*.example.org"}, false},
		{"http://evil.com#.example.org", "example.com", []string{"https://*.example.org", "*.example.org"}, false},
		{"http://a.example.org:81", "example.com", []string{"*.example.org"}, false},
		{"http://localhost:5173", "example.com", []string{"localhost:*"}, true},
		{"http://localhost", "example.com", []string{"localhost:*"}, true},
		{"http://localhost.evil.com:1", "example.com", []string{"localhost:*"}, false},
		// The default port is the same with and without.
		{"https://a.org:443", "example.com", []string{"a.org"}, true},
		{"https://a.org", "example.com", []string{"a.org:443"}, true},
		{"https://a.org", "example.com", []string{"a.org:80"}, false},
		{"https://a.org:443", "example.com", []string{"https://a.org"}, true},
		{"https://a.org", "example.com", []string{"https://a.org:443"}, true},
		{"http://a.org:443", "example.com", []string{"https://a.org", "http://a.org"}, false},
		{"app://a.org", "example.com", []string{"a.org:", "a.org:80"}, false},
		{"https://b:1.a.org", "example.com", []string{"https://*.a.org"}, false},
		{"https://.a.org", "example.com", []string{"https://*.a.org"}, false},
		{"https://a.example.org", "example.com", []string{"https://*.example.org"}, true},
		{"http://a.example.org", "example.com", []string{"https://*.example.org"}, false},
		{"https://A.example.ORG", "example.com", []string{"HTTPS://*.Example.org"}, true},
		{"app://host", "example.com", []string{"app://*"}, true},
		{"http://other.org", "example.com", []string{"one.org", "other.org"}, true},
		{"http://other.org", "example.com", []string{"", "other"}, false},
	} {
		got := Same([]byte(tc.origin), []byte(tc.host), false)
		for _, p := range tc.patterns {
			got = got || Match(p, []byte(tc.origin))
		}
		if got != tc.want {
			t.Errorf("origin %q, host %q, patterns %q: allowed = %v", tc.origin, tc.host, tc.patterns, got)
		}
	}
}

// Over TLS an origin of http is none of ours, whatever its host: anybody on the way can make such a
// page.
func TestSecureOrigin(t *testing.T) {
	for _, tc := range []struct {
		origin, host string
		want         bool
	}{
		{"https://example.com", "example.com", true},
		{"HTTPS://example.com", "example.com:443", true},
		{"https://example.com:8443", "example.com:8443", true},
		{"http://example.com", "example.com", false},
		{"http://example.com:8443", "example.com:8443", false},
		{"wss://example.com", "example.com", false},
	} {
		if got := Same([]byte(tc.origin), []byte(tc.host), true); got != tc.want {
			t.Errorf("origin %q, host %q: %v", tc.origin, tc.host, got)
		}
	}
}

func TestNothingIsAllocated(t *testing.T) {
	from, host := []byte("https://a.example.org"), []byte("example.org:443")
	if n := testing.AllocsPerRun(100, func() { Same(from, host, false); Match("https://*.example.com", from); Match("*.example.org", from) }); n > 0 {
		t.Error(n)
	}
}

func TestGlob(t *testing.T) {
	for _, tc := range []struct {
		pattern, s string
		want       bool
	}{
		{"", "", true}, {"", "a", false}, {"a", "", false}, {"*", "", true}, {"**", "abc", true}, {"a*", "a", true},
		{"*a", "ba", true}, {"*a", "ab", false}, {"a*c", "abbc", true}, {"a*b*c", "a-b-b-c", true}, {"a*b*c", "a-c-b", false},
		{"*ab", "aab", true}, {"AbC", "aBc", true}, {"a[", "A{", false},
	} {
		if got := glob(tc.pattern, []byte(tc.s)); got != tc.want {
			t.Errorf("glob(%q, %q) = %v", tc.pattern, tc.s, got)
		}
	}
}
