package main

import (
	"bufio"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// The certificates, with keys of RSA-2048 and P-256, are files beside the programs: NAME.pem, and
// the key NAME.key.
const (
	rsaName   = "rsa"
	ecdsaName = "ecdsa"
)

// certificates makes both.
func certificates(dir string) error {
	slow, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	fast, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	return errors.Join(certificate(dir, rsaName, slow), certificate(dir, ecdsaName, fast))
}

func certificate(dir, name string, key crypto.Signer) error {
	t := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	for file, b := range map[string]*pem.Block{
		name + ".pem": {Type: "CERTIFICATE", Bytes: der},
		name + ".key": {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(b), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// beside is a load of requests at a steady rate over one TLS connection, first alone, then beside
// handshakes of others. Its latency counts from when a request is written.
type beside struct {
	every  time.Duration // between requests
	burst  int           // handshakes at the same time
	bursts time.Duration // between the bursts
	busy   *process      // whose handshakes they are
}

var anybody = &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}}

func (x beside) run(p *process, length time.Duration) (r result, err error) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(8)) // so that requests wait for no handshake of the load's own
	socket, err := dialBlocking(p.addr)
	if err != nil {
		return result{}, err
	}
	defer socket.Close()
	c := tls.Client(socket, anybody)
	in := bufio.NewReader(c)
	if _, err = x.requests(c, in, p.addr, length/4); err != nil { // heaps and caches grow
		return result{}, err
	}
	idle, err := x.requests(c, in, p.addr, length)
	if err != nil {
		return result{}, err
	}
	before, err := x.busy.cpu()
	if err != nil {
		return result{}, err
	}
	began := now()
	stop := x.handshakes(x.busy.addr)
	busy, err := x.requests(c, in, p.addr, length)
	done, failed := stop()
	took := now() - began
	after, err2 := x.busy.cpu()
	switch {
	case err != nil:
		return result{}, err
	case err2 != nil:
		return result{}, err2
	case failed != nil:
		return result{}, fmt.Errorf("a handshake: %w", failed)
	}
	used := after.minus(before)
	r = result{Ops: done, Seconds: took.Seconds(), User: used.user, System: used.system, Idle: idle.quantile(0.9), Beside: busy.quantile(0.9),
		P50: busy.quantile(0.5), P99: busy.quantile(0.99)}
	if want := float64(x.burst) / x.bursts.Seconds(); float64(done)/r.Seconds < 0.8*want {
		r.Invalid = fmt.Sprintf("%.0f handshakes a second, not %.0f", float64(done)/r.Seconds, want)
	}
	return r, nil
}

// A blocking is a socket whose reads block in the kernel, which wakes the thread by itself: a
// net.Conn would be woken by another thread of the load.
type blocking struct {
	net.Conn
	fd int
}

func dialBlocking(addr string) (*blocking, error) {
	c, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		return nil, err
	}
	var fd int
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err == nil {
		err = raw.Control(func(n uintptr) { fd = int(n) })
	}
	if err == nil {
		err = unix.SetNonblock(fd, false)
	}
	if err == nil {
		err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 10})
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return &blocking{c, fd}, nil
}

func (b *blocking) Read(p []byte) (int, error) {
	n, err := again(func() (int, error) { return unix.Read(b.fd, p) })
	if n == 0 && err == nil {
		err = io.EOF
	}
	return max(n, 0), err
}

func (b *blocking) Write(p []byte) (int, error) {
	n, err := again(func() (int, error) { return unix.Write(b.fd, p) })
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	return max(n, 0), err
}

// requests sends requests for so long, and returns their latencies.
func (x beside) requests(c io.Writer, in *bufio.Reader, host string, length time.Duration) (*histogram, error) {
	h := &histogram{}
	request := fmt.Appendf(nil, "GET /plaintext HTTP/1.1\r\nHost: %s\r\n\r\n", host)
	for due, end := now(), now()+length; due < end; due += x.every {
		time.Sleep(due - now())
		sent := now()
		if _, err := c.Write(request); err != nil {
			return nil, err
		}
		reply, err := http.ReadResponse(in, nil)
		if err != nil {
			return nil, err
		}
		if b, err := io.ReadAll(reply.Body); err != nil || string(b) != "Hello, World!" {
			return nil, fmt.Errorf("answered %q, %v", b, err)
		}
		h.add(now() - sent)
	}
	return h, nil
}

// handshakes makes connections that do their handshake and end, until stop is called. That returns
// how many there were.
func (x beside) handshakes(addr string) (stop func() (int, error)) {
	quit := make(chan struct{})
	var wg sync.WaitGroup
	var done atomic.Int64
	var failed atomic.Pointer[error]
	wg.Go(func() {
		for due := now(); ; due += x.bursts {
			select {
			case <-quit:
				return
			case <-time.After(due - now()):
			}
			for range x.burst {
				wg.Go(func() {
					c, err := tls.Dial("tcp", addr, anybody)
					if err != nil {
						failed.Store(&err)
						return
					}
					done.Add(1)
					c.Close()
				})
			}
		}
	})
	return func() (int, error) {
		close(quit)
		wg.Wait()
		if err := failed.Load(); err != nil {
			return 0, *err
		}
		return int(done.Load()), nil
	}
}
