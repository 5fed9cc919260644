package tlsconn_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/internal/exhaustive"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/tlsconn"
)

// A combination is one cell of the matrix with OpenSSL. Names are OpenSSL's.
type combination struct {
	version, suite, group, key string
	mutual                     bool
}

func (c combination) String() string {
	return fmt.Sprintf("%s %s %s %s mutual=%v", c.version, c.suite, c.group, c.key, c.mutual)
}

// flags are those that s_client and s_server have in common.
func (c combination) flags() []string {
	f := []string{"-" + c.version, "-groups", c.group, "-ciphersuites", c.suite}
	if c.version == "tls1_2" {
		f[3], f[4] = "-cipher", c.suite
	}
	return f
}

var opensslKeys = []string{"p256", "p384", "rsa", "ed25519"}

// combinations are all of them, or with the short form every seventh, which has each value of each
// column.
func combinations() (list []combination) {
	n := 0
	for _, version := range []string{"tls1_2", "tls1_3"} {
		for _, group := range []string{"X25519", "P-256", "P-384", "P-521"} {
			for _, key := range opensslKeys {
				if curve, ok := map[string]string{"p256": "P-256", "p384": "P-384"}[key]; ok && version == "tls1_2" && group != curve {
					continue // in TLS 1.2 the groups bind the keys of certificates too
				}
				suites := []string{"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}
				if version == "tls1_2" {
					kind := "ECDSA"
					if key == "rsa" {
						kind = "RSA"
					}
					suites = []string{"ECDHE-" + kind + "-AES128-GCM-SHA256", "ECDHE-" + kind + "-AES256-GCM-SHA384", "ECDHE-" + kind + "-CHACHA20-POLY1305"}
				}
				for _, suite := range suites {
					for _, mutual := range []bool{false, true} {
						if n++; n%7 == 0 || exhaustive.On() {
							list = append(list, combination{version, suite, group, key, mutual})
						}
					}
				}
			}
		}
	}
	return list
}

// describe says what a connection has, in OpenSSL's words.
func describe(s tls.ConnectionState) string {
	peer := "nobody"
	if len(s.PeerCertificates) > 0 {
		peer = s.PeerCertificates[0].Subject.CommonName
	}
	suite := tls.CipherSuiteName(s.CipherSuite)
	if s.Version == tls.VersionTLS12 {
		suite = strings.NewReplacer("TLS_", "", "_WITH", "", "AES_", "AES", "_SHA256", "-SHA256", "_", "-").Replace(suite)
		suite = strings.Replace(suite, "CHACHA20-POLY1305-SHA256", "CHACHA20-POLY1305", 1)
	}
	return fmt.Sprintf("%s %s %s, peer %s, resumed %v", tls.VersionName(s.Version), suite, strings.Replace(s.CurveID.String(), "CurveP", "P-", 1), peer, s.DidResume)
}

// want is what describe has to say.
func (c combination) want(peer string, resumed bool) string {
	version := "TLS 1.3"
	if c.version == "tls1_2" {
		version = "TLS 1.2"
	}
	return fmt.Sprintf("%s %s %s, peer %s, resumed %v", version, c.suite, c.group, peer, resumed)
}

// selfSigned writes NAME.pem and NAME.key to dir: a certificate of this kind of key.
func selfSigned(t *testing.T, dir, name, kind string) {
	t.Helper()
	var key crypto.Signer
	var err error
	switch kind {
	case "p256":
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "p384":
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "rsa":
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	case "ed25519":
		_, key, err = ed25519.GenerateKey(rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{".pem": {Type: "CERTIFICATE", Bytes: der}, ".key": {Type: "PRIVATE KEY", Bytes: raw}} {
		if err := os.WriteFile(filepath.Join(dir, name+file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// inParallel runs f for each combination, four at a time.
func inParallel(t *testing.T, f func(c combination, i int) error) {
	var wg sync.WaitGroup
	slots := make(chan struct{}, 4)
	for i, c := range combinations() {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if err := f(c, i); err != nil {
				t.Errorf("%v: %v", c, err)
			}
		})
	}
	wg.Wait()
}

// OpenSSL's client in all combinations of versions, suites, groups, kinds of keys, and certificates
// of its own: first with a handshake, then with the session of that.
func TestOpenSSLClientMatrix(t *testing.T) {
	tool(t, "openssl")
	underBoth(t, mgr.Options{}, func(t *testing.T, s *site) {
		selfSigned(t, s.dir, "client", "ed25519")
		pool := x509.NewCertPool()
		b, _ := os.ReadFile(s.file("client.pem"))
		pool.AppendCertsFromPEM(b)
		addrs := make(map[string]string)
		h := func(c *conn.Conn, ev conn.Event) {
			if _, ok := ev.(*http.Message); ok {
				state, _ := tlsconn.State(c)
				http.Reply(c, 200, "text/plain", "it is %s.", describe(state))
			}
		}
		for _, kind := range opensslKeys {
			selfSigned(t, s.dir, kind, kind)
			for _, auth := range []tls.ClientAuthType{tls.NoClientCert, tls.RequireAndVerifyClientCert} {
				server, err := tlsconn.NewServer(tlsconn.Config{Pairs: []tlsconn.Pair{{Cert: s.file(kind + ".pem"), Key: s.file(kind + ".key")}}, ClientAuth: auth, ClientCAs: pool})
				if err != nil {
					t.Fatal(err)
				}
				l, err := http.Listen(s.Manager, "https://127.0.0.1:0", h, http.Options{TLS: server})
				if err != nil {
					t.Fatal(err)
				}
				addrs[fmt.Sprint(kind, auth != tls.NoClientCert)] = l.LocalAddr().String()
			}
		}
		s.run()
		inParallel(t, func(c combination, i int) error {
			args := append([]string{"s_client", "-connect", addrs[fmt.Sprint(c.key, c.mutual)], "-CAfile", s.file(c.key + ".pem"), "-verify_return_error", "-ign_eof"}, c.flags()...)
			peer := "nobody"
			if c.mutual {
				args = append(args, "-cert", s.file("client.pem"), "-key", s.file("client.key"))
				peer = "client"
			}
			session := s.file(fmt.Sprint("session", i))
			for n, flag := range []string{"-sess_out", "-sess_in"} {
				f := run(t, "openssl", append(args, flag, session)...)
				io.WriteString(f.in, strings.Replace(get, "\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1))
				f.cmd.Wait()
				if want := "it is " + c.want(peer, n == 1) + "."; !strings.Contains(f.said(), want) {
					return fmt.Errorf("not %q: %s", want, f.said())
				}
			}
			return nil
		})
	})
}

// Our client with OpenSSL's server, in all combinations.
func TestOpenSSLServerMatrix(t *testing.T) {
	tool(t, "openssl")
	underBoth(t, mgr.Options{}, func(t *testing.T, s *site) {
		s.run()
		selfSigned(t, s.dir, "client", "ed25519")
		mine, err := tls.LoadX509KeyPair(s.file("client.pem"), s.file("client.key"))
		if err != nil {
			t.Fatal(err)
		}
		for _, kind := range opensslKeys {
			selfSigned(t, s.dir, kind, kind)
		}
		inParallel(t, func(c combination, i int) error {
			args := append([]string{"s_server", "-accept", "127.0.0.1:0", "-rev", "-naccept", "2", "-cert", s.file(c.key + ".pem"), "-key", s.file(c.key + ".key")}, c.flags()...)
			config := tlsconn.ClientConfig{RootFiles: []string{s.file(c.key + ".pem")}}
			if c.mutual {
				args = append(args, "-Verify", "1", "-verify_return_error", "-CAfile", s.file("client.pem"))
				config.Certificates = []tls.Certificate{mine}
			}
			client, err := tlsconn.NewClient(config)
			if err != nil {
				return err
			}
			f := run(t, "openssl", args...)
			f.await("ACCEPT 127.0.0.1:", 1)
			_, rest, _ := strings.Cut(f.said(), "ACCEPT ")
			addr, _, _ := strings.Cut(rest, "\n")
			for n := range 2 {
				got, err := s.reversed(client, strings.TrimSpace(addr))
				if want := c.want(c.key, n == 1) + ": olleh"; err != nil || got != want {
					return fmt.Errorf("%q, want %q, %v; %s", got, want, err, f.said())
				}
			}
			return nil
		})
	})
}

// reversed has a server of -rev turn a line around, and says what the connection was.
func (s *site) reversed(client *tlsconn.Client, addr string) (string, error) {
	got := make(chan string, 1)
	var what string
	s.Do(func() {
		_, err := s.Connect("tls://"+addr, func(c *conn.Conn, ev conn.Event) {
			switch ev := ev.(type) {
			case *tlsconn.Handshake:
				what = describe(ev.State)
				c.WriteString("hello\n")
			case *conn.Read:
				if line, _, ok := bytes.Cut(c.Recv.Bytes(), []byte("\n")); ok {
					what += ": " + string(line)
					c.Drain()
				}
			case *conn.Error:
				what += " " + ev.Err.Error()
			case *conn.Close:
				got <- what
			}
		}, mgr.ConnectOptions{TLS: client})
		if err != nil {
			got <- err.Error()
		}
	})
	select {
	case g := <-got:
		return g, nil
	case <-time.After(time.Minute):
		return "", fmt.Errorf("no end")
	}
}
