package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/examples/internal/programtest"
	"github.com/seed4930a636/mangusta/tlsconn"
)

// secure has the addresses of the testees that speak TLS.
var secure sync.Map

var trusting = &tls.Config{InsecureSkipVerify: true, ClientSessionCache: tls.NewLRUClientSessionCache(1000)}

// A stream is a connection to a testee, with or without TLS.
type stream interface {
	net.Conn
	CloseWrite() error
}

// connect dials a testee, over TLS if it speaks that.
func connect(addr string) (stream, error) {
	c, err := net.DialTimeout("tcp", addr, 20*time.Second)
	if err != nil {
		return nil, err
	}
	if isSecure(addr) {
		return tls.Client(&patient{TCPConn: c.(*net.TCPConn)}, trusting.Clone()), nil
	}
	return c.(*net.TCPConn), nil
}

// tcp returns the socket of a connection to a testee.
func tcp(c net.Conn) *net.TCPConn {
	if t, ok := c.(*tls.Conn); ok {
		return t.NetConn().(*patient).TCPConn
	}
	return c.(*net.TCPConn)
}

// patient is the socket beneath a tls.Conn, which cannot go on after a write that was cut short by a
// deadline. A patient keeps the rest and sends it with the next write.
type patient struct {
	*net.TCPConn
	rest []byte
}

// A cuttable is a socket whose peer's FIN is an error. So beneath a tls.Conn io.EOF is close_notify.
type cuttable struct{ net.Conn }

var errCut = errors.New("the stream ended without close_notify")

func (c cuttable) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err == io.EOF {
		err = errCut
	}
	return n, err
}

// full reports whether the last write to c did not go out within its deadline.
func full(c net.Conn) bool {
	t, ok := c.(*tls.Conn)
	return ok && len(t.NetConn().(*patient).rest) > 0
}

// Read makes an error of the peer's FIN: io.EOF of the tls.Conn is close_notify then.
func (p *patient) Read(b []byte) (int, error) { return cuttable{p.TCPConn}.Read(b) }

// flush sends the rest.
func flush(c net.Conn) {
	if t, ok := c.(*tls.Conn); ok {
		t.NetConn().Write(nil)
	}
}

func (p *patient) Write(b []byte) (int, error) {
	out := append(p.rest, b...)
	n, err := p.TCPConn.Write(out)
	if p.rest = nil; errors.Is(err, os.ErrDeadlineExceeded) {
		p.rest, err = out[n:], nil
	}
	return len(b), err
}

// certificate makes a certificate and returns the flags that name it.
func certificate(t *testing.T) []string {
	t.Helper()
	dir := t.TempDir()
	if _, err := tlsconn.SelfSigned(dir, []string{"127.0.0.1"}); err != nil {
		t.Fatal(err)
	}
	return []string{"-tls-cert", filepath.Join(dir, "cert.pem"), "-tls-key", filepath.Join(dir, "key.pem")}
}

// start starts a testee on a port of the loopback, and notes whether it speaks TLS.
func start(t *testing.T, args ...string) *programtest.Program {
	t.Helper()
	p := programtest.Start(t, append(args, "-listen", "127.0.0.1:0")...)
	for _, a := range args {
		if a == "-tls-cert" {
			secure.Store(p.Addr, true)
		}
	}
	return p
}

// underAll runs f with the flags of each poller, without TLS and with it.
func underAll(t *testing.T, f func(t *testing.T, flags []string)) {
	for _, poller := range []string{"epoll", "select"} {
		t.Run(poller, func(t *testing.T) { f(t, []string{"-poller", poller}) })
		t.Run(poller+" with TLS", func(t *testing.T) { f(t, append(certificate(t), "-poller", poller)) })
	}
}

// isSecure reports whether flags ask for TLS.
func isSecure(addr string) bool { _, ok := secure.Load(addr); return ok }

// SIGHUP has the certificate read again. New connections get the new one, and those that are open
// live on.
func TestReloadOnHangup(t *testing.T) {
	for _, poller := range []string{"epoll", "select"} {
		t.Run(poller, func(t *testing.T) {
			flags := certificate(t)
			p := start(t, append(flags, "-poller", poller)...)
			n := size(100, 1000)
			if poller == "select" {
				n = min(n, 900) // it watches fewer than 1,024 descriptors
			}
			conns := make([]stream, n)
			each(t, len(conns), func(i int) (err error) {
				if conns[i], err = connect(p.Addr); err == nil {
					err = conns[i].(*tls.Conn).Handshake()
				}
				return err
			})
			defer func() {
				for _, c := range conns {
					c.Close()
				}
			}()
			old := served(t, p.Addr)
			next := certificate(t)
			for _, i := range []int{1, 3} {
				if err := os.Rename(next[i], flags[i]); err != nil {
					t.Fatal(err)
				}
			}
			p.Signal(syscall.SIGHUP)
			for until := time.Now().Add(time.Minute); bytes.Equal(served(t, p.Addr), old); {
				if time.Now().After(until) {
					t.Fatal("the old certificate stays")
				}
			}
			each(t, len(conns), func(i int) error {
				conns[i].SetDeadline(time.Now().Add(30 * time.Second))
				io.WriteString(conns[i], marker)
				b, err := io.ReadAll(conns[i])
				if err == nil && !bytes.HasPrefix(b, []byte("HTTP/1.1 200 ")) {
					err = fmt.Errorf("%.60q", b)
				}
				return err
			})
		})
	}
}

// served returns the certificate that a new connection gets.
func served(t *testing.T, addr string) []byte {
	t.Helper()
	c, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].Raw
}
