package middleware

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/conn/conntest"
	"github.com/seed4930a636/mangusta/http"
)

// A way is how requests come.
type way uint8

const (
	plain   way = iota
	secured     // over TLS
	proxied     // without it, from a proxy that has taken it off
)

// talk sends one request to a server with the middleware, and returns status line and fields of the
// reply.
func talk(t *testing.T, w way, request string, h http.Handler, chain ...Middleware) string {
	t.Helper()
	for _, use := range slices.Backward(chain) {
		h = use(h)
	}
	server := http.NewServer(http.Options{HTTPS: w == proxied})
	o := conntest.Options{Setup: func(c *conn.Conn) { http.Attach(c, server) }}
	if w == secured {
		o.Sealed = new(conntest.Sealed)
	}
	d := conntest.New(t, h, o)
	d.Send(request)
	head, _, _ := strings.Cut(d.Sent(), "\r\n\r\n")
	return head
}

// field returns the value of a field of head; "" if there is none.
func field(head, name string) string {
	for line := range strings.SplitSeq(head, "\r\n") {
		if v, ok := strings.CutPrefix(line, name+": "); ok {
			return v
		}
	}
	return ""
}

// RFC 6797 7.2: no Strict-Transport-Security over a transport that is not secure.
func TestHSTSOverTLSOnly(t *testing.T) {
	const days = 24 * time.Hour
	for _, tt := range []struct {
		use  Middleware
		want string
	}{
		{HSTS(), "max-age=31536000"},
		{HSTS(HSTSOptions{MaxAge: 90*time.Second + time.Millisecond}), "max-age=90"},
		{HSTS(HSTSOptions{MaxAge: -1}), "max-age=0"},
		{HSTS(HSTSOptions{MaxAge: -1, IncludeSubDomains: true}), "max-age=0; includeSubDomains"},
		{HSTS(HSTSOptions{MaxAge: 730 * days, IncludeSubDomains: true, Preload: true}), "max-age=63072000; includeSubDomains; preload"},
		{SecurityHeaders(Headers{HSTS: 2 * days}), "max-age=172800; includeSubDomains"},
		{SecurityHeaders(Headers{}), ""},
	} {
		for w, want := range map[way]string{plain: "", secured: tt.want, proxied: tt.want} {
			head := talk(t, w, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", okEvents, tt.use)
			if got := field(head, "Strict-Transport-Security"); got != want {
				t.Errorf("way %d: %q, want %q", w, got, want)
			}
		}
	}
	const want = "HSTS: Preload needs IncludeSubDomains and a MaxAge of a year"
	wantPanic(t, want, func() { HSTS(HSTSOptions{Preload: true}) })
	wantPanic(t, want, func() { HSTS(HSTSOptions{Preload: true, IncludeSubDomains: true, MaxAge: days}) })
}

func TestRedirectHTTPS(t *testing.T) {
	const acme = "/.well-known/acme-challenge/"
	other, fixed := RedirectOptions{Port: 8443}, RedirectOptions{Host: "[2001:db8::1]", Port: 443}
	for _, tt := range []struct {
		o             RedirectOptions
		target, host  string
		status, where string
	}{
		{RedirectOptions{}, "/", "a.test", "308", "https://a.test/"},
		{RedirectOptions{}, "/a%2Fb//c?x=1&y=%00", "a.test:80", "308", "https://a.test/a%2Fb//c?x=1&y=%00"},
		{RedirectOptions{}, "//evil.test/", "a.test", "308", "https://a.test//evil.test/"},
		{RedirectOptions{}, "/", "[::1]:8080", "308", "https://[::1]/"},
		{RedirectOptions{}, "http://b.test:80/x?y", "a.test", "308", "https://b.test/x?y"},
		{RedirectOptions{}, "http://b.test?y", "a.test", "308", "https://b.test/?y"},
		{RedirectOptions{}, "http://b.test", "a.test", "308", "https://b.test/"},
		{other, "/x", "a.test:8080", "308", "https://a.test:8443/x"},
		{fixed, "/x", "a.test:8080", "308", "https://[2001:db8::1]/x"},
		{RedirectOptions{}, acme + "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr_oA", "a.test", "200", ""},
		{RedirectOptions{}, acme, "a.test", "308", "https://a.test" + acme},
		{RedirectOptions{}, acme + "..", "a.test", "308", "https://a.test" + acme + ".."},
		{RedirectOptions{}, acme + "a/b", "a.test", "308", "https://a.test" + acme + "a/b"},
		{RedirectOptions{}, acme + "a%2fb", "a.test", "308", "https://a.test" + acme + "a%2fb"},
		{RedirectOptions{}, "/x" + acme + "a", "a.test", "308", "https://a.test/x" + acme + "a"},
	} {
		request := "GET " + tt.target + " HTTP/1.1\r\nHost: " + tt.host + "\r\n\r\n"
		head := talk(t, plain, request, okEvents, RedirectHTTPS(tt.o))
		if !strings.HasPrefix(head, "HTTP/1.1 "+tt.status) || field(head, "Location") != tt.where {
			t.Errorf("%s at %q: want %s %s, got\n%s", tt.target, tt.host, tt.status, tt.where, head)
		}
		for _, w := range []way{secured, proxied} {
			if head := talk(t, w, request, okEvents, RedirectHTTPS(tt.o)); !strings.HasPrefix(head, "HTTP/1.1 200") {
				t.Errorf("%s, way %d:\n%s", tt.target, w, head)
			}
		}
	}
	for request, status := range map[string]string{
		"GET / HTTP/1.0\r\n\r\n": "400",
		"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000\r\n\r\n":     "308", // before the body
		"POST " + acme + "a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n": "308",
		"HEAD " + acme + "a HTTP/1.1\r\nHost: a.test\r\n\r\n":                 "200",
		"OPTIONS * HTTP/1.1\r\nHost: a.test\r\n\r\n":                          "308",
	} {
		if head := talk(t, plain, request, okEvents, RedirectHTTPS()); !strings.HasPrefix(head, "HTTP/1.1 "+status) {
			t.Errorf("%q: want %s, got\n%s", request, status, head)
		}
	}
	head := talk(t, plain, "GET /x HTTP/1.0\r\n\r\n", okEvents, RedirectHTTPS(fixed))
	if where := field(head, "Location"); where != "https://[2001:db8::1]/x" {
		t.Errorf("without a Host: %q", where)
	}
	for _, host := range []string{"a b", "a:443", "a/b", "user@a", "[::1", "::1", "https://a"} {
		wantPanic(t, "RedirectHTTPS: malformed host \""+host+"\"", func() { RedirectHTTPS(RedirectOptions{Host: host}) })
	}
	wantPanic(t, "RedirectHTTPS: no port: -1", func() { RedirectHTTPS(RedirectOptions{Port: -1}) })
	wantPanic(t, "RedirectHTTPS: no port: 65536", func() { RedirectHTTPS(RedirectOptions{Port: 65536}) })
}

// The cookie of a session is Secure if its login came over TLS, with and without
// SessionOptions.Secure, and so is the one that ends it: browsers let no other replace it.
func TestSessionCookieKnowsTheScheme(t *testing.T) {
	for _, tt := range []struct {
		w      way
		always bool
		want   bool
	}{{plain, false, false}, {plain, true, true}, {secured, false, true}, {secured, true, true}, {proxied, false, true}} {
		s := newSessions(t, SessionOptions{Secure: tt.always})
		for name, act := range map[string]func(c *conn.Conn) error{
			"Start": func(c *conn.Conn) error { return s.Start(c, "anna") }, "End": s.End,
		} {
			head := talk(t, tt.w, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", func(c *conn.Conn, ev conn.Event) {
				if m, ok := ev.(*http.Message); ok {
					if err := act(c); err != nil {
						t.Error(err)
					}
					okHandler(c, m)
				}
			})
			if cookie := field(head, "Set-Cookie"); cookie == "" || strings.Contains(cookie, "; Secure") != tt.want {
				t.Errorf("way %d, Secure %v, %s: %q", tt.w, tt.always, name, cookie)
			}
		}
	}
}

// Over TLS the page of an Origin with http is not the server's own: anybody on the way can have
// made it.
func TestCSRFOverTLS(t *testing.T) {
	for _, tt := range []struct {
		w              way
		origin, status string
	}{
		{plain, "http://a.test", "200"},
		{plain, "https://a.test", "200"}, // a proxy that has taken TLS off may not have said so
		{secured, "https://a.test", "200"},
		{secured, "https://a.test:443", "200"},
		{secured, "https://a.test:8443", "403"},
		{secured, "http://a.test", "403"},
		{secured, "http://a.test:443", "403"},
		{secured, "null", "403"},
		{proxied, "http://a.test", "403"},
	} {
		head := talk(t, tt.w, "POST / HTTP/1.1\r\nHost: a.test\r\nOrigin: "+tt.origin+"\r\nContent-Length: 0\r\n\r\n", okEvents, CSRF())
		if !strings.HasPrefix(head, "HTTP/1.1 "+tt.status) {
			t.Errorf("way %d, %s: want %s, got\n%s", tt.w, tt.origin, tt.status, head)
		}
	}
}
