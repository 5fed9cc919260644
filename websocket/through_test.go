package websocket_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	nethttp "net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/http/stdhttp"
	"github.com/seed4930a636/mangusta/internal/tcptest"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/tlsconn"
	"github.com/seed4930a636/mangusta/websocket"
)

// tunnels is an HTTP proxy that knows CONNECT alone, and wants the user u with the password p. It
// leads every name to the address in dial; it sends what it was asked for to asked.
func tunnels(t *testing.T, dial string, asked chan string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	wants := "Basic " + base64.StdEncoding.EncodeToString([]byte("u:p"))
	serve := func(c net.Conn) {
		defer c.Close()
		r := bufio.NewReader(c)
		req, err := nethttp.ReadRequest(r)
		if err != nil {
			return
		}
		asked <- req.Method + " " + req.RequestURI
		if req.Header.Get("Proxy-Authorization") != wants {
			io.WriteString(c, "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 2\r\n\r\nno")
			return
		}
		to, err := net.Dial("tcp", dial)
		if err != nil {
			t.Error(err)
			return
		}
		defer to.Close()
		for _, b := range []byte("HTTP/1.0 200 Connection established\r\nVia: test\r\n\r\n") {
			c.Write([]byte{b})
		}
		go func() {
			io.Copy(to, r)
			to.(*net.TCPConn).CloseWrite()
		}()
		io.Copy(c, to)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(c)
		}
	}()
	return l.Addr().String()
}

// echoed opens the WebSocket, sends a message, and closes it when it comes back.
func echoed(c *conn.Conn, ev conn.Event) {
	switch ev.(type) {
	case *websocket.Open:
		websocket.Send(c, websocket.Text, []byte("hello"))
	case *websocket.Message:
		websocket.CloseWith(c, websocket.CloseNormal, "")
	}
}

var echoNotes = []string{"connect", opened, `text "hello"`, normally, "closed"}

// echoTLS is a server over TLS whose certificate is in the client that it returns.
func echoTLS(t *testing.T, p mgr.Poller) (addr string, client *tlsconn.Client) {
	t.Helper()
	own, err := tlsconn.SelfSigned(t.TempDir(), []string{"device.example"})
	if err != nil {
		t.Fatal(err)
	}
	c := clientManager(t, p)
	c.do(func() error {
		l, err := http.Listen(c.Manager, "https://127.0.0.1:0", func(c *conn.Conn, ev conn.Event) {
			switch ev := ev.(type) {
			case *http.Message:
				websocket.Upgrade(c, ev, nil)
			case *websocket.Message:
				websocket.Send(c, ev.Op, ev.Data)
			}
		}, http.Options{TLS: own, Hosts: []string{"*"}})
		if err == nil {
			addr = l.LocalAddr().String()
		}
		return err
	})
	return addr, insecure(t)
}

func insecure(t *testing.T) *tlsconn.Client {
	t.Helper()
	client, err := tlsconn.NewClient(tlsconn.ClientConfig{Insecure: true})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// RFC 6455 §4.1: a proxy is asked for a tunnel, for ws:// too, and the handshake goes through it.
func TestConnectThroughAProxy(t *testing.T) {
	onBoth(t, func(t *testing.T, p mgr.Poller) {
		s := serve(t, p, nil, nil)
		secure, client := echoTLS(t, p)
		for _, tc := range []struct{ url, dial, connect string }{
			{"ws://device.example/x", s.addr, "CONNECT device.example:80"},
			{"ws://192.0.2.1:99/x", s.addr, "CONNECT 192.0.2.1:99"},
			{"wss://device.example/x", secure, "CONNECT device.example:443"},
		} {
			asked := make(chan string, 10)
			proxy := tunnels(t, tc.dial, asked)
			by := func(user string) *websocket.ClientOptions {
				return &websocket.ClientOptions{TLS: client, Proxy: func(url string) (string, error) {
					if want := "http" + strings.TrimPrefix(tc.url, "ws"); url != want {
						t.Errorf("the proxy for %s, want %s", url, want)
					}
					return "http://" + user + proxy, nil
				}}
			}
			c := clientManager(t, p)
			c.connect(tc.url, by("u:p@"), func(c *conn.Conn, ev conn.Event) {
				if _, ok := ev.(*websocket.Open); ok && c.Secure() != strings.HasPrefix(tc.url, "wss") {
					t.Errorf("%s: secure is %v", tc.url, c.Secure())
				}
				echoed(c, ev)
			})
			c.wantNotes(echoNotes...)
			if got := <-asked; got != tc.connect {
				t.Errorf("%s: asked for %q, want %q", tc.url, got, tc.connect)
			}
			var failed error
			c.connect(tc.url, by(""), func(c *conn.Conn, ev conn.Event) {
				if ev, ok := ev.(*conn.Error); ok {
					failed = ev.Err
				}
			})
			<-c.ended
			if e, ok := errors.AsType[*websocket.HandshakeError](failed); !ok || !errors.Is(failed, http.ErrProxy) ||
				!strings.Contains(e.Reason, "407 Proxy Authentication Required") || e.Status != 0 {
				t.Errorf("%s without a user: %v", tc.url, failed)
			}
			c.mu.Lock()
			c.notes = nil
			c.mu.Unlock()
		}
	})
}

// A proxy that breaks the rules: no byte of the handshake is sent.
func TestConnectThroughABadProxy(t *testing.T) {
	for name, response := range map[string]string{
		"malformed": "HELLO\r\n\r\n", "bytes after it": "HTTP/1.1 200 OK\r\n\r\nx", "refused": "HTTP/1.1 403 No\r\n\r\n",
		"the end": "", "101": "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
	} {
		onBoth(t, func(t *testing.T, p mgr.Poller) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			sent := make(chan string, 1)
			go func() {
				c, err := l.Accept()
				if err != nil {
					return
				}
				defer c.Close()
				r := bufio.NewReader(c)
				nethttp.ReadRequest(r)
				io.WriteString(c, response)
				c.(*net.TCPConn).CloseWrite()
				rest, _ := io.ReadAll(r)
				sent <- string(rest)
			}()
			c := clientManager(t, p)
			var failed error
			c.connect("ws://device.example/", &websocket.ClientOptions{Proxy: func(string) (string, error) {
				return l.Addr().String(), nil
			}}, func(c *conn.Conn, ev conn.Event) {
				if ev, ok := ev.(*conn.Error); ok {
					failed = ev.Err
				}
			})
			<-c.ended
			if _, ok := errors.AsType[*websocket.HandshakeError](failed); !ok || !errors.Is(failed, http.ErrProxy) {
				t.Errorf("%s: %v", name, failed)
			}
			if got := <-sent; got != "" {
				t.Errorf("%s: the proxy was sent %q", name, got)
			}
		})
	}
}

// A name, found by the Resolver, over TLS, with a certificate for that name.
func TestConnectByNameOverTLS(t *testing.T) {
	onBoth(t, func(t *testing.T, p mgr.Poller) {
		handler := nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) { nethttp.Error(w, r.Host, 403) })
		web := httptest.NewUnstartedServer(handler)
		web.Config.ErrorLog = log.New(io.Discard, "", 0)
		web.StartTLS() // with a certificate for example.com
		defer web.Close()
		roots := filepath.Join(t.TempDir(), "roots.pem")
		if err := os.WriteFile(roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: web.Certificate().Raw}), 0o600); err != nil {
			t.Fatal(err)
		}
		client, err := tlsconn.NewClient(tlsconn.ClientConfig{RootFiles: []string{roots}})
		if err != nil {
			t.Fatal(err)
		}
		m, err := mgr.New(mgr.Options{Poller: p, Resolver: mgr.ResolverFunc(func(m *mgr.Manager, name string, found func(mgr.Resolved)) func() {
			m.AfterFunc(0, func() { found(mgr.Resolved{Addrs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}) })
			return func() {}
		})})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		_, port, _ := net.SplitHostPort(web.Listener.Addr().String())
		for host, want := range map[string]int{"example.com": 403, "another.test": 0} {
			status, over := -1, false
			_, err = websocket.Connect(m, "wss://"+host+":"+port+"/x", func(c *conn.Conn, ev conn.Event) {
				switch ev := ev.(type) {
				case *conn.Error:
					if e, ok := errors.AsType[*websocket.HandshakeError](ev.Err); ok {
						status = e.Status
					}
				case *conn.Close:
					over = true
				}
			}, &websocket.ClientOptions{TLS: client})
			if err != nil {
				t.Fatal(err)
			}
			for end := time.Now().Add(time.Minute); !over && time.Now().Before(end); {
				m.Poll(time.Second)
			}
			if status != want {
				t.Errorf("%s: status %d, want %d", host, status, want)
			}
		}
	})
}

// The jar gives the cookies of the request, by the URL with http, and takes those of a 101 and of a
// redirect.
func TestConnectWithCookies(t *testing.T) {
	onBoth(t, func(t *testing.T, p mgr.Poller) {
		std, err := cookiejar.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		got := make(chan string, 10)
		addr := scripted(t, func(n int, req *nethttp.Request) []byte {
			got <- req.Header.Get("Cookie")
			if n == 0 {
				return []byte("HTTP/1.1 302 Found\r\nSet-Cookie: a=1\r\nLocation: /b\r\n\r\n")
			}
			return append(switching(req, fmt.Sprintf("Set-Cookie: n=%d", n)), bare(0x88, closing(1000, ""))...)
		}, func(c net.Conn) {
			var b [100]byte
			c.Read(b[:])
		})
		o := &websocket.ClientOptions{Jar: stdhttp.Jar(std), MaxRedirects: 1}
		c := clientManager(t, p)
		for _, want := range []string{"", "a=1", "a=1; n=1"} {
			if want != "a=1" { // which is the redirect's
				c.connect("ws://"+addr+"/", o, nil)
			}
			if cookie := <-got; cookie != want {
				t.Errorf("the request had the cookies %q, want %q", cookie, want)
			}
			<-c.ended
		}
	})
}

// Each timeout has an error of its own, and the longer ones do not get in its way.
func TestConnectTimeouts(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // it accepts, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() })
	full := tcptest.FullBacklog(t)
	tls, err := tlsconn.NewClient(tlsconn.ClientConfig{Insecure: true, Limits: tlsconn.Limits{HandshakeTimeout: 50 * time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	const short = 50 * time.Millisecond
	to := func(string) (string, error) { return silent.Addr().String(), nil }
	for _, tc := range []struct {
		name, url string
		o         websocket.ClientOptions
		want      error
	}{
		{"resolve", "ws://never.test/", websocket.ClientOptions{ResolveTimeout: short}, http.ErrResolveTimeout},
		{"resolve, whole", "ws://never.test/", websocket.ClientOptions{HandshakeTimeout: short}, http.ErrTimeout},
		{"connect", "ws://" + full, websocket.ClientOptions{ConnectTimeout: short}, http.ErrConnectTimeout},
		{"connect, whole", "ws://" + full, websocket.ClientOptions{HandshakeTimeout: short}, http.ErrTimeout},
		{"TLS", "wss://" + silent.Addr().String(), websocket.ClientOptions{TLS: tls}, http.ErrTLSTimeout},
		{"TLS, whole", "wss://" + silent.Addr().String(), websocket.ClientOptions{TLS: insecure(t), HandshakeTimeout: short}, http.ErrTimeout},
		{"tunnel", "ws://h.test/", websocket.ClientOptions{Proxy: to, ConnectTimeout: short}, http.ErrConnectTimeout},
		{"tunnel, whole", "ws://h.test/", websocket.ClientOptions{Proxy: to, HandshakeTimeout: short}, http.ErrTimeout},
		{"response", "ws://" + silent.Addr().String(), websocket.ClientOptions{HandshakeTimeout: short}, http.ErrTimeout},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			onBoth(t, func(t *testing.T, p mgr.Poller) {
				m, err := mgr.New(mgr.Options{Poller: p, Resolver: mgr.ResolverFunc(func(*mgr.Manager, string, func(mgr.Resolved)) func() { return func() {} })})
				if err != nil {
					t.Fatal(err)
				}
				ran := make(chan error, 1)
				failed := make(chan error, 1)
				_, err = websocket.Connect(m, tc.url, func(c *conn.Conn, ev conn.Event) {
					if ev, ok := ev.(*conn.Error); ok {
						failed <- ev.Err
					}
				}, &tc.o)
				if err != nil {
					t.Fatal(err)
				}
				go func() { ran <- m.Run(context.Background()) }()
				select {
				case err := <-failed:
					if _, ok := errors.AsType[*websocket.HandshakeError](err); !ok || !errors.Is(err, tc.want) {
						t.Errorf("%v, want %v", err, tc.want)
					}
					for _, other := range []error{http.ErrResolveTimeout, http.ErrConnectTimeout, http.ErrTLSTimeout, http.ErrTimeout, http.ErrFirstByteTimeout, http.ErrStallTimeout} {
						if other != tc.want && errors.Is(err, other) {
							t.Errorf("%v is %v, too", err, other)
						}
					}
				case <-time.After(time.Minute):
					t.Error("no end in 20 s")
				}
				m.Close()
				<-ran
			})
		})
	}
}

// The connection that the program closes in its Open event ends as any other.
func TestConnectClosedInOpen(t *testing.T) {
	onBoth(t, func(t *testing.T, p mgr.Poller) {
		c := dialClient(t, p, "ws://"+tcptest.FullBacklog(t), nil, func(c *conn.Conn, ev conn.Event) {
			if _, ok := ev.(*conn.Open); ok {
				c.Close()
			}
		})
		c.wantNotes("closed")
	})
}
