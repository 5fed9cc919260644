package http_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/conn/conntest"
	mghttp "github.com/seed4930a636/mangusta/http"
)

func moving(t *testing.T, o mghttp.Options) *conntest.Dialogue {
	t.Helper()
	server := mghttp.NewServer(o)
	return conntest.New(t, func(c *conn.Conn, ev conn.Event) {
		if m, ok := ev.(*mghttp.Message); ok && m.Match("/now") {
			mghttp.Reply(c, 200, "text/plain", "ok")
		}
	}, conntest.Options{Setup: func(c *conn.Conn) { mghttp.Attach(c, server) }})
}

func TestRestartLetsOneMoreRequestPass(t *testing.T) {
	for _, most := range []int{0, 10} { // with and without a count of requests
		d := moving(t, mghttp.Options{NoDate: true, MaxRequests: most})
		d.Send("GET /now HTTP/1.1\r\nHost: x\r\n\r\n")
		if got := d.Sent(); !strings.HasSuffix(got, "ok") || strings.Contains(got, "Connection") {
			t.Errorf("before: %q", got)
		}
		d.Conn.Driver().Fire(&conn.Shutdown{Restart: true})
		d.Turn()
		if got := d.Sent(); got != "" || !d.Conn.IsOpen() {
			t.Errorf("a connection that rests: sent %q, open %v", got, d.Conn.IsOpen())
		}
		d.Send("GET /now HTTP/1.1\r\nHost: x\r\n\r\n")
		if got := d.Sent(); !strings.HasSuffix(got, "ok") || !strings.Contains(got, "Connection: close") || d.Conn.IsOpen() {
			t.Errorf("after: %q, open %v", got, d.Conn.IsOpen())
		}
	}
}

func TestConnectionsMoveBetweenTwoRequestsOnly(t *testing.T) {
	when := func(d *conntest.Dialogue) conn.Movable {
		kind, state, when := d.Conn.Layer().Move()
		if kind != mghttp.MoveKind || len(state) != 0 {
			t.Errorf("Move: %q, %q", kind, state)
		}
		return when
	}
	d := moving(t, mghttp.Options{})
	if got := when(d); got != conn.MoveNow {
		t.Errorf("before the first request: %v", got)
	}
	d.Send("GET /now HT")
	if got := when(d); got != conn.MoveLater {
		t.Errorf("in a head: %v", got)
	}
	d.Send("TP/1.1\r\nHost: x\r\n\r\n")
	d.Sent()
	if got := when(d); got != conn.MoveNow {
		t.Errorf("after a reply: %v", got)
	}
	d.Send("GET /never HTTP/1.1\r\nHost: x\r\n\r\n")
	if got := when(d); got != conn.MoveLater {
		t.Errorf("while a request waits: %v", got)
	}
	d = moving(t, mghttp.Options{ProxyFrom: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}})
	if got := when(d); d.Conn.RemoteAddr().IsValid() && got != conn.MoveNever {
		t.Errorf("before a PROXY header: %v", got)
	}
}
