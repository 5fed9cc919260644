package http_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	nethttp "net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
)

// startLoops serves h on several loops until the test ends.
func startLoops(t *testing.T, n int, o mgr.Options, h conn.Handler, ho http.Options) (l *mgr.Loops, addr string) {
	t.Helper()
	l, err := mgr.NewLoops(n, o)
	if err != nil {
		t.Fatal(err)
	}
	c, err := http.Listen(l, "http://127.0.0.1:0", h, ho)
	if err != nil {
		t.Fatal(err)
	}
	addr = c.LocalAddr().String()
	ran := make(chan error, 1)
	go func() { ran <- l.Run(context.Background()) }()
	t.Cleanup(func() {
		l.Close()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	})
	return l, addr
}

// Requests of many clients on all loops at once: each loop has a Server of its own, so nothing but
// the handler's map is shared.
func TestOneListenServesHTTPOnAllLoops(t *testing.T) {
	for _, p := range []mgr.Poller{mgr.Epoll, mgr.Select} {
		t.Run(p.String(), func(t *testing.T) {
			var mu sync.Mutex
			of := map[*mgr.Manager]int{}
			x := http.NewMux()
			x.MustHandle("POST /echo/{name}", func(c *conn.Conn, m *http.Message) {
				mu.Lock()
				of[mgr.Of(c)]++
				mu.Unlock()
				http.Reply(c, 200, "text/plain", "%s: %s", m.PathValue("name"), m.Body)
			})
			_, addr := startLoops(t, 2, mgr.Options{Poller: p}, x.Serve, http.Options{Accept: mgr.AcceptHandOver, Hosts: []string{"localhost"}})
			var clients sync.WaitGroup
			for i := range 8 {
				clients.Go(func() {
					client := nethttp.Client{Transport: new(nethttp.Transport), Timeout: 20 * time.Second}
					defer client.CloseIdleConnections()
					for k := range 20 {
						want := fmt.Sprintf("n%d: %d", i, k)
						resp, err := client.Post(fmt.Sprintf("http://%s/echo/n%d", addr, i), "text/plain", strings.NewReader(fmt.Sprint(k)))
						if err != nil {
							t.Error(err)
							return
						}
						b, err := io.ReadAll(resp.Body)
						resp.Body.Close()
						if string(b) != want || err != nil {
							t.Errorf("read %q, %v; want %q", b, err, want)
						}
					}
				})
			}
			clients.Wait()
			mu.Lock()
			defer mu.Unlock()
			if len(of) != 2 {
				t.Errorf("requests by loop: %v", of)
			}
		})
	}
}

// A request that waits in the backlog of a SO_REUSEPORT listener gets its reply in a shutdown.
func TestShutdownOfLoopsRepliesToRequestsInTheBacklogs(t *testing.T) {
	l, err := mgr.NewLoops(2, mgr.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := http.Listen(l, "http://127.0.0.1:0", func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*http.Message); ok {
			http.Reply(c, 200, "text/plain", "in time")
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	var peers []net.Conn
	for range 10 {
		p, err := net.Dial("tcp", c.LocalAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		p.SetDeadline(time.Now().Add(time.Minute))
		io.WriteString(p, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
		peers = append(peers, p)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := l.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	for _, p := range peers {
		resp, err := nethttp.ReadResponse(bufio.NewReader(p), nil)
		if err != nil {
			t.Error(err)
			continue
		}
		if b, err := io.ReadAll(resp.Body); string(b) != "in time" || err != nil {
			t.Errorf("read %q, %v", b, err)
		}
	}
}
