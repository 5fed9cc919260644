package http

import (
	"bufio"
	"bytes"
	"fmt"
	stdhttp "net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/internal/racetest"
)

// wildcards are the names that the patterns of these tests use.
var wildcards = []string{"x", "y", "z", "rest"}

// describeMatch is the body of a reply: the pattern that matched, and the values of its wildcards.
func describeMatch(pattern string, value func(string) string) string {
	s := pattern
	for _, name := range wildcards {
		if v := value(name); v != "" {
			s += fmt.Sprintf(" %s=%q", name, v)
		}
	}
	return s
}

// muxOf registers the patterns, which must be free of conflicts.
func muxOf(t testing.TB, patterns ...string) *Mux {
	t.Helper()
	x := NewMux()
	for _, p := range patterns {
		err := x.Handle(p, func(c *conn.Conn, m *Message) {
			if m.Pattern() != p {
				t.Errorf("Pattern is %q, want %q", m.Pattern(), p)
			}
			if m.PathValue("none") != nil {
				t.Error("a wildcard that is not there has a value")
			}
			body := describeMatch(p, func(name string) string { return string(m.PathValue(name)) })
			ReplyBytes(c, 200, "text/plain", []byte(body))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return x
}

// asking returns a function that sends requests over one connection to our Mux. It returns status,
// Allow, Location and body of the reply, and the pattern chosen.
func asking(t testing.TB, x *Mux) func(request string) (answer, pattern string) {
	pattern := ""
	x.Use(func(next Handler) Handler {
		return func(c *conn.Conn, ev conn.Event) {
			if r := requestOf(ev); r != nil {
				pattern = r.Pattern()
			}
			next(c, ev)
		}
	})
	tc := newTest(t, Options{}, x.Serve)
	return func(request string) (string, string) {
		t.Helper()
		tc.Sent()
		tc.send(request)
		method, _, _ := strings.Cut(request, " ")
		return replyText(t, method, tc.Wire.Sent), pattern
	}
}

func routed(t testing.TB, x *Mux, request string) string {
	t.Helper()
	answer, _ := asking(t, x)(request)
	return answer
}

func replyText(t testing.TB, method string, b []byte) string {
	t.Helper()
	resp, err := stdhttp.ReadResponse(bufio.NewReader(bytes.NewReader(b)), &stdhttp.Request{Method: method})
	if err != nil {
		t.Fatalf("%v in %q", err, b)
	}
	var body bytes.Buffer
	if resp.StatusCode == 200 {
		body.ReadFrom(resp.Body)
	}
	return outcomeText(resp.StatusCode, resp.Header, body.String())
}

func outcomeText(status int, h stdhttp.Header, body string) string {
	s := fmt.Sprint(status)
	if v := h.Get("Allow"); v != "" {
		s += " allow=" + v
	}
	if v := h.Get("Location"); v != "" {
		s += " to=" + v
	}
	if body != "" {
		s += " " + body
	}
	return s
}

// The differences from net/http, and the cases that it does not have.
func TestMuxAnswers(t *testing.T) {
	table := []string{"Device.Local/a", "device.local./b", "[::1]/a", "/seg/{x}", "/seg/{x}/{rest...}", "/dir/", "/dir/{$}", "GET /g/{x}"}
	x := muxOf(t, table...)
	for _, test := range []struct{ method, target, host, want string }{
		// RFC 3986 3.2.2: the host is case-insensitive.
		{"GET", "/a", "DEVICE.local", "200 Device.Local/a"},
		{"GET", "/a", "device.local:81", "200 Device.Local/a"},
		{"GET", "/a", "device.local.", "200 Device.Local/a"},
		{"GET", "/a", "device.local.:81", "200 Device.Local/a"},
		{"GET", "/b", "device.local", "200 device.local./b"},
		{"GET", "/a", "[::1]", "200 [::1]/a"},
		{"GET", "/a", "[::1]:81", "200 [::1]/a"},
		{"GET", "/a", "[::2]:81", "404"},
		{"GET", "http://device.LOCAL:5/a", "h", "200 Device.Local/a"},
		{"GET", "http://device.LOCAL", "h", "404"},
		// RFC 3986 2.2: an encoded delimiter is data.
		{"GET", "/seg/%2F", "h", `200 /seg/{x} x="/"`},
		{"GET", "/seg/a%2fb/c%2f/d", "h", `200 /seg/{x}/{rest...} x="a/b" rest="c//d"`},
		{"GET", "/seg/a%2f%2f/", "h", `200 /seg/{x}/{rest...} x="a//"`},
		{"GET", "/seg/%2e%2e", "h", `200 /seg/{x} x=".."`},
		{"GET", "/seg%2Fa", "h", "404"},
		{"GET", "/dir/%2F", "h", "200 /dir/"},
		// RFC 9110 10.2.2: Location. Escapes in it stay as they are.
		{"GET", "/di%72", "h", "307 to=/di%72/"},
		{"GET", "//seg/%2F?a=%41&b", "h", "307 to=/seg/%2F?a=%41&b"},
		{"GET", "/x/..//dir?q", "h", "307 to=/dir/?q"},
		{"GET", "/..//evil.test/..//%2f", "h", "307 to=/%2f"},
		{"GET", "http://h/x/../dir/", "h", "307 to=/dir/"},
		{"POST", "/g/1", "h", "405 allow=GET, HEAD"},
		// RFC 9110 9.3.7.
		{"OPTIONS", "*", "h", "200"},
		{"OPTIONS", "http://h", "h", "200"},
	} {
		got := routed(t, x, fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\n\r\n", test.method, test.target, test.host))
		if got != test.want {
			t.Errorf("%s %s at %s: %s, want %s", test.method, test.target, test.host, got, test.want)
		}
	}
	if got := routed(t, x, "GET /a HTTP/1.0\r\n\r\n"); got != "404" {
		t.Error("without Host:", got)
	}
}

func TestMuxMalformedPatterns(t *testing.T) {
	for pattern, want := range map[string]string{
		"":                `a pattern is [METHOD ][HOST]/PATH: the slash is missing`,
		"GET":             `a pattern is [METHOD ][HOST]/PATH: the slash is missing`,
		"GE(T /":          `"GE(T" is no method`,
		"/a b":            `"/a" is no method`,
		"CONNECT /":       `CONNECT is not implemented, and never gets here`,
		"{x}/":            `the host "{x}" has a wildcard, or lacks the slash before it`,
		"h:80/":           `the host "h:80" has a port: hosts are compared without it`,
		"[::1]:80/":       `the host "[::1]:80" has a port: hosts are compared without it`,
		"a,b/":            `malformed host "a,b"`,
		"[::g]/":          `malformed host "[::g]"`,
		"/a//b":           `the path can match no request: such requests are redirected to /a/b`,
		"/a/../b/":        `the path can match no request: such requests are redirected to /b/`,
		"/a/.":            `the path can match no request: such requests are redirected to /a`,
		"/a{x}":           `the wildcard in "a{x}" does not fill the segment`,
		"/{x}a/b":         `the wildcard in "{x}a" does not fill the segment`,
		"/{x":             `the wildcard in "{x" does not fill the segment`,
		"/{}":             `the wildcard name "" is no Go identifier`,
		"/{...}":          `the wildcard name "" is no Go identifier`,
		"/{1x}":           `the wildcard name "1x" is no Go identifier`,
		"/{a-b}":          `the wildcard name "a-b" is no Go identifier`,
		"/{$...}":         `the wildcard name "$" is no Go identifier`,
		"/{$}/a":          `{$} is not the last segment`,
		"/{$}/":           `{$} is not the last segment`,
		"/{x...}/a":       `{x...} is not the last segment`,
		"/{x}/a/{x}":      `two wildcards have the name x`,
		"/{x}/{x...}":     `two wildcards have the name x`,
		"/%zz":            `malformed percent-encoding in "%zz"`,
		"/%4":             `malformed percent-encoding in "%4"`,
		"GET h.test/%4/a": `malformed percent-encoding in "%4"`,
	} {
		err := NewMux().Handle(pattern, func(*conn.Conn, *Message) {})
		if want = fmt.Sprintf("http: handle %q: %s", pattern, want); err == nil || err.Error() != want {
			t.Errorf("%q:\n%v, want\n%s", pattern, err, want)
		}
	}
	if err := NewMux().Handle("/", nil); err == nil || err.Error() != `http: handle "/": the handler is nil` {
		t.Error(err)
	}
}

func TestMuxConflicts(t *testing.T) {
	for _, test := range []struct{ first, second, both string }{
		{"/a", "/a", "/a"},
		{"/{x}", "/{y}", "/x"},
		{"/a/", "/a/{x...}", "/a/"},
		{"/a%20b", "/%61%20b", "/a b"},
		{"H.test/", "h.TEST/", "h.test/"},
		{"GET /{x}/b", "GET /a/{y}", "GET /a/b"},
		{"/a/{x}", "/{y}/{$}", ""},
		{"/a/{x}", "/{y...}", ""},
		{"/a/{x...}", "/{y}/b", "/a/b"},
		{"/a/{x...}", "/{y}/{$}", "/a/"},
		{"/a/{x}/c", "/{y}/b/", "/a/b/c"},
		{"GET /{x}", "/a", "GET /a"},
		{"GET /{x}", "HEAD /a", ""},
		{"HEAD /{x}", "GET /a", "HEAD /a"},
		{"GET /a", "POST /a", ""},
		{"GET /a", "HEAD /a", ""},
		{"GET /", "/a", "GET /a"},
		{"h.test/", "/", ""},
		{"h.test/{x}", "/a", ""},
		{"h.test/{x}", "i.test/{x}", ""},
		{"/a", "/a/", ""},
		{"/a/{$}", "/a/{x}", ""},
		{"/a/{$}", "/a/{x...}", ""},
		{"/a/b", "/a", ""},
	} {
		for order := range 2 {
			x := NewMux()
			x.MustHandle(test.first, func(*conn.Conn, *Message) {})
			err := x.Handle(test.second, func(*conn.Conn, *Message) {})
			if (err == nil) != (test.both == "") {
				t.Errorf("%q and %q: %v", test.first, test.second, err)
			} else if err != nil {
				want := fmt.Sprintf("http: handle %q: conflicts with %q: both match ", test.second, test.first)
				if order == 0 {
					want += test.both + ", and neither is more specific"
				}
				if !strings.HasPrefix(err.Error(), want) {
					t.Errorf("%v, want %s", err, want)
				}
			}
			test.first, test.second = test.second, test.first
		}
	}
}

func TestMustHandlePanics(t *testing.T) {
	defer func() {
		if err, ok := recover().(error); !ok || err.Error() != `http: handle "/{": the wildcard in "{" does not fill the segment` {
			t.Error(err)
		}
	}()
	NewMux().MustHandle("/{", func(*conn.Conn, *Message) {})
}

// Use wraps all replies, in order, and knows the route.
func TestMuxUse(t *testing.T) {
	var log []string
	named := func(name string) Middleware {
		return Guard(func(c *conn.Conn, r *Request) bool {
			log = append(log, fmt.Sprintf("%s %s %s", name, r.Pattern(), r.PathValue("x")))
			if string(r.Query) == "stop="+name {
				Error(c, 403)
				return false
			}
			return true
		})
	}
	x := muxOf(t, "GET /a/{x}", "/d/", "/e/{x...}", "/e/f/")
	x.Use(named("1"), named("2"))
	x.Use(named("3"))
	for _, test := range []struct{ target, want, log string }{
		{"/a/b", `200 GET /a/{x} x="b"`, "1 GET /a/{x} b;2 GET /a/{x} b;3 GET /a/{x} b"},
		{"/a/b?stop=2", "403", "1 GET /a/{x} b;2 GET /a/{x} b"},
		{"/none", "404", "1  ;2  ;3  "},
		{"/d", "307 to=/d/", "1 /d/ ;2 /d/ ;3 /d/ "},
		{"/e/f", "307 to=/e/f/", "1 /e/f/ ;2 /e/f/ ;3 /e/f/ "},
	} {
		log = nil
		got := routed(t, x, "GET "+test.target+" HTTP/1.1\r\nHost: h\r\n\r\n")
		if got != test.want || strings.Join(log, ";") != test.log {
			t.Errorf("%s: %s, %q; want %s, %q", test.target, got, strings.Join(log, ";"), test.want, test.log)
		}
	}
}

func TestMuxEvents(t *testing.T) {
	var got []string
	x := muxOf(t, "/")
	tc := newTest(t, Options{}, x.Serve)
	tc.send(getLine) // without Events
	tc.wantStatus(200)
	x.Events = func(_ *conn.Conn, ev conn.Event) { got = append(got, fmt.Sprintf("%T", ev)) }
	tc.send(getLine)
	tc.send("bad\r\n")
	if s := strings.Join(got, " "); strings.Contains(s, "*http.Head") || !strings.Contains(s, "*http.BadRequest") ||
		strings.Contains(s, "*http.Message") || !strings.Contains(s, "*conn.Read") {
		t.Error(s)
	}
}

// A Mux may be a handler of another one. Each handler sees the values of its own pattern.
func TestMuxInAMux(t *testing.T) {
	inner := muxOf(t, "/a/{x}/{y}", "/{rest...}")
	outer := NewMux()
	outer.MustHandle("/a/{y}/{x}", func(c *conn.Conn, m *Message) {
		inner.Serve(c, m)
		if y, x := m.PathValue("y"), m.PathValue("x"); string(y) != "1" || string(x) != "2" || m.Pattern() != "/a/{y}/{x}" {
			t.Errorf("%s y=%s x=%s", m.Pattern(), y, x)
		}
	})
	if got := routed(t, outer, "GET /a/1/2 HTTP/1.1\r\nHost: h\r\n\r\n"); got != `200 /a/{x}/{y} x="1" y="2"` {
		t.Error(got)
	}
}

// The values end with the handler: the next request of the connection, which reuses the Message,
// has none left over.
func TestPathValueOutsideTheHandler(t *testing.T) {
	for _, fail := range []bool{false, true} {
		x := NewMux()
		x.MustHandle("/{x}", func(c *conn.Conn, m *Message) {
			ReplyBytes(c, 200, "", nil)
			if fail {
				panic("as a bad handler does")
			}
		})
		tc := newTest(t, Options{}, func(c *conn.Conn, ev conn.Event) {
			if m, ok := ev.(*Message); ok {
				func() {
					defer func() { recover() }()
					x.Serve(c, ev)
				}()
				if m.PathValue("x") != nil || m.Pattern() != "" || m.routing != nil {
					t.Errorf("%q %q %v", m.PathValue("x"), m.Pattern(), m.routing)
				}
			}
		})
		tc.send("GET /a HTTP/1.1\r\nHost: h\r\n\r\n", "GET /b HTTP/1.1\r\nHost: h\r\n\r\n")
		tc.wantStatus(200, 200)
	}
}

// Nothing in a Mux changes while it serves: the race detector watches.
func TestMuxOnTwoLoops(t *testing.T) {
	x := muxOf(t, "/a/{x}", "h.test/b/{rest...}")
	var wg sync.WaitGroup
	for i := range 2 {
		wg.Go(func() {
			tc := newTest(t, Options{}, x.Serve)
			for k := range 100 {
				tc.send(fmt.Sprintf("GET /a/%d-%d HTTP/1.1\r\nHost: h\r\n\r\n", i, k))
				if got, want := tc.reply(), fmt.Sprintf("/a/{x} x=\"%d-%d\"", i, k); !strings.HasSuffix(got, want) {
					t.Errorf("%q, want %q", got, want)
				}
			}
		})
	}
	wg.Wait()
}

// routes are the patterns of an API of n resources.
func routes(n int) []string {
	s := []string{"GET h.test/metrics", "/static/{rest...}"}
	for i := range n {
		s = append(s, fmt.Sprintf("GET /api/r%d/{x}/items/{y}", i), fmt.Sprintf("POST /api/r%d/{x}/items/{y}", i))
	}
	return s
}

// routedTurn prepares a connection on which each turn serves one GET with ten headers through a Mux
// with 2n+2 patterns.
func routedTurn(tb testing.TB, n int, target string) (turn func()) {
	body := []byte("Hello, World!")
	served := 0
	x := NewMux()
	for _, p := range routes(n) {
		x.MustHandle(p, func(c *conn.Conn, m *Message) {
			if len(m.PathValue("x"))+len(m.PathValue("rest")) > 0 {
				served++
			}
			ReplyBytes(c, 200, "text/plain", body)
		})
	}
	x.Use(Guard(func(*conn.Conn, *Request) bool { return true }))
	tc := newTest(tb, Options{}, x.Serve)
	tc.c.SetHandler(tc.handle)
	tc.Wire.Forget = true
	in := []byte(strings.Replace(tenHeaders, "/plaintext", target, 1))
	turn = func() {
		tc.Wire.Arrive(in, nil)
		tc.turn()
	}
	turn()
	if served != 1 {
		tb.Fatal("the request does not get to its handler")
	}
	return turn
}

// The hot path allocates nothing: with wildcards, percent-encoding, host patterns, middleware and
// ten header fields.
func TestRoutedGETAllocatesNothing(t *testing.T) {
	if racetest.Enabled {
		t.Skip("the race detector allocates")
	}
	for _, target := range []string{"/api/r7/42/items/%41b%2Fc", "/static/a/b.css"} {
		turn := routedTurn(t, 100, target)
		if n := testing.AllocsPerRun(1000, turn); n != 0 {
			t.Errorf("%s: %v allocations per request", target, n)
		}
	}
}

func BenchmarkRoutedGET(b *testing.B) {
	turn := routedTurn(b, 100, "/api/r7/42/items/43")
	b.ReportAllocs()
	for b.Loop() {
		turn()
	}
}

// The time does not grow with the number of patterns.
func BenchmarkMuxChoose(b *testing.B) {
	for _, n := range []int{1, 10, 100, 1000} {
		x := NewMux()
		std := stdhttp.NewServeMux()
		for _, p := range routes(n) {
			x.MustHandle(p, func(*conn.Conn, *Message) {})
			std.HandleFunc(p, func(stdhttp.ResponseWriter, *stdhttp.Request) {})
		}
		path := []byte(fmt.Sprintf("/api/r%d/42/items/43", n-1))
		b.Run(fmt.Sprint(2*n+2), func(b *testing.B) {
			r := &Request{Method: "GET", Path: path, raw: path, Host: []byte("h.test")}
			var t routing
			b.ReportAllocs()
			for b.Loop() {
				x.choose(r, &t)
			}
		})
		b.Run(fmt.Sprintf("%d/net_http", 2*n+2), func(b *testing.B) {
			r := httptest.NewRequest("GET", string(path), nil)
			b.ReportAllocs()
			for b.Loop() {
				std.Handler(r)
			}
		})
	}
}
