package http

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/conn/conntest"
)

// testConn is a dialogue between a test and a server, in words of HTTP.
type testConn struct {
	*conntest.Dialogue
	t      testing.TB
	c      *conn.Conn
	s      *Server
	events []string // of package http, as text
	handle conn.Handler
}

// newTest attaches a server to a connection. h may be nil: each Message then gets 200 "ok".
func newTest(t testing.TB, o Options, h conn.Handler) *testConn {
	if h == nil {
		h = func(c *conn.Conn, ev conn.Event) {
			if _, ok := ev.(*Message); ok {
				ReplyBytes(c, 200, "text/plain", []byte("ok"))
			}
		}
	}
	tc := &testConn{t: t, handle: h, s: NewServer(o)}
	tc.Dialogue = conntest.New(t, tc.event, conntest.Options{
		Limits:   o.Limits,
		Setup:    func(c *conn.Conn) { tc.c = c; Attach(c, tc.s) },
		Describe: func(conn.Event) string { return "" },
	})
	return tc
}

func (tc *testConn) event(c *conn.Conn, ev conn.Event) {
	switch ev := ev.(type) {
	case *Head:
		tc.log("head %s", describe(&ev.Request))
	case *Message:
		tc.log("message %s body=%q trailers=%s", describe(&ev.Request), ev.Body, fieldText(ev.trailers))
	case *BadRequest:
		tc.log("bad %d %v", ev.Status, ev.Err)
	}
	tc.handle(c, ev)
}

func (tc *testConn) log(format string, args ...any) {
	if !tc.Wire.Forget {
		tc.events = append(tc.events, fmt.Sprintf(format, args...))
	}
}

func describe(r *Request) string {
	return fmt.Sprintf("%s %s path=%q query=%q host=%q 1.%d [%s]", r.Method, r.Target, r.Path, r.Query, r.Host, r.Minor,
		fieldText(r.Headers()))
}

func fieldText(fields []Field) string {
	var b strings.Builder
	for _, f := range fields {
		fmt.Fprintf(&b, "%s=%s;", f.Name, f.Value)
	}
	return b.String()
}

// send lets the server read each piece in a turn of its own.
func (tc *testConn) send(pieces ...string) {
	for _, p := range pieces {
		tc.Wire.Arrive([]byte(p), nil)
		tc.turn()
	}
}

// end is the FIN of the client.
func (tc *testConn) end() {
	tc.Wire.Arrive(nil, nil)
	tc.turn()
}

// turn has the loop come to rest.
func (tc *testConn) turn() {
	tc.enter(false)
	tc.Turn()
	tc.enter(true)
}

// enter has what the test itself calls next stand in an event of the request that goes on, or ends
// that.
func (tc *testConn) enter(on bool) {
	if tc.Wire.Forget {
		return // a benchmark, which is to measure none of this
	}
	if x, ok := tc.c.Layer().ProtocolState().(*exchange); ok {
		x.flags &^= entered
		if on {
			x.flags |= entered
		}
	}
}

// sleep moves the clock, and has the connection look at its timeouts every 50 ms.
func (tc *testConn) sleep(d time.Duration) {
	tc.enter(false)
	tc.Sleep(d)
	tc.enter(true)
}

// reply returns what the server has sent since the last call, without the Date lines.
func (tc *testConn) reply() string {
	tc.t.Helper()
	var b strings.Builder
	for line := range strings.SplitAfterSeq(tc.Sent(), "\n") {
		if !strings.HasPrefix(line, "Date: ") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// wantReply wants exactly these bytes, but for the Date lines. "\n" stands for CR LF, "␊" for LF
// alone.
func (tc *testConn) wantReply(want string) {
	tc.t.Helper()
	want = strings.ReplaceAll(strings.ReplaceAll(want, "\n", "\r\n"), "␊", "\n")
	if got := tc.reply(); got != want {
		tc.t.Fatalf("reply:\n%q\nwant:\n%q", got, want)
	}
}

// wantStatus wants exactly these replies, by their status lines.
func (tc *testConn) wantStatus(want ...int) {
	tc.t.Helper()
	var got []int
	out := tc.reply()
	for line := range strings.SplitSeq(out, "\r\n") {
		if i := strings.Index(line, "HTTP/1.1 "); i >= 0 {
			var n int
			fmt.Sscanf(line[i+9:], "%d", &n)
			got = append(got, n)
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		tc.t.Fatalf("statuses %v, want %v; in\n%q", got, want, out)
	}
}

func (tc *testConn) wantEvents(want ...string) {
	tc.t.Helper()
	if len(tc.events) != len(want) {
		tc.t.Fatalf("events:\n%s\nwant:\n%s", strings.Join(tc.events, "\n"), strings.Join(want, "\n"))
	}
	for i := range want {
		if !strings.Contains(tc.events[i], want[i]) {
			tc.t.Fatalf("event %d:\n%s\nwant:\n%s", i, tc.events[i], want[i])
		}
	}
	tc.events = nil
}

// wantClosed is WantClosed, and wants a clean exchange on the free list.
func (tc *testConn) wantClosed(reason conn.Reason) {
	tc.t.Helper()
	tc.enter(false)
	tc.WantClosed(reason)
	if len(tc.s.free) > 0 && tc.s.free[0].flags != 0 {
		tc.t.Fatal("an exchange on the free list is not clean")
	}
}

// wantOpen is WantOpen, and wants no exchange.
func (tc *testConn) wantOpen() {
	tc.t.Helper()
	tc.WantOpen()
	if _, ok := tc.c.Layer().ProtocolState().(*exchange); ok {
		tc.t.Fatal("an idle connection holds an exchange")
	}
}
