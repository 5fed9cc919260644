package tlsconn

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/conn/conntest"
)

// A clientRig is one connection of a Client under test, and a peer that is crypto/tls's server.
type clientRig struct {
	*rig
	failed error
	state  *tls.ConnectionState
}

// dialRig connects s to a server with certificate of name certDir, by this name.
func dialRig(t testing.TB, s *Client, h conn.Handler, host string, server *tls.Config) *clientRig {
	t.Helper()
	cr := &clientRig{}
	d := conntest.New(t, func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *Handshake:
			state := ev.State
			cr.state = &state
		case *conn.Error:
			cr.failed = ev.Err
		}
		if h != nil {
			h(c, ev)
		}
	}, conntest.Options{Describe: described, Outbound: true, Setup: func(c *conn.Conn) { s.DialTLS(c, host) }})
	if server == nil {
		server = &tls.Config{}
	}
	if len(server.Certificates) == 0 {
		server = server.Clone()
		cert, err := tls.LoadX509KeyPair(pairFiles().Cert, pairFiles().Key)
		if err != nil {
			t.Fatal(err)
		}
		server.Certificates = []tls.Certificate{cert}
	}
	p := &pipe{d: d}
	cr.rig = &rig{Dialogue: d, t: t, pipe: p, peer: tls.Server(p, server)}
	return cr
}

func newClient(t testing.TB, c ClientConfig) *Client {
	t.Helper()
	c.Synchronous = true
	s, err := NewClient(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestClient(t *testing.T) {
	eachVersion(t, func(t *testing.T, server *tls.Config) {
		for _, cut := range []int{0, 1, 7} {
			s := newClient(t, ClientConfig{Roots: roots(t)})
			r := dialRig(t, s, func(c *conn.Conn, ev conn.Event) {
				if _, ok := ev.(*conn.Connect); ok {
					c.WriteString("I am here;")
				}
				echo(c, ev)
			}, "a.test", server)
			r.pipe.cut = cut
			r.WantEvents("Open")
			r.shake()
			r.WantEvents("Handshake "+tls.VersionName(server.MinVersion), "Connect")
			r.say("hello")
			if got := r.heard(); got != "I am here;hello" {
				t.Errorf("cut %d: heard %q", cut, got)
			}
			r.Conn.Drain()
			r.Turn()
			if _, err := r.read(); err != io.EOF {
				t.Errorf("the end is %v", err)
			}
		}
	})
}

func TestWhomAClientTrusts(t *testing.T) {
	own := roots(t)
	leaf, _ := tls.LoadX509KeyPair(pairFiles().Cert, pairFiles().Key)
	pin := Pin(leaf.Leaf)
	other := "sha256/" + strings.Repeat("A", 43) + "="
	for _, c := range []struct {
		name   string
		config ClientConfig
		host   string
		want   string // in the error
	}{
		{"root", ClientConfig{Roots: own}, "a.test", ""},
		{"root file", ClientConfig{RootFiles: []string{pairFiles().Cert}}, "a.test", ""},
		{"address", ClientConfig{Roots: own}, "192.0.2.9", ""},
		{"wrong name", ClientConfig{Roots: own}, "b.test", "not b.test"},
		{"wrong address", ClientConfig{Roots: own}, "192.0.2.10", "not 192.0.2.10"},
		{"ServerName", ClientConfig{Roots: own, ServerName: "a.test"}, "b.test", ""},
		{"system's roots", ClientConfig{}, "a.test", "certificate"},
		{"no roots", ClientConfig{Roots: x509.NewCertPool()}, "a.test", "unknown authority"},
		{"insecure", ClientConfig{Insecure: true}, "b.test", ""},
		{"pin", ClientConfig{Roots: own, Pins: []string{other, pin}}, "a.test", ""},
		{"pin without prefix", ClientConfig{Roots: own, Pins: []string{pin[len("sha256/"):]}}, "a.test", ""},
		{"wrong pin", ClientConfig{Roots: own, Pins: []string{other}}, "a.test", ErrPin.Error()},
		{"pin alone", ClientConfig{Insecure: true, Pins: []string{pin}}, "b.test", ""},
		{"wrong pin alone", ClientConfig{Insecure: true, Pins: []string{other}}, "b.test", ErrPin.Error()},
		{"pin and wrong name", ClientConfig{Roots: own, Pins: []string{pin}}, "b.test", "not b.test"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newClient(t, c.config)
			r := dialRig(t, s, echo, c.host, nil)
			err := r.peer.Handshake()
			r.Turn()
			if c.want == "" {
				if err != nil || r.state == nil {
					t.Errorf("%v, %v", err, r.failed)
				}
				return
			}
			r.Sleep(2 * time.Second)
			r.WantClosed(conn.TLSFailed)
			if r.failed == nil || !strings.Contains(r.failed.Error(), c.want) || r.state != nil {
				t.Errorf("error %v, want %s", r.failed, c.want)
			}
			if a := s.Stats().Alerts; len(a) != 1 || a[0] != (Alert{alertBadCertificate, false, 1}) || !strings.Contains(fmt.Sprint(err), "bad certificate") {
				t.Errorf("alerts %v; the peer: %v", a, err)
			}
		})
	}
}

func TestClientConfigErrors(t *testing.T) {
	for _, c := range []struct {
		config ClientConfig
		want   string
	}{
		{ClientConfig{RootFiles: []string{"/none"}}, "tlsconn: roots: open /none: no such file or directory"},
		{ClientConfig{RootFiles: []string{pairFiles().Key}}, "tlsconn: roots: no certificate in " + pairFiles().Key},
		{ClientConfig{Pins: []string{"sha256/AAAA"}}, `tlsconn: pin "sha256/AAAA" is not the base64 of a SHA-256`},
	} {
		if _, err := NewClient(c.config); err == nil || err.Error() != c.want {
			t.Errorf("%v; want %s", err, c.want)
		}
	}
}

func TestClientResumes(t *testing.T) {
	for _, v := range versions {
		s := newClient(t, ClientConfig{Roots: roots(t)})
		server := &tls.Config{MinVersion: v, MaxVersion: v}
		server.SetSessionTicketKeys([][32]byte{{1}})
		for i := range 2 {
			r := dialRig(t, s, echo, "a.test", server)
			r.shake().say("x")
			r.heard()
			if r.state.DidResume != (i == 1) {
				t.Errorf("%x, connection %d: resumed %v", v, i, r.state.DidResume)
			}
		}
	}
}

func TestClientCertificateIsSent(t *testing.T) {
	a := newAuthority(t)
	s := newClient(t, ClientConfig{Roots: roots(t), Certificates: []tls.Certificate{a.issue(t, "me", time.Now().Add(time.Hour))}})
	r := dialRig(t, s, echo, "a.test", &tls.Config{ClientAuth: tls.RequireAnyClientCert})
	r.shake()
	if got := r.peer.ConnectionState().PeerCertificates[0].Subject.CommonName; got != "me" {
		t.Errorf("it sent the certificate of %s", got)
	}
}

// A server that is no TLS server, or goes away, is told as such.
func TestClientWithoutServer(t *testing.T) {
	for in, want := range map[string]error{"HTTP/1.1 400 Bad Request\r\n": ErrRecord, "": ErrTruncated, "\x16\x03\x03\x00\x30\x02": ErrTruncated} {
		r := dialRig(t, newClient(t, ClientConfig{Roots: roots(t)}), nil, "a.test", nil)
		if in != "" {
			r.Wire.Arrive([]byte(in), nil)
		}
		r.SendEOF()
		r.Sleep(2 * time.Second)
		r.WantClosed(conn.TLSFailed)
		if !errors.Is(r.failed, want) {
			t.Errorf("%q: %v", in, r.failed)
		}
	}
}
