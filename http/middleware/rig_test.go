package middleware

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
)

// A rig is a dialogue with handlers on a connection without a loop, whose clock the test moves.
type rig struct {
	t       testing.TB
	c       *conn.Conn
	sh      *conn.Shared
	in      []byte
	body    string // of the requests of ask
	out     bytes.Buffer
	touched int
	reason  conn.Reason
	failure error
	done    bool
}

func (r *rig) Touch(*conn.Conn)         { r.touched++ }
func (r *rig) SetPoll(*conn.Conn, bool) {}

func (r *rig) Read(_ int, p []byte) (int, error) {
	if len(r.in) == 0 {
		return 0, unix.EAGAIN
	}
	n := copy(p, r.in)
	r.in = r.in[n:]
	return n, nil
}

func (r *rig) Write(_ int, p []byte) (int, error) { return r.out.Write(p) }

func (r *rig) Writev(_ int, pieces [][]byte) (n int, err error) {
	for _, p := range pieces {
		k, _ := r.out.Write(p)
		n += k
	}
	return n, nil
}

func (r *rig) CloseWrite(int) error { return nil }
func (r *rig) Close(int) error      { return nil }

var okBody = []byte("ok")

// okHandler answers with 200 and "ok".
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
	r := &rig{t: t}
	x := http.NewMux()
	x.MustHandleEvents("/", h)
	x.Use(chain...)
	r.sh = conn.NewShared(r)
	r.sh.Now = int64(time.Hour)
	l := conn.Limits{}.WithDefaults()
	r.c = conn.New(r.sh, 3, 1, r, &l, func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *conn.Error:
			r.failure = ev.Err
		case *conn.Close:
			r.reason, r.done = ev.Reason, true
		}
		x.Serve(c, ev)
	})
	r.from("192.0.2.7")
	http.Attach(r.c, http.NewServer(http.Options{}))
	return r
}

// from makes the client one at that address; none for "".
func (r *rig) from(addr string) {
	r.c.SetRemote(conn.Peer{})
	if addr != "" {
		r.c.SetRemote(conn.PeerOf(netip.AddrPortFrom(netip.MustParseAddr(addr), 1)))
	}
}

// ask sends a request with these lines of head, and returns the status of the answer and its fields. "Vary" is the value of
// all lines of it.
func (r *rig) ask(request string, lines ...string) (status int, fields map[string]string) {
	r.t.Helper()
	r.in = []byte(request + " HTTP/1.1\r\nHost: device.local\r\n")
	for _, l := range lines {
		r.in = append(r.in, l+"\r\n"...)
	}
	if r.body != "" {
		r.in = fmt.Appendf(r.in, "Content-Length: %d\r\n", len(r.body))
	}
	r.in = append(append(r.in, "\r\n"...), r.body...)
	r.c.Readable()
	r.settle()
	return r.answer()
}

func (r *rig) settle() {
	for range 100 {
		if r.touched == 0 || r.done {
			return
		}
		r.touched = 0
		if r.c.Settle().Done {
			r.c.Finish()
			return
		}
	}
	r.t.Fatal("the connection does not come to rest")
}

func (r *rig) answer() (status int, fields map[string]string) {
	r.t.Helper()
	head, _, _ := strings.Cut(r.out.String(), "\r\n\r\n")
	r.out.Reset()
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

// want asks, and wants that status and those fields, given as "Name: value"; "Name:" is one that must not be there.
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
