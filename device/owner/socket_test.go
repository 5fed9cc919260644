package owner

import (
	"bufio"
	"context"
	"errors"
	"io"
	nethttp "net/http"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/seed4930a636/mangusta/device"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/internal/looptest"
	"github.com/seed4930a636/mangusta/mgr"
)

// mountSettings adds a device whose WebSockets the Owner follows.
func mountSettings(t *testing.T, g mgr.Group, o *Owner, x *http.Mux) {
	t.Helper()
	type settings struct{ Name string }
	dev, err := device.New(g, settings{}, device.Options{Who: o.Who("settings"), Opened: o.Opened("settings")})
	if err != nil {
		t.Fatal(err)
	}
	dev.Mount(x, "/api")
}

// A line is a WebSocket to the settings.
type line struct {
	t *testing.T
	io.ReadWriter
	close func() error
}

func (c *client) dial() *line { return c.dialTo("/api/rpc") }

func (c *client) dialTo(path string) *line {
	c.r.t.Helper()
	header := nethttp.Header{}
	if c.cookie != "" {
		header.Set("Cookie", c.cookie)
	}
	for i := 0; i < len(c.fields); i += 2 {
		header.Set(c.fields[i], c.fields[i+1])
	}
	conn, r, _, err := ws.Dialer{Header: ws.HandshakeHeaderHTTP(header)}.Dial(context.Background(), strings.Replace(c.r.url, "http", "ws", 1)+path)
	if err != nil {
		c.r.t.Fatal(err)
	}
	c.r.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(time.Minute))
	if r == nil {
		r = bufio.NewReader(conn)
	}
	return &line{c.r.t, struct {
		io.Reader
		io.Writer
	}{r, conn}, conn.Close}
}

// wantOpen fails if the WebSocket was closed.
func (l *line) wantOpen() {
	l.t.Helper()
	err := wsutil.WriteClientText(l, []byte(`{"jsonrpc": "2.0", "id": 1, "method": "get"}`))
	if err == nil {
		_, err = wsutil.ReadServerText(l)
	}
	if err != nil {
		l.t.Errorf("the WebSocket is not open: %v", err)
	}
}

// wantClosed waits for the end of the WebSocket.
func (l *line) wantClosed() { l.wantClosedWith(ws.StatusPolicyViolation) }

func (l *line) wantClosedWith(code ws.StatusCode) {
	l.t.Helper()
	_, err := wsutil.ReadServerText(l)
	var closed wsutil.ClosedError
	if !errors.As(err, &closed) || closed.Code != code {
		l.t.Errorf("the WebSocket ended with %v, want code 1008", err)
	}
}

func TestWebSocketsEndWithTheRightToThem(t *testing.T) {
	looptest.EachPoller(t, func(t *testing.T, p mgr.Poller) {
		r := start(t, p)
		early := r.client().dial() // anybody on the device itself, as it has no owner
		early.wantOpen()
		ann := r.client()
		ann.want(200, "{}", "POST", "/owner/setup", r.setup("ann", password))
		early.wantClosed()

		first := ann.dial()
		ann.dial().close()
		r.wantSockets(1)
		ann.want(200, "{}", "PUT", "/owner/users/bob", `{"role":"user","password":"`+password+`"}`)
		bob := r.client()
		bob.want(200, "{}", "POST", "/owner/login", login("bob", password))
		his := bob.dial()
		ann.want(200, "{}", "PUT", "/owner/users/bob", `{"role":"viewer"}`)
		his.wantClosed()

		resp, text := ann.ask("POST", "/owner/tokens", `{"name":"ci","role":"admin"}`)
		_, key, _ := strings.Cut(text, `"token":"`)
		key, _, _ = strings.Cut(key, `"`)
		_, id, _ := strings.Cut(text, `"id":"`)
		id, _, _ = strings.Cut(id, `"`)
		if resp.StatusCode != 200 || key == "" || id == "" {
			t.Fatal(text)
		}
		program := r.client("Authorization", "Bearer "+key).dial()
		program.wantOpen()
		ann.want(200, "{}", "DELETE", "/owner/tokens/"+id, "")
		program.wantClosed()

		first.wantOpen() // through all of this
		ann.want(200, "{}", "POST", "/owner/logout", "")
		first.wantClosed()

		r.wantSockets(0)
	})
}

// wantSockets waits until n WebSockets are followed.
func (r *rig) wantSockets(n int) {
	r.t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		r.o.mu.Lock()
		got := len(r.o.sockets)
		r.o.mu.Unlock()
		if got == n {
			return
		}
		if time.Now().After(end) {
			r.t.Fatalf("%d WebSockets are followed, want %d", got, n)
		}
	}
}

// A clock that is set ends what is over by it.
func TestWebSocketEndsWhenTheClockIsSet(t *testing.T) {
	r, ann := owned(t, 0, func(o *Options) { o.look = time.Millisecond })
	_, text := ann.ask("POST", "/owner/tokens", `{"name":"ci","role":"admin","days":1}`)
	_, key, _ := strings.Cut(text, `"token":"`)
	key, _, _ = strings.Cut(key, `"`)
	program := r.client("Authorization", "Bearer "+key).dial()
	program.wantOpen()
	r.sleep(25 * time.Hour)
	program.wantClosed()
}

// A session has an end even if nobody says so.
func TestWebSocketEndsWithTheAgeOfItsSession(t *testing.T) {
	looptest.EachPoller(t, func(t *testing.T, p mgr.Poller) {
		r, ann := owned(t, p, func(o *Options) { o.Age, o.look = time.Minute, time.Millisecond })
		l := ann.dial()
		l.wantOpen()
		r.sleep(time.Minute)
		l.wantClosed()
	})
}
