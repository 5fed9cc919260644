package interop

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	nethttp "net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/examples/internal/programtest"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/tlsconn"
	"github.com/seed4930a636/mangusta/websocket"
)

// An authority issues the certificates of a test, as files.
type authority struct {
	t    *testing.T
	dir  string
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir(), pool: x509.NewCertPool()}
	a.key, a.cert = a.make("ca", nil)
	a.pool.AddCert(a.cert)
	return a
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

// issue makes a certificate and returns its files.
func (a *authority) issue(name string) tlsconn.Pair {
	a.t.Helper()
	a.make(name, a.cert)
	return tlsconn.Pair{Cert: a.file(name + ".pem"), Key: a.file(name + ".key")}
}

func (a *authority) make(name string, issuer *x509.Certificate) (*ecdsa.PrivateKey, *x509.Certificate) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<62))
	c := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true, IsCA: issuer == nil, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	signer := a.key
	if issuer == nil {
		issuer, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, issuer, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{name + ".pem": {Type: "CERTIFICATE", Bytes: der}, name + ".key": {Type: "PRIVATE KEY", Bytes: raw}} {
		if err := os.WriteFile(a.file(file), pem.EncodeToMemory(block), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return key, cert
}

// nginx stands in front of our server and speaks TLS with it (OpenSSL), with a certificate of its
// own, in both versions, with kept connections and resumed sessions; and our client and Go's speak
// TLS with nginx.
func TestNginxOverTLS(t *testing.T) {
	for _, p := range []mgr.Poller{mgr.Epoll, mgr.Select} {
		for _, version := range []string{"TLSv1.2", "TLSv1.3"} {
			t.Run(p.String()+" "+version, func(t *testing.T) {
				t.Parallel()
				a := newAuthority(t)
				a.issue("nginx.test")
				server, err := tlsconn.NewServer(tlsconn.Config{Pairs: []tlsconn.Pair{a.issue("app.test")}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: a.pool})
				if err != nil {
					t.Fatal(err)
				}
				m := run(t, p)
				front := programtest.Nginx(t, strings.NewReplacer("UPSTREAM", listenTLS(t, m, server), "DIR", a.dir, "VERSION", version).Replace(nginxConf))
				k := &nethttp.Client{Timeout: patience, Transport: &nethttp.Transport{TLSClientConfig: &tls.Config{RootCAs: a.pool, ServerName: "nginx.test"}}}
				defer k.CloseIdleConnections()
				var wg sync.WaitGroup
				for i := range 10 {
					wg.Go(func() {
						for _, path := range []string{"/kept", "/once"} {
							body := bytes.Repeat([]byte{byte('a' + i)}, i*i*5000)
							if err := wantEcho(k, "https://"+front+path, body, version); err != nil {
								t.Error(err)
							}
						}
					})
				}
				wg.Wait()
				// nginx resumes what it has a session of, which comes after the handshake in TLS 1.3.
				for range 5 {
					if err := wantEcho(k, "https://"+front+"/once", nil, version); err != nil {
						t.Error(err)
					}
				}
				talk(t, m, a, front)
				s := server.Stats()
				if s.Resumed == 0 || s.Failed > 0 || s.Truncated > s.Handshakes || s.Handshakes < 12 || (s.TLS12 > 0) != (version == "TLSv1.2") {
					t.Errorf("%+v", s)
				}
			})
		}
	}
}

const nginxConf = `
map $http_upgrade $upgrade { default upgrade; '' ''; }
upstream kept { server UPSTREAM; keepalive 4; }
server {
	listen 80 ssl;
	ssl_certificate DIR/nginx.test.pem; ssl_certificate_key DIR/nginx.test.key;
	client_max_body_size 10m;
	proxy_http_version 1.1;
	proxy_set_header Upgrade $http_upgrade;
	proxy_set_header Connection $upgrade;
	proxy_ssl_verify on; proxy_ssl_trusted_certificate DIR/ca.pem;
	proxy_ssl_name app.test; proxy_ssl_server_name on;
	proxy_ssl_certificate DIR/nginx.test.pem; proxy_ssl_certificate_key DIR/nginx.test.key;
	proxy_ssl_protocols VERSION;
	location /kept { proxy_pass https://kept; }
	location /once { proxy_pass https://UPSTREAM; proxy_set_header Connection close; }
	location /ws { proxy_pass https://UPSTREAM; }
}`

// listenTLS starts our server, which echoes and says whom it speaks with.
func listenTLS(t *testing.T, m *mgr.Manager, server *tlsconn.Server) string {
	t.Helper()
	h := func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *http.Message:
			if string(ev.Path) == "/ws" {
				websocket.Upgrade(c, ev, &websocket.Options{Origins: []string{"*"}})
				return
			}
			state, _ := tlsconn.State(c)
			http.SetHeader(c, "Peer", fmt.Sprint(tls.VersionName(state.Version), " ", state.PeerCertificates[0].Subject.CommonName))
			http.ReplyBytes(c, 200, "application/octet-stream", ev.Body)
		case *websocket.Message:
			websocket.Send(c, ev.Op, ev.Data)
		}
	}
	addr := make(chan string, 1)
	m.Do(func() {
		l, err := http.Listen(m, "https://127.0.0.1:0", h, http.Options{TLS: server, MaxBody: 1 << 20})
		if err != nil {
			t.Error(err)
			addr <- ""
			return
		}
		addr <- l.LocalAddr().String()
	})
	return <-addr
}

func wantEcho(k *nethttp.Client, url string, body []byte, version string) error {
	r, err := k.Post(url, "application/octet-stream", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer r.Body.Close()
	got, err := io.ReadAll(r.Body)
	want := strings.Replace(version, "TLSv", "TLS ", 1) + " nginx.test"
	if err != nil || r.StatusCode != 200 || !bytes.Equal(got, body) || r.Header.Get("Peer") != want {
		return fmt.Errorf("%s: %s, %d of %d bytes, %q, %v", url, r.Status, len(got), len(body), r.Header.Get("Peer"), err)
	}
	return nil
}

// talk has our client speak through nginx with our server over a WebSocket, with TLS on both ways.
func talk(t *testing.T, m *mgr.Manager, a *authority, front string) {
	t.Helper()
	client, err := tlsconn.NewClient(tlsconn.ClientConfig{RootFiles: []string{a.file("ca.pem")}, ServerName: "nginx.test"})
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Repeat("text ", 20_000)
	got := make(chan string, 10)
	m.Do(func() {
		_, err := websocket.Connect(m, "wss://"+front+"/ws", func(c *conn.Conn, ev conn.Event) {
			switch ev := ev.(type) {
			case *websocket.Open:
				websocket.Send(c, websocket.Text, []byte(text))
			case *websocket.Message:
				got <- string(ev.Data)
				websocket.CloseWith(c, 1000, "")
			case *conn.Error:
				got <- ev.Err.Error()
			}
		}, &websocket.ClientOptions{TLS: client})
		if err != nil {
			got <- err.Error()
		}
	})
	select {
	case g := <-got:
		if g != text {
			t.Errorf("the WebSocket through nginx: %.200q", g)
		}
	case <-time.After(patience):
		t.Error("no echo through nginx")
	}
}
