package tlsconn

import (
	"crypto"
	"crypto/tls"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
)

// silent makes a connection whose peer falls silent after its ClientHello; say sends what the peer
// would have gone on with.
func silent(t *testing.T, s *Server, h conn.Handler) (r *rig, say func()) {
	t.Helper()
	r = newRig(t, s, h, nil)
	hold := &holder{pipe: r.pipe, until: 1 << 30}
	r.peer = tls.Client(hold, withRoots(t, &tls.Config{MinVersion: tls.VersionTLS13}))
	if err := r.peer.Handshake(); err != nil { // it has ended, for a client of TLS 1.3
		t.Fatal(err)
	}
	if !s.synchronous {
		waitFor(t, func() bool { r.Turn(); return of(r.Conn).hs.phase == hungry })
	}
	return r, func() { r.pipe.arrive(hold.late) }
}

// Peers that fall silent within the handshake do not keep others out: the oldest of them makes room.
func TestSilentHandshakesMakeRoom(t *testing.T) {
	const most = 8
	for _, synchronous := range []bool{true, false} {
		s := newServer(t, func(c *Config) { c.Synchronous, c.Limits.MaxHandshakes = synchronous, most })
		var all []*rig
		errs := make([]error, 3*most)
		for i := range errs {
			r, _ := silent(t, s, func(_ *conn.Conn, ev conn.Event) {
				if e, ok := ev.(*conn.Error); ok {
					errs[i] = e.Err
				}
			})
			if all = append(all, r); i >= most { // its loop hears of it
				waitFor(t, func() bool { all[i-most].Turn(); return all[i-most].Closed() && s.Stats().InFlight == most })
				all[i-most].WantClosed(conn.TLSFailed)
				if err := errs[i-most]; !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), "made room") {
					t.Errorf("handshake %d ended with %v", i-most, err)
				}
			}
		}
		newRig(t, s, echo, nil).shake()
		waitFor(t, func() bool { all[2*most].Turn(); return s.Stats().InFlight == most-1 })
		if st := s.Stats(); st.MadeRoom != 2*most+1 || st.Busy != 0 || st.Failed != st.MadeRoom || st.Handshakes != 1 {
			t.Errorf("%+v", st)
		}
		for _, r := range all {
			r.Conn.Close()
			r.Turn()
		}
		waitFor(t, func() bool { return s.Stats().InFlight == 0 })
		if f := &s.flights; f.taken+f.hungry+f.leaving != 0 || f.first != nil || f.last != nil {
			t.Errorf("places stay: %+v", f)
		}
	}
}

// A peer does not become younger by sending more of its handshake.
func TestTheOldestMakesRoom(t *testing.T) {
	s := newServer(t, func(c *Config) { c.Limits.MaxHandshakes = 2 })
	old := newRig(t, s, nil, nil)
	old.Wire.Arrive([]byte{22, 3, 1, 0, 4, 1, 0, 0xf0, 0}, nil) // a ClientHello in fragments
	old.Turn()
	young, say := silent(t, s, echo)
	old.Wire.Arrive(record(typeHandshake, 10), nil)
	old.Turn()
	newRig(t, s, echo, nil).shake()
	old.Turn()
	old.WantClosed(conn.TLSFailed)
	say()
	young.Turn()
	if !young.Conn.Secure() {
		t.Errorf("the younger one has ended: %q", young.Events())
	}
}

// A handshake whose peer goes on right after it has lost its place ends all the same. As long as
// its loop does not hear of that, it counts: a loop that is busy cannot make the others exceed
// twice the limit.
func TestLostPlaces(t *testing.T) {
	s := newServer(t, func(c *Config) { c.Limits.MaxHandshakes = 2 })
	first, say := silent(t, s, nil)
	var others []*rig
	for range 3 {
		r, _ := silent(t, s, nil)
		others = append(others, r)
	}
	if n := s.Stats().InFlight; n != 4 {
		t.Fatalf("%d in flight", n)
	}
	r := newRig(t, s, nil, nil)
	if err := r.peer.Handshake(); err == nil || s.Stats().Busy != 1 {
		t.Errorf("a fifth has begun: %v, busy %d", err, s.Stats().Busy)
	}
	say()
	first.Turn()
	first.WantClosed(conn.TLSFailed)
	waitFor(t, func() bool { others[0].Turn(); return s.Stats().InFlight == 2 })
	newRig(t, s, echo, nil).shake()
	for _, r := range others {
		r.Turn()
		r.Conn.Close()
		r.Turn()
	}
	waitFor(t, func() bool { return s.Stats().InFlight == 0 })
}

// A client refuses new handshakes: those that wait for their servers were asked for as well.
func TestClientsMakeNoRoom(t *testing.T) {
	c, err := NewClient(ClientConfig{Limits: Limits{MaxHandshakes: 1}, Synchronous: true})
	if err != nil {
		t.Fatal(err)
	}
	one, two := dialRig(t, c, nil, "a.test", nil), dialRig(t, c, nil, "a.test", nil)
	one.WantOpen()
	two.Sleep(2e9)
	two.WantClosed(conn.TLSFailed)
	one.Conn.Close()
	one.Turn()
	waitFor(t, func() bool { return c.Stats().InFlight == 0 })
}

// occupied takes all places to compute.
func occupied() (free func()) {
	for range cap(slots()) {
		slots() <- struct{}{}
	}
	return func() {
		for range cap(slots()) {
			<-slots()
		}
	}
}

// A handshake that waits for a processor holds no buffer of the pool, whatever came with its first
// record.
func TestWaitingForAProcessorHoldsNoBuffer(t *testing.T) {
	for _, c := range []struct {
		name string
		more []byte
		cut  bool
	}{
		{"a ClientHello", nil, false},
		{"one in two pieces", nil, true},
		{"a part of a record after it", []byte{22, 3, 3, 1, 0, 1}, false},
		{"a record after it", record(typeChangeCipherSpec, 1), true},
		{"no records after it", []byte(strings.Repeat("x", 20_000)), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			free := occupied()
			s := async(t, nil)
			r := newRig(t, s, echo, nil)
			check := func() {
				l := of(r.Conn)
				if l.hs.phase != computing || l.feed.buf != nil || cap(l.hs.in) > 2*mostCopied || cap(l.feed.part) > mostCopied {
					t.Errorf("it holds a buffer: %v, %d bytes of records, %d of a part", l.feed.buf != nil, cap(l.hs.in), cap(l.feed.part))
				}
				free()
			}
			if c.more == nil {
				if c.cut {
					r.pipe.cut = 150
				}
				r.pipe.stuck = check
				r.shake().say("hello")
				if got := r.heard(); got != "hello" {
					t.Errorf("heard %q", got)
				}
			} else {
				r.pipe.hold, r.pipe.wait = true, 0
				r.peer.Handshake()
				hello := r.pipe.held
				if c.cut {
					r.pipe.arrive(hello[:100])
					r.Turn()
					hello = hello[100:]
				}
				r.pipe.arrive(append(hello, c.more...))
				r.Turn()
				check()
			}
			r.Conn.Close()
			r.Turn()
			waitFor(t, func() bool { return s.Stats().InFlight == 0 })
		})
	}
}

// A callback that waits keeps no handshake from computing, whichever callback it is.
func TestSlowCallbacksHoldNoPlace(t *testing.T) {
	const n = 20 // more than there are places
	for _, name := range []string{"GetCertificate", "VerifyConnection", "Sign", "Log"} {
		t.Run(name, func(t *testing.T) {
			in, out := make(chan bool), make(chan bool)
			wait := func() { in <- true; <-out }
			slow := async(t, func(c *Config) {
				switch name {
				case "GetCertificate":
					c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { wait(); return nil, nil }
				case "VerifyConnection":
					c.VerifyConnection = func(tls.ConnectionState) error { wait(); return nil }
				case "Sign":
					cert, err := tls.LoadX509KeyPair(c.Pairs[0].Cert, c.Pairs[0].Key)
					if err != nil {
						t.Fatal(err)
					}
					cert.PrivateKey = chip{cert.PrivateKey.(crypto.Signer), wait}
					c.Pairs, c.Certificates = nil, []tls.Certificate{cert}
				}
			})
			if name == "Log" {
				slow.prepare = wait // it is called there, if a file cannot be read
			}
			var next func(i int)
			next = func(i int) {
				if i == n {
					newRig(t, async(t, nil), echo, nil).shake()
					for range n {
						out <- true
					}
					return
				}
				r := newRig(t, slow, echo, nil)
				r.pipe.stuck = func() {
					<-in
					next(i + 1)
				}
				r.shake().say("hello")
				if got := r.heard(); got != "hello" {
					t.Errorf("heard %q", got)
				}
			}
			next(0)
			waitFor(t, func() bool { return slow.Stats().InFlight == 0 && len(slots()) == 0 })
		})
	}
}

// A chip signs slowly.
type chip struct {
	crypto.Signer
	wait func()
}

func (c chip) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	c.wait()
	return c.Signer.Sign(rand, digest, opts)
}
