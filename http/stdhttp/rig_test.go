package stdhttp

import (
	"bufio"
	"context"
	"io"
	"net"
	nethttp "net/http"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
)

// A rig is a handler of net/http on a running loop.
type rig struct {
	*testing.T
	m    *mgr.Manager
	h    *Handler
	addr string
}

// both runs f with a loop of each poller, on which handler is mounted.
func both(t *testing.T, handler nethttp.Handler, o Options, f func(*rig)) {
	for _, p := range []mgr.Poller{mgr.Epoll, mgr.Select} {
		t.Run(p.String(), func(t *testing.T) {
			m, err := mgr.New(mgr.Options{Poller: p})
			if err != nil {
				t.Fatal(err)
			}
			h := New(m, handler, o)
			l, err := http.Listen(m, "http://127.0.0.1:0", h.Handle)
			if err != nil {
				t.Fatal(err)
			}
			r := &rig{t, m, h, l.LocalAddr().String()}
			ran := make(chan error, 1)
			go func() { ran <- m.Run(context.Background()) }()
			defer func() {
				m.Close()
				if err := <-ran; err != nil {
					t.Error(err)
				}
				ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
				defer cancel()
				if err := h.Wait(ctx); err != nil {
					t.Error("handlers still run: ", err)
				}
			}()
			f(r)
		})
	}
}

// client returns a client of net/http that the test closes.
func (r *rig) client() *nethttp.Client {
	tr := &nethttp.Transport{DisableCompression: true, ExpectContinueTimeout: 10 * time.Second}
	r.Cleanup(tr.CloseIdleConnections)
	return &nethttp.Client{Transport: tr, Timeout: 60 * time.Second,
		CheckRedirect: func(*nethttp.Request, []*nethttp.Request) error { return nethttp.ErrUseLastResponse }}
}

func (r *rig) get(path string) (*nethttp.Response, string) {
	r.Helper()
	return r.do("GET", path, "")
}

func (r *rig) do(method, path, body string) (*nethttp.Response, string) {
	r.Helper()
	req, err := nethttp.NewRequest(method, "http://"+r.addr+path, strings.NewReader(body))
	if err != nil {
		r.Fatal(err)
	}
	return r.send(req)
}

func (r *rig) send(req *nethttp.Request) (*nethttp.Response, string) {
	r.Helper()
	resp, err := r.client().Do(req)
	if err != nil {
		r.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.Fatal(err)
	}
	return resp, string(b)
}

// dial opens a connection and sends text.
func (r *rig) dial(text string) (net.Conn, *bufio.Reader) {
	r.Helper()
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := io.WriteString(c, text); err != nil {
		r.Fatal(err)
	}
	return c, bufio.NewReader(c)
}

// read reads one reply to a GET.
func (r *rig) read(b *bufio.Reader) (*nethttp.Response, string) {
	r.Helper()
	resp, err := nethttp.ReadResponse(b, nil)
	if err != nil {
		r.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		r.Fatal(err)
	}
	return resp, string(body)
}

// await waits for ch.
func await[T any](t testing.TB, ch <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-ch:
	case <-time.After(time.Minute):
		t.Fatal("waited in vain for ", what)
	}
	return v
}

// eventually polls for what no event tells.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	for range 2000 {
		if f() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatal("waited in vain for ", what)
}

const getX = "GET /x HTTP/1.1\r\nHost: x\r\n\r\n"
