package tlsconn

import (
	"bytes"
	"crypto/tls"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/internal/evil"
)

// An evil client, or server, has done its handshake as crypto/tls has it, and then makes TLS 1.3
// records of its own.
type evilRig struct {
	*rig
	*evil.Peer
}

func newEvil(t *testing.T, s *Server, h conn.Handler) *evilRig {
	t.Helper()
	var keys bytes.Buffer
	e := &evilRig{rig: newRig(t, s, h, &tls.Config{MinVersion: tls.VersionTLS13, KeyLogWriter: &keys}).shake()}
	var err error
	if e.Peer, err = evil.NewClient(e.peer.ConnectionState().CipherSuite, keys.String()); err != nil {
		t.Skip(err) // without AES in the processor crypto/tls prefers ChaCha20
	}
	return e
}

// newEvilServer is newEvil with a Client under test.
func newEvilServer(t *testing.T, s *Client, h conn.Handler) *evilRig {
	t.Helper()
	var keys bytes.Buffer
	server := &tls.Config{MinVersion: tls.VersionTLS13, KeyLogWriter: &keys, SessionTicketsDisabled: true}
	e := &evilRig{rig: dialRig(t, s, h, "a.test", server).shake()}
	var err error
	if e.Peer, err = evil.NewServer(e.peer.ConnectionState().CipherSuite, keys.String()); err != nil {
		t.Skip(err)
	}
	return e
}

// The evil client's vocabulary: its data arrive, and a KeyUpdate is answered.
func TestEvilClient(t *testing.T) {
	e := newEvil(t, newServer(t, nil), echo)
	e.pipe.arrive(e.Seal(typeData, "hello", 10))
	e.pipe.arrive(e.KeyUpdate(true))
	e.pipe.arrive(e.Seal(typeData, " again", 0))
	e.Turn()
	if got := e.heard(); got != "hello again" { // its crypto/tls reads the server's KeyUpdate
		t.Errorf("heard %q", got)
	}
	e.WantOpen()
}

// What carries no data is bounded, also where crypto/tls does not bound it.
func TestFloods(t *testing.T) {
	for _, c := range []struct {
		name string
		next func(e *evilRig, i int) []byte
		most int    // records that it may take
		ours bool   // it is our bound, not that of crypto/tls
		only string // "client" or "server" under test; default both
	}{
		{"KeyUpdates with data between", func(e *evilRig, i int) []byte {
			if i%16 == 15 {
				return e.Seal(typeData, "x", 0)
			}
			return e.KeyUpdate(true)
		}, 80, true, ""},
		{"handshake in fragments of a byte", func(e *evilRig, i int) []byte {
			if i == 0 {
				return e.Seal(typeHandshake, "\x18\x00\xf0\x00", 0)
			}
			return e.Seal(typeHandshake, "x", 0)
		}, 1000, true, ""},
		{"padding alone", func(e *evilRig, i int) []byte { return e.Seal(typeData, "", 16000) }, 2, true, ""},
		{"session tickets", func(e *evilRig, i int) []byte {
			return e.Seal(typeHandshake, "\x04\x00\x00\x0f\x00\x00\x00\x09\x00\x00\x00\x00\x01n\x00\x01t\x00\x00", 0)
		}, 17, false, "client"},
		{"empty records", func(e *evilRig, i int) []byte { return e.Seal(typeData, "", 0) }, 17, false, ""},
		{"KeyUpdates", func(e *evilRig, i int) []byte { return e.KeyUpdate(true) }, 17, false, ""},
		{"user_canceled", func(e *evilRig, i int) []byte { return e.Seal(typeAlert, "\x01\x5a", 0) }, 17, false, ""},
	} {
		drop := func(c *conn.Conn, ev conn.Event) {
			if _, ok := ev.(*conn.Read); ok {
				c.Recv.Discard(c.Recv.Len())
			}
		}
		flood := func(t *testing.T, e *evilRig, stats func() Stats) {
			i := 0
			for ; !e.Closed() && e.Conn.IsOpen() && i < 5000; i++ {
				e.pipe.arrive(c.next(e, i))
				e.Turn()
			}
			if i > c.most+1 {
				t.Errorf("it took %d records, want %d at most", i, c.most)
			}
			e.Sleep(2 * time.Second)
			e.WantClosed(conn.TLSFailed)
			if got := stats().Floods == 1; got != c.ours {
				t.Errorf("counted as flood: %v", got)
			}
		}
		if c.only != "client" {
			t.Run(c.name, func(t *testing.T) {
				s := newServer(t, nil)
				flood(t, newEvil(t, s, drop), s.Stats)
			})
		}
		if c.only != "server" {
			t.Run(c.name+", client", func(t *testing.T) {
				s := newClient(t, ClientConfig{Roots: roots(t)})
				flood(t, newEvilServer(t, s, drop), s.Stats)
			})
		}
	}
}

// Replies that come over many minutes are no flood.
func TestSlowKeyUpdates(t *testing.T) {
	e := newEvil(t, newServer(t, nil), echo)
	for range 200 {
		e.pipe.arrive(e.KeyUpdate(true))
		e.pipe.arrive(e.Seal(typeData, "x", 0))
		e.Sleep(time.Second)
		if got := e.heard(); got != "x" {
			t.Fatalf("heard %q", got)
		}
	}
	e.WantOpen()
}
