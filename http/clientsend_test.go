package http

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// wantRequest wants exactly these bytes to have been sent. "\n" stands for CR LF.
func (tc *clientTest) wantRequest(want string) {
	tc.t.Helper()
	tc.WantSent(lineEnds(want))
}

func TestClientRequests(t *testing.T) {
	tc := newClientTest(t, ClientOptions{UserAgent: "test/1", Pipeline: 100})
	with := func(r ClientRequest, fields ...string) ClientRequest {
		for i := 0; i < len(fields); i += 2 {
			if err := r.AddHeader(fields[i], fields[i+1]); err != nil {
				t.Fatal(err)
			}
		}
		return r
	}
	const agent = "User-Agent: test/1\n"
	for _, c := range []struct {
		name string
		r    ClientRequest
		want string
	}{
		{"the URL of Connect", ClientRequest{}, "GET /base HTTP/1.1\nHost: h\n" + agent + "\n"},
		{"a path", ClientRequest{URL: "/x?y=z"}, "GET /x?y=z HTTP/1.1\nHost: h\n" + agent + "\n"},
		{"a URL", ClientRequest{URL: "http://H:80/x y#f"}, "GET /x%20y HTTP/1.1\nHost: H:80\n" + agent + "\n"},
		{"no path", ClientRequest{URL: "http://h?a"}, "GET /?a HTTP/1.1\nHost: h\n" + agent + "\n"},
		{"a host", ClientRequest{Host: "other:81"}, "GET /base HTTP/1.1\nHost: other:81\n" + agent + "\n"},
		{"a body", ClientRequest{Body: []byte("abc"), ContentType: "text/plain"},
			"POST /base HTTP/1.1\nHost: h\n" + agent + "Content-Length: 3\nContent-Type: text/plain\n\nabc"},
		{"an empty body", ClientRequest{Body: []byte{}}, "POST /base HTTP/1.1\nHost: h\n" + agent + "Content-Length: 0\n\n"},
		{"no body (RFC 9110 8.6)", ClientRequest{Method: "PUT"}, "PUT /base HTTP/1.1\nHost: h\n" + agent + "Content-Length: 0\n\n"},
		{"DELETE has none", ClientRequest{Method: "DELETE"}, "DELETE /base HTTP/1.1\nHost: h\n" + agent + "\n"},
		{"fields", with(ClientRequest{}, "A", "b", "User-Agent", "mine", "A", "c"), "GET /base HTTP/1.1\nHost: h\nA: b\nUser-Agent: mine\nA: c\n\n"},
		{"an upgrade", with(ClientRequest{}, "Upgrade", "x"), "GET /base HTTP/1.1\nHost: h\n" + agent + "Upgrade: x\nConnection: Upgrade\n\n"},
		{"a source of known length", ClientRequest{Source: &bodyPieces{list: []string{"ab", "c"}}, Length: 3},
			"POST /base HTTP/1.1\nHost: h\n" + agent + "Content-Length: 3\n\nabc"},
		{"a source", ClientRequest{Source: &bodyPieces{list: []string{"ab", strings.Repeat("c", 17)}}},
			"POST /base HTTP/1.1\nHost: h\n" + agent + "Transfer-Encoding: chunked\n\n2\nab\n11\n" + strings.Repeat("c", 17) + "\n0\n\n"},
	} {
		if err := Send(tc.c, &c.r); err != nil {
			t.Fatal(c.name, err)
		}
		tc.Turn()
		tc.wantRequest(c.want)
	}
	var r ClientRequest
	if r.SetBasicAuth("a", "b:c") != nil || string(r.lines) != "Authorization: Basic YTpiOmM=\r\n" {
		t.Errorf("%q", r.lines)
	}
	if r.SetBearerAuth("abc") != nil || string(r.lines) != "Authorization: Bearer abc\r\n" {
		t.Errorf("%q", r.lines)
	}
	if r.SetBasicAuth("a:b", "c") != ErrBadHeader {
		t.Error("a user with a colon")
	}
}

// A request that would be read as something else is not sent (splitting, smuggling).
func TestClientRequestsThatAreRefused(t *testing.T) {
	var r ClientRequest
	for _, f := range [][2]string{{"A", "b\r\nC: d"}, {"A\r\nB", "c"}, {"A", "b\nC"}, {"A", "b\x00"}, {"", "x"}, {"A:", "b"}, {"A ", "b"},
		{"Content-Length", "3"}, {"transfer-encoding", "chunked"}, {"Host", "x"}, {"Expect", "100-continue"}, {"TE", "gzip"}, {"Connection", "x"}} {
		if r.SetHeader(f[0], f[1]) != ErrBadHeader || r.AddHeader(f[0], f[1]) != ErrBadHeader {
			t.Errorf("%q is taken", f)
		}
	}
	if len(r.lines) > 0 {
		t.Errorf("%q", r.lines)
	}
	dir := t.TempDir()
	file, err := os.Create(filepath.Join(dir, "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	directory, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer directory.Close()
	for name, r := range map[string]ClientRequest{
		"method":                {Method: "GET / HTTP/1.1\r\nA:"},
		"CONNECT":               {Method: "CONNECT"},
		"line end in a path":    {URL: "/a\r\nB: c"},
		"control in a path":     {URL: "/a\x7f"},
		"another host":          {URL: "http://other/"},
		"another port":          {URL: "http://h:81/"},
		"another scheme":        {URL: "https://h/"},
		"user":                  {URL: "http://u:p@h/"},
		"a path of another":     {URL: "//other/x"},
		"no URL":                {URL: "x"},
		"Host":                  {Host: "a\r\nb"},
		"Host with a path":      {Host: "a/b"},
		"type":                  {ContentType: "a\r\nB: c"},
		"two bodies":            {Body: []byte("x"), File: file},
		"offset past the end":   {File: file, Offset: 1},
		"length past the end":   {File: file, Length: 1},
		"a directory as a file": {File: directory},
	} {
		tc := newClientTest(t, ClientOptions{})
		src := &bodyPieces{}
		err := Send(tc.c, &r)
		if !errors.Is(err, ErrBadRequest) {
			t.Errorf("%s: %v", name, err)
		}
		tc.Turn()
		tc.WantSent("")
		if r.File == nil && r.Body == nil {
			r.Source = src
			if err := Send(tc.c, &r); !errors.Is(err, ErrBadRequest) || src.closed != 1 {
				t.Errorf("%s: %v, and the source was closed %d times", name, err, src.closed)
			}
		}
	}
}

// bodyPieces is a Source of strings; an empty one is a time without bytes, until the test takes it
// away.
type bodyPieces struct {
	list   []string
	wake   func() error
	closed int
	err    error // at the end; default io.EOF
}

func (p *bodyPieces) Next(room int, wake func() error) ([]byte, error) {
	p.wake = wake
	if len(p.list) == 0 {
		if p.err != nil {
			return nil, p.err
		}
		return nil, io.EOF
	}
	s := p.list[0]
	if len(s) > room {
		p.list[0] = s[room:]
		return []byte(s[:room]), nil
	}
	if s == "" {
		return nil, ErrWait
	}
	p.list = p.list[1:]
	return []byte(s), nil
}

func (p *bodyPieces) Close() { p.closed++ }

// One request at a time, unless Pipeline says otherwise; responses keep the order.
func TestClientPipeline(t *testing.T) {
	const one, two, three = "GET /1 HTTP/1.1\nHost: h\n\n", "GET /2 HTTP/1.1\nHost: h\n\n", "GET /3 HTTP/1.1\nHost: h\n\n"
	response := func(body string) string { return lineEnds("HTTP/1.1 200 OK\nContent-Length: 1\n\n" + body) }
	for pipeline, sent := range [][]string{1: {one, two, three}, 2: {one + two, three, ""}, 3: {one + two + three, "", ""}} {
		if pipeline == 0 {
			continue
		}
		tc := newClientTest(t, ClientOptions{Pipeline: pipeline})
		for _, path := range []string{"/1", "/2", "/3"} {
			if err := Send(tc.c, &ClientRequest{URL: path}); err != nil {
				t.Fatal(err)
			}
		}
		tc.Turn()
		tc.wantRequest(sent[0])
		tc.Send(response("a"))
		tc.want("head", `body="a"`)
		tc.wantRequest(sent[1])
		tc.Send(response("b"))
		tc.want("head", `body="b"`)
		tc.wantRequest(sent[2])
		tc.Send(response("c"))
		tc.want("head", `body="c"`)
		tc.WantOpen()
	}
}

// A body goes out as the server takes it: it neither fills the queue nor keeps the client from
// reading the response.
func TestClientBodyIsPumped(t *testing.T) {
	body := strings.Repeat("0123456789", 100_000)
	path := filepath.Join(t.TempDir(), "body")
	if err := os.WriteFile(path, []byte("xx"+body+"yy"), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for name, r := range map[string]ClientRequest{
		"bytes":  {Body: []byte(body)},
		"file":   {File: file, Offset: 2, Length: int64(len(body))},
		"source": {Source: &bodyPieces{list: []string{body}}, Length: int64(len(body))},
	} {
		tc := newClientTest(t, ClientOptions{})
		tc.Wire.Room = 0
		if err := Send(tc.c, &r); err != nil {
			t.Fatal(err)
		}
		got := ""
		for range 100 {
			if tc.Turn()&conn.In == 0 {
				t.Fatalf("%s: the client does not read while it sends", name)
			}
			if n := tc.c.Pending(); n > 64<<10 {
				t.Fatalf("%s: %d bytes are queued", name, n)
			}
			tc.Room(11_000)
			got += tc.Sent()
		}
		_, sent, _ := strings.Cut(got, "\r\n\r\n")
		if sent != body {
			t.Fatalf("%s: %d bytes were sent, want %d", name, len(sent), len(body))
		}
		tc.Send(lineEnds("HTTP/1.1 200 OK\nContent-Length: 0\n\n"))
		tc.want("head", "response 200")
		tc.WantOpen()

		// The response comes first (RFC 9112 9.5): the rest is not sent, and the connection closes.
		tc = newClientTest(t, ClientOptions{})
		tc.Wire.Room = 50_000
		src := &bodyPieces{list: []string{body}}
		if r.Source != nil {
			r.Source = src
		}
		if err := Send(tc.c, &r); err != nil {
			t.Fatal(err)
		}
		tc.Turn()
		tc.Send(lineEnds("HTTP/1.1 413 Too Large\nContent-Length: 1\n\na"))
		tc.want("head", `response 413 body="a"`)
		tc.WantClosed(conn.Local)
		if r.Source != nil && src.closed != 1 {
			t.Errorf("the source was closed %d times", src.closed)
		}
	}
}

// A Source that has nothing at the moment is asked again when it wakes the loop; one that fails, or
// lies about its length, cuts the request.
func TestClientSource(t *testing.T) {
	src := &bodyPieces{list: []string{"ab", "", "c"}}
	tc := newClientTest(t, ClientOptions{StallTimeout: time.Second})
	tc.request(ClientRequest{Source: src})
	tc.wantRequest("POST /base HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n\n2\nab\n")
	tc.Sleep(500 * time.Millisecond)
	src.list = src.list[1:]
	src.wake()
	tc.Turn()
	tc.wantRequest("1\nc\n0\n\n")
	if src.closed != 1 {
		t.Errorf("the source was closed %d times", src.closed)
	}
	src.wake() // too late, and harmless
	tc.Turn()

	// The head of the response may come before the end of the body, such as that of an echo: both go on.
	src = &bodyPieces{list: []string{"ab", "", "c"}}
	tc = newClientTest(t, ClientOptions{})
	tc.stream = true
	tc.request(ClientRequest{Source: src})
	tc.wantRequest("POST /base HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n\n2\nab\n")
	tc.Send(lineEnds("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2\nab\n"))
	src.list = src.list[1:]
	src.wake()
	tc.Turn()
	tc.wantRequest("1\nc\n0\n\n")
	tc.Send(lineEnds("1\nc\n0\n\n"))
	tc.WantOpen()

	broken := errors.New("broken")
	for name, c := range map[string]struct {
		r    ClientRequest
		want error
	}{
		"fails":     {ClientRequest{Source: &bodyPieces{list: []string{"a"}, err: broken}}, broken},
		"too long":  {ClientRequest{Source: &bodyPieces{list: []string{"abc"}}, Length: 2}, nil},
		"too short": {ClientRequest{Source: &bodyPieces{list: []string{"abc"}}, Length: 4}, errSourceLength},
	} {
		tc := newClientTest(t, ClientOptions{})
		tc.request(c.r)
		if c.want == nil { // it is asked for no more
			tc.WantOpen()
			continue
		}
		tc.wantError(c.want)
		if n := c.r.Source.(*bodyPieces).closed; n != 1 {
			t.Errorf("%s: the source was closed %d times", name, n)
		}
	}
}

// RFC 9110 10.1.1.
func TestClientExpect(t *testing.T) {
	const head = "POST /base HTTP/1.1\nHost: h\nContent-Length: 3\nExpect: 100-continue\n\n"
	begin := func(o ClientOptions) *clientTest {
		tc := newClientTest(t, o)
		tc.request(ClientRequest{Body: []byte("abc"), Expect: true})
		tc.wantRequest(head)
		return tc
	}
	tc := begin(ClientOptions{})
	tc.Send(lineEnds("HTTP/1.1 100 Continue\n\n"))
	tc.wantRequest("abc")
	tc.Send(lineEnds("HTTP/1.1 200 OK\nContent-Length: 0\n\n"))
	tc.want("head", "response 200")
	tc.WantOpen()

	tc = begin(ClientOptions{ContinueTimeout: time.Second}) // the server says nothing
	tc.Sleep(900 * time.Millisecond)
	tc.wantRequest("")
	tc.Sleep(300 * time.Millisecond)
	tc.wantRequest("abc")
	tc.Send(lineEnds("HTTP/1.1 100 Continue\n\nHTTP/1.1 200 OK\nContent-Length: 0\n\n")) // late
	tc.want("head", "response 200")
	tc.WantOpen()

	tc = begin(ClientOptions{}) // the server does not want it: nobody knows whether a body follows
	tc.Send(lineEnds("HTTP/1.1 401 No\nContent-Length: 0\n\n"))
	tc.want("head", "response 401")
	tc.wantRequest("")
	tc.WantClosed(conn.Local)
}

// Each limit on time has its own error. Pauses do not count.
func TestClientTimeouts(t *testing.T) {
	o := ClientOptions{FirstByteTimeout: 2 * time.Second, StallTimeout: 3 * time.Second, Timeout: 20 * time.Second}
	begin := func() *clientTest {
		tc := newClientTest(t, o)
		tc.stream = true
		tc.request(ClientRequest{})
		return tc
	}
	over := func(tc *clientTest, d time.Duration, why error) {
		t.Helper()
		tc.Sleep(d - 200*time.Millisecond)
		tc.WantOpen()
		tc.Sleep(400 * time.Millisecond)
		tc.wantError(why)
		tc.WantClosed(conn.DeadlineOver)
	}
	over(begin(), 2*time.Second, ErrFirstByteTimeout)

	tc := begin()
	tc.Send("H")
	over(tc, 3*time.Second, ErrStallTimeout)

	tc = begin()
	tc.Send(lineEnds("HTTP/1.1 200 OK\nContent-Length: 3\n\na"))
	tc.Sleep(2 * time.Second)
	tc.Send("b")
	over(tc, 3*time.Second, ErrStallTimeout)

	tc = begin()
	tc.Send(lineEnds("HTTP/1.1 200 OK\n\n"))
	for range 18 {
		tc.Sleep(time.Second)
		tc.Send("a")
	}
	over(tc, 2*time.Second, ErrTimeout)

	tc = begin()
	tc.Send(lineEnds("HTTP/1.1 200 OK\nContent-Length: 3\n\na"))
	tc.c.Pause()
	tc.Sleep(10 * time.Second)
	tc.c.Resume()
	tc.Turn()
	over(tc, 3*time.Second, ErrStallTimeout)

	tc = begin() // no request is under way
	tc.Send(lineEnds("HTTP/1.1 200 OK\nContent-Length: 0\n\n"))
	tc.Sleep(time.Minute)
	tc.WantOpen()

	tc = newClientTest(t, o) // the request cannot be sent
	tc.Wire.Room = 0
	tc.request(ClientRequest{Body: make([]byte, 1<<20)})
	over(tc, 3*time.Second, ErrStallTimeout)
}

// Back-pressure: while the connection is paused no Chunk comes, and the kernel keeps the rest.
func TestClientPausesAStream(t *testing.T) {
	tc := newClientTest(t, ClientOptions{})
	tc.stream = true
	tc.on = func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*Chunk); ok {
			c.Pause()
		}
	}
	tc.request(ClientRequest{})
	tc.Send(lineEnds("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n1\na\n1\nb\n"), "1\r\nc\r\n0\r\n\r\n")
	tc.want("head", "chunks a")
	if tc.Wire.Unread() == 0 {
		t.Error("the paused client goes on reading")
	}
	for _, want := range []string{"chunks b", "chunks c", "streamed  trailers="} {
		tc.c.Resume()
		tc.Turn()
		tc.want(want)
	}
}

// After 101 the connection speaks another protocol.
func TestClientDetach(t *testing.T) {
	for _, pieces := range cuts(lineEnds("HTTP/1.1 101 Switching Protocols\nUpgrade: x\n\nhello")) {
		tc := newClientTest(t, ClientOptions{})
		tc.detach = true
		got := ""
		tc.on = func(c *conn.Conn, ev conn.Event) {
			if _, ok := ev.(*conn.Read); ok && clientOf(c) == nil {
				got += string(c.Recv.Bytes())
				c.Recv.Discard(c.Recv.Len())
			}
		}
		var r ClientRequest
		r.SetHeader("Upgrade", "x")
		tc.request(r)
		tc.Send(pieces...)
		tc.want("head 1.1 101")
		if got != "hello" {
			t.Fatalf("split as %q: %q", pieces, got)
		}
		tc.Sleep(5 * time.Minute)
		tc.WantOpen()
		if err := Detach(tc.c); err != ErrNoResponseHead {
			t.Fatal(err)
		}
	}
	tc := newClientTest(t, ClientOptions{}) // but only on request
	tc.request(ClientRequest{})
	tc.Send(lineEnds("HTTP/1.1 200 OK\nContent-Length: 0\n\n"))
	if Detach(tc.c) != ErrNoResponseHead || StreamResponse(tc.c) != ErrNoResponseHead {
		t.Error("outside of a ResponseHead")
	}
}

// The events of a request are those of its connection, too; a request without Events is none the
// wiser, and the program's handler hears of each once.
func TestClientEventsOfTheConnection(t *testing.T) {
	tc := newClientTest(t, ClientOptions{})
	var got []string
	note := func(_ *conn.Conn, ev conn.Event) { got = append(got, ev.EventName()) }
	tc.request(ClientRequest{})
	tc.request(ClientRequest{Events: note})
	tc.Shutdown()
	tc.Fail(unix.ECONNRESET)
	tc.WantClosed(conn.Reset)
	if want := []string{"conn.Shutdown", "conn.Error"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	tc.want("error reset by the peer")
}

// Connect to what cannot be is an error, and no connection.
func TestConnectOnAClosedManager(t *testing.T) {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		t.Fatal(err)
	}
	m.Close()
	if c, err := Connect(m, "http://127.0.0.1:1/", nil); c != nil || !errors.Is(err, mgr.ErrClosed) || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("%v, %v", c, err)
	}
}

func TestClientConnectionFails(t *testing.T) {
	tc := newClientTest(t, ClientOptions{})
	tc.request(ClientRequest{})
	tc.Fail(unix.ECONNRESET)
	tc.WantClosed(conn.Reset)

	tc = newClientTest(t, ClientOptions{})
	src := &bodyPieces{list: []string{"a", ""}}
	tc.request(ClientRequest{Source: src})
	tc.Fail(unix.ECONNRESET)
	if src.closed != 1 {
		t.Errorf("the source was closed %d times", src.closed)
	}
}

// Shutdown: the request that has begun is finished.
func TestClientShutdown(t *testing.T) {
	tc := newClientTest(t, ClientOptions{})
	tc.Shutdown()
	tc.WantClosed(conn.ShuttingDown)

	tc = newClientTest(t, ClientOptions{})
	tc.request(ClientRequest{})
	tc.Shutdown()
	tc.WantOpen()
	if err := Send(tc.c, &ClientRequest{}); err != conn.ErrClosed {
		t.Errorf("Send: %v", err)
	}
	tc.Send(lineEnds("HTTP/1.1 200 OK\nContent-Length: 1\n\na"))
	tc.want("head", `body="a"`)
	tc.WantClosed(conn.ShuttingDown)
}

// A connection in steady state allocates nothing.
func TestClientAllocatesNothing(t *testing.T) {
	tc := newClientTest(t, ClientOptions{})
	tc.quiet, tc.Wire.Forget = true, true
	in := []byte(lineEnds("HTTP/1.1 200 OK\nServer: x\nContent-Type: text/plain\nContent-Length: 13\n\nHello, World!"))
	r := ClientRequest{URL: "http://h/plaintext"}
	if n := testing.AllocsPerRun(200, func() {
		if err := Send(tc.c, &r); err != nil {
			t.Fatal(err)
		}
		tc.Turn()
		tc.Wire.Arrive(in, nil)
		tc.Turn()
	}); n > 1 { // that of Arrive
		t.Errorf("%v allocations", n)
	}
	if tc.k.served < 200 {
		t.Errorf("%d responses", tc.k.served)
	}
}
