package tlsconn

import (
	"crypto/tls"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
)

// async is a server whose workers are not waited for.
func async(t testing.TB, change func(*Config)) *Server {
	return newServer(t, func(c *Config) {
		c.Synchronous = false
		if change != nil {
			change(c)
		}
	})
}

func TestWorker(t *testing.T) {
	eachVersion(t, func(t *testing.T, client *tls.Config) {
		s := async(t, nil)
		r := newRig(t, s, echo, client).shake()
		r.WantEvents("Open", "Handshake "+tls.VersionName(client.MinVersion), "Accept")
		r.say("hello")
		if got := r.heard(); got != "hello" {
			t.Errorf("heard %q", got)
		}
		waitFor(t, func() bool { return s.Stats().InFlight == 0 })
	})
}

// Before the first record is whole, and while nothing computes, there is no goroutine.
func TestNoWorkerBeforeTheFirstRecord(t *testing.T) {
	s := async(t, nil)
	r := newRig(t, s, nil, nil)
	r.pipe.hold = true
	r.pipe.wait = 0
	r.peer.Handshake()
	hello := r.pipe.held
	r.Wire.Arrive(hello[:len(hello)-1], nil)
	r.Turn()
	if n := s.Stats().InFlight; n != 0 || of(r.Conn).tls != nil {
		t.Errorf("%d workers before the first record is whole", n)
	}
	r.Wire.Arrive(hello[len(hello)-1:], nil)
	r.Turn()
	if n := s.Stats().InFlight; n != 1 {
		t.Errorf("%d workers", n)
	}
	r.Conn.Close()
	r.Turn()
	waitFor(t, func() bool { return s.Stats().InFlight == 0 })
}

// While a worker computes, the poller watches for nothing, and a close is heeded at once; the
// result is thrown away.
func TestCloseWhileComputing(t *testing.T) {
	in, out := make(chan bool), make(chan bool)
	s := async(t, func(c *Config) {
		c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			in <- true
			<-out
			return nil, nil
		}
	})
	r := newRig(t, s, nil, nil)
	r.pipe.wait = 0
	r.peer.Handshake()
	<-in
	if r.Turn()&conn.In != 0 {
		t.Error("the poller watches for input while a worker computes")
	}
	r.Conn.Close()
	r.Turn()
	r.WantClosed(conn.Local)
	out <- true
	waitFor(t, func() bool { return s.Stats().InFlight == 0 })
	r.Turn()
	r.WantEvents("Open", "Close closed locally")
}

// The timeout of the handshake counts while a worker computes too.
func TestTimeoutWhileComputing(t *testing.T) {
	in, out := make(chan bool), make(chan bool)
	s := async(t, func(c *Config) {
		c.Limits.HandshakeTimeout = 3 * time.Second
		c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			in <- true
			<-out
			return nil, nil
		}
	})
	r := newRig(t, s, nil, nil)
	r.pipe.wait = 0
	r.peer.Handshake()
	<-in
	r.Sleep(2900 * time.Millisecond)
	r.WantEvents("Open")
	r.Sleep(200 * time.Millisecond)
	r.WantClosed(conn.DeadlineOver)
	out <- true
	waitFor(t, func() bool { return s.Stats().InFlight == 0 })
}

func TestCallbacksThatMisbehave(t *testing.T) {
	for name, f := range map[string]func(){
		"panic":        func() { panic("no certificate today") },
		"nil panic":    func() { panic(error(nil)) },
		"Goexit":       runtime.Goexit,
		"LockOSThread": runtime.LockOSThread, // and the goroutine ends with it
		"error":        nil,
	} {
		for _, synchronous := range []bool{true, false} {
			t.Run(fmt.Sprint(name, " ", synchronous), func(t *testing.T) {
				s := newServer(t, func(c *Config) {
					c.Synchronous = synchronous
					c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
						if f == nil {
							return nil, errors.New("no")
						}
						f()
						return nil, nil
					}
				})
				var failed error
				r := newRig(t, s, func(c *conn.Conn, ev conn.Event) {
					if e, ok := ev.(*conn.Error); ok {
						failed = e.Err
					}
				}, nil)
				r.pipe.wait /= 10
				err := r.peer.Handshake()
				waitFor(t, func() bool { r.Turn(); return s.Stats().InFlight == 0 })
				if name == "LockOSThread" {
					if err != nil {
						t.Error(err)
					}
					return
				}
				r.Sleep(2 * time.Second)
				r.WantClosed(conn.TLSFailed)
				if err == nil || failed == nil || errors.Is(failed, ErrPanicked) != strings.Contains(name, "panic") {
					t.Errorf("the peer: %v; the error: %v", err, failed)
				}
				if n := r.Loop.Shared.Stats.Panics; n > 0 != strings.Contains(name, "panic") {
					t.Errorf("%d panics counted", n)
				}
				if len(slots()) != 0 {
					t.Error("a place to compute was not given back")
				}
			})
		}
	}
}

// Callbacks that wait do not keep others from computing.
func TestWaitingCallbacksHoldNoPlace(t *testing.T) {
	const n = 20 // more than there are places
	in, out := make(chan bool), make(chan bool)
	s := async(t, func(c *Config) {
		c.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if hello.ServerName == "slow.test" {
				in <- true
				<-out
			}
			return nil, nil
		}
	})
	var slow []*rig
	for range n {
		r := newRig(t, s, echo, &tls.Config{ServerName: "slow.test", InsecureSkipVerify: true})
		r.pipe.wait = 0
		r.peer.Handshake()
		slow = append(slow, r)
		<-in
	}
	newRig(t, s, echo, nil).shake()
	for range n {
		out <- true
	}
	for _, r := range slow {
		r.Conn.Close()
		r.Turn()
	}
	waitFor(t, func() bool { return s.Stats().InFlight == 0 })
}

func TestMaxHandshakes(t *testing.T) {
	s := newServer(t, func(c *Config) { c.Limits.MaxHandshakes = 2 })
	for range 3 {
		r := newRig(t, s, echo, nil)
		left := 300 // the ClientHello is not whole, so far
		r.peer = tls.Client(&stopper{pipe: r.pipe, left: &left}, withRoots(t, &tls.Config{}))
		r.peer.Handshake()
	}
	if n := s.Stats().InFlight; n != 0 {
		t.Fatalf("%d in flight before a record is whole", n)
	}
	in, out := make(chan bool), make(chan bool)
	wait := async(t, func(c *Config) {
		c.Limits.MaxHandshakes = 2
		c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { in <- true; <-out; return nil, nil }
	})
	var half []*rig
	for range 2 {
		r := newRig(t, wait, echo, nil)
		r.pipe.wait = 0
		r.peer.Handshake()
		<-in
		half = append(half, r)
	}
	r := newRig(t, wait, echo, nil)
	if err := r.peer.Handshake(); err == nil {
		t.Error("a third handshake began, though none waits for its peer")
	}
	r.Sleep(2 * time.Second)
	r.WantClosed(conn.TLSFailed)
	half[0].Conn.Close()
	half[0].Turn()
	out <- true
	waitFor(t, func() bool { return wait.Stats().InFlight == 1 })
	r = newRig(t, wait, echo, nil)
	r.pipe.stuck = func() { <-in; out <- true; out <- true }
	r.shake()
	if n := wait.Stats().Busy; n != 1 {
		t.Errorf("busy %d", n)
	}
	half[1].Conn.Close()
	half[1].Turn()
	waitFor(t, func() bool { return wait.Stats().InFlight == 0 })
}

func TestHandshakeBytes(t *testing.T) {
	s := newServer(t, func(c *Config) { c.Limits.HandshakeBytes = 4000 })
	r := newRig(t, s, echo, nil)
	// A ClientHello of 60 KB, in fragments of 10 bytes.
	r.Wire.Arrive([]byte{22, 3, 1, 0, 4, 1, 0, 0xf0, 0}, nil)
	for range 300 {
		r.Wire.Arrive(record(typeHandshake, 10), nil)
		r.Turn()
	}
	r.Sleep(2 * time.Second)
	r.WantClosed(conn.TLSFailed)
	if s.Stats().Floods != 1 {
		t.Error("not counted")
	}
	if n := r.Wire.Unread(); n > 0 {
		t.Log("unread", n)
	}
	waitFor(t, func() bool { return s.Stats().InFlight == 0 })
}

// versionAlert is a fatal alert protocol_version.
const versionAlert = "\x15\x03\x01\x00\x02\x02\x46"

func TestPeersWithoutTLS(t *testing.T) {
	bad := "HTTP/1.1 400 Bad Request\r\n"
	moved := "HTTP/1.1 308 Permanent Redirect\r\nLocation: https://a.test:8443/x?y=1\r\n"
	for _, c := range []struct {
		name, in, want string
		redirect       bool
		err            error
	}{
		{"GET", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", bad, false, ErrPlainHTTP},
		{"POST", "POST ", bad, false, ErrPlainHTTP},
		{"redirect", "GET /x?y=1 HTTP/1.1\r\nA: b\r\nhost:  a.test:8443 \r\n\r\n", moved, true, ErrPlainHTTP},
		{"no host", "GET /x HTTP/1.1\r\nA: b\r\n\r\n", bad, true, ErrPlainHTTP},
		{"two hosts", "GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", bad, true, ErrPlainHTTP},
		{"user", "GET /x HTTP/1.1\r\nHost: a@b\r\n\r\n", bad, true, ErrPlainHTTP},
		{"absolute", "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", bad, true, ErrPlainHTTP},
		{"bare CR", "GET /x\rSet-Cookie:a HTTP/1.1\r\nHost: a\r\n\r\n", bad, true, ErrPlainHTTP},
		{"endless head", "GET / HTTP/1.1\r\nA: " + strings.Repeat("a", 5000), bad, true, ErrPlainHTTP},
		{"SSLv2", "\x80\x2e\x01\x00\x02", versionAlert, false, errNoHello},
		{"SSH", "SSH-2.0-OpenSSH", versionAlert, false, errNoHello},
		{"alert first", "\x15\x03\x01\x00\x02\x02\x28", versionAlert, false, errNoHello},
		{"data first", "\x17\x03\x01\x00\x02\x02\x28", versionAlert, false, errNoHello},
		{"empty", "\x16\x03\x01\x00\x00", versionAlert, false, errNoHello},
		{"16 MB claimed", "\x16\x03\x01\xff\xff", versionAlert, false, errNoHello},
		{"ServerHello", "\x16\x03\x01\x00\x05\x02\x00", versionAlert, false, errNoHello},
		{"binary", "\x00\x00\x00", versionAlert, false, errNoHello},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, cut := range []int{0, 1, 3} {
				var failed error
				s := newServer(t, func(k *Config) { k.Redirect = c.redirect })
				r := newRig(t, s, func(_ *conn.Conn, ev conn.Event) {
					if e, ok := ev.(*conn.Error); ok {
						failed = e.Err
					}
				}, nil)
				r.pipe.cut = cut
				r.pipe.arrive([]byte(c.in))
				r.Turn()
				if got := r.Sent(); !strings.HasPrefix(got, c.want) || c.want[0] == 'H' && !strings.Contains(got, "\r\n\r\n") {
					t.Errorf("cut %d: sent %q", cut, got)
				}
				r.WantClosed(conn.TLSFailed)
				if !errors.Is(failed, c.err) {
					t.Errorf("cut %d: %v", cut, failed)
				}
				if st := s.Stats(); st.Failed != 1 || st.PlainHTTP+st.Records != 1 || of(r.Conn).tls != nil {
					t.Errorf("cut %d: %+v", cut, st)
				}
			}
		})
	}
}

// A peer that sends nothing, or a part of a record, is ended by the timeout, which counts from the
// beginning.
func TestDribble(t *testing.T) {
	s := newServer(t, nil)
	r := newRig(t, s, nil, nil)
	for range 9 {
		r.Wire.Arrive([]byte{22, 3, 1, 2, 0, 1, 0}[:1], nil)
		r.Sleep(time.Second)
		break
	}
	for i := range 8 {
		r.Wire.Arrive([]byte{22, 3, 1, 2, 0, 1, 0, 0, 0}[i+1:i+2], nil)
		r.Sleep(time.Second)
	}
	r.WantOpen()
	r.Sleep(1100 * time.Millisecond)
	r.WantClosed(conn.DeadlineOver)
}
