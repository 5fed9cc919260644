package http

import (
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
)

// RFC 9110 10.1.1, RFC 9112 9.3 and 9.6.
func TestConnectionAndExpect(t *testing.T) {
	const line = "GET / HTTP/1.1\nHost: h\n"
	const old = "GET / HTTP/1.0\n"
	closes := func(name, in string) requestCase {
		return requestCase{name: name, in: in + nextRequest, events: []string{"head", "message"}, status: []int{200}}
	}
	runCases(t, Options{}, []requestCase{
		accepted("1.1 stays open", line+"\n", "GET"),
		closes("close", line+"Connection: close\n\n"),
		closes("Close", line+"connection: CLOSE\n\n"),
		closes("close in a list", line+"Connection: foo,\t close ,bar\n\n"),
		closes("close in the second line", line+"Connection: keep-alive\nConnection: close\n\n"),
		closes("close in the first line", line+"Connection: close\nConnection: keep-alive\n\n"),
		accepted("closed is not close", line+"Connection: closed, xclose\n\n", "GET"),
		closes("1.0 closes", old+"\n"),
		accepted("1.0 with keep-alive stays open", old+"Connection: Keep-Alive\n\n", "GET"),
		closes("1.0 with both closes", old+"Connection: keep-alive, close\n\n"),
		refused("unknown expectation", 417, line+"Expect: the unexpected\n\n"),
		refused("unknown expectation in a list", 417, line+"Expect: 100-continue, x\nContent-Length: 1\n\n"),
		accepted("100-continue without a body", line+"Expect: 100-continue\n\n", "GET"),
		accepted("100-continue on 1.0 (RFC 9110 10.1.1)",
			"POST / HTTP/1.0\nConnection: keep-alive\nExpect: 100-continue\nContent-Length: 1\n\nx", `body="x"`),
	})
}

// A Host that was found well-formed is not looked at again, which must let no other one in.
func TestHostBehindAWellFormedOne(t *testing.T) {
	for host, isBad := range map[string]bool{"x": false, "": true, "a b": true, "xy": false, "x:80a": true, "[::1": true} {
		tc := newTest(t, Options{}, func(c *conn.Conn, ev conn.Event) {
			if _, ok := ev.(*Message); ok {
				ReplyBytes(c, 200, "text/plain", nil)
			}
		})
		tc.send("GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n")
		if got := strings.Contains(tc.reply(), "HTTP/1.1 400"); got != isBad {
			t.Errorf("Host %q behind a good one: refused %v, want %v", host, got, isBad)
		}
	}
}
