package broadcast

import (
	"testing"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/conn/conntest"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/websocket"
)

// fakes is a hub on a manager that the test polls, for connections over a transport that is made
// up.
type fakes struct {
	t      testing.TB
	m      *mgr.Manager
	hub    *Hub
	shared *conn.Shared
	server *http.Server
	limits conn.Limits
	ws     *websocket.Options
}

func newFakes(t testing.TB, opts Options) *fakes { return newFakesOn(t, mgr.Options{}, opts) }

func newFakesOn(t testing.TB, o mgr.Options, opts Options) *fakes {
	m, err := mgr.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	f := &fakes{t: t, m: m, hub: NewHub(opts, m), shared: conn.NewShared(m), server: http.NewServer(http.Options{})}
	f.limits = conn.Limits{Stall: -1}.WithDefaults()
	f.turn(func() {}) // the loop is the test's goroutine
	return f
}

// turn runs f on the loop, and turns it once more.
func (f *fakes) turn(do func()) {
	f.t.Helper()
	if err := f.m.Do(do); err != nil {
		f.t.Fatal(err)
	}
	for range 2 {
		if err := f.m.Poll(0); err != nil {
			f.t.Fatal(err)
		}
	}
}

// wire is the transport of one connection, whose loop is the manager. The bytes that it takes are
// forgotten unless a test says otherwise.
type wire struct{ *conntest.Wire }

const upgrade = "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

// open makes a WebSocket, which does not read, so that the manager's poller never hears of it.
func (f *fakes) open() (*conn.Conn, *wire) {
	w := &wire{conntest.NewWire()}
	w.Forget = true
	w.Arrive([]byte(upgrade), nil)
	c := conn.New(f.shared, 1<<20, conn.NewID(1<<20), w, &f.limits, func(c *conn.Conn, ev conn.Event) {
		if m, ok := ev.(*http.Message); ok {
			if err := websocket.Upgrade(c, m, f.ws); err != nil {
				f.t.Error(err)
			}
		}
	})
	f.turn(func() {
		http.Attach(c, f.server)
		c.Driver().Readable()
		c.Pause()
	})
	if !websocket.Is(c) {
		f.t.Fatal("no WebSocket")
	}
	return c, w
}

func (f *fakes) subscribe(c *conn.Conn, pattern string, opts ...SubscribeOptions) {
	f.t.Helper()
	f.turn(func() {
		if err := f.hub.Subscribe(c, pattern, opts...); err != nil {
			f.t.Error(err)
		}
	})
}
