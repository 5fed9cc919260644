// Package looptest has what tests with a running loop share.
package looptest

import (
	"context"
	"io"
	"log/slog"
	nethttp "net/http"
	"sync"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
)

// EachPoller runs f as a subtest under each poller.
func EachPoller(t *testing.T, f func(t *testing.T, p mgr.Poller)) {
	for _, p := range []mgr.Poller{mgr.Epoll, mgr.Select} {
		t.Run(p.String(), func(t *testing.T) { f(t, p) })
	}
}

// New returns a Manager that logs nothing, and closes it when the test ends. Its options may be
// given.
func New(t testing.TB, p mgr.Poller, opts ...mgr.Options) *mgr.Manager {
	t.Helper()
	var o mgr.Options
	if len(opts) > 0 {
		o = opts[0]
	}
	o.Poller, o.Log = p, slog.New(slog.DiscardHandler)
	m, err := mgr.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// Run runs the loop of m on a goroutine until stop is called, or the test ends. stop closes m, and
// waits for the goroutine.
func Run(t testing.TB, m *mgr.Manager) (stop func()) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		m.Run(context.Background())
	}()
	stop = sync.OnceFunc(func() {
		m.Close()
		<-ended
	})
	t.Cleanup(stop)
	return stop
}

// Listen has m listen at a URL such as "http://127.0.0.1:0", and returns the address.
func Listen(t testing.TB, m *mgr.Manager, url string, h conn.Handler, opts ...http.Options) (addr string) {
	t.Helper()
	l, err := http.Listen(m, url, h, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return l.LocalAddr().String()
}

// Ask makes a request by c, or by net/http's client if c is nil, and returns the response and its
// body. The fields are names and values; of two of one name the later counts.
func Ask(t testing.TB, c *nethttp.Client, method, url string, body io.Reader, fields ...string) (*nethttp.Response, string) {
	t.Helper()
	if c == nil {
		c = nethttp.DefaultClient
	}
	req, err := nethttp.NewRequest(method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(fields); i += 2 {
		req.Header.Set(fields[i], fields[i+1])
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(text)
}

// Unless is a guard that refuses requests with a field.
func Unless(field string) func(c *conn.Conn, r *http.Request) bool {
	return func(c *conn.Conn, r *http.Request) bool {
		if len(r.Header(field)) > 0 {
			http.Error(c, 403)
			return false
		}
		return true
	}
}
