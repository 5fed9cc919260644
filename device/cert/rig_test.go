package cert

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/device"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/internal/looptest"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/tlsconn"
)

// A box is a device whose clock, names and addresses are the test's.
type box struct {
	t   *testing.T
	dir string

	mu    sync.Mutex
	clock time.Time
	hosts []string
	addrs []netip.Addr
	audit []string
}

var today = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

func newBox(t *testing.T) *box {
	return &box{t: t, dir: filepath.Join(t.TempDir(), "tls"), clock: today, hosts: []string{"Box.local.", "box", "not a name", "box.local"},
		addrs: []netip.Addr{netip.MustParseAddr("192.168.7.2"), netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("203.0.113.9"), netip.MustParseAddr("fe80::2")}}
}

func (b *box) set(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
}

// sleep moves the clock on, and has the Keeper look at it.
func (b *box) sleep(k *Keeper, d time.Duration) {
	b.t.Helper()
	b.set(func() { b.clock = b.clock.Add(d) })
	if err := k.Check(); err != nil {
		b.t.Fatal(err)
	}
}

func (b *box) options() Options {
	return Options{Dir: b.dir, Name: "Box 7", Log: slog.New(slog.DiscardHandler),
		Hosts: func() []string {
			b.mu.Lock()
			defer b.mu.Unlock()
			return slices.Clone(b.hosts)
		},
		Audit: func(e device.Entry) { b.set(func() { b.audit = append(b.audit, e.Who+" "+e.What+": "+e.To) }) },
		Who:   func(*conn.Conn, *http.Request) device.Who { return device.Who{Name: "ann"} },
		now: func() time.Time {
			b.mu.Lock()
			defer b.mu.Unlock()
			return b.clock
		},
		addrs: func() []netip.Addr {
			b.mu.Lock()
			defer b.mu.Unlock()
			return slices.Clone(b.addrs)
		}}
}

// start is a start of the program.
func (b *box) start() *Keeper {
	b.t.Helper()
	k, err := New(b.options())
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(k.Close)
	return k
}

// pool has the authority of k alone.
func pool(t *testing.T, k *Keeper) *x509.CertPool {
	t.Helper()
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM(k.Authority()) {
		t.Fatal("the authority is no certificate")
	}
	return p
}

// verify checks a certificate as a browser does which trusts the authority of k.
func verify(t *testing.T, k *Keeper, leaf *x509.Certificate, host string, at time.Time) error {
	t.Helper()
	_, err := leaf.Verify(x509.VerifyOptions{DNSName: host, Roots: pool(t, k), CurrentTime: at})
	return err
}

// wantActive wants clients to get a certificate that their browsers accept for these names.
func wantActive(t *testing.T, k *Keeper, at time.Time, hosts ...string) {
	t.Helper()
	for _, h := range hosts {
		if err := verify(t, k, k.Active(), h, at); err != nil {
			t.Errorf("%s: %v", h, err)
		}
	}
}

// serve serves the routes of a Keeper over TLS; it returns HOST:PORT.
func serve(t *testing.T, p mgr.Poller, k *Keeper) string {
	t.Helper()
	m := looptest.New(t, p)
	s, err := k.Server(tlsconn.Config{})
	if err != nil {
		t.Fatal(err)
	}
	x := http.NewMux()
	admin := func(c *conn.Conn, r *http.Request) bool {
		if string(r.Header("X-Role")) != "admin" {
			http.Error(c, 401)
			return false
		}
		return true
	}
	k.Mount(x, "/certificate", func(c *conn.Conn, r *http.Request) bool { // curl and chromium send no role
		return len(r.Header("X-Role")) == 0 || admin(c, r)
	}, admin)
	addr := looptest.Listen(t, m, "https://127.0.0.1:0", x.Serve, http.Options{TLS: s})
	looptest.Run(t, m)
	return addr
}

// served returns the certificate that a client gets for a name, "" for none.
func served(t *testing.T, addr, name string) *x509.Certificate {
	t.Helper()
	c, err := tls.Dial("tcp", addr, &tls.Config{ServerName: name, InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0]
}

// An issuer is an authority of the test.
type issuer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	key, _, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: newSerial(), Subject: pkix.Name{CommonName: "test issuer"}, NotBefore: today.AddDate(-1, 0, 0), NotAfter: today.AddDate(10, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	c, err = x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &issuer{c, key}
}

// issue returns a certificate, with the issuer's, and its key in PEM.
func (i *issuer) issue(t *testing.T, change func(c *x509.Certificate), hosts ...string) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: newSerial(), Subject: pkix.Name{CommonName: "uploaded"}, NotBefore: today.AddDate(0, -1, 0), NotAfter: today.AddDate(0, 2, 0),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			c.IPAddresses = append(c.IPAddresses, ip)
		} else {
			c.DNSNames = append(c.DNSNames, h)
		}
	}
	if change != nil {
		change(c)
	}
	der, err := x509.CreateCertificate(rand.Reader, c, i.cert, k.Public(), i.key)
	if err != nil {
		t.Fatal(err)
	}
	return block("CERTIFICATE", der) + block("CERTIFICATE", i.cert.Raw), block("PRIVATE KEY", pkcs8)
}

func block(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}
