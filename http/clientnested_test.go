package http

import (
	"fmt"
	"io"
	stdhttp "net/http"
	"net/http/httptest"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
)

// funcSource is a Source of functions.
type funcSource struct {
	next  func() ([]byte, error)
	close func()
}

func (s *funcSource) Next(int, func() error) ([]byte, error) { return s.next() }

func (s *funcSource) Close() {
	if s.close != nil {
		s.close()
	}
}

// A Source may send another request, in Next and in Close: that goes after the whole of its own,
// and neither machine loses its place.
func TestClientSendsInsideSource(t *testing.T) {
	const other = "GET /other HTTP/1.1\nHost: h\n\n"
	for name, pipeline := range map[string]int{"one at a time": 1, "pipelined": 3} {
		t.Run(name, func(t *testing.T) {
			tc := newClientTest(t, ClientOptions{Pipeline: pipeline})
			pieces := []string{"a", "b", "c"}
			sends := func() {
				if err := Send(tc.c, &ClientRequest{URL: "/other"}); err != nil {
					t.Error(err)
				}
			}
			src := &funcSource{close: sends}
			src.next = func() ([]byte, error) {
				if len(pieces) == 0 {
					return nil, io.EOF
				}
				p := pieces[0]
				pieces = pieces[1:]
				if p == "b" {
					sends()
				}
				return []byte(p), nil
			}
			tc.request(ClientRequest{Source: src})
			want := "POST /base HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n\n1\na\n1\nb\n1\nc\n0\n\n"
			if pipeline > 1 {
				want += other + other
			}
			tc.wantRequest(want)
			for range 3 {
				tc.Send(lineEnds("HTTP/1.1 200 OK\nContent-Length: 0\n\n"))
			}
			if pipeline == 1 {
				tc.wantRequest(other + other)
			}
			tc.want("head", `body=""`, "head", `body=""`, "head", `body=""`)
			tc.WantOpen()
		})
	}
}

// After a response that is the last one by its Connection field, or by that of its request, the
// requests that wait are not waited for.
func TestClientLastResponse(t *testing.T) {
	for name, c := range map[string]struct {
		pipeline int
		close    bool // the first request says close
		response string
	}{
		"the server's":                {1, false, "HTTP/1.1 200 OK\nConnection: close\nContent-Length: 1\n\na"},
		"the server's, pipelined":     {2, false, "HTTP/1.1 200 OK\nConnection: close\nContent-Length: 1\n\na"},
		"the server's, with more":     {2, false, "HTTP/1.1 200 OK\nConnection: close\nContent-Length: 1\n\naHTTP/1.1 200 OK\nContent-Length: 1\n\nb"},
		"HTTP/1.0":                    {2, false, "HTTP/1.0 200 OK\nContent-Length: 1\n\na"},
		"the client's, before others": {1, true, "HTTP/1.1 200 OK\nContent-Length: 1\n\na"},
	} {
		t.Run(name, func(t *testing.T) {
			tc := newClientTest(t, ClientOptions{Pipeline: c.pipeline})
			src := &bodyPieces{list: []string{"x"}}
			if c.close { // queued after another one, so that what follows can be queued too
				tc.request(ClientRequest{URL: "/0"})
			}
			first := ClientRequest{URL: "/1"}
			if c.close {
				first.SetHeader("Connection", "close")
			}
			tc.request(first)
			tc.request(ClientRequest{URL: "/2"})
			tc.request(ClientRequest{URL: "/3", Source: src})
			if c.close {
				tc.Send(lineEnds("HTTP/1.1 200 OK\nContent-Length: 0\n\n"))
				tc.want("head", `body=""`)
			}
			tc.Send(lineEnds(c.response))
			tc.want("head", `body="a"`, "error closed by the peer: "+ErrNoResponse.Error())
			tc.wantError(ErrNoResponse)
			if src.closed != 1 {
				t.Errorf("the Source of a request that waits was closed %d times", src.closed)
			}
		})
	}
}

// Shutdown finishes what has begun, and no more.
func TestClientShutdownWithRequestsThatWait(t *testing.T) {
	tc := newClientTest(t, ClientOptions{Pipeline: 2})
	for _, path := range []string{"/1", "/2", "/3"} {
		tc.request(ClientRequest{URL: path})
	}
	tc.Shutdown()
	tc.Send(lineEnds("HTTP/1.1 200 OK\nContent-Length: 1\n\na"))
	tc.WantOpen()
	tc.Send(lineEnds("HTTP/1.1 200 OK\nContent-Length: 1\n\nb"))
	tc.want("head", `body="a"`, "head", `body="b"`, "error")
	tc.wantError(ErrNoResponse)
}

// Detach ends the requests that were to go after the one whose response it is.
func TestClientDetachDropsOthers(t *testing.T) {
	tc := newClientTest(t, ClientOptions{Pipeline: 2})
	tc.detach = true
	src := &bodyPieces{list: []string{"x"}}
	var r ClientRequest
	r.SetHeader("Upgrade", "x")
	tc.request(r)
	if err := Send(tc.c, &ClientRequest{Source: src, Expect: true}); err != nil {
		t.Fatal(err)
	}
	tc.Turn()
	tc.Send(lineEnds("HTTP/1.1 101 Switching Protocols\nUpgrade: x\n\n"))
	if src.closed != 1 {
		t.Errorf("the Source was closed %d times", src.closed)
	}
}

// Outside of the handler of a ResponseHead, also after one that has panicked, both say so.
func TestClientAfterPanicInHead(t *testing.T) {
	tc := newClientTest(t, ClientOptions{})
	var errs []error
	tc.on = func(c *conn.Conn, ev conn.Event) {
		switch ev.(type) {
		case *ResponseHead:
			panic("broken")
		case *conn.Error, *conn.Close:
			errs = append(errs, StreamResponse(c), Detach(c))
		}
	}
	tc.request(ClientRequest{})
	func() {
		defer func() { recover() }()
		tc.Send(lineEnds("HTTP/1.1 200 OK\nContent-Length: 1\n\na"))
	}()
	tc.Fail(unix.ECONNRESET)
	if len(errs) != 4 {
		t.Errorf("%v", errs)
	}
	for _, err := range errs {
		if err != ErrNoResponseHead {
			t.Errorf("%v", errs)
		}
	}
}

// A shutdown while the proxy has not agreed to a tunnel: none of the program's requests has begun.
func TestClientShutdownBeforeTheTunnel(t *testing.T) {
	tc := newClientTest(t, ClientOptions{Tunnel: true})
	tc.k.via = &clientProxy{}
	tc.k.askTunnel(tc.k.base)
	tc.request(ClientRequest{})
	tc.wantRequest("CONNECT h:80 HTTP/1.1\nHost: h:80\n\n")
	tc.Shutdown()
	tc.WantClosed(conn.ShuttingDown)
	tc.wantError(ErrProxy)
}

// A Source that panics, in Next or in Close, costs no call its end.
func TestClientSourcePanics(t *testing.T) {
	srv := httptest.NewServer(stdhttp.HandlerFunc(func(w stdhttp.ResponseWriter, r *stdhttp.Request) {
		io.Copy(io.Discard, r.Body)
		if r.URL.Path == "/away" {
			stdhttp.Redirect(w, r, "/", 303)
		}
	}))
	defer srv.Close()
	broken := func() { panic("broken") }
	for name, src := range map[string]*funcSource{
		"Next":  {next: func() ([]byte, error) { panic("broken") }},
		"Close": {next: func() ([]byte, error) { return nil, io.EOF }, close: broken},
		"both":  {next: func() ([]byte, error) { panic("broken") }, close: broken},
	} {
		for _, path := range []string{"/", "/away"} {
			t.Run(fmt.Sprint(name, " after ", path), func(t *testing.T) {
				underBothClients(t, ClientOptions{MaxConnsPerHost: 1, MaxRedirects: 1}, func(t *testing.T, l *clientLoop) {
					l.panics = true
					first := l.begin(&ClientRequest{URL: srv.URL + path})
					second := l.begin(&ClientRequest{URL: srv.URL, Source: src}) // waits for the connection
					if r := l.wait(first); r.err != nil || r.status != 200 {
						t.Errorf("the call before: %+v", r)
					}
					l.wait(second)
					if r := l.do(&ClientRequest{URL: srv.URL}); r.err != nil {
						t.Errorf("the call after: %v", r.err)
					}
					if s := l.stats(); s.Waiting != 0 || s.Conns > 1 {
						t.Errorf("%+v", s)
					}
				})
			})
		}
	}
}
