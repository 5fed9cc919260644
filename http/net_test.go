package http

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	stdhttp "net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// underBoth runs f with a loop of each poller, on which h is listening.
func underBoth(t *testing.T, o Options, h func(*mgr.Manager) conn.Handler, f func(t *testing.T, m *mgr.Manager, addr string)) {
	underEach(t, mgr.Options{MaxConns: 50}, o, h, f)
}

// underEach runs f with a loop of each poller, which has an HTTP server.
func underEach(t *testing.T, loop mgr.Options, o Options, h func(*mgr.Manager) conn.Handler, f func(t *testing.T, m *mgr.Manager, addr string)) {
	for _, p := range []mgr.Poller{mgr.Epoll, mgr.Select} {
		t.Run(p.String(), func(t *testing.T) {
			loop := loop
			loop.Poller = p
			m, err := mgr.New(loop)
			if err != nil {
				t.Fatal(err)
			}
			l, err := Listen(m, "http://127.0.0.1:0", h(m), o)
			if err != nil {
				t.Fatal(err)
			}
			addr := l.LocalAddr().String()
			ran := make(chan error, 1)
			go func() { ran <- m.Run(context.Background()) }()
			defer func() {
				m.Close()
				if err := <-ran; err != nil {
					t.Error(err)
				}
			}()
			f(t, m, addr)
		})
	}
}

// statsOf returns what returns the figures of a loop that runs.
func statsOf(t *testing.T, m *mgr.Manager) func() mgr.Stats {
	return func() mgr.Stats {
		got := make(chan mgr.Stats, 1)
		if err := m.Do(func() { got <- m.Stats() }); err != nil {
			t.Fatal(err)
		}
		return <-got
	}
}

// echoBody replies with the body, or with the path if there is none.
func echoBody(*mgr.Manager) conn.Handler {
	return func(c *conn.Conn, ev conn.Event) {
		if m, ok := ev.(*Message); ok {
			if m.Body != nil {
				ReplyBytes(c, 200, "application/octet-stream", m.Body)
			} else {
				ReplyBytes(c, 200, "text/plain", m.Path)
			}
		}
	}
}

func dial(t *testing.T, addr string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(time.Minute))
	t.Cleanup(func() { c.Close() })
	return c.(*net.TCPConn)
}

// wantBody reads one reply and wants its status and body.
func wantBody(t *testing.T, r *bufio.Reader, status int, body string) *stdhttp.Response {
	t.Helper()
	resp, err := stdhttp.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != status || string(got) != body {
		t.Fatalf("%d %.80q %v, want %d %.80q", resp.StatusCode, got, err, status, body)
	}
	return resp
}

func wantEnd(t *testing.T, r *bufio.Reader) {
	t.Helper()
	if b, err := io.ReadAll(r); err != nil || len(b) > 0 {
		t.Fatalf("%.80q %v, want the end of the stream", b, err)
	}
}

func TestNetKeepAliveAndPipeline(t *testing.T) {
	underBoth(t, Options{}, echoBody, func(t *testing.T, m *mgr.Manager, addr string) {
		c := dial(t, addr)
		r := bufio.NewReader(c)
		const n = 2000
		go func() {
			w := bufio.NewWriter(c)
			for range n {
				w.WriteString(post + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" + request("GET", "/x"))
			}
			w.Flush()
		}()
		for range n {
			wantBody(t, r, 200, "abc")
			wantBody(t, r, 200, "/x")
		}
	})
}

func TestNetStandardClient(t *testing.T) {
	underBoth(t, Options{MaxBody: 16 << 20}, echoBody, func(t *testing.T, m *mgr.Manager, addr string) {
		postEachWay(t, addr, bytes.Repeat([]byte("0123456789abcdef"), 1<<19)) // 8 MiB
	})
}

// postEachWay posts body by net/http's client, with a length and in chunks, with 100-continue and
// without, and wants it back.
func postEachWay(t *testing.T, addr string, body []byte) {
	t.Helper()
	tr := &stdhttp.Transport{ExpectContinueTimeout: 10 * time.Second}
	defer tr.CloseIdleConnections()
	client := &stdhttp.Client{Transport: tr}
	for _, chunked := range []bool{false, true} {
		for _, expect := range []bool{false, true} {
			req, _ := stdhttp.NewRequest("POST", "http://"+addr+"/", bytes.NewReader(body))
			if chunked {
				req.ContentLength = -1
			}
			if expect {
				req.Header.Set("Expect", "100-continue")
			}
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || !bytes.Equal(got, body) {
				t.Fatal(len(got), err)
			}
		}
	}
}

// RFC 9112 9.6: the reply to a request whose body is refused is not destroyed by a reset, though
// the client goes on sending.
func TestNetRefusalIsNotLost(t *testing.T) {
	underBoth(t, Options{}, echoBody, func(t *testing.T, m *mgr.Manager, addr string) {
		for range 20 {
			c := dial(t, addr)
			c.Write([]byte(post + "Content-Length: 8000000\r\n\r\n"))
			c.Write(make([]byte, 2_000_000))
			r := bufio.NewReader(c)
			if resp := wantBody(t, r, 413, "413 Content Too Large\n"); !resp.Close || resp.Header.Get("Date") == "" {
				t.Fatal(resp.Header)
			}
			wantEnd(t, r)
			c.Close()
		}
	})
}

func TestNetHalfClosedClient(t *testing.T) {
	h := func(m *mgr.Manager) conn.Handler {
		return func(c *conn.Conn, ev conn.Event) {
			if r, ok := ev.(*Message); ok {
				later := r.Later()
				m.AfterFunc(20*time.Millisecond, func() { later.Reply(200, "", "late") })
			}
		}
	}
	underBoth(t, Options{}, h, func(t *testing.T, m *mgr.Manager, addr string) {
		c := dial(t, addr)
		c.Write([]byte(getLine + getLine))
		c.CloseWrite()
		r := bufio.NewReader(c)
		wantBody(t, r, 200, "late")
		wantBody(t, r, 200, "late")
		wantEnd(t, r)
	})
}

func TestNetShutdown(t *testing.T) {
	h := func(m *mgr.Manager) conn.Handler {
		return func(c *conn.Conn, ev conn.Event) {
			if m2, ok := ev.(*Message); ok && m2.Match("/late") {
				go m.Shutdown(context.Background())
				later := m2.Later()
				m.AfterFunc(100*time.Millisecond, func() { later.Reply(200, "", "late") })
			} else if ok {
				Reply(c, 200, "", "ok")
			}
		}
	}
	underBoth(t, Options{}, h, func(t *testing.T, m *mgr.Manager, addr string) {
		idle, busy := dial(t, addr), dial(t, addr)
		ri, rb := bufio.NewReader(idle), bufio.NewReader(busy)
		idle.Write([]byte(getLine))
		wantBody(t, ri, 200, "ok")
		busy.Write([]byte(request("GET", "/late")))
		wantEnd(t, ri)
		if resp := wantBody(t, rb, 200, "late"); !resp.Close {
			t.Error("no Connection: close")
		}
		wantEnd(t, rb)
	})
}

func TestNetOverMaxConns(t *testing.T) {
	underBoth(t, Options{}, echoBody, func(t *testing.T, m *mgr.Manager, addr string) {
		for range 50 {
			c := dial(t, addr)
			c.Write([]byte(request("GET", "/in") + "GET /not HTTP/1.1\r\n")) // one that rests would make room
			wantBody(t, bufio.NewReader(c), 200, "/in")
		}
		r := bufio.NewReader(dial(t, addr))
		if resp := wantBody(t, r, 503, ""); !resp.Close || resp.Header.Get("Retry-After") == "" {
			t.Error(resp.Header)
		}
		wantEnd(t, r)
	})
}

func TestNetSlowReaderOfALargeFile(t *testing.T) {
	dir := t.TempDir()
	data := bytes.Repeat([]byte("0123456789abcdef"), 2<<20/16*10) // 20 MiB
	if err := os.WriteFile(filepath.Join(dir, "big.bin"), data, 0o644); err != nil {
		t.Fatal(err)
	}
	h := func(*mgr.Manager) conn.Handler { return serving(os.DirFS(dir), FileOptions{}) }
	underBoth(t, Options{Limits: conn.Limits{Send: 1 << 20}}, h, func(t *testing.T, m *mgr.Manager, addr string) {
		c := dial(t, addr)
		c.SetReadBuffer(16 << 10)
		c.Write([]byte(strings.Repeat(request("GET", "/big.bin"), 2)))
		other := dial(t, addr)
		other.Write([]byte(request("HEAD", "/big.bin")))
		resp, err := stdhttp.ReadResponse(bufio.NewReader(other), &stdhttp.Request{Method: "HEAD"})
		if err != nil || resp.ContentLength != int64(len(data)) {
			t.Fatal(err)
		}
		r := bufio.NewReader(c)
		for range 2 {
			wantBody(t, r, 200, string(data))
		}
	})
}

func TestListenErrors(t *testing.T) {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for _, url := range []string{"", "https://127.0.0.1:0", "http://127.0.0.1:0/path", "http://", "udp://127.0.0.1:0"} {
		if _, err := Listen(m, url, nil); err == nil || !strings.HasPrefix(err.Error(), "http: listen") {
			t.Errorf("%q: %v", url, err)
		}
	}
	if _, err := Listen(m, "http://127.0.0.1:0", nil, Options{Server: "a\nb"}); err == nil {
		t.Error("a Server field with a line end was accepted")
	}
}
