package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/seed4930a636/mangusta/examples/internal/programtest"
)

// fuzzer is a small fuzzing server.
type fuzzer struct {
	cases []func(c net.Conn) error
	count string // what /getCaseCount answers
	offer string // of extensions that is expected
	// refused are the cases whose handshake is answered with this status, or, where it is 0, with
	// the end of the connection.
	refused map[string]int

	mu    sync.Mutex
	asked []string
	errs  []error
}

func (f *fuzzer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if status, ok := f.refused[r.URL.Query().Get("case")]; ok {
		f.mu.Lock()
		f.asked = append(f.asked, r.URL.String())
		f.mu.Unlock()
		if status == 0 {
			panic(http.ErrAbortHandler)
		}
		http.Error(w, "not this one", status)
		return
	}
	c, _, _, err := ws.UpgradeHTTP(r, w)
	if err != nil {
		return
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, r.URL.String())
	if offer := r.Header.Get("Sec-WebSocket-Extensions"); offer != f.offer {
		f.errs = append(f.errs, fmt.Errorf("%s: offered %q", r.URL, offer))
	}
	switch r.URL.Path {
	case "/getCaseCount":
		err = wsutil.WriteServerText(c, []byte(f.count))
	case "/runCase":
		var n int
		fmt.Sscan(r.URL.Query().Get("case"), &n)
		err = f.cases[n-1](c)
	}
	if err == nil {
		err = end(c)
	}
	if err != nil && err != errOver {
		f.errs = append(f.errs, fmt.Errorf("%s: %w", r.URL, err))
	}
}

// end is the closing handshake.
func end(c net.Conn) error {
	if err := ws.WriteFrame(c, ws.NewCloseFrame(ws.NewCloseFrameBody(1000, ""))); err != nil {
		return err
	}
	_, _, err := wsutil.ReadClientData(c)
	if closed, ok := err.(wsutil.ClosedError); !ok || closed.Code != 1000 {
		return fmt.Errorf("the Close frame is answered with %v", err)
	}
	return nil
}

// echoed sends a message, in frames, and wants it back.
func echoed(op ws.OpCode, frames ...string) func(c net.Conn) error {
	return func(c net.Conn) error {
		for i, p := range frames {
			f := ws.NewFrame(op, i == len(frames)-1, []byte(p))
			if i > 0 {
				f.Header.OpCode = ws.OpContinuation
			}
			if err := ws.WriteFrame(c, f); err != nil {
				return err
			}
		}
		got, gotOp, err := wsutil.ReadClientData(c)
		if want := strings.Join(frames, ""); string(got) != want || gotOp != op {
			return fmt.Errorf("echo %.40q (%v), %v", got, gotOp, err)
		}
		return nil
	}
}

// errOver is of a case that has ended the connection itself.
var errOver = errors.New("the case is over")

// broken sends a frame that no server may send: the client has to end it, and the next case to run
// all the same.
func broken(c net.Conn) error {
	c.Write([]byte{0x83, 0})
	_, _, err := wsutil.ReadClientData(c)
	if closed, ok := err.(wsutil.ClosedError); !ok || closed.Code != 1002 {
		return fmt.Errorf("a reserved opcode is answered with %v", err)
	}
	return errOver
}

// vanish ends the connection without a Close frame.
func vanish(c net.Conn) error {
	c.Close()
	return errOver
}

func TestClientRunsTheCasesOfAFuzzingServer(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("0123456789", 100_000)
	for _, poller := range []string{"epoll", "select"} {
		t.Run(poller, func(t *testing.T) {
			f := &fuzzer{count: "5", offer: "permessage-deflate; server_no_context_takeover; client_no_context_takeover; client_max_window_bits",
				cases: []func(net.Conn) error{
					echoed(ws.OpText, "hello"), echoed(ws.OpBinary, "a", "", "b"), vanish, broken, echoed(ws.OpBinary, big),
				}}
			s := httptest.NewServer(f)
			defer s.Close()
			out, err := programtest.Run(t, "-client", "ws"+strings.TrimPrefix(s.URL, "http"), "-poller", poller)
			if err != nil || out != "5 cases have run\n" {
				t.Errorf("ended with %v: %s", err, out)
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			want := []string{"/getCaseCount"}
			for n := 1; n <= 5; n++ {
				want = append(want, fmt.Sprintf("/runCase?case=%d&agent=mangusta", n))
			}
			want = append(want, "/updateReports?agent=mangusta")
			if !slices.Equal(f.asked, want) {
				t.Errorf("asked for %v", f.asked)
			}
			for _, err := range f.errs {
				t.Error(err)
			}
		})
	}
}

// The last case fails as well: the reports are written all the same.
func TestClientGoesOnAfterCasesThatCannotBeBegun(t *testing.T) {
	t.Parallel()
	for _, poller := range []string{"epoll", "select"} {
		t.Run(poller, func(t *testing.T) {
			hello := echoed(ws.OpText, "hello")
			f := &fuzzer{count: "5", cases: []func(net.Conn) error{hello, nil, nil, hello, nil}, refused: map[string]int{"2": 503, "3": 0, "5": 404},
				offer: "permessage-deflate; server_no_context_takeover; client_no_context_takeover; client_max_window_bits"}
			s := httptest.NewServer(f)
			defer s.Close()
			out, err := programtest.Run(t, "-client", strings.Replace("ws"+strings.TrimPrefix(s.URL, "http"), "127.0.0.1", "fuzzer.localhost", 1), "-poller", poller)
			if err != nil || !strings.HasSuffix(out, "2 cases have run, 3 could not be begun\n") {
				t.Errorf("ended with %v: %s", err, out)
			}
			for _, want := range []string{"testee: case 2: ", "503", "testee: case 3: ", "testee: case 5: ", "404"} {
				if !strings.Contains(out, want) {
					t.Errorf("it does not say %q: %s", want, out)
				}
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			if n := len(f.asked); n != 7 || f.asked[6] != "/updateReports?agent=mangusta" || len(f.errs) > 0 {
				t.Errorf("asked for %v; %v", f.asked, f.errs)
			}
		})
	}
}

func TestClientSaysWhyItCannotRun(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "//" + l.Addr().String()
	l.Close()
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	odd := httptest.NewServer(&fuzzer{count: "many"})
	defer odd.Close()
	for _, tc := range []struct{ url, want string }{
		{"ws:" + nobody, "connection refused"},
		{"wss:" + nobody, "connection refused"},
		{"ws" + strings.TrimPrefix(plain.URL, "http"), "the server responded with 404 Not Found"},
		{"ws" + strings.TrimPrefix(odd.URL, "http"), `/getCaseCount answered "many"`},
		{"wss" + strings.TrimPrefix(plain.URL, "http"), "tlsconn: not a TLS record"},
	} {
		out, err := programtest.Run(t, "-client", tc.url)
		if err == nil || !strings.Contains(out, tc.want) {
			t.Errorf("%s: ended with %v: %s", tc.url, err, out)
		}
	}
}
