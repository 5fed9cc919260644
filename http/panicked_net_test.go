package http

import (
	"bufio"
	"io"
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

func TestNetARequestWhoseHandlerPanicsGets500(t *testing.T) {
	for _, where := range []string{"Head", "Message", "Message with a body", "Message behind another", "begun", "replied", "error page"} {
		t.Run(where, func(t *testing.T) {
			var o Options
			if where == "error page" {
				o.ErrorPage = func(int) Page { panic("boom in the error page") }
			}
			ends := make(chan string, 100)
			h := func(*mgr.Manager) conn.Handler {
				return func(c *conn.Conn, ev conn.Event) {
					if c.IsListener() {
						return
					}
					switch ev := ev.(type) {
					case *Head:
						if string(ev.Path) == "/bad" && where == "Head" {
							panic("boom")
						}
					case *Message:
						if string(ev.Path) != "/bad" {
							Reply(c, 200, "text/plain", "good")
							return
						}
						switch SetHeader(c, "Content-Language", "de"); where {
						case "begun":
							Begin(c, 200, "text/plain")
						case "replied":
							Reply(c, 200, "text/plain", "all of it")
						}
						OnReply(c, func(status int, _ int64) { ends <- "told " + StatusText(status) })
						panic("boom")
					case *conn.Error:
						ends <- "Error " + ev.Reason.String()
					case *conn.Close:
						ends <- "Close " + ev.Reason.String()
					}
				}
			}
			underBoth(t, o, h, func(t *testing.T, m *mgr.Manager, addr string) {
				c := dial(t, addr)
				ask := request("GET", "/bad") + request("GET", "/never")
				switch where {
				case "Message behind another":
					ask = request("GET", "/good") + ask
				case "Message with a body":
					ask = "POST /bad HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 100000) + ask
				}
				io.WriteString(c, ask)
				r := bufio.NewReader(c)
				switch where {
				case "Message behind another":
					wantBody(t, r, 200, "good")
					fallthrough
				default:
					resp := wantBody(t, r, 500, "500 Internal Server Error\n")
					if !resp.Close || resp.Header.Get("Content-Language") != "" {
						t.Error(resp.Header)
					}
					wantEnd(t, r)
				case "begun", "replied", "error page":
					if b, _ := io.ReadAll(r); strings.Contains(string(b), " 500 ") {
						t.Errorf("sent %q", b)
					}
				}
				c.Close()
				var seen []string
				for len(seen) == 0 || !strings.HasPrefix(seen[len(seen)-1], "Close") {
					if end := <-ends; !strings.HasPrefix(end, "told") {
						seen = append(seen, end)
					}
				}
				if got := strings.Join(seen, ", "); got != "Error handler panicked, Close handler panicked" {
					t.Errorf("seen: %s", got)
				}
				stats := make(chan mgr.Stats, 1)
				m.Do(func() { stats <- m.Stats() })
				if s := <-stats; s.Panics != 1 || s.Conns != 0 {
					t.Errorf("%d panics, %d connections", s.Panics, s.Conns)
				}
			})
		})
	}
}
