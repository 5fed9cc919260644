package tlsconn

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/conn/conntest"
)

// certDir has a self-signed certificate for all tests.
var certDir = func() string {
	dir, err := os.MkdirTemp("", "tlsconn")
	if err == nil {
		err = makePair(Pair{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}, dir, []string{"a.test", "192.0.2.9"})
	}
	if err != nil {
		panic(err)
	}
	return dir
}()

func TestMain(m *testing.M) {
	code := m.Run()
	os.RemoveAll(certDir)
	os.Exit(code)
}

func pairFiles() Pair {
	return Pair{Cert: filepath.Join(certDir, "cert.pem"), Key: filepath.Join(certDir, "key.pem")}
}

// roots trusts the certificate of certDir.
func roots(t testing.TB) *x509.CertPool {
	t.Helper()
	b, err := os.ReadFile(pairFiles().Cert)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(b)
	return pool
}

// newServer makes a synchronous server with the certificate of certDir, after change.
func newServer(t testing.TB, change func(*Config)) *Server {
	t.Helper()
	c := Config{Pairs: []Pair{pairFiles()}, Synchronous: true}
	if change != nil {
		change(&c)
	}
	s, err := NewServer(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A rig is one connection of a server under test and a peer that is crypto/tls, both on the
// goroutine of the test: what the peer writes arrives, and when it reads, the loop turns.
type rig struct {
	*conntest.Dialogue
	t    testing.TB
	peer *tls.Conn
	pipe *pipe
}

// A pipe is the peer's side of a Wire.
type pipe struct {
	d     *conntest.Dialogue
	cut   int           // what the peer writes arrives in pieces of this size; 0 is whole
	hold  bool          // what the peer writes waits in held
	wait  time.Duration // for a worker, where the server is not synchronous
	held  []byte
	moved int    // bytes that the peer wrote
	stuck func() // called once, when the peer waits for the server
	fin   error  // what Read returns at the end of the stream; nil is io.EOF
}

// errFIN is a fin that crypto/tls does not take for the end that close_notify says.
var errFIN = errors.New("FIN")

var errEmpty = errors.New("the peer would wait for ever")

func (p *pipe) Read(b []byte) (int, error) {
	if len(p.d.Wire.Sent) == 0 {
		p.d.Turn()
	}
	if f := p.stuck; f != nil && len(p.d.Wire.Sent) == 0 {
		p.stuck = nil
		f()
	}
	for until := time.Now().Add(p.wait); len(p.d.Wire.Sent) == 0 && p.wait > 0 && time.Now().Before(until); {
		runtime.Gosched()
		p.d.Turn()
	}
	if len(p.d.Wire.Sent) == 0 {
		if p.d.Wire.Shut || p.d.Wire.Closed > 0 {
			return 0, cmp.Or(p.fin, io.EOF)
		}
		return 0, errTemporary{}
	}
	n := copy(b, p.d.Wire.Sent)
	p.d.Wire.Sent = append(p.d.Wire.Sent[:0], p.d.Wire.Sent[n:]...)
	return n, nil
}

// errTemporary is errEmpty in the form that crypto/tls survives.
type errTemporary struct{}

func (errTemporary) Error() string   { return errEmpty.Error() }
func (errTemporary) Timeout() bool   { return false }
func (errTemporary) Temporary() bool { return true }

func (p *pipe) Write(b []byte) (int, error) {
	p.moved += len(b)
	if p.hold {
		p.held = append(p.held, b...)
		return len(b), nil
	}
	p.arrive(b)
	return len(b), nil
}

func (p *pipe) arrive(b []byte) {
	b = append([]byte(nil), b...)
	size := p.cut
	if size == 0 {
		size = max(1, len(b))
	}
	for len(b) > 0 {
		n := min(size, len(b))
		p.d.Wire.Arrive(b[:n], nil)
		b = b[n:]
		if p.cut > 0 {
			p.d.Turn()
		}
	}
}

func (p *pipe) Close() error                     { return nil }
func (p *pipe) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (p *pipe) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (p *pipe) SetDeadline(time.Time) error      { return nil }
func (p *pipe) SetReadDeadline(time.Time) error  { return nil }
func (p *pipe) SetWriteDeadline(time.Time) error { return nil }

// described gives the events without those whose number depends on how records are cut.
func described(ev conn.Event) string {
	switch ev := ev.(type) {
	case *conn.Read, *conn.Write:
		return ""
	case *Handshake:
		return fmt.Sprintf("Handshake %s", tls.VersionName(ev.State.Version))
	}
	return conntest.Describe(ev)
}

// echo sends back what it reads.
func echo(c *conn.Conn, ev conn.Event) {
	if _, ok := ev.(*conn.Read); ok {
		c.Write(c.Recv.Bytes())
		c.Recv.Discard(c.Recv.Len())
	}
}

// newRig makes a connection of s, and a client of version (0: any) for it.
func newRig(t testing.TB, s *Server, h conn.Handler, client *tls.Config) *rig {
	t.Helper()
	return newRigOver(t, s, h, client, nil)
}

// newRigOver is newRig for a connection that setup prepares further.
func newRigOver(t testing.TB, s *Server, h conn.Handler, client *tls.Config, setup func(c *conn.Conn)) *rig {
	t.Helper()
	d := conntest.New(t, h, conntest.Options{Describe: described, Setup: func(c *conn.Conn) {
		s.ServeTLS(c, nil)
		if setup != nil {
			setup(c)
		}
	}})
	r := &rig{Dialogue: d, t: t, pipe: &pipe{d: d}}
	if !s.synchronous {
		r.pipe.wait = 5 * time.Second
	}
	if client == nil {
		client = &tls.Config{}
	}
	client = client.Clone()
	if client.RootCAs == nil {
		client.RootCAs = roots(t)
	}
	if client.ServerName == "" {
		client.ServerName = "a.test"
	}
	r.peer = tls.Client(r.pipe, client)
	return r
}

// shake does the handshake.
func (r *rig) shake() *rig {
	r.t.Helper()
	if err := r.peer.Handshake(); err != nil {
		r.t.Fatalf("the peer's handshake: %v; events %q", err, r.Events())
	}
	if r.pipe.wait > 0 {
		waitFor(r.t, func() bool { r.Turn(); return r.Conn.Secure() })
		r.pipe.wait = 0
	}
	r.Turn()
	return r
}

// say has the peer send p.
func (r *rig) say(p string) {
	r.t.Helper()
	if _, err := io.WriteString(r.peer, p); err != nil {
		r.t.Fatalf("the peer's write: %v", err)
	}
	r.Turn()
}

// heard returns what the peer can read now.
func (r *rig) heard() string {
	r.t.Helper()
	s, _ := r.read()
	return s
}

func (r *rig) read() (string, error) {
	var all []byte
	b := make([]byte, 64<<10)
	for {
		n, err := r.peer.Read(b)
		all = append(all, b[:n]...)
		if err == (errTemporary{}) {
			return string(all), nil
		}
		if err != nil {
			return string(all), err
		}
	}
}

var versions = []uint16{tls.VersionTLS12, tls.VersionTLS13}

// eachVersion runs f with clients of both versions.
func eachVersion(t *testing.T, f func(t *testing.T, client *tls.Config)) {
	for _, v := range versions {
		t.Run(tls.VersionName(v), func(t *testing.T) { f(t, &tls.Config{MinVersion: v, MaxVersion: v}) })
	}
}
