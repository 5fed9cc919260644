package websocket

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
		{"http://localhost.evil.com:1", "example.com", []string{"localhost:*"}, false},
		{"https://a.example.org", "example.com", []string{"https://*.example.org"}, true},
		{"http://a.example.org", "example.com", []string{"https://*.example.org"}, false},
		{"https://A.example.ORG", "example.com", []string{"HTTPS://*.Example.org"}, true},
		{"app://host", "example.com", []string{"app://*"}, true},
		{"http://other.org", "example.com", []string{"one.org", "other.org"}, true},
		{"http://other.org", "example.com", []string{"", "other"}, false},
	} {
		if got := originAllowed([]byte(tc.origin), []byte(tc.host), tc.patterns); got != tc.want {
			t.Errorf("origin %q, host %q, patterns %q: allowed = %v", tc.origin, tc.host, tc.patterns, got)
		}
	}
}

func TestMatchFold(t *testing.T) {
	for _, tc := range []struct {
		pattern, s string
		want       bool
	}{
		{"", "", true}, {"", "a", false}, {"a", "", false}, {"*", "", true}, {"**", "abc", true}, {"a*", "a", true},
		{"*a", "ba", true}, {"*a", "ab", false}, {"a*c", "abbc", true}, {"a*b*c", "a-b-b-c", true}, {"a*b*c", "a-c-b", false},
		{"*ab", "aab", true}, {"AbC", "aBc", true}, {"a[", "A{", false},
	} {
		if got := matchFold(tc.pattern, []byte(tc.s)); got != tc.want {
			t.Errorf("matchFold(%q, %q) = %v", tc.pattern, tc.s, got)
		}
	}
}
