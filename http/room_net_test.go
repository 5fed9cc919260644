package http

import (
	"bufio"
	"net"
	"net/netip"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// crowded runs f with a loop of each poller with these options, on which an HTTP server is
// listening.
func crowded(t *testing.T, o mgr.Options, f func(t *testing.T, addr string, stats func() mgr.Stats)) {
	underEach(t, o, Options{}, echoBody, func(t *testing.T, m *mgr.Manager, addr string) { f(t, addr, statsOf(t, m)) })
}

// wantPage asks for a page over a connection of its own.
func wantPage(t *testing.T, addr string, status int) *net.TCPConn {
	t.Helper()
	c := dial(t, addr)
	c.Write([]byte(request("GET", "/page")))
	body := "/page"
	if status != 200 {
		body = ""
	}
	wantBody(t, bufio.NewReader(c), status, body)
	return c
}

// FIELD.md §3: connections that never ask for anything must not lock the page out.
func TestNetSilentConnectionsMakeRoom(t *testing.T) {
	const most = 256
	crowded(t, mgr.Options{MaxConns: most}, func(t *testing.T, addr string, stats func() mgr.Stats) {
		first := dial(t, addr)
		for range most - 1 {
			dial(t, addr)
		}
		page := wantPage(t, addr, 200)
		wantEnd(t, bufio.NewReader(first)) // it was idle for the longest time
		if s := stats(); s.Conns != most || s.MadeRoom != 1 || s.Refused != 0 || s.Closed[conn.Idle] != 1 {
			t.Errorf("%d connections, %d made room, %d refused, %d closed as idle", s.Conns, s.MadeRoom, s.Refused, s.Closed[conn.Idle])
		}
		for range most { // a flood: it gets through to those that are at rest, and to the page, too
			wantPage(t, addr, 200)
		}
		wantEnd(t, bufio.NewReader(page))
	})
}

// A connection whose request has begun, or whose next request has arrived, makes no room.
func TestNetWhoIsAtWorkMakesNoRoom(t *testing.T) {
	crowded(t, mgr.Options{MaxConns: 3}, func(t *testing.T, addr string, stats func() mgr.Stats) {
		var busy []*bufio.Reader
		var conns []*net.TCPConn
		for range 3 {
			c := wantPage(t, addr, 200)
			c.Write([]byte("GET /half HTTP/1.1\r\nHost: x\r\n"))
			conns, busy = append(conns, c), append(busy, bufio.NewReader(c))
		}
		wantPage(t, addr, 503)
		for i, c := range conns {
			c.Write([]byte("\r\n"))
			wantBody(t, busy[i], 200, "/half")
		}
		if s := stats(); s.MadeRoom != 0 || s.Refused == 0 {
			t.Errorf("%d made room, %d refused", s.MadeRoom, s.Refused)
		}
	})
}

func TestNetOneAddressHasItsShareOnly(t *testing.T) {
	o := mgr.Options{MaxConnsPerAddr: 2}
	crowded(t, o, func(t *testing.T, addr string, stats func() mgr.Stats) {
		a := wantPage(t, addr, 200)
		wantPage(t, addr, 200)
		wantPage(t, addr, 503)
		wantPage(t, addr, 503)
		if s := stats(); s.Conns != 2 || s.Crowded != 2 || s.Refused != 2 || s.Accepts != 2 {
			t.Errorf("%d connections, %d crowded, %d refused, %d accepted", s.Conns, s.Crowded, s.Refused, s.Accepts)
		}
		a.Close()
		for stats().Conns > 1 {
		}
		wantPage(t, addr, 200)
	})
	o.Trusted = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	crowded(t, o, func(t *testing.T, addr string, _ func() mgr.Stats) {
		for range 5 {
			wantPage(t, addr, 200)
		}
	})
}
