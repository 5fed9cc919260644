package tlsconn

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A failed handshake is counted by its alert and, once both sides have agreed on one, by its
// version.
func TestFailuresByAlertAndVersion(t *testing.T) {
	own, foreign := newAuthority(t), newAuthority(t)
	future, past := time.Now().Add(time.Hour), time.Now().Add(-time.Hour)
	mutual := func(c *Config) {
		c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
		c.ClientCAs.AddCert(own.cert)
	}
	picky := func(c *Config) {
		c.VerifyConnection = func(tls.ConnectionState) error { return fmt.Errorf("not today") }
	}
	with := func(cert ...tls.Certificate) *tls.Config { return &tls.Config{Certificates: cert} }
	for _, tt := range []struct {
		name   string
		server func(*Config)
		client *tls.Config
		alert  [2]Alert // with TLS 1.2, 1.3
		early  bool     // before there is a version
	}{
		{"another name", nil, &tls.Config{ServerName: "b.test"}, both(alertBadCertificate, true), false},
		{"no protocol in common", nil, &tls.Config{NextProtos: []string{"h2"}}, both(120, false), false},
		{"no certificate", mutual, nil, [2]Alert{{40, false, 1}, {alertCertificateRequired, false, 1}}, false},
		{"expired", mutual, with(own.issue(t, "c", past)), both(alertCertificateExpired, false), false},
		{"unknown authority", mutual, with(foreign.issue(t, "c", future)), both(alertUnknownCA, false), false},
		{"VerifyConnection", picky, nil, both(alertBadCertificate, false), false},
		{"no common version", func(c *Config) { c.MinVersion = tls.VersionTLS13 }, nil, [2]Alert{{alertProtocolVersion, false, 1}, {}}, true},
		{"GetCertificate", func(c *Config) {
			c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, fmt.Errorf("not there") }
		}, nil, both(alertInternalError, false), false},
	} {
		for i, version := range versions {
			if tt.alert[i] == (Alert{}) {
				continue
			}
			t.Run(tt.name+" "+tls.VersionName(version), func(t *testing.T) {
				client := &tls.Config{}
				if tt.client != nil {
					client = tt.client.Clone()
				}
				client.MinVersion, client.MaxVersion = version, version
				s := newServer(t, tt.server)
				r := newRig(t, s, echo, client)
				err := r.peer.Handshake()
				r.Turn()
				if err == nil {
					_, err = r.read()
				}
				if name := tt.alert[i].Description.Error(); !tt.alert[i].Received && !strings.Contains(fmt.Sprint(err), name) {
					t.Errorf("the peer's error is %v, not %s", err, name)
				}
				st := s.Stats()
				if len(st.Alerts) != 1 || st.Alerts[0] != tt.alert[i] || st.Failed != 1 {
					t.Errorf("failed %d, alerts %v, want %v", st.Failed, st.Alerts, tt.alert[i])
				}
				var want [2]uint64
				if !tt.early {
					want[i] = 1
				}
				if got := [2]uint64{st.FailedTLS12, st.FailedTLS13}; got != want {
					t.Errorf("failed by version %v, want %v", got, want)
				}
			})
		}
	}
}

func both(description uint8, received bool) [2]Alert {
	a := Alert{tls.AlertError(description), received, 1}
	return [2]Alert{a, a}
}

// What is no TLS, and what is over a limit, gets an alert that is counted; a peer cannot make up
// any number of alerts.
func TestAlertsWithoutAHandshake(t *testing.T) {
	s := newServer(t, func(c *Config) { c.Limits.Rate = -1 })
	send := func(p string) {
		r := newRig(t, s, echo, nil)
		r.Wire.Arrive([]byte(p), nil)
		r.Turn()
	}
	send("SSH-2.0-OpenSSH")
	send("GET / HTTP/1.1\r\n\r\n")
	for _, alert := range []byte{200, 201, 0x28} {
		r := newRig(t, s, echo, &tls.Config{MaxVersion: tls.VersionTLS12}) // a server of TLS 1.3 takes encrypted ones only
		r.pipe.hold = true
		r.peer.Handshake()
		r.Wire.Arrive(r.pipe.held, nil)
		r.Turn()
		r.Wire.Arrive([]byte{typeAlert, 3, 3, 0, 2, 2, alert}, nil)
		r.Turn()
	}
	want := []Alert{{alertProtocolVersion, false, 1}, {40, true, 1}, {alertUnnamed, true, 2}}
	if st := s.Stats(); fmt.Sprint(st.Alerts) != fmt.Sprint(want) || st.Failed != 5 {
		t.Errorf("failed %d, alerts %v, want %v", st.Failed, st.Alerts, want)
	}
}

// A handshake that neither ends nor fails is counted too: many of them are a flood of peers that
// say nothing.
func TestUnfinishedHandshakes(t *testing.T) {
	for _, tt := range []struct {
		name   string
		act    func(r *rig)
		counts [3]uint64 // done, failed, unfinished
	}{
		{"done", func(r *rig) { r.shake() }, [3]uint64{1, 0, 0}},
		{"failed", func(r *rig) { r.Wire.Arrive([]byte("SSH-2.0-OpenSSH"), nil) }, [3]uint64{0, 1, 0}},
		{"the end of the stream", func(r *rig) { r.SendEOF() }, [3]uint64{0, 1, 0}},
		{"silence", func(r *rig) { r.Sleep(11 * time.Second) }, [3]uint64{0, 0, 1}},
		{"a reset", func(r *rig) { r.Wire.Arrive(nil, syscall.ECONNRESET) }, [3]uint64{0, 0, 1}},
		{"half a record", func(r *rig) {
			r.Wire.Arrive([]byte("\x16\x03\x01\x01\x2c\x01\x00"), nil)
			r.Sleep(11 * time.Second)
		}, [3]uint64{0, 0, 1}},
		{"no Finished", func(r *rig) {
			r.pipe.hold = true
			r.peer.Handshake()
			r.Wire.Arrive(r.pipe.held, nil)
			r.Sleep(11 * time.Second)
		}, [3]uint64{0, 0, 1}},
		{"Close", func(*rig) {}, [3]uint64{0, 0, 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t, nil)
			r := newRig(t, s, echo, nil)
			tt.act(r)
			r.Turn()
			r.Conn.Close()
			r.Turn()
			r.Sleep(2 * time.Second)
			if st := s.Stats(); [3]uint64{st.Handshakes, st.Failed, st.Unfinished} != tt.counts {
				t.Errorf("done %d, failed %d, unfinished %d, want %v", st.Handshakes, st.Failed, st.Unfinished, tt.counts)
			}
			waitFor(t, func() bool { return s.Stats().InFlight == 0 })
		})
	}
}
