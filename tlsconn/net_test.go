package tlsconn_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	nethttp "net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/http/stdhttp"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/tlsconn"
	"github.com/seed4930a636/mangusta/websocket"
)

// A site is a manager that runs, with a server's certificate and somebody who trusts it.
type site struct {
	*mgr.Manager
	t      *testing.T
	server *tlsconn.Server
	client *tlsconn.Client
	roots  *x509.CertPool
	addr   string
	dir    string // of cert.pem and key.pem
	stop   func()
}

// underBoth runs f under each poller.
func underBoth(t *testing.T, o mgr.Options, f func(t *testing.T, s *site)) {
	for _, p := range []mgr.Poller{mgr.Epoll, mgr.Select} {
		t.Run(p.String(), func(t *testing.T) {
			dir := t.TempDir()
			s := &site{t: t, dir: dir}
			var err error
			if s.server, err = tlsconn.SelfSigned(dir, []string{"127.0.0.1"}); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(dir, "cert.pem")
			if s.client, err = tlsconn.NewClient(tlsconn.ClientConfig{RootFiles: []string{file}}); err != nil {
				t.Fatal(err)
			}
			pem, _ := os.ReadFile(file)
			s.roots = x509.NewCertPool()
			s.roots.AppendCertsFromPEM(pem)
			o := o
			o.Poller, o.Log = p, mgr.Silent
			if s.Manager, err = mgr.New(o); err != nil {
				t.Fatal(err)
			}
			f(t, s)
			if s.stop != nil {
				s.stop()
			}
			s.Close()
			if n := s.server.Stats().InFlight + s.client.Stats().InFlight; n != 0 {
				until := time.Now().Add(5 * time.Second)
				for s.server.Stats().InFlight+s.client.Stats().InFlight > 0 && time.Now().Before(until) {
					runtime.Gosched()
				}
				if n := s.server.Stats().InFlight + s.client.Stats().InFlight; n > 0 {
					t.Errorf("%d workers stay", n)
				}
			}
		})
	}
}

// serve listens for HTTPS and runs the loop.
func (s *site) serve(h conn.Handler, o http.Options) {
	s.t.Helper()
	o.TLS = s.server
	l, err := http.Listen(s.Manager, "https://127.0.0.1:0", h, o)
	if err != nil {
		s.t.Fatal(err)
	}
	s.addr = l.LocalAddr().String()
	s.run()
}

func (s *site) run() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	s.stop = sync.OnceFunc(func() { cancel(); <-done })
}

func (s *site) dial() *tls.Conn {
	s.t.Helper()
	c, err := tls.Dial("tcp", s.addr, &tls.Config{RootCAs: s.roots})
	if err != nil {
		s.t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(30 * time.Second))
	s.t.Cleanup(func() { c.Close() })
	return c
}

func pages(c *conn.Conn, ev conn.Event) {
	m, ok := ev.(*http.Message)
	switch {
	case !ok:
	case string(m.Path) == "/ws":
		websocket.Upgrade(c, m, nil)
	case string(m.Path) == "/echo":
		http.ReplyBytes(c, 200, "application/octet-stream", m.Body)
	default:
		http.Reply(c, 200, "text/plain", fmt.Sprint(c.Secure(), http.IsHTTPS(c), " ", c.RemoteAddr().Addr()))
	}
}

func TestHTTPS(t *testing.T) {
	underBoth(t, mgr.Options{}, func(t *testing.T, s *site) {
		s.serve(pages, http.Options{MaxBody: 8 << 20})
		k := &nethttp.Client{Transport: &nethttp.Transport{TLSClientConfig: &tls.Config{RootCAs: s.roots}, ForceAttemptHTTP2: true}, Timeout: 30 * time.Second}
		defer k.CloseIdleConnections()
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				body := bytes.Repeat([]byte{byte(i)}, i*100_000)
				for _, path := range []string{"/", "/echo"} {
					r, err := k.Post("https://"+s.addr+path, "x/y", bytes.NewReader(body))
					if err != nil {
						t.Error(err)
						return
					}
					got, err := io.ReadAll(r.Body)
					r.Body.Close()
					if want := "true true 127.0.0.1"; err != nil || path == "/" && string(got) != want || path == "/echo" && !bytes.Equal(got, body) {
						t.Errorf("%s: %d bytes, %v: %.60q", path, len(got), err, got)
					}
				}
			})
		}
		wg.Wait()
		if n := s.server.Stats().Handshakes; n == 0 {
			t.Error("no handshake is counted")
		}
	})
}

// wss goes both ways over one loop, with messages larger than a record.
func TestWSS(t *testing.T) {
	underBoth(t, mgr.Options{}, func(t *testing.T, s *site) {
		big := strings.Repeat("0123456789", 30_000)
		got := make(chan string, 10)
		var order []string
		client := func(c *conn.Conn, ev conn.Event) {
			switch ev := ev.(type) {
			case *conn.Open, *conn.Connect, *tlsconn.Handshake:
				order = append(order, ev.EventName())
			case *websocket.Open:
				order = append(order, ev.EventName())
				websocket.Send(c, websocket.Text, []byte("small"))
				websocket.Send(c, websocket.Text, []byte(big))
			case *websocket.Message:
				if got <- string(ev.Data); len(ev.Data) > 10 {
					websocket.CloseWith(c, 1000, "")
				}
			case *conn.Error:
				got <- ev.Err.Error()
			case *conn.Close:
				got <- "closed"
			}
		}
		s.serve(func(c *conn.Conn, ev conn.Event) {
			if m, ok := ev.(*websocket.Message); ok {
				websocket.Send(c, m.Op, m.Data)
			}
			pages(c, ev)
		}, http.Options{})
		s.Do(func() {
			if _, err := websocket.Connect(s.Manager, "wss://"+s.addr+"/ws", client, &websocket.ClientOptions{TLS: s.client}); err != nil {
				got <- err.Error()
			}
		})
		for _, want := range []string{"small", big, "closed"} {
			select {
			case g := <-got:
				if g != want {
					t.Fatalf("got %.100q, want %.100q", g, want)
				}
			case <-time.After(30 * time.Second):
				t.Fatal("nothing comes")
			}
		}
		if o := strings.Join(order, " "); o != "conn.Open tlsconn.Handshake conn.Connect websocket.Open" {
			t.Errorf("events: %s", o)
		}
	})
}

// A raw connection of the program's own protocol, in which each side ends its half.
func TestTLSOfAnOwnProtocol(t *testing.T) {
	underBoth(t, mgr.Options{}, func(t *testing.T, s *site) {
		l, err := s.Listen("tls://127.0.0.1:0", func(c *conn.Conn, ev conn.Event) {
			switch ev.(type) {
			case *conn.Open:
				c.SetHalfOpen(true)
			case *conn.Read:
				if c.IsListener() {
					return
				}
				c.Write(bytes.ToUpper(c.Recv.Bytes()))
				c.Recv.Discard(c.Recv.Len())
			case *conn.EOF:
				c.WriteString(" the end")
				c.Drain()
			}
		}, mgr.ListenOptions{TLS: s.server})
		if err != nil {
			t.Fatal(err)
		}
		result := make(chan string, 1)
		var all []byte
		addr := l.LocalAddr().String()
		if _, err := s.Connect("tls://"+addr, func(c *conn.Conn, ev conn.Event) {
			switch ev := ev.(type) {
			case *conn.Connect:
				c.SetHalfOpen(true)
				c.WriteString("hello")
				c.CloseWrite()
			case *conn.Read:
				all = append(all, c.Recv.Bytes()...)
				c.Recv.Discard(c.Recv.Len())
			case *conn.EOF:
				c.Close()
			case *conn.Error:
				all = append(all, ev.Err.Error()...)
			case *conn.Close:
				result <- fmt.Sprintf("%s, truncated %v", all, tlsconn.Truncated(c))
			}
		}, mgr.ConnectOptions{TLS: s.client}); err != nil {
			t.Fatal(err)
		}
		s.run()
		if got := <-result; got != "HELLO the end, truncated false" {
			t.Error(got)
		}
	})
}

// What is to be protected is not sent in the clear because of a slip in a URL, nor the other way
// round.
func TestURLsAndOptionsThatDoNotFit(t *testing.T) {
	underBoth(t, mgr.Options{}, func(t *testing.T, s *site) {
		for url, with := range map[string]bool{"https://127.0.0.1:0": false, "wss://127.0.0.1:0": false, "tls://127.0.0.1:0": false,
			"http://127.0.0.1:0": true, "tcp://127.0.0.1:0": true, "ws://127.0.0.1:0": true} {
			var o http.Options
			if with {
				o.TLS = s.server
			}
			_, err := http.Listen(s.Manager, url, nil, o)
			if err == nil || !with && !errors.Is(err, http.ErrNoTLS) && !errors.Is(err, mgr.ErrNoTLS) {
				t.Errorf("http.Listen %s: %v", url, err)
			}
		}
		if _, err := s.Connect("tls://127.0.0.1:1", nil); !errors.Is(err, mgr.ErrNoTLS) {
			t.Errorf("Connect: %v", err)
		}
		if _, err := s.Connect("tcp://127.0.0.1:1", nil, mgr.ConnectOptions{TLS: s.client}); err == nil {
			t.Error("Connect to tcp:// with TLS")
		}
	})
}

// A peer over MaxConns gets an alert, not a reply in the clear.
func TestRefusedPeerGetsAnAlert(t *testing.T) {
	underBoth(t, mgr.Options{MaxConns: 1}, func(t *testing.T, s *site) {
		l, err := s.Listen("tls://127.0.0.1:0", nil, mgr.ListenOptions{TLS: s.server})
		if err != nil {
			t.Fatal(err)
		}
		s.addr = l.LocalAddr().String()
		s.run()
		s.dial()
		c, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(30 * time.Second))
		got, _ := io.ReadAll(c)
		if want := "\x15\x03\x01\x00\x02\x02\x50"; string(got) != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// A PROXY header comes before the ClientHello, in one piece with it or byte by byte.
func TestProxyHeaderBeforeTLS(t *testing.T) {
	underBoth(t, mgr.Options{}, func(t *testing.T, s *site) {
		s.serve(pages, http.Options{ProxyFrom: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}})
		for _, step := range []int{1, 1000} {
			raw, err := net.Dial("tcp", s.addr)
			if err != nil {
				t.Fatal(err)
			}
			raw.SetDeadline(time.Now().Add(30 * time.Second))
			c := tls.Client(&prefixed{Conn: raw, prefix: "PROXY TCP4 192.0.2.7 192.0.2.1 1234 443\r\n", step: step}, &tls.Config{InsecureSkipVerify: true})
			io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
			got, err := io.ReadAll(c)
			if err != nil || !strings.HasSuffix(string(got), "true true 192.0.2.7") {
				t.Errorf("steps of %d: %q, %v", step, got, err)
			}
			c.Close()
		}
		raw, err := net.Dial("tcp", s.addr) // a proxy that says nothing of its client
		if err != nil {
			t.Fatal(err)
		}
		defer raw.Close()
		raw.SetDeadline(time.Now().Add(30 * time.Second))
		if err := tls.Client(raw, &tls.Config{InsecureSkipVerify: true}).Handshake(); err == nil {
			t.Error("a handshake without the header")
		}
	})
}

// A prefixed sends prefix before the first bytes.
type prefixed struct {
	net.Conn
	prefix string
	step   int
}

func (p *prefixed) Write(b []byte) (int, error) {
	if p.prefix == "" {
		return p.Conn.Write(b)
	}
	all := append([]byte(p.prefix), b...)
	p.prefix = ""
	for len(all) > 0 {
		n := min(p.step, len(all))
		if _, err := p.Conn.Write(all[:n]); err != nil {
			return 0, err
		}
		all = all[n:]
	}
	return len(b), nil
}

// Shutdown sends WebSockets 1001, and then close_notify.
func TestShutdownSaysGoodbyeThroughTLS(t *testing.T) {
	underBoth(t, mgr.Options{}, func(t *testing.T, s *site) {
		s.serve(pages, http.Options{})
		c := s.dial()
		io.WriteString(c, "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
		r := bufio.NewReader(c)
		if resp, err := nethttp.ReadResponse(r, nil); err != nil || resp.StatusCode != 101 {
			t.Fatal(resp, err)
		}
		done := make(chan error, 1)
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			done <- s.Shutdown(ctx)
		}()
		frame := make([]byte, 4)
		if _, err := io.ReadFull(r, frame); err != nil || !bytes.Equal(frame, []byte{0x88, 2, 1001 >> 8, 1001 & 0xff}) {
			t.Fatalf("%x, %v", frame, err)
		}
		c.Write([]byte{0x88, 0x82, 0, 0, 0, 0, 1001 >> 8, 1001 & 0xff})
		if b, err := io.ReadAll(r); len(b) > 0 || err != nil { // crypto/tls tells EOF from a cut only inside a record
			t.Errorf("%x, %v", b, err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// Handlers of net/http are told of TLS, and may upgrade a hijacked connection of it.
func TestStdHTTPOverTLS(t *testing.T) {
	underBoth(t, mgr.Options{}, func(t *testing.T, s *site) {
		h := stdhttp.New(s.Manager, nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
			if r.URL.Path == "/hijack" {
				c, b, err := nethttp.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				defer c.Close()
				line, err := b.ReadString('\n')
				fmt.Fprintf(c, "said %q %v", line, err)
				return
			}
			fmt.Fprintf(w, "%v %s", r.TLS != nil && r.TLS.HandshakeComplete, tls.VersionName(r.TLS.Version))
		}), stdhttp.Options{})
		s.serve(h.Handle, http.Options{})
		c := s.dial()
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		if got, err := io.ReadAll(c); err != nil || !strings.HasSuffix(string(got), "true TLS 1.3") {
			t.Errorf("%q, %v", got, err)
		}
		c = s.dial()
		io.WriteString(c, "GET /hijack HTTP/1.1\r\nHost: a\r\n\r\n")
		io.WriteString(c, "hello\n")
		if got, err := io.ReadAll(c); err != nil || string(got) != `said "hello\n" <nil>` {
			t.Errorf("%q, %v", got, err)
		}
	})
}
