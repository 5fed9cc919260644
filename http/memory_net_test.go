package http

import (
	"bufio"
	"io"
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// underMemory is underBoth with a memory limit. seen returns the manager's figures.
func underMemory(t *testing.T, memory int, h conn.Handler, f func(t *testing.T, addr string, seen func() mgr.Stats)) {
	o := Options{Socket: conn.SocketOptions{SendBuf: 16 << 10}}
	underEach(t, mgr.Options{Memory: memory}, o, func(*mgr.Manager) conn.Handler { return h }, func(t *testing.T, m *mgr.Manager, addr string) {
		f(t, addr, statsOf(t, m))
	})
}

// FIELD.md §3.5: clients send request after request and read no reply.
func TestNetRepliesThatNobodyReadsAreBounded(t *testing.T) {
	const limit = 1 << 20
	page := strings.Repeat("x", 200<<10)
	asked := make(chan bool, 1000)
	h := func(c *conn.Conn, ev conn.Event) {
		if m, ok := ev.(*Message); ok {
			if string(m.Path) == "/small" {
				Reply(c, 200, "text/plain", "small")
				return
			}
			Reply(c, 200, "text/plain", page)
			asked <- true
		}
	}
	underMemory(t, limit, h, func(t *testing.T, addr string, seen func() mgr.Stats) {
		ended := uint64(0)
		for range 20 {
			c := dial(t, addr)
			c.SetReadBuffer(4 << 10)
			io.WriteString(c, strings.Repeat(request("GET", "/large"), 20))
			<-asked
			st := seen()
			if st.Held > limit {
				t.Fatalf("%d bytes are held, more than %d", st.Held, limit)
			}
			ended = st.Closed[conn.MemoryLimit]
		}
		if ended == 0 {
			t.Error("nobody was ended")
		}
		c := dial(t, addr)
		io.WriteString(c, request("GET", "/small"))
		wantBody(t, bufio.NewReader(c), 200, "small")
	})
}

// The request that holds most and has no reply yet gets 503, whether it is known to the handler or
// not; others live on.
func TestNetTheLargestRequestGets503(t *testing.T) {
	h := func(c *conn.Conn, ev conn.Event) {
		if m, ok := ev.(*Message); ok {
			ReplyBytes(c, 200, "text/plain", m.Path)
		}
	}
	head := "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n"
	for name, first := range map[string]string{
		"body": head + strings.Repeat("x", 400<<10),
		"head": "GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 20<<10),
	} {
		t.Run(name, func(t *testing.T) {
			limit := 8 << 10
			if name == "body" {
				limit = 256 << 10
			}
			underMemory(t, limit, h, func(t *testing.T, addr string, seen func() mgr.Stats) {
				small := dial(t, addr)
				io.WriteString(small, "GET /small HTTP/1.1\r\n")
				c := dial(t, addr)
				go io.WriteString(c, first)
				r := bufio.NewReader(c)
				if resp := wantBody(t, r, 503, "503 Service Unavailable\n"); !resp.Close {
					t.Error("the connection is to go on")
				}
				c.Close()
				io.WriteString(small, "Host: x\r\n\r\n")
				wantBody(t, bufio.NewReader(small), 200, "/small")
			})
		})
	}
}

// A manager that holds no more than its limit leaves everybody alone.
func TestNetBelowTheMemoryLimitNobodyEnds(t *testing.T) {
	h := func(c *conn.Conn, ev conn.Event) {
		if m, ok := ev.(*Message); ok {
			ReplyBytes(c, 200, "text/plain", m.Body)
		}
	}
	underMemory(t, 8<<20, h, func(t *testing.T, addr string, seen func() mgr.Stats) {
		body := strings.Repeat("x", 500<<10)
		for range 4 {
			c := dial(t, addr)
			go io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 512000\r\n\r\n"+body)
			wantBody(t, bufio.NewReader(c), 200, body)
		}
		if st := seen(); st.Closed[conn.MemoryLimit] != 0 || st.Held != 0 {
			t.Errorf("%d were ended, %d bytes are held", st.Closed[conn.MemoryLimit], st.Held)
		}
	})
}
