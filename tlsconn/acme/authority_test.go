package acme

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net"
	nethttp "net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	pebbleca "github.com/letsencrypt/pebble/v2/ca"
	pebbledb "github.com/letsencrypt/pebble/v2/db"
	pebbleva "github.com/letsencrypt/pebble/v2/va"
	pebblewfe "github.com/letsencrypt/pebble/v2/wfe"
	"github.com/miekg/dns"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/tlsconn"
)

func TestMain(m *testing.M) {
	os.Setenv("PEBBLE_VA_NOSLEEP", "1")
	os.Setenv("PEBBLE_AUTHZREUSE", "0")
	os.Setenv("PEBBLE_WFE_NONCEREJECT", "10") // one request in ten has to be made again
	os.Exit(m.Run())
}

// A world is a program with HTTP and HTTPS listeners, and pebble, Let's Encrypt's small authority,
// for which all names lead to this program.
type world struct {
	t        *testing.T
	ca       *httptest.Server
	roots    *x509.CertPool
	certs    *Manager
	addr     string // of HTTPS
	log      *record
	dir      string
	deafPort bool // the authority tries tls-alpn-01 at a port where nobody listens
	refuse   func(w nethttp.ResponseWriter, r *nethttp.Request) bool

	mu      sync.Mutex
	count   int // of requests to the authority
	handler nethttp.Handler
}

// record is a Log.
type record struct {
	mu    sync.Mutex
	lines []string
}

func (r *record) note(msg string, args []any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range args {
		if err, ok := a.(error); ok {
			msg += " " + err.Error()
		}
	}
	r.lines = append(r.lines, msg)
}
func (r *record) Info(msg string, args ...any)  { r.note(msg, args) }
func (r *record) Warn(msg string, args ...any)  { r.note(msg, args) }
func (r *record) Error(msg string, args ...any) { r.note(msg, args) }
func (r *record) has(text string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Contains(strings.Join(r.lines, "\n"), text)
}

// newWorld makes a Manager with these options, and all around it.
func newWorld(t *testing.T, poller mgr.Poller, o Options, change func(w *world)) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), log: &record{}}
	if change != nil {
		change(w)
	}
	w.ca = httptest.NewTLSServer(nethttp.HandlerFunc(w.serve))
	w.ca.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(w.ca.Close)
	o.Dir, o.AcceptTerms, o.Directory, o.Client, o.Log = w.dir, true, w.ca.URL+"/dir", w.ca.Client(), w.log
	w.certs = w.again(o)

	server, err := tlsconn.NewServer(w.certs.Config())
	if err != nil {
		t.Fatal(err)
	}
	m, err := mgr.New(mgr.Options{Poller: poller, Log: mgr.Silent})
	if err != nil {
		t.Fatal(err)
	}
	page := func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*http.Message); ok {
			http.Reply(c, 200, "text/plain", "page")
		}
	}
	secure, err := http.Listen(m, "https://127.0.0.1:0", page, http.Options{TLS: server})
	if err != nil {
		t.Fatal(err)
	}
	plain, err := http.Listen(m, "http://127.0.0.1:0", w.certs.Challenges(page))
	if err != nil {
		t.Fatal(err)
	}
	w.addr = secure.LocalAddr().String()
	httpPort, tlsPort := int(plain.LocalAddr().Port()), int(secure.LocalAddr().Port())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done; m.Close() })
	w.startPebble(httpPort, tlsPort)
	return w
}

// again makes a Manager as after a restart.
func (w *world) again(o Options) *Manager {
	w.t.Helper()
	m, err := New(o)
	if err != nil {
		w.t.Fatal(err)
	}
	m.random = func() float64 { return 0.5 }
	return m
}

func (w *world) startPebble(httpPort, tlsPort int) {
	w.t.Helper()
	if w.deafPort {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			w.t.Fatal(err)
		}
		tlsPort = l.Addr().(*net.TCPAddr).Port
		l.Close()
	}
	quiet := log.New(io.Discard, "", 0)
	db := pebbledb.NewMemoryStore()
	ca := pebbleca.New(quiet, db, "", "ecdsa", 0, 1, map[string]pebbleca.Profile{"default": {ValidityPeriod: uint64(90 * 24 * time.Hour / time.Second)}})
	va := pebbleva.New(quiet, httpPort, tlsPort, true, loopback(w.t), db)
	front := pebblewfe.New(quiet, db, va, ca, []string{"ca.test"}, true, false, 0, 0)
	w.roots = x509.NewCertPool()
	w.roots.AppendCertsFromPEM(ca.GetRootCert(0).PEM())
	w.mu.Lock()
	w.handler = front.Handler()
	w.mu.Unlock()
}

func (w *world) serve(rw nethttp.ResponseWriter, r *nethttp.Request) {
	w.mu.Lock()
	w.count++
	h := w.handler
	w.mu.Unlock()
	if w.refuse == nil || !w.refuse(rw, r) {
		h.ServeHTTP(rw, r)
	}
}

// asked returns how many requests the authority has got.
func (w *world) asked() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.count
}

// loopback is a name server for which each name is 127.0.0.1.
func loopback(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &dns.Server{Listener: l, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		a := new(dns.Msg).SetReply(q)
		if q.Question[0].Qtype == dns.TypeA {
			a.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET}, A: net.IPv4(127, 0, 0, 1)}}
		}
		w.WriteMsg(a)
	})}
	go s.ActivateAndServe()
	t.Cleanup(func() { s.Shutdown() })
	return l.Addr().String()
}

// served returns the certificate that a client gets who asks for a name and trusts the authority.
func (w *world) served(name string) *x509.Certificate {
	w.t.Helper()
	c, err := tls.Dial("tcp", w.addr, &tls.Config{ServerName: name, RootCAs: w.roots})
	if err != nil {
		w.t.Fatalf("%s: %v; %q", name, err, w.log.lines)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0]
}

// files returns the names in the directory of the authority, and checks their modes.
func (w *world) files() (names []string) {
	w.t.Helper()
	err := filepath.WalkDir(w.dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || path == w.dir {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			w.t.Errorf("%s has mode %v", path, info.Mode())
		}
		if !d.IsDir() {
			names = append(names, d.Name())
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return names
}
