package http

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/conn/conntest"
	"github.com/seed4930a636/mangusta/internal/weburl"
)

// clientTest is a dialogue between a client and a server that the test plays.
type clientTest struct {
	*conntest.Dialogue
	t      testing.TB
	c      *conn.Conn
	k      *clientConn
	stream bool // StreamResponse is called for each response
	detach bool
	quiet  bool // a benchmark, which is to measure none of this
	events []string
	errs   []error
	on     conn.Handler // or nil
}

// newClientTest puts the client's layer on a connection to http://h/base.
func newClientTest(t testing.TB, o ClientOptions) *clientTest {
	t.Helper()
	side, err := newClientSide(o)
	if err != nil {
		t.Fatal(err)
	}
	base, err := weburl.Parse("http://h/base", weburl.HTTP)
	if err != nil {
		t.Fatal(err)
	}
	tc := &clientTest{t: t}
	tc.Dialogue = conntest.New(t, tc.event, conntest.Options{
		Outbound: true,
		Limits:   o.Limits,
		Setup: func(c *conn.Conn) {
			tc.c = c
			tc.k = attachClient(c, side)
			tc.k.base = base
		},
		Describe: func(conn.Event) string { return "" },
	})
	return tc
}

func (tc *clientTest) event(c *conn.Conn, ev conn.Event) {
	if tc.quiet {
		return
	}
	switch ev := ev.(type) {
	case *Interim:
		tc.note("interim %s", describeHead(&ev.ResponseHead))
	case *ResponseHead:
		tc.note("head %s", describeHead(ev))
		if tc.stream {
			if err := StreamResponse(c); err != nil {
				tc.t.Error(err)
			}
		}
		if tc.detach {
			if err := Detach(c); err != nil {
				tc.t.Error(err)
			}
		}
	case *Chunk:
		tc.chunk(ev)
	case *Response:
		tc.note("response %d body=%q trailers=%s", ev.Status, ev.Body, fieldText(ev.Trailers()))
	case *conn.Error:
		tc.note("error %s: %v", ev.Reason, ev.Err)
		tc.errs = append(tc.errs, ev.Err)
	}
	if tc.on != nil {
		tc.on(c, ev)
	}
}

// chunk joins the pieces: their borders mean nothing.
func (tc *clientTest) chunk(ev *Chunk) {
	const open = "chunks "
	if n := len(tc.events); n == 0 || !strings.HasPrefix(tc.events[n-1], open) {
		tc.events = append(tc.events, open)
	}
	last := &tc.events[len(tc.events)-1]
	*last += string(ev.Data)
	if ev.Last {
		*last = "streamed" + (*last)[len(open)-1:] + " trailers=" + fieldText(ev.Trailers())
	}
}

func (tc *clientTest) note(format string, args ...any) {
	tc.events = append(tc.events, fmt.Sprintf(format, args...))
}

func describeHead(h *ResponseHead) string {
	return fmt.Sprintf("1.%d %d %q [%s] length %d", h.Minor, h.Status, h.Reason, fieldText(h.Headers()), h.Length)
}

// request sends a request, which must go.
func (tc *clientTest) request(r ClientRequest) {
	tc.t.Helper()
	if err := Send(tc.c, &r); err != nil {
		tc.t.Fatal(err)
	}
	tc.Turn()
}

// want wants exactly these events, or parts of them.
func (tc *clientTest) want(want ...string) {
	tc.t.Helper()
	ok := len(tc.events) == len(want)
	for i := 0; ok && i < len(want); i++ {
		ok = strings.Contains(tc.events[i], want[i])
	}
	if !ok {
		tc.t.Fatalf("events:\n  %s\nwant:\n  %s", strings.Join(tc.events, "\n  "), strings.Join(want, "\n  "))
	}
	tc.events = nil
}

// wantError wants the connection to have ended because of why.
func (tc *clientTest) wantError(why error) {
	tc.t.Helper()
	if len(tc.errs) != 1 || !errors.Is(tc.errs[0], why) {
		tc.t.Fatalf("errors %v, want one of %v", tc.errs, why)
	}
	if !tc.Closed() {
		tc.t.Fatal("the connection is open")
	}
}

// lineEnds has "\n" stand for CR LF and "␊" for LF alone.
func lineEnds(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "\n", "\r\n"), "␊", "\n")
}
