package tlsconn

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// RSA keys sign on threads with the nice value; both versions, and nothing else changes.
func TestNice(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"a.test"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	leaf, _ := x509.ParseCertificate(der)
	pool.AddCert(leaf)
	eachVersion(t, func(t *testing.T, client *tls.Config) {
		s := newServer(t, func(c *Config) {
			c.Pairs, c.Certificates, c.Signer = nil, []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, Nice(13)
		})
		client.RootCAs = pool
		r := newRig(t, s, echo, client).shake()
		r.say("hello")
		if got := r.heard(); got != "hello" {
			t.Errorf("heard %q", got)
		}
	})
	if !hasThread(t, "13") {
		t.Error("no thread has the nice value 13")
	}
}

// An ECDSA key signs where the handshake computes; with one processor each key does.
func TestNiceIsForRSA(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	called := 0
	s := newServer(t, func(c *Config) {
		c.Signer = func(key crypto.Signer) crypto.Signer {
			called++
			return Nice(11)(key)
		}
	})
	newRig(t, s, echo, nil).shake()
	if key := (*s.certs.all.Load())[0].PrivateKey; called != 1 || hasThread(t, "11") {
		t.Errorf("called %d times, the key is %T", called, key)
	}
	if key := Nice(11)(&rsa.PrivateKey{}); fmt.Sprintf("%T", key) != "tlsconn.niceSigner" {
		t.Errorf("with two processors an RSA key is %T", key)
	}
	runtime.GOMAXPROCS(1)
	if key := Nice(11)(&rsa.PrivateKey{}); fmt.Sprintf("%T", key) != "*rsa.PrivateKey" {
		t.Errorf("with one processor an RSA key is %T", key)
	}
}

// A key that panics ends its handshake, and not the program.
func TestNiceKeyPanics(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	for range 3 {
		func() {
			defer func() {
				if v := recover(); v != "no key" {
					t.Errorf("it panics with %v", v)
				}
			}()
			niceSigner{panicky{}, niceThreads(3)}.Sign(nil, nil, nil)
		}()
	}
}

type panicky struct{}

func (panicky) Public() crypto.PublicKey                                  { return nil }
func (panicky) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { panic("no key") }

// hasThread reports whether a thread of this process has the nice value (proc_pid_stat(5), field
// 19).
func hasThread(t *testing.T, nice string) bool {
	t.Helper()
	files, err := filepath.Glob("/proc/self/task/*/stat")
	if err != nil || len(files) == 0 {
		t.Skip("no /proc")
	}
	for _, name := range files {
		b, _ := os.ReadFile(name)
		_, rest, _ := strings.Cut(string(b), ") ")
		if f := strings.Fields(rest); len(f) > 16 && f[16] == nice {
			return true
		}
	}
	return false
}
