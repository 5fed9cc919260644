package rest

import (
	"errors"
	"fmt"
	"io"
	"net"
	nethttp "net/http"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/internal/looptest"
	"github.com/seed4930a636/mangusta/mgr"
)

// ask sends a POST with a Content-Type, and returns the response and its body.
func ask(t *testing.T, addr, kind string) (*nethttp.Response, string) {
	t.Helper()
	var fields []string
	if kind != "" {
		fields = []string{"Content-Type", kind}
	}
	return looptest.Ask(t, nil, "POST", "http://"+addr, strings.NewReader("{}"), fields...)
}

// A page of another origin can send text/plain, forms and nothing at all without asking first.
func TestIsJSON(t *testing.T) {
	m := looptest.New(t, 0)
	addr := looptest.Listen(t, m, "http://127.0.0.1:0", func(c *conn.Conn, ev conn.Event) {
		if ev, ok := ev.(*http.Message); ok {
			Reply(c, 200, []bool{IsJSON(&ev.Request), IsJSON(&ev.Request, "application/merge-patch+json")})
		}
	})
	looptest.Run(t, m)
	for kind, want := range map[string]string{
		"application/json": "[true,true]", "Application/JSON": "[true,true]", "application/json;charset=utf-8": "[true,true]", "application/json ; x": "[true,true]",
		"application/merge-patch+json": "[false,true]", "Application/Merge-Patch+JSON; x": "[false,true]",
		"": "[false,false]", "text/plain": "[false,false]", "text/plain;application/json": "[false,false]", "text/plain, application/json": "[false,false]",
		"application/jsonx": "[false,false]", "xapplication/json": "[false,false]", "application/x-www-form-urlencoded": "[false,false]", "multipart/form-data": "[false,false]",
	} {
		resp, got := ask(t, addr, kind)
		if strings.TrimSpace(got) != want || resp.Header.Get("Cache-Control") != "no-store" || !strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") {
			t.Errorf("%q: %s, want %s; %v", kind, got, want, resp.Header)
		}
	}
}

func TestFail(t *testing.T) {
	m := looptest.New(t, 0)
	addr := looptest.Listen(t, m, "http://127.0.0.1:0", func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*http.Message); ok {
			Fail(c, 409, errors.New(`"it" is there`))
		}
	})
	looptest.Run(t, m)
	if resp, got := ask(t, addr, ""); resp.StatusCode != 409 || strings.TrimSpace(got) != `{"error":"\"it\" is there"}` || resp.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%d %s %v", resp.StatusCode, got, resp.Header)
	}
}

// A reply from another goroutine comes even while the queue of the loop is full; when the request or
// the loop is gone, that is told, once, and nothing is replied.
func TestComplete(t *testing.T) {
	looptest.EachPoller(t, func(t *testing.T, p mgr.Poller) {
		m := looptest.New(t, p, mgr.Options{Queue: 1})
		requests, ends := make(chan Later, 1), make(chan struct{}, 9)
		addr := looptest.Listen(t, m, "http://127.0.0.1:0", func(c *conn.Conn, ev conn.Event) {
			switch ev := ev.(type) {
			case *http.Message:
				requests <- LaterOf(c, ev.Later())
			case *conn.Close:
				ends <- struct{}{}
			}
		})
		stop := looptest.Run(t, m)
		begin := func() (net.Conn, Later) {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			c.SetDeadline(time.Now().Add(time.Minute))
			fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
			return c, <-requests
		}
		outcome := make(chan string, 9)
		replied := func(c *conn.Conn) {
			Fail(c, 418, errors.New("later"))
			outcome <- "replied"
		}
		gone := func() { outcome <- "gone" }
		want := func(what string) {
			t.Helper()
			if got := <-outcome; got != what || len(outcome) != 0 {
				t.Errorf("it is %s, want %s", got, what)
			}
		}

		c, later := begin()
		busy, goOn := make(chan struct{}), make(chan struct{})
		if err := m.Do(func() { close(busy); <-goOn }); err != nil {
			t.Fatal(err)
		}
		<-busy
		if err := m.Do(func() {}); err != nil { // now the queue is full
			t.Fatal(err)
		}
		later.Complete(replied, gone)
		close(goOn)
		want("replied")
		if text, err := io.ReadAll(c); err != nil || !strings.HasPrefix(string(text), "HTTP/1.1 418 ") {
			t.Errorf("%q %v", text, err)
		}
		c.Close()
		<-ends
		later.Complete(replied, gone)
		want("gone")

		c, later = begin()
		c.(*net.TCPConn).SetLinger(0) // after a FIN it could still read
		c.Close()
		<-ends
		later.Complete(replied, nil)
		later.Complete(replied, gone)
		want("gone")

		done := make(chan uint64)
		if err := m.Do(func() { done <- m.Stats().Panics }); err != nil {
			t.Fatal(err)
		}
		if n := <-done; n != 0 {
			t.Errorf("%d panics", n)
		}
		_, later = begin()
		stop()
		later.Complete(replied, nil)
		later.Complete(replied, gone)
		want("gone")
	})
}
