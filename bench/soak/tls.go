package main

import (
	"bufio"
	"bytes"
	"context"
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
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// certificate makes a certificate with a key of that kind, in files of dir.
func certificate(dir, kind string) (cert, key string, err error) {
	var signer crypto.Signer
	switch kind {
	case "ecdsa":
		signer, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "rsa":
		signer, err = rsa.GenerateKey(rand.Reader, 2048)
	default:
		err = fmt.Errorf("-tls %q: want ecdsa or rsa", kind)
	}
	if err != nil {
		return "", "", err
	}
	t := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "soak"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(48 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, t, t, signer.Public(), signer)
	if err != nil {
		return "", "", err
	}
	private, err := x509.MarshalPKCS8PrivateKey(signer)
	if err != nil {
		return "", "", err
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for name, b := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(b), 0o600); err != nil {
			return "", "", err
		}
	}
	return cert, key, nil
}

// anybody trusts each server: the load is of this machine's own program.
var anybody = &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}}

const bursts = 20 * time.Millisecond

// handshakes connects perSecond times a second, in bursts, each time with a whole handshake and one
// request, until ctx is done.
func (l *load) handshakes(ctx context.Context, to target, perSecond int, done func()) {
	var under sync.WaitGroup
	defer under.Wait()
	tick := time.NewTicker(bursts)
	defer tick.Stop()
	for owed := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for owed += perSecond * int(bursts) / int(time.Second); owed > 0; owed-- {
			under.Go(func() {
				c, end, err := dial(ctx, to)
				if err == nil {
					err = request(c, bufio.NewReader(c), get, hello)
					end()
				}
				if err == nil {
					done()
				} else if ctx.Err() == nil {
					l.fail(fmt.Errorf("handshake: %w", err))
				}
			})
		}
	}
}

// A crowd is WebSockets that rest. They answer pings.
type crowd struct {
	all []idler
}

type idler struct {
	c      net.Conn
	end    func()
	echoed chan error
}

const together = 8 // connections that a crowd opens, or asks, at a time

var question = ws.MustCompileFrame(ws.MaskFrame(ws.NewTextFrame(hello))) // one Write, so that no pong gets into it

// gather opens n WebSockets, each of which echoes once.
func gather(ctx context.Context, to target, n int) (*crowd, error) {
	x := &crowd{make([]idler, n)}
	err := x.each(func(w *idler) (err error) {
		if w.c, w.end, err = open(ctx, to); err != nil {
			return err
		}
		w.c.SetDeadline(time.Time{})
		w.echoed = make(chan error, 2)
		go w.read()
		return w.echo()
	})
	if err != nil {
		x.leave()
	}
	return x, err
}

// alive has each of them echo once more.
func (x *crowd) alive() error { return x.each((*idler).echo) }

func (x *crowd) leave() {
	for i := range x.all {
		if w := &x.all[i]; w.end != nil {
			w.end()
		}
	}
}

// read takes what comes, until the connection ends.
func (w *idler) read() {
	for {
		p, _, err := wsutil.ReadServerData(w.c)
		if err == nil && !bytes.Equal(p, hello) {
			err = fmt.Errorf("%q instead of the echo", p)
		}
		select {
		case w.echoed <- err:
		default:
		}
		if err != nil {
			return
		}
	}
}

func (w *idler) echo() error {
	if _, err := w.c.Write(question); err != nil {
		return fmt.Errorf("an idle WebSocket: %w", err)
	}
	select {
	case err := <-w.echoed:
		if err != nil {
			return fmt.Errorf("an idle WebSocket: %w", err)
		}
		return nil
	case <-time.After(patience):
		return errors.New("an idle WebSocket does not echo")
	}
}

// each calls f for each of them, and returns the first error.
func (x *crowd) each(f func(*idler) error) error {
	var wg sync.WaitGroup
	errs := make([]error, together)
	for k := range together {
		wg.Go(func() {
			for i := k; i < len(x.all) && errs[k] == nil; i += together {
				errs[k] = f(&x.all[i])
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
