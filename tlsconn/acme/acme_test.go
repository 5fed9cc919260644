package acme

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	nethttp "net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/acme"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/conn/conntest"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/tlsconn"
)

func underBoth(t *testing.T, f func(t *testing.T, poller mgr.Poller)) {
	for _, p := range []mgr.Poller{mgr.Epoll, mgr.Select} {
		t.Run(p.String(), func(t *testing.T) { t.Parallel(); f(t, p) })
	}
}

// Certificates for a name and an address come by both challenges, are kept, and are there after a
// restart without a request.
func TestObtains(t *testing.T) {
	underBoth(t, func(t *testing.T, poller mgr.Poller) {
		for _, challenge := range []string{TLSALPN01, HTTP01} {
			t.Run(challenge, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, poller, Options{Hosts: []string{"A.test.", "127.0.0.1"}, Challenges: []string{challenge}, Email: "me@a.test"}, nil)
				if _, err := tls.Dial("tcp", w.addr, &tls.Config{ServerName: "a.test"}); err == nil {
					t.Fatal("a handshake without a certificate")
				}
				pause := w.certs.step(t.Context())
				if pause != longest {
					t.Errorf("pause %v; %q", pause, w.log.lines)
				}
				for _, host := range []string{"a.test", "127.0.0.1"} {
					if cert := w.served(host); cert.VerifyHostname(host) != nil {
						t.Errorf("%s gets a certificate for %v %v", host, cert.DNSNames, cert.IPAddresses)
					}
				}
				for _, st := range w.certs.Status() {
					if st.Failures > 0 || time.Until(st.Until) < 80*24*time.Hour || time.Until(st.Next) < 50*24*time.Hour {
						t.Errorf("%+v", st)
					}
				}
				if names := w.files(); !slices.Equal(names, []string{"127.0.0.1.pem", "a.test.pem", "account.key"}) {
					t.Errorf("files %q", names)
				}
				if len(w.certs.tokens)+len(w.certs.proofs) > 0 {
					t.Error("a challenge is still answered")
				}
				before := w.asked()
				m := w.again(w.certs.o)
				m.step(t.Context())
				if m.site("a.test").leaf() == nil || w.asked() != before {
					t.Errorf("after a restart: %d requests, %+v", w.asked()-before, m.Status())
				}
			})
		}
	})
}

// A certificate is renewed when a third of its life is left. Connections that are open live on; a
// second program takes what the first one has got.
func TestRenews(t *testing.T) {
	t.Parallel()
	w := newWorld(t, mgr.Auto, Options{Hosts: []string{"a.test"}}, nil)
	w.certs.step(t.Context())
	first := w.served("a.test")
	other := w.again(w.certs.o)
	open, err := tls.Dial("tcp", w.addr, &tls.Config{ServerName: "a.test", RootCAs: w.roots})
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()

	var late time.Duration
	now := func() time.Time { return time.Now().Add(late) }
	w.certs.now = now
	before := w.asked()
	late = 60*24*time.Hour + 12*time.Hour // the moment is within 3 days
	if pause := w.certs.step(t.Context()); pause != longest || w.asked() != before {
		t.Fatalf("too early: pause %v, %d requests", pause, w.asked()-before)
	}
	late = 61*24*time.Hour + 12*time.Hour
	w.certs.step(t.Context())
	second := w.served("a.test")
	if bytes.Equal(first.Raw, second.Raw) {
		t.Fatalf("not renewed: %+v, %q", w.certs.Status(), w.log.lines)
	}
	before = w.asked()
	other.step(t.Context())
	if got := other.site("a.test").leaf(); w.asked() != before || !bytes.Equal(got.Raw, second.Raw) {
		t.Errorf("the other program asks %d times, and has a certificate until %v", w.asked()-before, got.NotAfter)
	}
	if _, err := fmt.Fprintf(open, "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(open); err != nil || !bytes.HasPrefix(b, []byte("HTTP/1.1 200 ")) {
		t.Errorf("the open connection: %q, %v", b, err)
	}
}

// A challenge that fails is told, waits, also over a restart, and is followed by the other kind.
func TestFailureWaitsAndTriesTheOtherChallenge(t *testing.T) {
	t.Parallel()
	w := newWorld(t, mgr.Auto, Options{Hosts: []string{"a.test"}, Challenges: []string{TLSALPN01, HTTP01}}, func(w *world) { w.deafPort = true })
	w.certs.step(t.Context())
	st := w.certs.Status()[0]
	if st.Failures != 1 || !strings.Contains(st.Err, "tls-alpn-01") || time.Until(st.Next) < firstWait {
		t.Fatalf("%+v", st)
	}
	if !w.log.has("acme: no certificate") {
		t.Errorf("the log: %q", w.log.lines)
	}
	w.files()
	before := w.asked()
	m := w.again(w.certs.o) // for the crash loop
	m.step(t.Context())
	if got := m.Status()[0]; w.asked() != before || got.Failures != 1 || got.Err != st.Err || got.Next.Unix() != st.Next.Unix() {
		t.Errorf("after a restart: %d requests, %+v", w.asked()-before, got)
	}
	w.certs.now = func() time.Time { return st.Next }
	w.certs.step(t.Context())
	w.served("a.test")
	if st := w.certs.Status()[0]; st.Failures != 0 || st.Err != "" {
		t.Errorf("after success: %+v", st)
	}
	if names := w.files(); slices.Contains(names, "a.test.wait") {
		t.Errorf("files %q", names)
	}
}

// An authority that is not there, that limits, or that is overloaded, is not asked again before it
// wants to be.
func TestAuthorityThatRefuses(t *testing.T) {
	for _, c := range []struct {
		name           string
		status         int
		body, after    string
		least, at_most time.Duration
	}{
		{"rate limit", 429, `{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many"}`, "7200", 2 * time.Hour, 2*time.Hour + 13*time.Minute},
		{"rate limit without a time", 429, `{"type":"urn:ietf:params:acme:error:rateLimited"}`, "", time.Hour, 67 * time.Minute},
		{"overloaded", 503, `{}`, "1800", 30 * time.Minute, 34 * time.Minute},
		{"refused", 403, `{"type":"urn:ietf:params:acme:error:unauthorized","detail":"no"}`, "", firstWait, firstWait * 11 / 10},
		{"absurd", 429, `{"type":"urn:ietf:params:acme:error:rateLimited"}`, "99999999", 7 * 24 * time.Hour, maxWait},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			orders := 0
			w := newWorld(t, mgr.Auto, Options{Hosts: []string{"a.test"}}, func(w *world) {
				w.refuse = func(rw nethttp.ResponseWriter, r *nethttp.Request) bool {
					if !strings.HasSuffix(r.URL.Path, "/order-plz") {
						return false
					}
					orders++
					if c.after != "" {
						rw.Header().Set("Retry-After", c.after)
					}
					rw.Header().Set("Content-Type", "application/problem+json")
					rw.WriteHeader(c.status)
					io.WriteString(rw, c.body)
					return true
				}
			})
			w.certs.step(t.Context())
			st := w.certs.Status()[0]
			if d := time.Until(st.Next); st.Failures != 1 || d < c.least-5*time.Second || d > c.at_most+5*time.Second {
				t.Errorf("waits %v, %+v", d, st)
			}
			w.certs.step(t.Context())
			if orders != 1 {
				t.Errorf("%d orders", orders)
			}
		})
	}
	t.Run("not there", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, mgr.Auto, Options{Hosts: []string{"a.test"}}, nil)
		w.ca.Close()
		w.certs.step(t.Context())
		if st := w.certs.Status()[0]; time.Until(st.Next) > firstUnheard*2 || st.Failures != 1 {
			t.Errorf("%+v", st)
		}
	})
}

// The waits double, end at their longest, and one that was noted under another clock is forgotten.
func TestWaits(t *testing.T) {
	s, _ := newSite("a.test")
	now := time.Unix(1_000_000_000, 0)
	total := time.Duration(0)
	refused := fmt.Errorf("x: %w", &acme.AuthorizationError{})
	for i, want := range []time.Duration{5, 10, 20, 40, 80, 160, 320, 360, 360} {
		d := s.failed(refused, now, 0)
		if d != want*time.Minute {
			t.Errorf("wait %d is %v, want %v minutes", i, d, want)
		}
		if total += d; i == 3 && total < time.Hour {
			t.Errorf("five attempts within %v", total)
		}
	}
	if due := s.due(now); due.Sub(now) < 6*time.Hour {
		t.Errorf("due at %v", due)
	}
	if due := s.due(time.Unix(0, 0)); !due.IsZero() {
		t.Errorf("with the clock at 1970 it is due at %v", due)
	}
	s, _ = newSite("a.test")
	if d := s.failed(errors.New("no route"), now, 1); d != firstUnheard*11/10 {
		t.Errorf("unheard: %v", d)
	}
}

// What is not acceptable in files leads to another order, and is told.
func TestDamagedFiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t, mgr.Auto, Options{Hosts: []string{"a.test", "b.test"}}, nil)
	w.certs.step(t.Context())
	file := func(host string) string { return w.certs.certFile(w.certs.site(host)) }
	b, err := os.ReadFile(file("b.test"))
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func() error{
		"another host's":  func() error { return os.WriteFile(file("a.test"), b, 0o600) },
		"without its end": func() error { return os.WriteFile(file("b.test"), b[:len(b)/2], 0o600) },
	} {
		if err := change(); err != nil {
			t.Fatal(name, err)
		}
	}
	m := w.again(w.certs.o)
	for _, st := range m.Status() {
		if !st.Until.IsZero() {
			t.Errorf("taken: %+v", st)
		}
	}
	if !w.log.has("a certificate is not read") {
		t.Errorf("the log: %q", w.log.lines)
	}
	if err := os.Chmod(m.dir+"/account.key", 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := New(w.certs.o); err == nil || !strings.Contains(err.Error(), "it needs mode 0600") {
		t.Errorf("an open key: %v", err)
	}
	if err := os.WriteFile(m.dir+"/account.key", []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	os.Chmod(m.dir+"/account.key", 0o600)
	if _, err := New(w.certs.o); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("a damaged key: %v", err)
	}
}

// hello is a handshake that asks for a name and protocols.
func hello(name string, protos ...string) *tls.ClientHelloInfo {
	return &tls.ClientHelloInfo{ServerName: name, SupportedProtos: protos}
}

// Only the authority gets the answer to a challenge, only while one is there; other certificates of
// the program stay for other names.
func TestGetCertificate(t *testing.T) {
	m, err := New(Options{Dir: t.TempDir(), Hosts: []string{"a.test", "::1"}, AcceptTerms: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.GetCertificate(hello("a.test", acme.ALPNProto)); err != errNoChallenge {
		t.Errorf("without a challenge: %v", err)
	}
	for _, s := range m.sites {
		withdraw, err := m.prepare(s, &acme.Challenge{Type: TLSALPN01, Token: "token"})
		if err != nil {
			t.Fatal(err)
		}
		proof, err := m.GetCertificate(hello(strings.ToUpper(s.serverName()), acme.ALPNProto))
		if err != nil || proof == nil {
			t.Fatalf("%s: %v", s.serverName(), err)
		}
		for _, h := range []*tls.ClientHelloInfo{hello("b.test", acme.ALPNProto)} {
			if cert, err := m.GetCertificate(h); err == nil || cert != nil {
				t.Errorf("%v: %v", h.ServerName, err)
			}
		}
		for _, h := range []*tls.ClientHelloInfo{hello("a.test"), hello("a.test", "http/1.1", acme.ALPNProto), hello("b.test"), hello("")} {
			if cert, err := m.GetCertificate(h); err != nil || cert != nil {
				t.Errorf("%v %v: %v", h.ServerName, h.SupportedProtos, err)
			}
		}
		withdraw()
	}
	if got, want := m.sites[1].serverName(), "1."+strings.Repeat("0.", 31)+"ip6.arpa"; got != want {
		t.Errorf("the reverse name is %s", got)
	}
	asked := false
	config := m.Config(tlsconn.Config{NextProtos: []string{"x"}, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		asked = true
		return nil, nil
	}})
	if config.GetCertificate(hello("b.test")); !asked || !slices.Equal(config.NextProtos, []string{"x", acme.ALPNProto}) {
		t.Errorf("the program's own GetCertificate was asked: %v; %v", asked, config.NextProtos)
	}
}

// Tokens are answered while there is a challenge; all else is the program's.
func TestChallenges(t *testing.T) {
	m, err := New(Options{Dir: t.TempDir(), Hosts: []string{"a.test"}, AcceptTerms: true, Challenges: []string{HTTP01}})
	if err != nil {
		t.Fatal(err)
	}
	withdraw, err := m.prepare(m.sites[0], &acme.Challenge{Type: HTTP01, Token: "token"})
	if err != nil {
		t.Fatal(err)
	}
	own := func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*http.Message); ok {
			http.Reply(c, 200, "text/plain", "own")
		}
	}
	server := http.NewServer(http.Options{})
	d := conntest.New(t, m.Challenges(own), conntest.Options{Setup: func(c *conn.Conn) { http.Attach(c, server) }})
	ask := func(line string) string {
		d.Send(line + " HTTP/1.1\r\nHost: a.test\r\n\r\n")
		_, body, _ := strings.Cut(d.Sent(), "\r\n\r\n")
		return body
	}
	if got := ask("GET /.well-known/acme-challenge/token"); !strings.HasPrefix(got, "token.") || len(got) != len("token.")+43 {
		t.Errorf("the token: %q", got)
	}
	for _, line := range []string{"GET /.well-known/acme-challenge/other", "POST /.well-known/acme-challenge/token", "GET /"} {
		if got := ask(line); got != "own" {
			t.Errorf("%s: %q", line, got)
		}
	}
	withdraw()
	if got := ask("GET /.well-known/acme-challenge/token"); got != "own" {
		t.Errorf("after the challenge: %q", got)
	}
}

func TestOptionErrors(t *testing.T) {
	dir := t.TempDir()
	for want, o := range map[string]Options{
		"acme: the terms of the authority are not accepted (Options.AcceptTerms)": {Dir: dir, Hosts: []string{"a.test"}},
		"acme: no hosts": {Dir: dir, AcceptTerms: true},
		"acme: no directory for keys and certificates (Options.Dir)":                                      {Hosts: []string{"a.test"}, AcceptTerms: true},
		`acme: unknown challenge "dns-01"`:                                                                {Dir: dir, Hosts: []string{"a.test"}, AcceptTerms: true, Challenges: []string{"dns-01"}},
		`acme: host "A.test" is there twice`:                                                              {Dir: dir, Hosts: []string{"a.test", "A.test"}, AcceptTerms: true},
		`acme: host "*.a.test": a certificate for all names of a domain needs dns-01, which is not there`: {Dir: dir, Hosts: []string{"*.a.test"}, AcceptTerms: true},
		`acme: host "../a" is neither a name (in the form of RFC 5891, "xn--") nor an address`:            {Dir: dir, Hosts: []string{"../a"}, AcceptTerms: true},
		`acme: directory "http://a.test" is no https URL`:                                                 {Dir: dir, Hosts: []string{"a.test"}, AcceptTerms: true, Directory: "http://a.test"},
	} {
		if _, err := New(o); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
