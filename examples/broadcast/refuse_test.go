package main

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
		{"POST", "/publish/a", "x", nil, 401, "publishing takes a token", []string{"WWW-Authenticate", `Bearer realm="publish"`}},
		{"POST", "/publish/a", "x", []string{auth, "Bearer secrex"}, 401, "the token is wrong", []string{"WWW-Authenticate", `Bearer realm="publish", error="invalid_token"`}},
		{"POST", "/publish/a", "x", []string{auth, "Bearer secret2"}, 401, "the token is wrong", nil},
		{"POST", "/publish/a", "x", []string{auth, "Basic c2VjcmV0OnNlY3JldA=="}, 401, "publishing takes a token", nil},
		{"POST", "/publish/a", "x", []string{auth, "Bearer"}, 401, "publishing takes a token", nil},
		{"POST", "/publish/a", long[1:], nil, 401, "publishing takes a token", nil}, // before the body
		{"POST", "/publish/", "x", []string{auth, secret}, 400, "is no topic", nil},
		{"POST", "/publish/a+b", "x", []string{auth, secret}, 400, "is no topic", nil},
		{"POST", "/publish/a/%23", "x", []string{auth, secret}, 400, "is no topic", nil},
		{"POST", "/publish/a%0Ab", "x", []string{auth, secret}, 400, "is no topic", nil},
		{"POST", "/publish/%FF", "x", []string{auth, secret}, 400, "is no topic", nil},
		{"POST", "/publish/" + strings.Repeat("a", 1025), "x", []string{auth, secret}, 400, "is no topic", nil},
		{"POST", "/publish/a", "\xff", []string{auth, secret}, 415, "not UTF-8", nil},
		{"POST", "/publish/a", long, []string{auth, secret}, 413, "413 Content Too Large", nil},
		{"POST", "/publish/a", "x", []string{auth, secret, "Sec-Fetch-Site", "cross-site"}, 403, "403 Forbidden", nil},
		{"GET", "/publish/a/b", "", nil, 405, "405 Method Not Allowed", []string{"Allow", "POST"}},
		{"PUT", "/publish/a", "x", []string{auth, secret}, 405, "405 Method Not Allowed", []string{"Allow", "POST"}},
		{"POST", "/ws?topic=a", "", nil, 405, "405 Method Not Allowed", []string{"Allow", "GET, HEAD"}},
		{"POST", "/stats", "", nil, 405, "405 Method Not Allowed", []string{"Allow", "GET, HEAD"}},
		{"GET", "/ws", "", nil, 400, "no topic", nil},
		{"GET", "/ws?topic=", "", nil, 400, "is no pattern", nil},
		{"GET", "/ws?topic=a%23", "", nil, 400, "is no pattern", nil},
		{"GET", "/ws?topic=a&topic=%23/a", "", nil, 400, "is no pattern", nil},
		{"GET", "/ws?topic=a&since=x", "", nil, 400, "is no offset", nil},
		{"GET", "/ws?topic=a&since=-1", "", nil, 400, "is no offset", nil},
		{"GET", "/ws?topic=a&since=18446744073709551616", "", nil, 400, "is no offset", nil},
		{"GET", "/ws?topic=%zz", "", nil, 400, "the query is malformed", nil},
		{"GET", "/ws?" + manyTopics(33), "", nil, 400, "more than 32 topics", nil},
		{"GET", "/ws?" + strings.Repeat("topic=a&", 257), "", nil, 426, "WebSocket", nil}, // one topic, said often
		{"GET", "/ws?topic=a", "", nil, 426, "WebSocket", []string{"Upgrade", "websocket"}},
		{"GET", "/events", "", nil, 400, "no topic", nil},
		{"GET", "/events?topic=a/%23/b", "", nil, 400, "is no pattern", nil},
		{"GET", "/events?topic=a", "", []string{"Last-Event-ID", "x"}, 400, "is no offset", nil},
		{"HEAD", "/events?topic=a", "", nil, 200, "", []string{"Content-Type", "text/event-stream"}},
		{"GET", "/nothing", "", nil, 404, "404 Not Found", nil},
		{"GET", "/page/index.html", "", nil, 404, "404 Not Found", nil},
		{"GET", "/shared/nothing.js", "", nil, 404, "404 Not Found", nil},
	}
	eachPoller(t, func(t *testing.T, poller string) {
		p := start(t, "-poller", poller)
		for _, tt := range tests {
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

func TestAnAddressThatPublishesTooOftenHasToWait(t *testing.T) {
	p := start(t, "-rate", "0.01")
	p.publish("a", "1")
	resp, text := p.ask("POST", "/publish/a", "2", "Authorization", "Bearer secret")
	if resp.StatusCode != 429 || resp.Header.Get("Retry-After") == "" || !strings.Contains(text, "429 Too Many Requests") {
		t.Errorf("%s %v %q", resp.Status, resp.Header, text)
	}
}

// Requests that come together are handled in one turn of the loop, and the hub distributes in the next one.
func TestAFullQueueIsAnsweredWith429(t *testing.T) {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := newServer(m, config{history: 10, limit: 1 << 20, policy: "oldest", rate: 1000, queue: 1})
	if err != nil {
		t.Fatal(err)
	}
	l, err := mghttp.Listen(m, "tcp://127.0.0.1:0", s.routes().Serve, options)
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
