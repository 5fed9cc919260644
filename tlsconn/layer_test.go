package tlsconn

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
)

func TestAcceptComesAfterTheHandshake(t *testing.T) {
	eachVersion(t, func(t *testing.T, client *tls.Config) {
		r := newRig(t, newServer(t, nil), func(c *conn.Conn, ev conn.Event) {
			if _, ok := ev.(*conn.Open); ok {
				c.WriteString("early ")
			}
			echo(c, ev)
		}, client)
		r.WantEvents("Open")
		if _, ok := State(r.Conn); ok || r.Conn.Secure() {
			t.Error("secure before the handshake")
		}
		r.shake()
		r.WantEvents("Handshake "+tls.VersionName(client.MinVersion), "Accept")
		if state, ok := State(r.Conn); !r.Conn.Secure() || !ok || state.Version != client.MinVersion || state.NegotiatedProtocol != "" {
			t.Errorf("Secure %v, state %v %x", r.Conn.Secure(), ok, state.Version)
		}
		r.say("hello")
		if got := r.heard(); got != "early hello" {
			t.Errorf("heard %q", got)
		}
		r.WantOpen()
	})
}

// However the peer's bytes are cut, the handshake and the data come through.
func TestCuts(t *testing.T) {
	eachVersion(t, func(t *testing.T, client *tls.Config) {
		for _, cut := range []int{1, 2, 3, 4, 5, 6, 7, 64, 1000} {
			r := newRig(t, newServer(t, nil), echo, client)
			r.pipe.cut = cut
			r.shake()
			for _, p := range []string{"a", strings.Repeat("0123456789", 100), strings.Repeat("x", 20_000)} {
				if cut < 64 && len(p) > 1000 {
					continue
				}
				r.say(p)
				if got := r.heard(); got != p {
					t.Fatalf("cut %d: %d bytes came back, want %d", cut, len(got), len(p))
				}
			}
			r.peer.CloseWrite()
			r.Turn()
			if _, err := r.read(); err != io.EOF {
				t.Errorf("cut %d: the end is %v", cut, err)
			}
			r.WantClosed(conn.PeerClosed)
			if Truncated(r.Conn) {
				t.Errorf("cut %d: close_notify counts as truncated", cut)
			}
		}
	})
}

// Each flight of the peer is cut in two at each byte.
func TestEachCutOfTheHandshake(t *testing.T) {
	eachVersion(t, func(t *testing.T, client *tls.Config) {
		s := newServer(t, nil)
		whole := newRig(t, s, echo, client).shake().pipe.moved
		for at := 1; at < whole; at += 1 + at/40 {
			r := newRig(t, s, echo, client)
			left := at
			r.peer = tls.Client(&cutter{pipe: r.pipe, left: &left}, withRoots(t, client))
			r.shake().say("data")
			if got := r.heard(); got != "data" {
				t.Fatalf("cut at %d: heard %q", at, got)
			}
		}
	})
}

func withRoots(t *testing.T, c *tls.Config) *tls.Config {
	c = c.Clone()
	c.RootCAs, c.ServerName = roots(t), "a.test"
	return c
}

// A cutter is a pipe whose bytes are cut in two after *left of them.
type cutter struct {
	*pipe
	left *int
}

func (c *cutter) Write(b []byte) (int, error) {
	if n := *c.left; n > 0 && n < len(b) {
		c.pipe.Write(b[:n])
		c.pipe.d.Turn()
		c.pipe.Write(b[n:])
	} else {
		c.pipe.Write(b)
	}
	*c.left -= len(b)
	return len(b), nil
}

// Records that come together, with the end of the handshake too, are all delivered, though the
// poller tells of them once.
func TestCoalesced(t *testing.T) {
	eachVersion(t, func(t *testing.T, client *tls.Config) {
		r := newRig(t, newServer(t, nil), echo, client).shake()
		r.pipe.hold = true
		var want strings.Builder
		for i := range 300 {
			p := strings.Repeat(fmt.Sprint(i%10), i*7)
			io.WriteString(r.peer, p)
			want.WriteString(p)
		}
		r.pipe.arrive(r.pipe.held)
		r.Turn()
		if got := r.heard(); got != want.String() {
			t.Errorf("%d bytes came back, want %d", len(got), want.Len())
		}
	})
}

// A client that does not wait for the server's reply to its Finished sends both together.
func TestDataWithTheFinished(t *testing.T) {
	r := newRig(t, newServer(t, nil), echo, &tls.Config{MinVersion: tls.VersionTLS13})
	hold := &holder{pipe: r.pipe}
	r.peer = tls.Client(hold, withRoots(t, &tls.Config{}))
	if err := r.peer.Handshake(); err != nil {
		t.Fatal(err)
	}
	io.WriteString(r.peer, "one")
	io.WriteString(r.peer, "two")
	r.pipe.arrive(hold.late)
	hold.late, hold.after = nil, 100
	r.Turn()
	if got := r.heard(); got != "onetwo" {
		t.Errorf("heard %q", got)
	}
	r.WantEvents("Open", "Handshake TLS 1.3", "Accept")
}

// Data does not count as a part of the handshake, however much of it comes together with the
// Finished.
func TestMuchDataWithTheFinished(t *testing.T) {
	for _, size := range []int{100, 1000, 16000} {
		got := 0
		r := newRig(t, newServer(t, nil), func(c *conn.Conn, ev conn.Event) {
			if _, ok := ev.(*conn.Read); ok {
				got += c.Recv.Len()
				c.Recv.Discard(c.Recv.Len())
			}
		}, &tls.Config{MinVersion: tls.VersionTLS13})
		hold := &holder{pipe: r.pipe, until: 1 << 30}
		r.peer = tls.Client(hold, withRoots(t, &tls.Config{}))
		if err := r.peer.Handshake(); err != nil {
			t.Fatal(err)
		}
		sent := 0
		for ; sent < 60_000; sent += size {
			r.peer.Write(make([]byte, size))
		}
		r.pipe.arrive(hold.late)
		for range 10 {
			r.Turn()
		}
		if got != sent {
			t.Errorf("in pieces of %d: %d bytes of %d; %q", size, got, sent, r.Events())
		}
	}
}

// A holder is a pipe that keeps all but the first write, up to write number until (100 if that is
// 0).
type holder struct {
	*pipe
	after, until int
	late         []byte
}

func (h *holder) Write(b []byte) (int, error) {
	if h.after++; h.after == 1 || h.after > cmp.Or(h.until, 100) {
		return h.pipe.Write(b)
	}
	h.late = append(h.late, b...)
	return len(b), nil
}

// A connection that is paused leaves to TLS what TLS holds, and gets it after Resume although the
// poller is silent.
func TestPauseWithRecordsHeld(t *testing.T) {
	var got []string
	r := newRig(t, newServer(t, nil), func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*conn.Read); ok {
			got = append(got, string(c.Recv.Bytes()))
			c.Recv.Discard(c.Recv.Len())
			c.Pause()
		}
	}, nil).shake()
	r.pipe.hold = true
	for _, p := range []string{"one", "two", "three"} {
		io.WriteString(r.peer, p)
	}
	r.pipe.arrive(r.pipe.held)
	r.Turn()
	for i, want := range []string{"one", "one two", "one two three"} {
		if s := strings.Join(got, " "); s != want {
			t.Errorf("after %d: %q, want %q", i, s, want)
		}
		r.Conn.Resume()
		r.Turn()
	}
}

// The kernel takes any number of bytes of a flight, one after the other, and the peer gets all of
// them.
func TestShortSends(t *testing.T) {
	eachVersion(t, func(t *testing.T, client *tls.Config) {
		s := newServer(t, nil)
		for _, step := range []int{1, 5, 17, 1000} {
			r := newRig(t, s, echo, client)
			r.Room(0)
			p := &dripper{pipe: r.pipe, step: step}
			r.peer = tls.Client(p, withRoots(t, client))
			r.shake().say("hello")
			if got := r.heard(); got != "hello" {
				t.Errorf("steps of %d: heard %q", step, got)
			}
		}
	})
}

// A dripper makes room for step bytes whenever the peer waits.
type dripper struct {
	*pipe
	step int
}

func (p *dripper) Read(b []byte) (int, error) {
	if len(p.d.Wire.Sent) == 0 {
		p.d.Room(p.step)
	}
	return p.pipe.Read(b)
}

// Much data for a peer that takes nothing waits as plaintext, but for one portion.
func TestFullSocket(t *testing.T) {
	const size = 1 << 20
	r := newRig(t, newServer(t, nil), nil, nil).shake()
	r.heard()
	r.Room(1000)
	r.Conn.Write(make([]byte, size))
	r.Turn()
	l := of(r.Conn)
	if n := l.Unsent(); n == 0 || n > sealSize {
		t.Errorf("%d bytes of ciphertext wait", n)
	}
	r.Room(sealSize) // the rest, and the beginning of the next portion, which is one record
	if n := l.Unsent(); n == 0 || n > maxPlaintext+100 {
		t.Errorf("%d bytes of ciphertext wait after the kernel was full", n)
	}
	r.Conn.Drain()
	r.Turn()
	if r.Wire.Shut {
		t.Error("the stream is shut before all is sent")
	}
	r.Room(-1)
	got, err := r.read()
	if len(got) != size || err != io.EOF {
		t.Errorf("%d bytes, then %v; want %d, then EOF", len(got), err, size)
	}
	r.WantClosed(conn.Local)
}

// close_notify waits for room, and the end of the stream comes after it.
func TestCloseNotifyWaitsForRoom(t *testing.T) {
	r := newRig(t, newServer(t, nil), nil, nil).shake()
	r.heard()
	r.Room(0)
	r.Conn.SetHalfOpen(true)
	r.Conn.CloseWrite()
	r.Turn()
	if r.Wire.Shut {
		t.Fatal("shut without close_notify")
	}
	for i := 1; !r.Wire.Shut; i++ {
		if r.Room(1); i > 100 {
			t.Fatal("close_notify does not end")
		}
	}
	if _, err := r.read(); err != io.EOF {
		t.Errorf("the end is %v", err)
	}
	r.say("still here") // half of the connection
	r.WantOpenHalf()
}

// A connection that drains ends when close_notify is out: without it the peer would take a reply that
// is whole for one that was cut.
func TestDrainWaitsForCloseNotify(t *testing.T) {
	r := newRig(t, newServer(t, nil), nil, nil).shake()
	r.heard()
	r.Room(0)
	r.pipe.fin = errEmpty // a FIN without close_notify
	r.Conn.WriteString("the reply")
	r.Conn.Drain()
	r.Turn()
	for i := 0; !r.Closed(); i++ {
		if r.Room(1); i > 200 {
			t.Fatal("it does not end")
		}
	}
	if got, err := r.read(); got != "the reply" || err != io.EOF {
		t.Errorf("heard %q, %v", got, err)
	}
	r.WantClosed(conn.Local)
}

func (r *rig) WantOpenHalf() {
	r.t.Helper()
	if r.Closed() {
		r.t.Error("the connection is closed")
	}
}

func TestEndsOfThePeer(t *testing.T) {
	for _, c := range []struct {
		name      string
		end       func(r *rig)
		reason    conn.Reason
		truncated bool
	}{
		{"close_notify", func(r *rig) { r.peer.CloseWrite(); r.SendEOF() }, conn.PeerClosed, false},
		{"FIN alone", func(r *rig) { r.SendEOF() }, conn.PeerClosed, true},
		{"FIN within a record", func(r *rig) { r.Wire.Arrive([]byte{23, 3, 3, 0, 50, 1, 2}, nil); r.SendEOF() }, conn.TLSFailed, true},
		{"reset", func(r *rig) { r.Fail(unix.ECONNRESET) }, conn.Reset, false},
		{"no write", func(r *rig) { r.Wire.FailWrite(unix.EPIPE); r.Conn.WriteString("x"); r.Turn() }, conn.BrokenPipe, false},
		{"wrong MAC", func(r *rig) { r.Wire.Arrive(record(typeData, 50), nil); r.Turn() }, conn.TLSFailed, false},
		{"no record", func(r *rig) { r.Wire.Arrive([]byte("GET / HTTP/1.1"), nil); r.Turn() }, conn.TLSFailed, false},
		{"too long", func(r *rig) { r.Wire.Arrive([]byte{23, 3, 3, 0x49, 0}, nil); r.Turn() }, conn.TLSFailed, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newServer(t, nil)
			r := newRig(t, s, echo, nil).shake()
			c.end(r)
			r.Sleep(2 * time.Second)
			r.WantClosed(c.reason)
			if Truncated(r.Conn) != c.truncated || s.Stats().Truncated > 0 != c.truncated {
				t.Errorf("truncated: %v", Truncated(r.Conn))
			}
			if of(r.Conn).feed.buf != nil {
				t.Error("the buffer was not given back")
			}
		})
	}
}

// A connection may end in each phase of its handshake, for each reason, and nothing stays.
func TestEndInEachPhase(t *testing.T) {
	ends := map[string]func(r *rig){
		"close": func(r *rig) { r.Conn.Close(); r.Turn() },
		"drain": func(r *rig) { r.Conn.Drain(); r.Turn(); r.SendEOF() },
		"reset": func(r *rig) { r.Fail(unix.ECONNRESET) },
		"FIN":   func(r *rig) { r.SendEOF(); r.Sleep(2 * time.Second) },
		"time":  func(r *rig) { r.Sleep(11 * time.Second) },
		"no write": func(r *rig) {
			r.Wire.FailWrite(unix.EPIPE)
			r.Conn.WriteString("x")
			r.Turn()
			r.Conn.Close()
			r.Turn()
		},
		"lost": func(r *rig) { r.Conn.Driver().Lose(); r.Turn() },
	}
	eachVersion(t, func(t *testing.T, client *tls.Config) {
		for name, end := range ends {
			s := newServer(t, nil)
			whole := newRig(t, s, echo, client).shake().pipe.moved
			for at := 0; at < whole; at += 1 + at/3 {
				r := newRig(t, s, echo, client)
				left := at
				p := &stopper{pipe: r.pipe, left: &left}
				r.peer = tls.Client(p, withRoots(t, client))
				r.peer.Handshake()
				r.Turn()
				end(r)
				if !r.Closed() {
					t.Errorf("%s after %d bytes: the connection is open", name, at)
				}
			}
			waitFor(t, func() bool { return s.Stats().InFlight == 0 })
		}
	})
}

// A stopper is a pipe that loses what follows *left bytes.
type stopper struct {
	*pipe
	left *int
}

func (p *stopper) Write(b []byte) (int, error) {
	if n := min(*p.left, len(b)); n > 0 {
		p.pipe.Write(b[:n])
	}
	*p.left -= min(*p.left, len(b))
	return len(b), nil
}

func waitFor(t testing.TB, what func() bool) {
	t.Helper()
	for until := time.Now().Add(time.Minute); !what(); time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("it does not come")
		}
	}
}

// Errors of a protocol are no errors of the kernel, and the other way round: conn tells them apart.
func TestFailureIsTold(t *testing.T) {
	var got error
	r := newRig(t, newServer(t, nil), func(c *conn.Conn, ev conn.Event) {
		if e, ok := ev.(*conn.Error); ok {
			got = e.Err
		}
	}, &tls.Config{MinVersion: tls.VersionTLS13}).shake()
	r.Wire.Arrive(record(typeData, 50), nil)
	r.Turn()
	if _, err := r.read(); err == nil || !strings.Contains(err.Error(), "bad record MAC") {
		t.Errorf("the peer sees %v, not the alert", err)
	}
	r.WantClosed(conn.TLSFailed)
	if errno := unix.Errno(0); got == nil || errors.As(got, &errno) {
		t.Errorf("the error is %v", got)
	}
}

// An idle connection holds no buffer of ours, however it was cut and whatever it did.
func TestIdleHoldsNoBuffer(t *testing.T) {
	eachVersion(t, func(t *testing.T, client *tls.Config) {
		for _, cut := range []int{0, 1, 100} {
			r := newRig(t, newServer(t, nil), echo, client)
			r.pipe.cut = cut
			r.shake().say("hello")
			r.heard()
			r.say(strings.Repeat("x", 3000))
			r.heard()
			if l := of(r.Conn); l.feed.buf != nil || l.feed.part != nil || l.unsent != nil || l.hs != nil {
				t.Errorf("cut %d: buffer %v, part %v, unsent %v, handshake %v", cut, l.feed.buf != nil, l.feed.part != nil, l.unsent != nil, l.hs != nil)
			}
		}
	})
}

// With Compact a connection works as without, and crypto/tls holds little for an idle one. This
// fails when the fields are not there any more: then Compact does nothing.
func TestCompact(t *testing.T) {
	if !known {
		t.Fatal("crypto/tls has changed: Compact does nothing")
	}
	eachVersion(t, func(t *testing.T, client *tls.Config) {
		for _, compact := range []bool{false, true} {
			for _, cut := range []int{0, 1, 1000} {
				r := newRig(t, newServer(t, func(c *Config) { c.Compact = compact }), echo, client)
				r.pipe.cut = cut
				r.shake()
				for _, size := range []int{1, 100, 40_000, 3} {
					if cut == 1 && size > 1000 {
						continue
					}
					p := strings.Repeat("x", size)
					r.say(p)
					if got := r.heard(); got != p {
						t.Fatalf("compact %v, cut %d: %d bytes came back, want %d", compact, cut, len(got), size)
					}
				}
				l := of(r.Conn)
				if n := bufferOf(l.tls, rawInput).Cap() + bufferOf(l.tls, hand).Cap(); compact != (n == 0) {
					t.Errorf("compact %v, cut %d: crypto/tls holds %d bytes", compact, cut, n)
				}
				if n := inputOf(l.tls).Size(); compact && n > 0 { // it lies in a buffer of 18 KB
					t.Errorf("cut %d: crypto/tls holds the buffer of the last %d bytes", cut, n)
				}
			}
		}
	})
}
