package fuzz

import (
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/internal/origin"
)

// plainOrigin is an origin as browsers send it, and hostOnly a Host.
var (
	plainOrigin = regexp.MustCompile(`^(https?)://([a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:]+\])(?::([1-9][0-9]{0,4}))?$`)
	hostOnly    = regexp.MustCompile(`^([a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:]+\])(?::([1-9][0-9]{0,4}))?$`)
)

func portOf(scheme, port string) string {
	if port == "" {
		return map[string]string{"http": "80", "https": "443"}[scheme]
	}
	return port
}

// FuzzOrigins: of what browsers send the verdict is that of RFC 6454 §5; of all else, what passes
// has the same scheme, host and port to net/url. An origin that matches a pattern is in the domain
// of the pattern.
func FuzzOrigins(f *testing.F) {
	for _, s := range [][2]string{{"http://a.example", "a.example"}, {"https://a.example:443", "a.example"}, {"https://a.example", "a.example:443"}, {"http://[::1]:8080", "[::1]:8080"},
		{"file://a:1", "a:1"}, {"http://a@b", "b"}, {"http://a.app.example", "app.example"}, {"null", ""}, {"https://a.app.example", "x"}, {"HTTP://A:80", "a:"}, {"http://a:80:80", "a"}} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, from, host string) {
		if len(from) > 300 || len(host) > 300 {
			return
		}
		plain, secure := origin.Same([]byte(from), []byte(host), false), origin.Same([]byte(from), []byte(host), true)
		o, h := plainOrigin.FindStringSubmatch(from), hostOnly.FindStringSubmatch(host)
		if o != nil && h != nil && !strings.Contains(from+host, "..") {
			want := o[2] == h[1] && portOf(o[1], o[3]) == portOf(o[1], h[2])
			if plain != want || secure != (want && o[1] == "https") {
				t.Fatalf("%q for %q: %v, over TLS %v; want %v", from, host, plain, secure, want)
			}
		}
		u, err := url.Parse(from)
		if secure && (!plain || u.Scheme != "https") {
			t.Fatalf("%q for %q: over TLS alone", from, host)
		}
		if plain {
			v, err2 := url.Parse("x://" + host)
			if err != nil || err2 != nil || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.Scheme != "http" && u.Scheme != "https" ||
				!strings.EqualFold(u.Hostname(), v.Hostname()) || portOf(u.Scheme, u.Port()) != portOf(u.Scheme, v.Port()) {
				t.Fatalf("%q passes for %q; net/url: %v %v, %v %v", from, host, u, err, v, err2)
			}
		}
		if origin.Match("https://*.app.example", []byte(from)) {
			if err != nil || u.Scheme != "https" || u.User != nil || !strings.HasSuffix(strings.ToLower(u.Hostname()), ".app.example") || portOf("https", u.Port()) != "443" {
				t.Fatalf("%q matches; net/url: %v %v", from, u, err)
			}
		}
		if o != nil && !strings.Contains(from, "..") && !origin.Match(from, []byte(from)) {
			t.Fatalf("%q does not match itself", from)
		}
	})
}
