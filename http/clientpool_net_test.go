package http

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	stdhttp "net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/internal/tcptest"
	"github.com/seed4930a636/mangusta/mgr"
)

// The pool of a Client over sockets: its limits and timeouts, what is sent again, what is
// cancelled, and what it takes from a connection. Other requests are in clientcall_net_test.go.

// clientLoop is a loop with a Client, for a test on another goroutine.
type clientLoop struct {
	t *testing.T
	m *mgr.Manager
	c *Client

	panics bool // the test has handlers panic
}

// underBothClients runs f with a client on a loop of each poller.
func underBothClients(t *testing.T, o ClientOptions, f func(t *testing.T, l *clientLoop)) {
	for _, p := range []mgr.Poller{mgr.Epoll, mgr.Select} {
		t.Run(p.String(), func(t *testing.T) {
			m, err := mgr.New(mgr.Options{Poller: p, Log: mgr.Silent})
			if err != nil {
				t.Fatal(err)
			}
			c, err := NewClient(m, o)
			if err != nil {
				t.Fatal(err)
			}
			ran := make(chan error, 1)
			go func() { ran <- m.Run(context.Background()) }()
			defer func() {
				m.Close()
				if err := <-ran; err != nil {
					t.Error(err)
				}
			}()
			l := &clientLoop{t: t, m: m, c: c}
			f(t, l)
			panics := make(chan uint64, 1)
			if m.Do(func() { panics <- m.Stats().Panics }) == nil {
				if n := <-panics; n > 0 && !l.panics {
					t.Errorf("%d panics on the loop", n)
				}
			}
		})
	}
}

// clientResult is a response that stays valid.
type clientResult struct {
	status int
	body   string
	err    error
	fields string
	url    string
}

// begin sends a request, and returns where its result comes.
func (l *clientLoop) begin(r *ClientRequest) <-chan clientResult {
	l.t.Helper()
	got := make(chan clientResult, 2)
	if err := l.m.Do(func() {
		_, err := l.c.Do(r, func(resp *Response, err error) {
			if err != nil {
				got <- clientResult{err: err}
				return
			}
			got <- clientResult{status: resp.Status, body: string(resp.Body), fields: fieldText(resp.Headers()), url: resp.URL}
		})
		if err != nil {
			got <- clientResult{err: err}
		}
	}); err != nil {
		l.t.Fatal(err)
	}
	return got
}

func (l *clientLoop) wait(got <-chan clientResult) clientResult {
	l.t.Helper()
	select {
	case r := <-got:
		return r
	case <-time.After(time.Minute):
		l.t.Fatal("no result in 20 s")
	}
	return clientResult{}
}

func (l *clientLoop) do(r *ClientRequest) clientResult {
	l.t.Helper()
	return l.wait(l.begin(r))
}

// stats returns the client's figures, as the loop has them.
func (l *clientLoop) stats() ClientStats {
	l.t.Helper()
	got := make(chan ClientStats, 1)
	if err := l.m.Do(func() { got <- l.c.Stats() }); err != nil {
		l.t.Fatal(err)
	}
	return <-got
}

// The pool's limits: connections per host and in all, the queue, and its order.
func TestClientPoolLimits(t *testing.T) {
	type arrived struct {
		path    string
		proceed chan struct{}
	}
	arrivals := make(chan arrived, 100)
	handler := stdhttp.HandlerFunc(func(w stdhttp.ResponseWriter, r *stdhttp.Request) {
		a := arrived{r.URL.Path, make(chan struct{})}
		arrivals <- a
		<-a.proceed
		io.WriteString(w, r.URL.Path)
	})
	one, two := httptest.NewServer(handler), httptest.NewServer(handler)
	defer one.Close()
	defer two.Close()
	underBothClients(t, ClientOptions{MaxConnsPerHost: 2, MaxConns: 3, MaxQueue: 4}, func(t *testing.T, l *clientLoop) {
		var results []<-chan clientResult
		begin := func(url string) { results = append(results, l.begin(&ClientRequest{URL: url})) }
		for i := range 4 {
			begin(fmt.Sprint(one.URL, "/", i)) // two go, two wait
		}
		begin(two.URL + "/a") // goes
		begin(two.URL + "/b") // waits
		begin(two.URL + "/c") // waits
		var now []arrived
		for range 3 {
			now = append(now, <-arrivals)
		}
		if s := l.stats(); s != (ClientStats{Conns: 3, Waiting: 4}) {
			t.Errorf("%+v", s)
		}
		if r := l.do(&ClientRequest{URL: one.URL + "/x"}); !errors.Is(r.err, ErrQueueFull) {
			t.Errorf("one too many: %v", r.err)
		}
		for len(now) > 0 {
			close(now[0].proceed)
			if now = now[1:]; len(now) < 3 {
				select {
				case a := <-arrivals:
					now = append(now, a)
				case <-time.After(50 * time.Millisecond):
				}
			}
		}
		for i, want := range []string{"/0", "/1", "/2", "/3", "/a", "/b", "/c"} {
			if r := l.wait(results[i]); r.err != nil || r.body != want {
				t.Errorf("%s: %q %v", want, r.body, r.err)
			}
		}
		if s := l.stats(); s.Waiting != 0 || s.Conns > 3 || s.Idle != s.Conns {
			t.Errorf("%+v in the end", s)
		}
	})
}

// rawServer answers each connection by a script of the test.
func rawServer(t *testing.T, serve func(n int, c *net.TCPConn, r *bufio.Reader)) string {
	t.Helper()
	return "http://" + tcptest.Serve(t, serve)
}

const emptyOK = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

// A connection that the server closed between two requests: the request is sent once more, if that
// can do no harm; and only once.
func TestClientRepeats(t *testing.T) {
	for _, c := range []struct {
		name string
		r    ClientRequest
		err  error
	}{
		{"GET", ClientRequest{}, nil},
		{"PUT", ClientRequest{Method: "PUT", Body: []byte("x")}, nil},
		{"POST", ClientRequest{Body: []byte("x")}, ErrNoResponse},
		{"a Source", ClientRequest{Method: "PUT", Source: &bodyPieces{list: []string{"x"}}}, ErrNoResponse},
	} {
		t.Run(c.name, func(t *testing.T) {
			underBothClients(t, ClientOptions{}, func(t *testing.T, l *clientLoop) {
				if s, ok := c.r.Source.(*bodyPieces); ok {
					*s = bodyPieces{list: []string{"x"}}
				}
				url := rawServer(t, func(n int, c *net.TCPConn, r *bufio.Reader) {
					if _, err := stdhttp.ReadRequest(r); err != nil {
						return
					}
					io.WriteString(c, emptyOK)
					if n == 0 { // it takes the next request, and ends without a response
						stdhttp.ReadRequest(r)
						return
					}
					io.Copy(io.Discard, r)
				})
				if r := l.do(&ClientRequest{URL: url}); r.err != nil {
					t.Fatal(r.err)
				}
				r := c.r
				r.URL = url
				if got := l.do(&r); c.err == nil && (got.err != nil || got.status != 200) || !errors.Is(got.err, c.err) {
					t.Errorf("%d %v, want %v", got.status, got.err, c.err)
				}
			})
		})
	}
	underBothClients(t, ClientOptions{}, func(t *testing.T, l *clientLoop) {
		var conns atomic.Int32
		url := rawServer(t, func(n int, c *net.TCPConn, r *bufio.Reader) {
			conns.Add(1)
			stdhttp.ReadRequest(r)
			if n == 0 {
				io.WriteString(c, emptyOK)
				stdhttp.ReadRequest(r)
			}
		})
		l.do(&ClientRequest{URL: url})
		if got := l.do(&ClientRequest{URL: url}); !errors.Is(got.err, ErrNoResponse) || conns.Load() != 2 {
			t.Errorf("%v after %d connections", got.err, conns.Load())
		}
		// The program itself ends a response that has begun.
		beginning := rawServer(t, func(_ int, c *net.TCPConn, r *bufio.Reader) {
			stdhttp.ReadRequest(r)
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab")
			io.Copy(io.Discard, r)
		})
		if got := l.do(&ClientRequest{URL: beginning, Events: func(c *conn.Conn, ev conn.Event) {
			if _, ok := ev.(*ResponseHead); ok {
				c.Close()
			}
		}}); !errors.Is(got.err, ErrCut) {
			t.Errorf("after Close in the head: %v", got.err)
		}
		// On a fresh connection nothing is repeated.
		if got := l.do(&ClientRequest{URL: url}); !errors.Is(got.err, ErrNoResponse) || conns.Load() != 3 {
			t.Errorf("%v after %d connections", got.err, conns.Load())
		}
	})
}

// Each limit on time, with its own error, wherever the request is at that moment.
func TestClientTimeoutsOfAPool(t *testing.T) {
	silent := rawServer(t, func(n int, c *net.TCPConn, r *bufio.Reader) { io.Copy(io.Discard, r) })
	underBothClients(t, ClientOptions{MaxConnsPerHost: 1, FirstByteTimeout: -1}, func(t *testing.T, l *clientLoop) {
		first := l.begin(&ClientRequest{URL: silent, Timeout: 300 * time.Millisecond})
		queued := l.begin(&ClientRequest{URL: silent, Timeout: 100 * time.Millisecond})
		if r := l.wait(queued); !errors.Is(r.err, ErrTimeout) {
			t.Errorf("in the queue: %v", r.err)
		}
		if r := l.wait(first); !errors.Is(r.err, ErrTimeout) {
			t.Errorf("on a connection: %v", r.err)
		}
	})
	underBothClients(t, ClientOptions{FirstByteTimeout: 100 * time.Millisecond}, func(t *testing.T, l *clientLoop) {
		if r := l.do(&ClientRequest{URL: silent}); !errors.Is(r.err, ErrFirstByteTimeout) {
			t.Errorf("%v", r.err)
		}
	})
}

func TestClientCannotConnect(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + l.Addr().String()
	l.Close() // nobody listens there
	underBothClients(t, ClientOptions{}, func(t *testing.T, l *clientLoop) {
		if r := l.do(&ClientRequest{URL: url}); r.err == nil {
			t.Errorf("%+v", r)
		}
		if r := l.do(&ClientRequest{URL: "https://127.0.0.1/"}); !errors.Is(r.err, ErrBadRequest) || !errors.Is(r.err, errNoClientTLS) {
			t.Errorf("https without TLS: %v", r.err)
		}
		if r := l.do(&ClientRequest{URL: "http://name.example/"}); !errors.Is(r.err, mgr.ErrNoResolver) {
			t.Errorf("a name without a resolver: %v", r.err)
		}
		if s := l.stats(); s != (ClientStats{}) {
			t.Errorf("%+v", s)
		}
	})
}

// Cancel tells done nothing; Close tells everybody.
func TestClientCancelAndClose(t *testing.T) {
	silent := rawServer(t, func(n int, c *net.TCPConn, r *bufio.Reader) { io.Copy(io.Discard, r) })
	underBothClients(t, ClientOptions{MaxConnsPerHost: 1}, func(t *testing.T, l *clientLoop) {
		done := make(chan error, 10)
		l.m.Do(func() {
			var calls []Call
			for range 3 {
				call, err := l.c.Do(&ClientRequest{URL: silent}, func(*Response, error) { done <- errors.New("cancelled, and told") })
				if err != nil {
					done <- err
				}
				calls = append(calls, call)
			}
			for _, i := range []int{1, 0, 2} {
				if !calls[i].Cancel() || calls[i].Cancel() {
					done <- errors.New("Cancel")
				}
			}
			done <- nil
		})
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		first, queued := l.begin(&ClientRequest{URL: silent}), l.begin(&ClientRequest{URL: silent})
		l.m.Do(func() { done <- l.c.Close() })
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		for _, r := range []clientResult{l.wait(first), l.wait(queued), l.do(&ClientRequest{URL: silent})} {
			if !errors.Is(r.err, ErrClientClosed) {
				t.Errorf("%v", r.err)
			}
		}
		if s := l.stats(); s.Conns != 0 || s.Waiting != 0 {
			t.Errorf("%+v", s)
		}
		select {
		case err := <-done:
			t.Error(err)
		default:
		}
	})
}

// A function that panics costs its connection, and nobody else's request.
func TestClientDonePanics(t *testing.T) {
	url := rawServer(t, func(n int, c *net.TCPConn, r *bufio.Reader) {
		for {
			if _, err := stdhttp.ReadRequest(r); err != nil {
				return
			}
			io.WriteString(c, emptyOK)
		}
	})
	underBothClients(t, ClientOptions{MaxConnsPerHost: 1}, func(t *testing.T, l *clientLoop) {
		l.panics = true
		var last <-chan clientResult
		for range 3 {
			l.m.Do(func() {
				l.c.Do(&ClientRequest{URL: url}, func(*Response, error) { panic("for the test") })
			})
			last = l.begin(&ClientRequest{URL: url})
		}
		if r := l.wait(last); r.err != nil {
			t.Error(r.err)
		}
	})
}

// A second response in the packet of the first is never that of the next request, which is sent on
// another connection (response splitting).
func TestClientPoolTakesNothingUnasked(t *testing.T) {
	underBothClients(t, ClientOptions{MaxConnsPerHost: 1}, func(t *testing.T, l *clientLoop) {
		url := rawServer(t, func(n int, c *net.TCPConn, r *bufio.Reader) {
			for {
				req, err := stdhttp.ReadRequest(r)
				if err != nil {
					return
				}
				answer := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(req.URL.Path), req.URL.Path)
				if n == 0 {
					answer += "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled"
				}
				io.WriteString(c, answer)
			}
		})
		first, queued := l.begin(&ClientRequest{URL: url + "/1"}), l.begin(&ClientRequest{URL: url + "/2"})
		if r := l.wait(first); r.err != nil || r.body != "/1" {
			t.Errorf("%+v", r)
		}
		if r := l.wait(queued); r.err != nil || r.body != "/2" {
			t.Errorf("%+v", r)
		}
	})
}

// MaxConnsPerHost alone.
func TestClientConnsPerHost(t *testing.T) {
	silent := rawServer(t, func(n int, c *net.TCPConn, r *bufio.Reader) { io.Copy(io.Discard, r) })
	underBothClients(t, ClientOptions{MaxConnsPerHost: 2}, func(t *testing.T, l *clientLoop) {
		for range 5 {
			l.begin(&ClientRequest{URL: silent})
		}
		if s := l.stats(); s != (ClientStats{Conns: 2, Waiting: 3}) {
			t.Errorf("%+v", s)
		}
	})
}
