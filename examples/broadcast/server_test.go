package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/examples/internal/programtest"
	"github.com/seed4930a636/mangusta/examples/internal/web/webtest"
	mghttp "github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
)

func TestAMessageReachesAllSubscribersOnce(t *testing.T) {
	eachPoller(t, func(t *testing.T, poller string) {
		p := start(t, "-poller", poller)
		all, one := p.dial("topic=%23"), p.dial("topic=a/b")
		both := p.dial("topic=a/%2B&topic=a/b&topic=%23&topic=%23")
		r := p.publish("a/b", `{"n": [1, 2]}`)
		if r.Topic != "a/b" || r.Subscribers != 5 {
			t.Errorf("receipt %+v", r)
		}
		if next := p.publish("a/c%2Fd", "text"); next != (receipt{"a/c/d", r.Offset + 1, 2}) {
			t.Errorf("receipt %+v behind %+v", next, r)
		}
		p.publish("empty", "")
		p.publish("a/b", `3`)
		for _, s := range []*socket{all, both} {
			s.want(`a/b {"n": [1, 2]}`, `a/c/d "text"`, `empty ""`, `a/b 3`)
		}
		one.want(`a/b {"n": [1, 2]}`, `a/b 3`)
	})
}

func TestDataIsJSONWhereTheBodyWasAndElseAString(t *testing.T) {
	for body, want := range map[string]string{
		`{"a":1}`: `{"a":1}`, "[]": "[]", "1e3": "1e3", "null": "null", ` true `: ` true `, `"x"`: `"x"`,
		"": `""`, "NaN": `"NaN"`, "{": `"{"`, "1 2": `"1 2"`, "a\"\\\n\x00é😀": `"a\"\\\n\u0000é😀"`,
	} {
		op, b := encode(nil, &broadcast.Message{Topic: `t"`, Offset: 7, Data: []byte(body)})
		if text := `{"topic":"t\"","offset":7,"data":` + want + `}`; string(b) != text || op.String() != "text" || !json.Valid(b) {
			t.Errorf("%q: %v %s, want %s", body, op, b, text)
		}
	}
}

func TestASubscriberGoesOnFromItsOffset(t *testing.T) {
	eachPoller(t, func(t *testing.T, poller string) {
		p := start(t, "-poller", poller, "-history", "3")
		first := p.publish("a", "0")
		for i := 1; i < 3; i++ {
			p.publish("a", fmt.Sprint(i))
		}
		since := fmt.Sprintf("topic=a&since=%d", first.Offset)
		s := p.dial(since)
		s.want("a 1", "a 2")
		p.publish("a", "3")
		s.want("a 3")
		p.publish("a", "4")
		p.publish("a", "5")
		p.dial(since).want("missed 2", "a 3", "a 4", "a 5")
		p.dial("topic=a&since=0").want("a 3", "a 4", "a 5") // it missed nothing: it had not been there
		p.dial("topic=a&since=12345").want("reset", "a 3", "a 4", "a 5")
		p.dial(fmt.Sprintf("topic=%%23&since=%d", first.Offset+5))
		fresh := p.dial("topic=a")
		p.publish("a", "6")
		fresh.want("a 6")
	})
}

// stream is what curl prints of /events.
type stream struct {
	t *testing.T
	*bufio.Scanner
}

func (p *served) follow(path string, fields ...string) *stream {
	p.t.Helper()
	var args []string
	for _, f := range fields {
		args = append(args, "-H", f)
	}
	cmd := curlCommand(p.t, append(args, p.url(path))...)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return &stream{p.t, bufio.NewScanner(out)}
}

// want reads lines and compares them.
func (s *stream) want(lines ...string) {
	s.t.Helper()
	for _, want := range lines {
		if !s.Scan() || s.Text() != want {
			s.t.Fatalf("got %q %v, want %q of %q", s.Text(), s.Err(), want, lines)
		}
	}
}

func TestCurlFollowsEvents(t *testing.T) {
	eachPoller(t, func(t *testing.T, poller string) {
		p := start(t, "-poller", poller, "-history", "2")
		id := func(offset uint64) string { return fmt.Sprintf("id: %d", offset) }
		first := p.publish("a/b", "old")
		e := p.follow("/events?topic=a/%2B&topic=c")
		e.want(id(first.Offset), "") // no event: what an EventSource comes back with before it has got one
		p.publish("d", "not asked for")
		n := p.publish("a/b", "two\nlines").Offset
		e.want(id(n), "event: a/b", "data: two", "data: lines", "")
		c := p.publish("c", `{"x": 1}`).Offset
		e.want(id(c), "event: c", `data: {"x": 1}`, "")

		// Last-Event-ID is newer than what the URL says.
		back := p.follow("/events?topic=a/b&since=1", fmt.Sprintf("Last-Event-ID: %d", first.Offset))
		back.want(id(first.Offset), "", id(first.Offset+2), "event: a/b", "data: two", "data: lines", "")
		for i := range 3 {
			n = p.publish("a/b", fmt.Sprint(i)).Offset
		}
		late := p.follow(fmt.Sprintf("/events?topic=a/b&since=%d", c))
		late.want(id(c), "", "event: missed", `data: {"missed":1}`, "", id(n-1), "event: a/b", "data: 1", "", id(n))
	})
}

func TestCurlPublishes(t *testing.T) {
	p := start(t)
	s := p.dial("topic=%23")
	var r receipt
	text := curl(t, "-H", "Authorization: Bearer secret", "--data", `{"celsius": 21.5}`, p.url("/publish/sensors/kitchen"))
	if err := json.Unmarshal([]byte(text), &r); err != nil || r.Topic != "sensors/kitchen" || r.Subscribers != 1 {
		t.Errorf("%s %v", text, err)
	}
	s.want(`sensors/kitchen {"celsius": 21.5}`)
}

// stall opens a WebSocket that does not read, and publishes until the server has noticed it: done says so.
func stall(t *testing.T, p *served, done func(Figures) bool) (s *socket, published int) {
	t.Helper()
	s = p.dial("topic=big")
	body := strings.Repeat("x", 500_000)
	p.until("a slow subscriber", func(f Figures) bool {
		if done(f) {
			return true
		}
		published++
		p.publish("big", fmt.Sprintf(`[%d, "%s"]`, published, body))
		return false
	})
	return s, published
}

// read reads the numbers of messages up to last, and how many are said to be missed.
func (s *socket) read(last int) (numbers []int, missed int) {
	s.t.Helper()
	for len(numbers) == 0 || numbers[len(numbers)-1] != last {
		m := s.next()
		missed += int(m.Missed)
		if m.Topic != "" {
			var data []any
			if err := json.Unmarshal(m.Data, &data); err != nil {
				s.t.Fatal(err)
			}
			numbers = append(numbers, int(data[0].(float64)))
		}
	}
	return numbers, missed
}

func TestASlowSubscriberMissesMessagesAndIsTold(t *testing.T) {
	for _, policy := range []string{"skip", "oldest", "latest"} {
		t.Run(policy, func(t *testing.T) {
			p := start(t, "-policy", policy, "-limit", "1200000")
			s, published := stall(t, p, func(f Figures) bool { return f.Hub.Skipped >= 5 })
			f := p.figures()
			x := f.Subscribers[0]
			if !x.Slow || x.Waiting == 0 || x.WaitingBytes > 1_200_000 || x.Skipped != f.Hub.Skipped || f.Connections.Slow != 1 ||
				!slices.Equal(x.Patterns, []string{"big"}) || x.Kind != "websocket" {
				t.Errorf("the slow subscriber is %+v of %+v", x, f.Connections)
			}
			if topic := f.Topics[0]; topic.Name != "big" || topic.Skipped != f.Hub.Skipped || topic.Subscribers != 1 {
				t.Errorf("the topic is %+v", topic)
			}
			last := published
			if policy == "skip" {
				// The newest ones have been skipped; one that comes when there is room again brings the word of it.
				done := make(chan bool)
				go func() { // reads until everything waiting has come
					defer close(done)
					s.read(int(x.Delivered) + x.Waiting)
				}()
				<-done
				last++
				p.publish("big", fmt.Sprintf("[%d]", last))
				numbers, missed := s.read(last)
				if len(numbers) != 1 || missed != int(f.Hub.Skipped) {
					t.Errorf("got %v and %d missed, want %d alone and %d", numbers, missed, last, f.Hub.Skipped)
				}
				return
			}
			numbers, missed := s.read(last)
			if !slices.IsSorted(numbers) || len(numbers)+missed != published || missed != int(f.Hub.Skipped) {
				t.Errorf("got %d in order %v, %d missed, of %d published, %d skipped", len(numbers), slices.IsSorted(numbers), missed, published, f.Hub.Skipped)
			}
		})
	}
}

func TestThePolicyCloseEndsASlowSubscriberWith1013(t *testing.T) {
	p := start(t, "-policy", "close", "-limit", "1000000")
	s, _ := stall(t, p, func(f Figures) bool { return f.Hub.Disconnected > 0 })
	last := uint64(0)
	for {
		_, text, err := s.ReadMessage()
		if err != nil {
			if !websocket.IsCloseError(err, websocket.CloseTryAgainLater) {
				t.Errorf("the end is %v, want 1013", err)
			}
			break
		}
		var m message
		json.Unmarshal(text, &m)
		last = m.Offset
	}
	// It may come back, and goes on from where it was.
	if m := p.dial(fmt.Sprintf("topic=big&since=%d", last)).next(); m.Offset != last+1 {
		t.Errorf("went on with offset %d behind %d", m.Offset, last)
	}
}

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
		{"GET", "/ws?" + strings.Repeat("topic=a&", 10) + manyTopics(257), "", nil, 400, "more than 256 topics", nil},
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

func TestASubscriberThatTalksIsToldHowToPublish(t *testing.T) {
	s := start(t).dial("topic=a")
	if err := s.WriteMessage(websocket.TextMessage, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	_, _, err := s.ReadMessage()
	if !websocket.IsCloseError(err, websocket.CloseUnsupportedData) || !strings.Contains(err.Error(), "POST /publish/{topic}") {
		t.Errorf("the end is %v", err)
	}
}

func TestWithoutATokenEverybodyMayPublishAndTheProgramSaysSo(t *testing.T) {
	const notice = "everybody who reaches this address may publish"
	p := start(t, "-token", "")
	if !strings.Contains(p.Said, notice) {
		t.Errorf("it said %q", p.Said)
	}
	if resp, text := p.ask("POST", "/publish/a", "x"); resp.StatusCode != 200 {
		t.Errorf("%s %s", resp.Status, text)
	}
	if p := start(t); strings.Contains(p.Said, notice) {
		t.Errorf("with a token it said %q", p.Said)
	}
}

func TestMetricsAreWhatPrometheusReads(t *testing.T) {
	eachPoller(t, func(t *testing.T, poller string) {
		p := start(t, "-poller", poller)
		s := p.dial("topic=%23")
		for range 5 {
			p.publish("a", "12345678")
			s.next()
		}
		resp, text := p.ask("GET", "/metrics", "")
		if kind := resp.Header.Get("Content-Type"); !strings.HasPrefix(kind, "text/plain; version=0.0.4") {
			t.Errorf("Content-Type %q", kind)
		}
		parser := expfmt.NewTextParser(model.UTF8Validation)
		families, err := parser.TextToMetricFamilies(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]float64{"broadcast_published_total": 5, "broadcast_delivered_total": 5,
			"broadcast_delivered_bytes_total": 40, "broadcast_subscriptions": 1, "broadcast_topics": 1, "broadcast_history_messages": 5} {
			f := families[name]
			if f == nil || len(f.Metric) != 1 || f.Metric[0].GetCounter().GetValue()+f.Metric[0].GetGauge().GetValue() != want || f.GetHelp() == "" {
				t.Errorf("%s is %v, want %v", name, f, want)
			}
		}
		if f := families["broadcast_connections"]; f == nil || len(f.Metric) != 2 || f.Metric[1].GetGauge().GetValue() != 1 {
			t.Errorf("broadcast_connections is %v", f)
		}
		for _, name := range []string{"loop_turns_total", "go_goroutines", "process_resident_memory_bytes"} {
			if families[name] == nil {
				t.Errorf("there is no %s", name)
			}
		}
	})
}

func TestTheEndIsGraceful(t *testing.T) {
	eachPoller(t, func(t *testing.T, poller string) {
		p := start(t, "-poller", poller)
		s := p.dial("topic=%23")
		resp, err := http.Get(p.url("/events?topic=%23"))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		ended := make(chan error, 2)
		go func() {
			_, _, err := s.ReadMessage() // answers the Close frame
			ended <- err
		}()
		go func() {
			_, err := io.Copy(io.Discard, resp.Body)
			ended <- err
		}()
		if err := p.Terminate(5 * time.Second); err != nil {
			t.Errorf("ended with %v", err)
		}
		for range 2 {
			if err := <-ended; err != nil && !websocket.IsCloseError(err, websocket.CloseGoingAway) {
				t.Errorf("a subscriber's end is %v", err)
			}
		}
	})
}

func TestWrongSettings(t *testing.T) {
	good := config{history: 0, limit: 1, policy: "skip", rate: 0.5}
	if err := good.check(); err != nil {
		t.Error(err)
	}
	for want, change := range map[string]func(*config){
		`policy "drop" is none of`: func(c *config) { c.policy = "drop" },
		"a history of -1 messages": func(c *config) { c.history = -1 },
		"a limit of 0 bytes":       func(c *config) { c.limit = 0 },
		"a rate of 0 messages":     func(c *config) { c.rate = 0 },
	} {
		bad := good
		change(&bad)
		if err := bad.check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestThePageKeepsItsOwnPolicy(t *testing.T) { webtest.WantStrict(t, embedded, "page") }
