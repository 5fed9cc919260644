package tlsconn

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
)

// selfFor makes a certificate for names in files of dir.
func selfFor(t testing.TB, dir string, names ...string) Pair {
	t.Helper()
	p := Pair{Cert: filepath.Join(dir, names[0]+".pem"), Key: filepath.Join(dir, names[0]+".key")}
	if err := makePair(p, dir, names); err != nil {
		t.Fatal(err)
	}
	return p
}

// served returns the DNS names of the certificate that a client gets who asks for name.
func served(t testing.TB, s *Server, name string) []string {
	t.Helper()
	r := newRig(t, s, echo, &tls.Config{ServerName: name, InsecureSkipVerify: true}).shake()
	return r.peer.ConnectionState().PeerCertificates[0].DNSNames
}

func TestSNI(t *testing.T) {
	dir := t.TempDir()
	s := newServer(t, func(c *Config) {
		c.Pairs = []Pair{selfFor(t, dir, "first.test"), selfFor(t, dir, "second.test"), selfFor(t, dir, "*.wild.test")}
	})
	for name, want := range map[string]string{
		"first.test": "first.test", "second.test": "second.test", "x.wild.test": "*.wild.test", "other.test": "first.test",
		"192.0.2.1": "first.test", // no SNI goes out for an address
	} {
		if got := served(t, s, name); got[0] != want {
			t.Errorf("%s: the certificate of %s, want %s", name, got[0], want)
		}
	}
}

// Other files take the place of those that the server began with; a pair that is not good changes
// nothing.
func TestSetPairs(t *testing.T) {
	dir := t.TempDir()
	first, second := selfFor(t, dir, "first.test"), selfFor(t, dir, "second.test")
	s := newServer(t, func(c *Config) { c.Pairs, c.Poll = []Pair{first}, time.Nanosecond })
	open := newRig(t, s, echo, &tls.Config{InsecureSkipVerify: true}).shake()
	if err := s.SetPairs(second, first); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"first.test": "first.test", "second.test": "second.test", "x": "second.test"} {
		if got := served(t, s, name)[0]; got != want {
			t.Errorf("%s: the certificate of %s, want %s", name, got, want)
		}
	}
	if err := s.SetPairs(Pair{Cert: first.Cert, Key: second.Key}); err == nil {
		t.Error("a pair that does not fit was taken")
	}
	if err := s.SetPairs(); err == nil {
		t.Error("no pair was taken")
	}
	if got := served(t, s, "x")[0]; got != "second.test" {
		t.Errorf("after pairs that are not good: %s", got)
	}
	// The new files are those that are looked at.
	next := selfFor(t, dir, "next.test")
	if err := os.Rename(next.Key, second.Key); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next.Cert, second.Cert); err != nil {
		t.Fatal(err)
	}
	if got := served(t, s, "x")[0]; got != "next.test" {
		t.Errorf("after a change of the files: %s", got)
	}
	open.say("still")
	if got := open.heard(); got != "still" {
		t.Errorf("on a connection that was open: %q", got)
	}
}

// A reload serves the new certificate to new connections; open ones live on. A pair that does not
// fit changes nothing.
func TestReload(t *testing.T) {
	dir := t.TempDir()
	p := selfFor(t, dir, "old.test")
	s := newServer(t, func(c *Config) { c.Pairs = []Pair{p} })
	open := newRig(t, s, echo, &tls.Config{InsecureSkipVerify: true}).shake()
	next := selfFor(t, dir, "new.test")
	if err := os.Rename(next.Cert, p.Cert); err != nil {
		t.Fatal(err)
	}
	if err := s.Reload(); err == nil || !strings.Contains(err.Error(), "private key does not match") {
		t.Errorf("a certificate with the key of another: %v", err)
	}
	if got := served(t, s, "x")[0]; got != "old.test" {
		t.Errorf("after a reload that failed: %s", got)
	}
	if err := os.Rename(next.Key, p.Key); err != nil {
		t.Fatal(err)
	}
	if err := s.Reload(); err != nil {
		t.Fatal(err)
	}
	if got := served(t, s, "x")[0]; got != "new.test" {
		t.Errorf("after a reload: %s", got)
	}
	open.say("hello")
	if got := open.heard(); got != "hello" {
		t.Errorf("the open connection: %q", got)
	}
	if st := s.Stats(); st.Reloads != 1 || st.BadReloads != 1 {
		t.Errorf("%+v", st)
	}
}

// Files that change are found when a handshake begins, Poll after the last look.
func TestPoll(t *testing.T) {
	dir := t.TempDir()
	p := selfFor(t, dir, "old.test")
	s := newServer(t, func(c *Config) { c.Pairs, c.Poll = []Pair{p}, time.Hour })
	next := selfFor(t, dir, "new.test")
	os.Rename(next.Cert, p.Cert)
	if got := served(t, s, "x")[0]; got != "old.test" {
		t.Errorf("within the hour: %s", got)
	}
	s.certs.looked.Store(time.Now().Add(-2 * time.Hour).UnixNano())
	if got := served(t, s, "x")[0]; got != "old.test" {
		t.Errorf("with half of the pair: %s", got)
	}
	os.Rename(next.Key, p.Key)
	s.certs.looked.Store(time.Now().Add(time.Hour).UnixNano()) // the clock was set back
	if got := served(t, s, "x")[0]; got != "new.test" {
		t.Errorf("after that: %s", got)
	}
	if st := s.Stats(); st.Reloads != 1 || st.BadReloads != 1 {
		t.Errorf("%+v", st)
	}
}

func TestConfigErrors(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad")
	os.WriteFile(bad, []byte("nothing"), 0o600)
	open := filepath.Join(dir, "open")
	os.WriteFile(open, nil, 0o644)
	for _, c := range []struct {
		config Config
		want   string
	}{
		{Config{}, "tlsconn: no certificate"},
		{Config{Pairs: []Pair{{Cert: "/none", Key: "/none"}}}, "tlsconn: certificate /none: open /none: no such file or directory"},
		{Config{Pairs: []Pair{{Cert: bad, Key: bad}}}, "tlsconn: certificate " + bad + ": tls: failed to find any PEM data"},
		{Config{Pairs: []Pair{pairFiles()}, Tickets: TicketFile(bad)}, "tlsconn: session ticket keys: " + bad + " is damaged"},
		{Config{Pairs: []Pair{pairFiles()}, Tickets: TicketFile(open)}, "tlsconn: session ticket keys: others may read or write " + open},
		{Config{Pairs: []Pair{pairFiles()}, Tickets: TicketFile("/none/x")}, "tlsconn: session ticket keys: open /none"},
	} {
		if _, err := NewServer(c.config); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%v; want %s", err, c.want)
		}
	}
}

// What is weak is not spoken.
func TestWeakClients(t *testing.T) {
	for name, client := range map[string]*tls.Config{
		"TLS 1.1": {MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11},
		"CBC":     {MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}},
		"RSA":     {MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}},
		"h2 only": {NextProtos: []string{"h2"}},
	} {
		s := newServer(t, nil)
		r := newRig(t, s, echo, client)
		if err := r.peer.Handshake(); err == nil || !strings.Contains(err.Error(), "remote error") {
			t.Errorf("%s: %v", name, err)
		}
		r.WantClosed(conn.TLSFailed)
		if s.Stats().Failed != 1 {
			t.Errorf("%s is not counted", name)
		}
	}
	r := newRig(t, newServer(t, nil), echo, &tls.Config{NextProtos: []string{"h2", "http/1.1"}}).shake()
	if got := r.peer.ConnectionState().NegotiatedProtocol; got != "http/1.1" {
		t.Errorf("ALPN %q", got)
	}
	newRig(t, newServer(t, func(c *Config) { c.NextProtos = []string{} }), echo, &tls.Config{NextProtos: []string{"mqtt"}}).shake()
}

// resumes connects twice with one cache and reports whether the second session was resumed.
func resumes(t *testing.T, first, second *Server, version uint16) bool {
	t.Helper()
	client := &tls.Config{ClientSessionCache: tls.NewLRUClientSessionCache(1), MinVersion: version, MaxVersion: version}
	r := newRig(t, first, echo, client).shake()
	r.say("x")
	r.heard() // TLS 1.3: the ticket comes after the handshake
	r = newRig(t, second, echo, client).shake()
	r.say("x")
	if got := r.heard(); got != "x" {
		t.Errorf("heard %q", got)
	}
	return r.peer.ConnectionState().DidResume
}

func TestResumption(t *testing.T) {
	for _, v := range versions {
		s := newServer(t, nil)
		if !resumes(t, s, s, v) || s.Stats().Resumed != 1 {
			t.Errorf("%x: not resumed", v)
		}
		if resumes(t, s, newServer(t, nil), v) {
			t.Errorf("%x: resumed by another server", v)
		}
	}
}

// With the keys in a file sessions outlive the program. A key that is a day old opens tickets
// still, and makes no more.
func TestTicketsOutliveTheProgram(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tickets")
	with := func() *Server { return newServer(t, func(c *Config) { c.Tickets = TicketFile(file) }) }
	first := with()
	st, err := os.Stat(file)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", st.Mode(), err)
	}
	for _, v := range versions {
		if !resumes(t, first, with(), v) {
			t.Errorf("%x: not resumed after a restart", v)
		}
	}
	before, _ := os.ReadFile(file)
	third := with()
	clock := ticketClock(third)
	clock.unix = time.Now().Unix()
	for day := 1; day <= 9; day++ {
		clock.pass(ticketLife)
		if err := third.tickets.renew(third.base); err != nil {
			t.Fatal(err)
		}
		clock.unix += 3600
		third.tickets.renew(third.base)
		clock.unix -= 3600
		after, _ := os.ReadFile(file)
		if lines := bytes.Count(after, []byte("\n")); lines != min(day+1, ticketKeys) {
			t.Errorf("day %d: %d keys", day, lines)
		}
		if kept := bytes.HasSuffix(after, before); kept != (day < ticketKeys) {
			t.Errorf("day %d: the first key is kept: %v", day, kept)
		}
		if day == 1 && !resumes(t, first, with(), tls.VersionTLS13) {
			t.Error("a ticket of yesterday's key was refused")
		}
	}
}

// authority makes certificates for the tests of mTLS.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{}
	a.key, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, Subject: pkix.Name{CommonName: "authority"}}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	a.cert, _ = x509.ParseCertificate(der)
	return a
}

// issue makes a client's certificate that ends at the given time.
func (a *authority) issue(t testing.TB, name string, end time.Time) tls.Certificate {
	t.Helper()
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	c := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: end,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, Subject: pkix.Name{CommonName: name}}
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestClientCertificates(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	later := time.Now().Add(time.Hour)
	eachVersion(t, func(t *testing.T, client *tls.Config) {
		for _, c := range []struct {
			name  string
			certs []tls.Certificate
			ok    bool
		}{
			{"good", []tls.Certificate{a.issue(t, "client", later)}, true},
			{"none", nil, false},
			{"expired", []tls.Certificate{a.issue(t, "client", time.Now().Add(-time.Hour))}, false},
			{"unknown", []tls.Certificate{other.issue(t, "client", later)}, false},
			{"not let in", []tls.Certificate{a.issue(t, "mallory", later)}, false},
		} {
			s := newServer(t, func(k *Config) {
				k.ClientAuth, k.ClientCAs = tls.RequireAndVerifyClientCert, pool
				k.VerifyConnection = func(state tls.ConnectionState) error {
					if name := state.PeerCertificates[0].Subject.CommonName; name != "client" {
						return x509.CertificateInvalidError{Detail: name}
					}
					return nil
				}
			})
			var peer string
			k := client.Clone()
			k.Certificates = c.certs
			r := newRig(t, s, func(_ *conn.Conn, ev conn.Event) {
				if h, ok := ev.(*Handshake); ok {
					peer = h.State.PeerCertificates[0].Subject.CommonName
				}
			}, k)
			r.peer.Handshake()
			r.Turn()
			if r.Sleep(2 * time.Second); (peer == "client") != c.ok || r.Closed() == c.ok {
				t.Errorf("%s: peer %q, closed %v", c.name, peer, r.Closed())
			}
		}
	})
}

func TestSelfSigned(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "dir")
	var log bytes.Buffer
	c := Config{Synchronous: true, Log: slog.New(slog.NewTextHandler(&log, nil))}
	s, err := SelfSigned(dir, []string{"device.test", "192.0.2.77", "2001:db8::7", ""}, c)
	if err != nil {
		t.Fatal(err)
	}
	if fp := s.Fingerprint(); len(fp) != 32*3-1 || !strings.Contains(log.String(), fp) {
		t.Errorf("fingerprint %s; log %s", fp, log.String())
	}
	for name, mode := range map[string]os.FileMode{"key.pem": 0o600, "cert.pem": 0o644, "tickets.key": 0o600} {
		if st, err := os.Stat(filepath.Join(dir, name)); err != nil || st.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", name, st, err)
		}
	}
	left, _ := filepath.Glob(filepath.Join(dir, ".*"))
	if len(left) > 0 {
		t.Errorf("left over: %s", left)
	}
	again, err := SelfSigned(dir, nil)
	if err != nil || again.Fingerprint() != s.Fingerprint() {
		t.Errorf("a second start: %v, or another certificate", err)
	}
	cert := (*s.certs.all.Load())[0].Leaf
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	for _, name := range []string{"device.test", "192.0.2.77", "2001:db8::7", "localhost", "127.0.0.1"} {
		for _, at := range []time.Time{time.Unix(5, 0), time.Now(), time.Date(2049, 1, 1, 0, 0, 0, 0, time.UTC)} {
			if _, err := cert.Verify(x509.VerifyOptions{DNSName: name, Roots: pool, CurrentTime: at}); err != nil {
				t.Errorf("%s at %v: %v", name, at, err)
			}
		}
	}
	if net.ParseIP(cert.Subject.CommonName) != nil || cert.IsCA {
		t.Errorf("subject %s, CA %v", cert.Subject, cert.IsCA)
	}
	os.Remove(filepath.Join(dir, "key.pem"))
	if _, err := SelfSigned(dir, nil); err == nil {
		t.Error("a certificate without its key is taken for good")
	}
}

func TestNamesOfASelfSignedCertificate(t *testing.T) {
	for _, h := range []string{"ger\u00e4t.local", "host:443", "a b", "[::1]", "fe80::1%eth0", "a..b", ".", "a.", strings.Repeat("x", 64)} {
		dir := t.TempDir()
		if _, err := SelfSigned(dir, []string{h}); err == nil || !strings.Contains(err.Error(), "neither a host name nor an address") {
			t.Errorf("%q: %v", h, err)
		}
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("%q: %v is left", h, left)
		}
	}
	s, err := SelfSigned(t.TempDir(), []string{"b.test", "localhost", "a_1.test", "*.test", "xn--gert-loa.local", "b.test", "::1"})
	if err != nil {
		t.Fatal(err)
	}
	names := (*s.certs.all.Load())[0].Leaf.DNSNames
	for _, want := range []string{"localhost", "b.test", "a_1.test", "*.test", "xn--gert-loa.local"} {
		if n := len(slices.DeleteFunc(slices.Clone(names), func(s string) bool { return s != want })); n != 1 {
			t.Errorf("%s is there %d times: %q", want, n, names)
		}
	}
}

// The least version is 1.2 whatever is asked for, and what is asked for above it.
func TestMinVersion(t *testing.T) {
	for asked, want := range map[uint16]uint16{0: tls.VersionTLS12, tls.VersionTLS10: tls.VersionTLS12, tls.VersionTLS13: tls.VersionTLS13} {
		if got := newServer(t, func(c *Config) { c.MinVersion = asked }).base.MinVersion; got != want {
			t.Errorf("asked for %x: server %x, want %x", asked, got, want)
		}
		if got := newClient(t, ClientConfig{MinVersion: asked}).base.MinVersion; got != want {
			t.Errorf("asked for %x: client %x, want %x", asked, got, want)
		}
	}
	s := newServer(t, func(c *Config) { c.MinVersion = tls.VersionTLS13 })
	if err := newRig(t, s, echo, &tls.Config{MaxVersion: tls.VersionTLS12}).peer.Handshake(); err == nil {
		t.Error("TLS 1.2 where 1.3 is the least")
	}
}
