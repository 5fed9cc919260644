package server

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/examples/internal/programtest"
	mghttp "github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
)

func TestWrongInputs(t *testing.T) {
	const auth, secret = "Authorization", "Bearer secret"
	long := strings.Repeat("x", maxBody+1)
	tests := []struct {
		method, path, body string
		fields             []string
		status             int
		want               string   // in the body
		also               []string // a field and its value
	}{
		{"POST", "/publish/a", "x", nil, 401, "this takes a token", []string{"WWW-Authenticate", `Bearer realm="broadcast"`}},
		{"POST", "/publish/a", "x", []string{auth, "Bearer secrex"}, 401, "the token is wrong", []string{"WWW-Authenticate", `Bearer realm="broadcast", error="invalid_token"`}},
		{"POST", "/publish/a", "x", []string{auth, "Bearer secret2"}, 401, "the token is wrong", nil},
		{"POST", "/publish/a", "x", []string{auth, "Basic c2VjcmV0OnNlY3JldA=="}, 401, "this takes a token", nil},
		{"POST", "/publish/a", "x", []string{auth, "Bearer"}, 401, "this takes a token", nil},
		{"POST", "/publish/a", long[1:], nil, 401, "this takes a token", nil}, // before the body
		{"POST", "/publish/", "x", []string{auth, secret}, 400, "is no topic", nil},
		{"POST", "/publish/a+b", "x", []string{auth, secret}, 400, "is no topic", nil},
		{"POST", "/publish/a/%23", "x", []string{auth, secret}, 400, "is no topic", nil},
		{"POST", "/publish/a%0Ab", "x", []string{auth, secret}, 400, "is no topic", nil},
		{"POST", "/publish/%FF", "x", []string{auth, secret}, 400, "is no topic", nil},
		{"POST", "/publish/" + strings.Repeat("a", 1025), "x", []string{auth, secret}, 400, "is no topic", nil},
		{"POST", "/publish/a", "\xff", []string{auth, secret}, 415, "not UTF-8", nil},
		{"POST", "/publish/a", long, []string{auth, secret}, 413, "413 Content Too Large", nil},
		{"POST", "/publish/a", "x", []string{auth, secret, "Sec-Fetch-Site", "cross-site"}, 403, `a page of the Origin \"\" may not`, nil},
		{"GET", "/publish/a/b", "", nil, 405, "405 Method Not Allowed", []string{"Allow", "POST"}},
		{"PUT", "/publish/a", "x", []string{auth, secret}, 405, "405 Method Not Allowed", []string{"Allow", "POST"}},
		{"POST", "/ws?topic=a", "", nil, 405, "405 Method Not Allowed", []string{"Allow", "GET, HEAD"}},
		{"POST", "/stats", "", nil, 405, "405 Method Not Allowed", []string{"Allow", "GET, HEAD"}},
		{"GET", "/events", "", nil, 400, "no topic", nil},
		{"GET", "/events?topic=", "", nil, 400, "is no pattern", nil},
		{"GET", "/events?topic=a%23", "", nil, 400, "is no pattern", nil},
		{"GET", "/events?topic=a&topic=%23/a", "", nil, 400, "is no pattern", nil},
		{"GET", "/events?topic=a&since=x", "", nil, 400, "is no offset", nil},
		{"GET", "/events?topic=a&since=-1", "", nil, 400, "is no offset", nil},
		{"GET", "/events?topic=a&since=18446744073709551616", "", nil, 400, "is no offset", nil},
		{"GET", "/events?topic=%zz", "", nil, 400, "the query is malformed", nil},
		{"GET", "/events?" + manyTopics(33), "", nil, 400, "more than 32 topics", nil},
		{"GET", "/ws?" + strings.Repeat("topic=a&", 257), "", nil, 426, "WebSocket", nil}, // one topic, said often
		{"GET", "/ws?topic=a", "", nil, 426, "WebSocket", []string{"Upgrade", "websocket"}},
		{"GET", "/events", "", nil, 400, "no topic", nil},
		{"GET", "/events?topic=a/%23/b", "", nil, 400, "is no pattern", nil},
		{"HEAD", "/events?topic=a", "", []string{auth, secret, "Last-Event-ID", "x"}, 200, "", nil},
		{"HEAD", "/events?topic=a", "", nil, 200, "", []string{"Content-Type", "text/event-stream"}},
		{"GET", "/nothing", "", nil, 404, "404 Not Found", nil},
		{"GET", "/page/index.html", "", nil, 404, "404 Not Found", nil},
		{"GET", "/shared/nothing.js", "", nil, 404, "404 Not Found", nil},
	}
	programtest.EachPoller(t, func(t *testing.T, poller string) {
		p := start(t, "-poller", poller)
		for _, tt := range tests {
			if tt.fields == nil && tt.method != "POST" {
				tt.fields = []string{auth, secret}
			}
			resp, text := p.ask(tt.method, tt.path, tt.body, tt.fields...)
			if resp.StatusCode != tt.status || !strings.Contains(text, tt.want) {
				t.Errorf("%s %.60s %v: %s %q, want %d with %q", tt.method, tt.path, tt.fields, resp.Status, text, tt.status, tt.want)
			}
			if tt.also != nil && resp.Header.Get(tt.also[0]) != tt.also[1] {
				t.Errorf("%s %.60s %v: %s is %q, want %q", tt.method, tt.path, tt.fields, tt.also[0], resp.Header.Get(tt.also[0]), tt.also[1])
			}
			if json := resp.Header.Get("Content-Type") == "application/json"; tt.status >= 400 && tt.status != 426 && !json {
				t.Errorf("%s %.60s: an error of type %s", tt.method, tt.path, resp.Header.Get("Content-Type"))
			}
		}
		if f := p.figures(); f.Hub.Published != 0 || f.Hub.Subscriptions != 0 {
			t.Errorf("something went through: %+v", f.Hub)
		}
	})
}

func manyTopics(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "topic=%d&", i)
	}
	return b.String()
}

// Everything but the page takes the token.
func TestNothingIsToldWithoutTheToken(t *testing.T) {
	programtest.EachPoller(t, func(t *testing.T, poller string) {
		p := start(t, "-poller", poller)
		resp, _ := p.ask("POST", "/login", "", "Authorization", "Bearer secret")
		cookies := resp.Cookies()
		if resp.StatusCode != 204 || len(cookies) != 1 || !cookies[0].HttpOnly || cookies[0].SameSite != http.SameSiteStrictMode ||
			strings.Contains(cookies[0].Value, "secret") {
			t.Fatalf("%s %v", resp.Status, cookies)
		}
		cookie := cookies[0].Name + "=" + cookies[0].Value
		other := start(t, "-token", "other")
		for _, path := range []string{"/stats", "/metrics", "/live?topic=a", "/hub?topic=a", "/ws?topic=a", "/events?topic=a", "/publish/a", "/login"} {
			method, allowed := "GET", 200
			switch path {
			case "/ws?topic=a":
				allowed = 426
			case "/events?topic=a", "/hub?topic=a", "/live?topic=a":
				method = "HEAD" // a stream has no end
			case "/publish/a":
				method = "POST"
			case "/login":
				method, allowed = "POST", 204
			}
			both := "?"
			if strings.Contains(path, "?") {
				both = "&"
			}
			for _, tt := range []struct {
				path   string
				fields []string
				status int
			}{
				{path, nil, 401},
				{path, []string{"Authorization", "Bearer other"}, 401},
				{path, []string{"Cookie", cookies[0].Name + "=x; a=" + cookies[0].Value}, 401},
				{path + both + "access_token=secret2", nil, 401},
				{path, []string{"Authorization", "Bearer x", "Cookie", cookie}, 401},
				{path, []string{"Authorization", "Bearer secret"}, allowed},
				{path, []string{"Cookie", cookies[0].Name + "=stale; " + cookie}, allowed},
				{path + both + "access_token=secret", nil, allowed},
			} {
				resp, text := p.ask(method, tt.path, "", tt.fields...)
				if resp.StatusCode != tt.status || tt.status == 401 && (resp.Header.Get("WWW-Authenticate") == "" || strings.Contains(text, "offset")) {
					t.Errorf("%s %s %q: %s %v %.100q, want %d", method, tt.path, tt.fields, resp.Status, resp.Header, text, tt.status)
				}
			}
			if resp, _ := other.ask(method, path, "", "Cookie", cookie); resp.StatusCode != 401 {
				t.Errorf("%s %s with the cookie of another server: %s", method, path, resp.Status)
			}
		}
		for cookie, want := range map[string]string{"": "false", cookie: "true"} {
			if _, text := p.ask("GET", "/login", "", "Cookie", cookie); text != `{"allowed":`+want+`,"host":"`+p.Addr+`"}` {
				t.Errorf("%q: %s", cookie, text)
			}
		}
	})
}

func TestAPageOfAnotherOriginIsNamed(t *testing.T) {
	p := start(t, "-origin", "https://app.example")
	for origin, want := range map[string]int{"http://evil.example": 403, "https://app.example": 200, "http://" + p.Addr: 200} {
		resp, text := p.ask("POST", "/publish/a", "x", "Authorization", "Bearer secret", "Origin", origin)
		if resp.StatusCode != want || want == 403 && (!strings.Contains(text, origin) || !strings.Contains(text, p.Addr)) {
			t.Errorf("%s: %s %q", origin, resp.Status, text)
		}
	}
	upgrade := func(origin string) (*http.Response, string) {
		return p.ask("GET", "/ws?topic=a", "", "Authorization", "Bearer secret", "Origin", origin, "Upgrade", "websocket",
			"Connection", "Upgrade", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
	}
	resp, text := upgrade("http://evil.example")
	if resp.StatusCode != 403 || !strings.Contains(text, "http://evil.example") || !strings.Contains(text, p.Addr) {
		t.Errorf("%s %q", resp.Status, text)
	}
	if err := p.Terminate(patience); err != nil {
		t.Error(err)
	}
	if said := p.Log(); !strings.Contains(said, "http://evil.example") || !strings.Contains(said, "-origin") {
		t.Errorf("it logged %q", said)
	}
}

// Strangers use nothing up of the rate of an address.
func TestTheRateCountsThoseWhoMayPublish(t *testing.T) {
	p := start(t, "-rate", "0.01")
	for range 5 {
		if resp, _ := p.ask("POST", "/publish/a", "x", "Authorization", "Bearer wrong"); resp.StatusCode != 401 {
			t.Errorf("%s", resp.Status)
		}
	}
	p.publish("a", "1")
}

func TestAnAddressThatPublishesTooOftenHasToWait(t *testing.T) {
	p := start(t, "-rate", "0.01")
	p.publish("a", "1")
	resp, text := p.ask("POST", "/publish/a", "2", "Authorization", "Bearer secret")
	if resp.StatusCode != 429 || resp.Header.Get("Retry-After") == "" || !strings.Contains(text, "429 Too Many Requests") {
		t.Errorf("%s %v %q", resp.Status, resp.Header, text)
	}
}

// Requests that come together are handled in one turn of the loop, and the hub distributes in the
// next one.
func TestAFullQueueIsAnsweredWith429(t *testing.T) {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := newServer(m, config{history: 10, limit: 1 << 20, policy: "oldest", rate: 1000, queue: 1})
	if err != nil {
		t.Fatal(err)
	}
	l, err := mghttp.Listen(m, "tcp://127.0.0.1:0", s.routes().Serve, listenerOptions)
	if err != nil {
		t.Fatal(err)
	}
	addr := l.LocalAddr().String()
	ended := make(chan error, 1)
	go func() { ended <- m.Run(context.Background()) }()
	t.Cleanup(func() {
		m.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	p := &served{Program: &programtest.Program{Addr: addr}, t: t}
	p.dial("topic=a")
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	const request = "POST /publish/a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx"
	io.WriteString(c, strings.Repeat(request, 3))
	in := bufio.NewReader(c)
	for i, want := range []int{200, 429, 429} {
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != want || want == 429 && (resp.Header.Get("Retry-After") != "1" || !strings.Contains(string(text), "too many messages wait")) {
			t.Errorf("request %d: %s %v %s", i, resp.Status, resp.Header, text)
		}
	}
	if f := p.figures(); f.Hub.Refused != 2 {
		t.Errorf("%d messages refused", f.Hub.Refused)
	}
}
