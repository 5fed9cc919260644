package middleware

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/conn/conntest"
	"github.com/seed4930a636/mangusta/http"
)

// A rig is a dialogue with handlers over a conntest.Wire, whose clock the test moves.
type rig struct {
	t       testing.TB
	c       *conn.Conn
	sh      *conn.Shared
	host    string // of the requests of ask
	body    string // of the requests of ask
	wire    *conntest.Wire
	loop    *conntest.Loop
	reason  conn.Reason
	failure error
	done    bool
}

var okBody = []byte("ok")

// okHandler replies with 200 and "ok".
func okHandler(c *conn.Conn, m *http.Message) { http.ReplyBytes(c, 200, "text/plain", okBody) }

// newRig puts the middleware around h, with a client at 192.0.2.7.
func newRig(t testing.TB, h func(*conn.Conn, *http.Message), chain ...Middleware) *rig {
	return newEventRig(t, func(c *conn.Conn, ev conn.Event) {
		if m, ok := ev.(*http.Message); ok {
			h(c, m)
		}
	}, chain...)
}

// newEventRig is newRig for a handler of events.
func newEventRig(t testing.TB, h http.Handler, chain ...Middleware) *rig {
	return newServerRig(t, http.Options{}, h, chain...)
}

// newServerRig is newEventRig for a server with options.
func newServerRig(t testing.TB, o http.Options, h http.Handler, chain ...Middleware) *rig {
	r := &rig{t: t, host: "device.local", wire: conntest.NewWire(), loop: conntest.NewLoop()}
	x := http.NewMux()
	x.MustHandleEvents("/", h)
	x.Use(chain...)
	r.sh = r.loop.Shared
	l := conn.Limits{}.WithDefaults()
	r.c = r.loop.Add(r.wire, &l, func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *conn.Error:
			r.failure = ev.Err
		case *conn.Close:
			r.reason, r.done = ev.Reason, true
		}
		x.Serve(c, ev)
	})
	r.from("192.0.2.7")
	http.Attach(r.c, http.NewServer(o))
	return r
}

// from makes the client one at that address; none for "".
func (r *rig) from(addr string) {
	r.c.Driver().SetRemote(conn.Peer{})
	if addr != "" {
		r.c.Driver().SetRemote(conn.PeerOf(netip.AddrPortFrom(netip.MustParseAddr(addr), 1)))
	}
}

// ask sends a request with these lines of head, and returns the status of the reply and its fields.
// "Vary" is the value of all lines of it.
func (r *rig) ask(request string, lines ...string) (status int, fields map[string]string) {
	r.t.Helper()
	in := []byte(request + " HTTP/1.1\r\nHost: " + r.host + "\r\n")
	for _, l := range lines {
		in = append(in, l+"\r\n"...)
	}
	if r.body != "" {
		in = fmt.Appendf(in, "Content-Length: %d\r\n", len(r.body))
	}
	in = append(append(in, "\r\n"...), r.body...)
	r.wire.Arrive(in, nil)
	r.settle()
	return r.answer()
}

func (r *rig) settle() {
	r.t.Helper()
	if err := r.loop.Turn(); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) answer() (status int, fields map[string]string) {
	r.t.Helper()
	head, _, _ := strings.Cut(string(r.wire.Sent), "\r\n\r\n")
	r.wire.Sent = r.wire.Sent[:0]
	fields = make(map[string]string)
	for i, l := range strings.Split(head, "\r\n") {
		if i == 0 {
			fmt.Sscanf(l, "HTTP/1.1 %d", &status)
			continue
		}
		name, value, _ := strings.Cut(l, ": ")
		if fields[name] != "" {
			value = fields[name] + ", " + value
		}
		fields[name] = value
	}
	return status, fields
}

// want asks, and wants that status and those fields, given as "Name: value"; "Name:" is one that
// must not be there.
func (r *rig) want(request string, lines []string, status int, want ...string) {
	r.t.Helper()
	got, fields := r.ask(request, lines...)
	if got != status {
		r.t.Errorf("%s %q: %d, want %d", request, lines, got, status)
	}
	for _, w := range want {
		name, value, _ := strings.Cut(w, ":")
		if value = strings.TrimSpace(value); fields[name] != value {
			r.t.Errorf("%s %q: %s is %q, want %q", request, lines, name, fields[name], value)
		}
	}
}

// wantPanic wants f to panic with this sentence.
func wantPanic(t *testing.T, want string, f func()) {
	t.Helper()
	defer func() {
		if v := recover(); v != "middleware: "+want {
			t.Errorf("panic %v, want %s", v, want)
		}
	}()
	f()
}
