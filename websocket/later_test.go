package websocket_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	nethttp "net/http"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/websocket"
)

// Issue 9 C11, FIELD.md 2 F2: a token is checked elsewhere, and meanwhile another client's request
// comes to lie where the upgrade lay. Upgrade with the message that was kept looks at nothing;
// UpgradeLater looks at the right request.
func TestLateUpgrade(t *testing.T) {
	for _, p := range []mgr.Poller{mgr.Epoll, mgr.Select} {
		for _, token := range []string{"bad!", "good"} {
			t.Run(fmt.Sprint(p, token), func(t *testing.T) { lateUpgrade(t, p, token) })
		}
	}
}

func lateUpgrade(t *testing.T, p mgr.Poller, token string) {
	m, err := mgr.New(mgr.Options{Poller: p})
	if err != nil {
		t.Fatal(err)
	}
	var kept *http.Message
	var first *conn.Conn
	var later *http.Later
	asked := ""
	opts := &websocket.Options{Check: func(c *conn.Conn, m *http.Message) error {
		asked = string(m.Header("Authorization"))
		http.SetHeader(c, "X-Asked", "yes")
		if asked != "good" {
			return &websocket.HandshakeError{Status: 401, Reason: "no"}
		}
		return nil
	}}
	h := func(c *conn.Conn, ev conn.Event) {
		r, ok := ev.(*http.Message)
		switch {
		case !ok:
		case r.Match("/ws"):
			kept, first, later = r, c, r.Later()
		default:
			http.Reply(c, 200, "", "ok")
		}
	}
	l, err := http.Listen(m, "http://127.0.0.1:0", h)
	if err != nil {
		t.Fatal(err)
	}
	addr := l.LocalAddr().String()
	ran := make(chan error, 1)
	go func() { ran <- m.Run(context.Background()) }()
	defer func() { m.Close(); <-ran }()
	do := func(f func()) {
		t.Helper()
		done := make(chan struct{})
		if err := m.Do(func() { defer close(done); f() }); err != nil {
			t.Fatal(err)
		}
		<-done
	}
	dial := func(request string) (net.Conn, *bufio.Reader) {
		t.Helper()
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		c.SetDeadline(time.Now().Add(time.Minute))
		fmt.Fprint(c, request)
		return c, bufio.NewReader(c)
	}
	const rest = "Host: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	_, a := dial("GET /ws HTTP/1.1\r\nAuthorization: " + token + "\r\n" + rest)
	for there := false; !there; {
		do(func() { there = later != nil })
	}
	_, b := dial("GET /xy HTTP/1.1\r\nAuthorization: good\r\n" + rest)
	if resp, err := nethttp.ReadResponse(b, nil); err != nil || resp.StatusCode != 200 {
		t.Fatal(resp, err)
	}
	do(func() {
		if err := websocket.Upgrade(first, kept, opts); !errors.Is(err, http.ErrOutside) || asked != "" {
			t.Error(err, asked)
		}
		err := websocket.UpgradeLater(later, opts)
		var refused *websocket.HandshakeError
		if asked != token || (err == nil) != (token == "good") || err != nil && !errors.As(err, &refused) {
			t.Error(err, asked)
		}
		if err := websocket.UpgradeLater(later, opts); !errors.Is(err, http.ErrGone) {
			t.Error(err)
		}
	})
	resp, err := nethttp.ReadResponse(a, nil)
	want := map[string]int{"good": 101, "bad!": 401}[token]
	if err != nil || resp.StatusCode != want || want == 401 && resp.Header.Get("X-Asked") != "yes" {
		t.Error(resp, err)
	}
}
