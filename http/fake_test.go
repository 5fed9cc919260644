package http

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
)

// fakeLoop is a loop with one connection, whose turns the test runs, and whose clock it moves.
type fakeLoop struct{ touched int }

func (l *fakeLoop) Touch(*conn.Conn)         { l.touched++ }
func (l *fakeLoop) SetPoll(*conn.Conn, bool) {}

// fakeWire is the kernel's side of a connection: what it has for the server, and what it took.
type fakeWire struct {
	in      [][]byte // one element for each read
	eof     bool
	out     bytes.Buffer
	room    int // bytes that it takes; negative is no limit
	shut    bool
	closed  bool
	discard bool
}

func (w *fakeWire) Read(_ int, p []byte) (int, error) {
	if len(w.in) == 0 {
		if w.eof {
			return 0, nil
		}
		return 0, unix.EAGAIN
	}
	n := copy(p, w.in[0])
	if w.in[0] = w.in[0][n:]; len(w.in[0]) == 0 {
		w.in = w.in[1:]
	}
	return n, nil
}

func (w *fakeWire) Write(_ int, p []byte) (int, error) {
	if w.room >= 0 {
		p = p[:min(len(p), w.room)]
		w.room -= len(p)
		if len(p) == 0 {
			return 0, unix.EAGAIN
		}
	}
	if !w.discard {
		w.out.Write(p)
	}
	return len(p), nil
}

func (w *fakeWire) Writev(fd int, pieces [][]byte) (n int, err error) {
	for _, p := range pieces {
		k, err := w.Write(fd, p)
		n += k
		if err != nil || k < len(p) {
			return n, nil
		}
	}
	return n, nil
}

func (w *fakeWire) CloseWrite(int) error { w.shut = true; return nil }
func (w *fakeWire) Close(int) error      { w.closed = true; return nil }

// testConn is a dialogue between a test and a server.
type testConn struct {
	t      testing.TB
	c      *conn.Conn
	s      *Server
	sh     *conn.Shared
	loop   fakeLoop
	wire   fakeWire
	events []string // of package http, as text
	reason conn.Reason
	done   bool
	handle conn.Handler
}

// newTest attaches a server to a connection. h may be nil: each Message is answered with 200 "ok" then.
func newTest(t testing.TB, o Options, h conn.Handler) *testConn {
	if h == nil {
		h = func(c *conn.Conn, ev conn.Event) {
			if _, ok := ev.(*Message); ok {
				ReplyBytes(c, 200, "text/plain", []byte("ok"))
			}
		}
	}
	tc := &testConn{t: t, handle: h, s: NewServer(o)}
	tc.wire.room = -1
	tc.sh = conn.NewShared(&tc.loop)
	tc.sh.Now = int64(time.Hour)
	l := o.Limits.WithDefaults()
	tc.c = conn.New(tc.sh, 3, 1, &tc.wire, &l, tc.event)
	Attach(tc.c, tc.s)
	tc.c.Fire(conn.Accept{})
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
	case *conn.Close:
		tc.reason = ev.Reason
	}
	tc.handle(c, ev)
}

func (tc *testConn) log(format string, args ...any) {
	if !tc.wire.discard {
		tc.events = append(tc.events, fmt.Sprintf(format, args...))
	}
}

func describe(r *Request) string {
	return fmt.Sprintf("%s %s path=%q query=%q host=%q 1.%d [%s]", r.Method, r.Target, r.Path, r.Query, r.Host, r.Minor,
		fieldText(r.fields))
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
		tc.wire.in = append(tc.wire.in, []byte(p))
		tc.turn()
	}
	for len(tc.wire.in) > 0 && !tc.done && tc.c.IsOpen() {
		before := len(tc.wire.in[0])
		tc.turn()
		if len(tc.wire.in) > 0 && len(tc.wire.in[0]) == before {
			return // the connection is paused
		}
	}
}

// end is the FIN of the client.
func (tc *testConn) end() {
	tc.wire.eof = true
	tc.turn()
}

// turn is a turn of the loop, and those that follow without waiting.
func (tc *testConn) turn() {
	if tc.done {
		return
	}
	tc.c.Readable()
	tc.settle()
}

func (tc *testConn) settle() {
	for range 10_000 {
		if tc.loop.touched == 0 || tc.done {
			return
		}
		tc.loop.touched = 0
		next := tc.c.Settle()
		if next.Done {
			tc.c.Finish()
			tc.done = true
			return
		}
		if next.Want&conn.Out != 0 && tc.wire.room != 0 {
			tc.c.Writable()
		}
	}
	tc.t.Fatal("the connection does not come to rest")
}

// sleep moves the clock, and has the connection look at its timeouts every 50 ms.
func (tc *testConn) sleep(d time.Duration) {
	const step = 50 * time.Millisecond
	for ; d > 0 && !tc.done; d -= step {
		tc.sh.Now += int64(min(d, step))
		tc.c.Expire()
		tc.settle()
	}
}

// reply returns what the server has sent since the last call, without the Date lines.
func (tc *testConn) reply() string {
	tc.t.Helper()
	var b strings.Builder
	for line := range strings.SplitAfterSeq(tc.wire.out.String(), "\n") {
		if !strings.HasPrefix(line, "Date: ") {
			b.WriteString(line)
		}
	}
	tc.wire.out.Reset()
	return b.String()
}

// wantReply wants exactly these bytes, but for the Date lines. "\n" stands for CR LF, "␊" for LF alone.
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

// wantClosed wants the stream towards the client ended; it then closes its side, too.
func (tc *testConn) wantClosed(reason conn.Reason) {
	tc.t.Helper()
	if !tc.done {
		if !tc.wire.shut {
			tc.t.Fatal("the connection is open")
		}
		tc.end()
	}
	if !tc.done {
		tc.t.Fatal("the connection does not close after the client has")
	}
	if tc.reason != reason {
		tc.t.Fatalf("closed: %v, want %v", tc.reason, reason)
	}
	if len(tc.s.free) > 0 && tc.s.free[0].flags != 0 {
		tc.t.Fatal("an exchange on the free list is not clean")
	}
}

func (tc *testConn) wantOpen() {
	tc.t.Helper()
	if tc.done || tc.wire.shut || !tc.c.IsOpen() {
		tc.t.Fatal("the connection is closed")
	}
	if _, ok := tc.c.ProtocolState().(*exchange); ok {
		tc.t.Fatal("an idle connection holds an exchange")
	}
}
