package middleware_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	nethttp "net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/http/middleware"
	"github.com/seed4930a636/mangusta/mgr"
)

// A rate holds for the requests of all loops, and a session that one loop began is known to the
// others.
func TestMiddlewareWorksOverLoops(t *testing.T) {
	const burst, clients, each = 20, 8, 5
	sessions, err := middleware.NewSessions(middleware.SessionOptions{Keys: [][]byte{bytes.Repeat([]byte("k"), 32)}})
	if err != nil {
		t.Fatal(err)
	}
	x := http.NewMux()
	x.MustHandle("GET /limited", func(c *conn.Conn, _ *http.Message) { http.Reply(c, 200, "text/plain", "ok") },
		middleware.RateLimit(middleware.Rate{PerSecond: 0.001, Burst: burst}))
	x.MustHandle("POST /login", func(c *conn.Conn, m *http.Message) {
		if err := sessions.Start(c, string(m.Body)); err != nil {
			t.Error(err)
		}
		http.Reply(c, 200, "text/plain", "")
	})
	x.MustHandle("GET /me", func(c *conn.Conn, m *http.Message) {
		who, _ := sessions.Value(&m.Request)
		http.Reply(c, 200, "text/plain", "%s", who)
	}, sessions.Require)

	l, err := mgr.NewLoops(2, mgr.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := http.Listen(l, "http://127.0.0.1:0", x.Serve, http.Options{Accept: mgr.AcceptHandOver})
	if err != nil {
		t.Fatal(err)
	}
	at := "http://" + c.LocalAddr().String()
	ran := make(chan error, 1)
	go func() { ran <- l.Run(context.Background()) }()
	defer func() {
		l.Close()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	}()

	var passed, refused atomic.Int32
	var calls sync.WaitGroup
	for i := range clients {
		calls.Go(func() {
			// Each request has a connection of its own, so that those of a client come to both loops.
			client := nethttp.Client{Transport: &nethttp.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}
			for range each {
				resp, err := client.Get(at + "/limited")
				if err != nil {
					t.Error(err)
					return
				}
				resp.Body.Close()
				switch resp.StatusCode {
				case 200:
					passed.Add(1)
				case 429:
					refused.Add(1)
				}
			}
			name := fmt.Sprint("user ", i)
			resp, err := client.Post(at+"/login", "text/plain", bytes.NewReader([]byte(name)))
			if err != nil {
				t.Error(err)
				return
			}
			resp.Body.Close()
			for range each {
				req, _ := nethttp.NewRequest("GET", at+"/me", nil)
				for _, cookie := range resp.Cookies() {
					req.AddCookie(cookie)
				}
				resp, err := client.Do(req)
				if err != nil {
					t.Error(err)
					return
				}
				b, _ := io.ReadAll(resp.Body)
				resp.Body.Close()
				if string(b) != name {
					t.Errorf("%s: %q for %s", resp.Status, b, name)
				}
			}
		})
	}
	calls.Wait()
	if passed.Load() != burst || refused.Load() != clients*each-burst {
		t.Errorf("%d requests have passed and %d were refused", passed.Load(), refused.Load())
	}
	if s := l.StatsEach(); s[0].Accepts == 0 || s[1].Accepts == 0 {
		t.Errorf("%d and %d connections", s[0].Accepts, s[1].Accepts)
	}
}
