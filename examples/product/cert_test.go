package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	nethttp "net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/examples/internal/programtest"
)

var redirectsAt = regexp.MustCompile(`redirecting from http://(127\.0\.0\.1:\d+)`)

// A page of another site that lets its name point here (DNS rebinding) is refused on each path, and
// so is its WebSocket.
func TestRefusesOtherHosts(t *testing.T) {
	programtest.EachPoller(t, func(t *testing.T, poller string) {
		p := start(t, t.TempDir(), poller)
		programtest.WantOwnHostsOnly(t, p.Addr, "/", "/owner", "/api/settings", "/api/rpc")
		b := newBrowser(t, "http://"+p.Addr)
		ann := setUp(t, b.base, p.Said)
		for host, want := range map[string]int{"thermostat.local": 200, "Thermostat:8080": 200, "hall.local": 421, "thermostat.evil.example": 421} {
			if got := ann.statusFor(host, "/"); got != want {
				t.Errorf("Host: %s: %d, want %d", host, got, want)
			}
		}
		ann.want(200, "", "PATCH", "/api/settings", `{"network": {"hostname": "Hall"}}`)
		if got := ann.statusFor("hall.local", "/"); got != 200 {
			t.Errorf("the new name: %d", got)
		}
		if got := ann.statusFor("thermostat.local", "/"); got != 421 {
			t.Errorf("the old name: %d", got)
		}
	})
}

// statusFor asks for a path under another Host.
func (b *browser) statusFor(host, path string) int {
	b.t.Helper()
	req, err := nethttp.NewRequest("GET", b.base+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	req.Host = host
	resp, err := b.c.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// Each request to the second port is sent to HTTPS, with path and query, and none is served. The
// port of TLS does the same for a request without TLS.
func TestHTTPRedirects(t *testing.T) {
	programtest.EachPoller(t, func(t *testing.T, poller string) {
		p := programtest.Start(t, "-listen", "127.0.0.1:0", "-tls", "-http", "127.0.0.1:0", "-data", t.TempDir(), "-poller", poller)
		plain := redirectsAt.FindStringSubmatch(p.Said)
		if plain == nil {
			t.Fatalf("it does not redirect: %q", p.Said)
		}
		_, port, err := net.SplitHostPort(p.Addr)
		if err != nil {
			t.Fatal(err)
		}
		c := newBrowser(t, "")
		c.c.CheckRedirect = func(*nethttp.Request, []*nethttp.Request) error { return nethttp.ErrUseLastResponse }
		for _, tt := range []struct{ method, host, path, want string }{
			{"GET", "localhost", "/", "https://localhost:" + port + "/"},
			{"GET", "localhost:80", "/a/b?c=d&e", "https://localhost:" + port + "/a/b?c=d&e"},
			{"POST", "thermostat.local", "/owner/login", "https://thermostat.local:" + port + "/owner/login"},
			{"GET", "evil.example", "/", ""},
			{"GET", "localhost", "//evil.example/", "https://localhost:" + port + "//evil.example/"},
		} {
			req, err := nethttp.NewRequest(tt.method, "http://"+plain[1]+tt.path, strings.NewReader(`{"name": "ann", "password": "correct horse"}`))
			if err != nil {
				t.Fatal(err)
			}
			req.Host = tt.host
			resp, err := c.c.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			want := 308
			if tt.want == "" {
				want = 421
			}
			if at := resp.Header.Get("Location"); resp.StatusCode != want || at != tt.want {
				t.Errorf("%s %s of %s: %d %s, want %d %s", tt.method, tt.path, tt.host, resp.StatusCode, at, want, tt.want)
			}
		}
		resp, err := c.c.Get("http://" + p.Addr + "/x")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if at := resp.Header.Get("Location"); resp.StatusCode != 308 || at != "https://"+p.Addr+"/x" {
			t.Errorf("the port of TLS: %d %s", resp.StatusCode, at)
		}
		// A browser follows, and gets the page.
		b := newBrowser(t, "http://"+plain[1])
		b.c.Transport = &nethttp.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
		b.want(200, "<title>", "GET", "/", "")
	})
}

// trusting returns a browser that trusts the authority which it downloads without having logged in.
func trusting(t *testing.T, addr string) *browser {
	t.Helper()
	b := newBrowser(t, "https://"+addr)
	b.c.Transport = &nethttp.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	ca := b.want(200, "BEGIN CERTIFICATE", "GET", "/certificate/ca.crt", "")
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(ca))
	b.c.Transport = &nethttp.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: true}
	return b
}

// The authority is downloaded and trusted; then a certificate is uploaded, used at once and after a
// restart, and removed; all by an admin alone.
func TestCertificate(t *testing.T) {
	programtest.EachPoller(t, func(t *testing.T, poller string) {
		dir := t.TempDir()
		run := func() *programtest.Program {
			return programtest.Start(t, "-listen", "127.0.0.1:0", "-tls", "-data", dir, "-poller", poller)
		}
		p := run()
		ann := trusting(t, p.Addr)
		ann.want(200, `"owned":false`, "GET", "/owner", "") // the chain is verified
		ann.want(200, "", "POST", "/owner/setup", `{"code": "`+codeIn.FindStringSubmatch(p.Said)[1]+`", "name": "ann", "password": "correct horse"}`)
		ann.want(200, "", "PUT", "/owner/users/bob", `{"role": "user", "password": "correct horse"}`)
		bob := trusting(t, p.Addr)
		bob.want(200, "", "POST", "/owner/login", `{"name": "bob", "password": "correct horse"}`)

		cert, key := certificateFor(t, "thermostat.example", "127.0.0.1")
		text, err := json.Marshal(map[string]string{"certificate": cert, "key": key})
		if err != nil {
			t.Fatal(err)
		}
		newBrowserLike(ann).want(401, "", "GET", "/certificate", "")
		newBrowserLike(ann).want(401, "", "POST", "/certificate", string(text))
		bob.want(403, "", "POST", "/certificate", string(text))
		bob.want(403, "", "DELETE", "/certificate", "")
		if got := ann.statusFor("thermostat.example", "/"); got != 421 {
			t.Errorf("a name that is not there yet: %d", got)
		}
		ann.want(422, "there is no certificate", "POST", "/certificate", `{"certificate": "", "key": ""}`)
		ann.want(200, `"active":"uploaded"`, "POST", "/certificate", string(text))
		uploaded := x509.NewCertPool()
		uploaded.AppendCertsFromPEM([]byte(cert))
		own := ann.c.Transport
		ann.c.Transport = &nethttp.Transport{TLSClientConfig: &tls.Config{RootCAs: uploaded}, DisableKeepAlives: true}
		ann.want(200, `"active":"uploaded"`, "GET", "/certificate", "")
		if got := ann.statusFor("thermostat.example", "/"); got != 200 {
			t.Errorf("a name of the certificate: %d", got)
		}
		ann.want(200, "certificate uploaded", "GET", "/api/audit", "")
		if err := p.Terminate(patience); err != nil {
			t.Fatal(err)
		}
		if log := p.Said + p.Log(); strings.Contains(log, "PRIVATE") || !strings.Contains(log, "certificate uploaded") {
			t.Errorf("the log is %s", log)
		}
		p = run()
		ann.base = "https://" + p.Addr
		ann.want(200, `"active":"uploaded"`, "GET", "/certificate", "")
		ann.want(200, `"active":"own"`, "DELETE", "/certificate", "")
		ann.c.Transport = own
		ann.want(200, `"active":"own"`, "GET", "/certificate", "")

		// A new name: the device has a certificate for it, and a new authority.
		ann.want(200, "", "PATCH", "/api/settings", `{"network": {"hostname": "hall"}}`)
		ann.c.Transport.(*nethttp.Transport).TLSClientConfig.InsecureSkipVerify = true
		for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
			if _, text := ann.ask("GET", "/certificate", ""); strings.Contains(text, `"hall.local"`) {
				break
			} else if time.Now().After(end) {
				t.Fatal(text)
			}
		}
		trusting(t, p.Addr).want(200, `"owned":true`, "GET", "/owner", "")
	})
}

// newBrowserLike is a browser with the trust of another, and without its cookies.
func newBrowserLike(b *browser) *browser {
	c := newBrowser(b.t, b.base)
	c.c.Transport = b.c.Transport
	return c
}

// certificateFor returns a self-signed certificate and its key, in PEM.
func certificateFor(t *testing.T, host, addr string) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{host}, IPAddresses: []net.IP{net.ParseIP(addr)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
}
