// Package interop tests our WebSockets against those of others: libraries for Go, the npm package
// ws, and Chromium.
package interop

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/internal/exhaustive"
	"github.com/seed4930a636/mangusta/mgr"
)

// A socket is a WebSocket of any library, made blocking. Errors are of the type ended when a Close
// frame came.
type socket interface {
	// send sends one message: in fragments when there are several parts.
	send(binary bool, parts ...string) error
	receive() (binary bool, data string, err error)
	// ping sends a ping and waits for the pong.
	ping() error
	// end begins the closing handshake.
	end(code int, reason string) error
}

// ended is the peer's Close frame.
type ended struct {
	code   int
	reason string
}

func (e ended) Error() string { return fmt.Sprintf("closed with %d %q", e.code, e.reason) }

const patience = time.Minute

// mailbox is the receiving half of a socket, which something else fills.
type mailbox struct {
	in   chan mail
	pong chan bool
}

type mail struct {
	binary bool
	data   string
	err    error
}

func newMailbox() mailbox { return mailbox{make(chan mail, 100), make(chan bool, 100)} }

func (m mailbox) receive() (bool, string, error) {
	select {
	case got := <-m.in:
		return got.binary, got.data, got.err
	case <-time.After(patience):
		return false, "", fmt.Errorf("nothing came for %v", patience)
	}
}

func (m mailbox) waitPong() error {
	select {
	case <-m.pong:
		return nil
	case <-time.After(patience):
		return fmt.Errorf("no pong for %v", patience)
	}
}

// The requests of a client besides an echo.
const (
	closeMe    = "close me"    // with 4002 "enough"
	pingMe     = "ping me"     // and say "ponged" when the pong has come
	fragmentMe = "fragment me" // send the parts of fragments
	ponged     = "ponged"
)

var fragments = []string{"first, ", "second, ", "κόσμ", "ε"}

// serve is a server's side of the conversation.
func serve(s socket) error {
	closing := false
	for {
		binary, data, err := s.receive()
		switch {
		case err != nil:
			// Libraries differ in what they say of an end that they began.
			if _, ok := err.(ended); ok || closing {
				return nil
			}
			return err
		case data == closeMe:
			closing = true
			err = s.end(4002, "enough")
		case data == pingMe:
			if err = s.ping(); err == nil {
				err = s.send(false, ponged)
			}
		case data == fragmentMe:
			err = s.send(false, fragments...)
		default:
			err = s.send(binary, data)
		}
		if err != nil {
			return err
		}
	}
}

// converse is a client's side of the conversation. dial opens a connection; after is told how each
// has to end.
func converse(t *testing.T, p mgr.Poller, dial func() socket, after func(code int, reason string)) {
	t.Helper()
	s := dial()
	ask := func(binary bool, parts ...string) (bool, string) {
		t.Helper()
		if err := s.send(binary, parts...); err != nil {
			t.Fatal(err)
		}
		binary, data, err := s.receive()
		if err != nil {
			t.Fatal(err)
		}
		return binary, data
	}
	echoes := func(binary bool, parts ...string) {
		t.Helper()
		want := strings.Join(parts, "")
		if gotBinary, got := ask(binary, parts...); gotBinary != binary || got != want {
			t.Fatalf("the echo of %d bytes (binary %v) has %d bytes (binary %v)", len(want), binary, len(got), gotBinary)
		}
	}
	for _, n := range sizes(p) {
		echoes(false, text(n))
		echoes(true, noise(n))
	}
	echoes(false, "one ", "", "two ", "κόσ", "με")
	echoes(true, noise(70_000), noise(3), noise(100_000))
	for range 100 {
		echoes(false, `{"id":1,"name":"small and often","ok":true}`)
	}
	if err := s.ping(); err != nil {
		t.Fatal(err)
	}
	if _, got := ask(false, pingMe); got != ponged {
		t.Errorf("a ping is answered with %.40q", got)
	}
	if _, got := ask(false, fragmentMe); got != strings.Join(fragments, "") {
		t.Errorf("the fragments came as %.40q", got)
	}
	if err := s.send(false, closeMe); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.receive(); err != (ended{4002, "enough"}) {
		t.Errorf("received %v, want 4002", err)
	}
	after(4002, "enough")

	for _, code := range []int{1000, 1001, 3000, 4999} {
		s = dial()
		echoes(false, "hello")
		if err := s.end(code, "bye"); err != nil {
			t.Error(err)
		}
		after(code, "bye")
	}
}

// sizes are those at which the form of the header changes, and large ones: the largest, which takes
// its time, with one poller only.
func sizes(p mgr.Poller) []int {
	list := []int{0, 1, 125, 126, 127, 1000, 65535, 65536, 1 << 20}
	if p == mgr.Epoll && exhaustive.On() {
		list = append(list, 16<<20)
	}
	return list
}

// text is n bytes of UTF-8 that compress well.
func text(n int) string {
	const unit = "Grüße an κόσμε, 日本語 und 😀. "
	return strings.Repeat(unit, n/len(unit)) + strings.Repeat("x", n%len(unit))
}

// noise is n bytes that do not compress.
func noise(n int) string {
	b := make([]byte, n)
	x := uint64(n) + 88172645463325252
	for i := range b {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b[i] = byte(x)
	}
	return string(b)
}
