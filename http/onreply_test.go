package http

import (
	"fmt"
	"testing"
	"testing/fstest"
	"time"

	"github.com/seed4930a636/mangusta/conn"
)

// noting replies to each Message with f, and notes what OnReply tells.
func noting(t *testing.T, f func(c *conn.Conn, m *Message)) *testConn {
	var tc *testConn
	tc = newTest(t, Options{ReplyTimeout: time.Second}, func(c *conn.Conn, ev conn.Event) {
		m, ok := ev.(*Message)
		if !ok {
			return
		}
		tc.events = nil
		err := OnReply(c, func(status int, bytes int64) {
			if Error(c, 500) != ErrNoRequest {
				t.Error("the request can still be answered")
			}
			tc.events = append(tc.events, fmt.Sprintf("answer %d %d", status, bytes))
		})
		if err != nil {
			t.Error(err)
		}
		f(c, m)
	})
	return tc
}

func TestOnReply(t *testing.T) {
	files := fstest.MapFS{"a.txt": {Data: []byte("0123456789")}}
	for _, tt := range []struct {
		name, request, want string
		f                   func(c *conn.Conn, m *Message)
	}{
		{"a reply", request("GET", "/"), "answer 201 5", func(c *conn.Conn, m *Message) { Reply(c, 201, "", "12345") }},
		{"a reply to HEAD", request("HEAD", "/"), "answer 200 0", func(c *conn.Conn, m *Message) { Reply(c, 200, "", "12345") }},
		{"without content", request("GET", "/"), "answer 304 0", func(c *conn.Conn, m *Message) { Reply(c, 304, "", "12345") }},
		{"a second reply after a refused one", request("GET", "/"), "answer 200 1", func(c *conn.Conn, m *Message) {
			Reply(c, 200, "a\nb", "12345")
			Reply(c, 20, "", "12345")
			Reply(c, 200, "", "1")
			Reply(c, 200, "", "123")
		}},
		{"behind an interim one", request("GET", "/"), "answer 200 1", func(c *conn.Conn, m *Message) {
			SendInterim(c, 103)
			Reply(c, 200, "", "1")
		}},
		{"a file", request("GET", "/a.txt"), "answer 200 10", func(c *conn.Conn, m *Message) { ServeFS(c, m, files) }},
		{"a stream", request("GET", "/"), "answer 200 7", func(c *conn.Conn, m *Message) {
			Begin(c, 200, "text/plain")
			WriteChunk(c, []byte("12345"))
			WriteChunk(c, []byte("67"))
			End(c)
		}},
		{"hijacked", request("GET", "/"), "answer 101 0", func(c *conn.Conn, m *Message) { Hijack(c) }},
		{"closed", request("GET", "/"), "answer 0 0", func(c *conn.Conn, m *Message) { c.Close() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tc := noting(t, tt.f)
			tc.send(tt.request)
			tc.wantEvents(tt.want)
		})
	}
}

func TestOnReplyLater(t *testing.T) {
	tc := noting(t, func(*conn.Conn, *Message) {})
	tc.send(getLine + getLine)
	tc.wantEvents()
	Reply(tc.c, 200, "", "one")
	tc.wantEvents("answer 200 3")
	tc.turn()
	Reply(tc.c, 200, "", "1")
	tc.wantEvents("answer 200 1")
	tc.turn()
	tc.wantStatus(200, 200)
	tc.wantOpen()

	tc.send(getLine)
	tc.sleep(1200 * time.Millisecond)
	if n := len(tc.events); n == 0 || tc.events[n-1] != "answer 503 24" {
		t.Errorf("no reply in time: %q", tc.events)
	}
}

func TestOnReplyTwice(t *testing.T) {
	tc := noting(t, func(c *conn.Conn, m *Message) {})
	tc.send(getLine)
	OnReply(tc.c, func(status int, bytes int64) { tc.events = append(tc.events, "second") })
	Reply(tc.c, 200, "", "one")
	tc.wantEvents("second", "answer 200 3")
	if err := OnReply(tc.c, func(int, int64) {}); err != ErrNoRequest {
		t.Error(err)
	}
}
