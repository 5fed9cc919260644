package http

import (
	"bufio"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net"
	stdhttp "net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/tlsconn"
)

func TestProxyFromEnvironment(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://plain:1")
	t.Setenv("HTTPS_PROXY", "http://secure:2")
	t.Setenv("NO_PROXY", "a.example, .b.example,*.c.example,10.0.0.0/8,192.0.2.7,d.example:81,[2001:db8::1]")
	t.Setenv("REQUEST_METHOD", "")
	proxy := ProxyFromEnvironment()
	for url, want := range map[string]string{
		"http://other.example/": "http://plain:1", "https://other.example/": "http://secure:2", "http://xa.example/": "http://plain:1",
		"http://a.example/": "", "http://A.Example./": "", "https://sub.a.example/": "", "http://x.b.example/": "", "http://x.c.example/": "",
		"http://10.1.2.3/": "", "http://11.1.2.3/": "http://plain:1", "http://192.0.2.7:99/": "", "http://d.example:81/": "",
		"http://d.example/": "http://plain:1", "http://[2001:db8::1]/": "", "http://localhost/": "", "http://127.0.0.2/": "", "http://[::1]/": "",
	} {
		if got, err := proxy(url); got != want || err != nil {
			t.Errorf("%s: %q %v, want %q", url, got, err, want)
		}
	}
	t.Setenv("REQUEST_METHOD", "GET") // CGI: a client can set HTTP_PROXY
	if got, _ := ProxyFromEnvironment()("http://other.example/"); got != "" {
		t.Errorf("in a CGI program: %q", got)
	}
}

// testProxy is a proxy for the tests; it wants the user u with the password p.
func testProxy(t *testing.T, conns *atomic.Int32) string {
	wants := "Basic " + base64.StdEncoding.EncodeToString([]byte("u:p"))
	return rawServer(t, func(n int, c *net.TCPConn, r *bufio.Reader) {
		conns.Add(1)
		for {
			req, err := stdhttp.ReadRequest(r)
			if err != nil {
				return
			}
			if req.Header.Get("Proxy-Authorization") != wants {
				io.WriteString(c, "HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n")
				continue
			}
			if req.Method == "CONNECT" {
				if r.Buffered() > 0 {
					t.Error("bytes came before the proxy had agreed")
				}
				to, err := net.Dial("tcp", req.RequestURI)
				if err != nil {
					io.WriteString(c, "HTTP/1.1 502 No\r\n\r\n")
					return
				}
				defer to.Close()
				io.WriteString(c, "HTTP/1.1 200 OK\r\nX: y\r\n\r\n")
				go io.Copy(to, r)
				io.Copy(c, to)
				return
			}
			req.RequestURI = ""
			req.Header.Del("Proxy-Authorization")
			resp, err := stdhttp.DefaultTransport.RoundTrip(req)
			if err != nil {
				t.Error(err)
				return
			}
			resp.Write(c)
		}
	})
}

// Requests to http go to the proxy, which sees the whole URL; those to https go through a tunnel.
func TestClientThroughAProxy(t *testing.T) {
	handler := stdhttp.HandlerFunc(func(w stdhttp.ResponseWriter, r *stdhttp.Request) {
		b, _ := io.ReadAll(r.Body)
		io.WriteString(w, r.Host+r.URL.Path+string(b)+r.Header.Get("Proxy-Authorization"))
	})
	plain, secure := httptest.NewServer(handler), httptest.NewUnstartedServer(handler)
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	defer plain.Close()
	defer secure.Close()
	roots := filepath.Join(t.TempDir(), "roots.pem")
	if err := os.WriteFile(roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	client, err := tlsconn.NewClient(tlsconn.ClientConfig{RootFiles: []string{roots}})
	if err != nil {
		t.Fatal(err)
	}
	var conns atomic.Int32
	proxy := testProxy(t, &conns)
	through := func(user string) func(string) (string, error) {
		return func(string) (string, error) { return strings.Replace(proxy, "://", "://"+user, 1), nil }
	}
	body := strings.Repeat("x", 200_000)
	underBothClients(t, ClientOptions{TLS: client, Proxy: through("u:p@")}, func(t *testing.T, l *clientLoop) {
		conns.Store(0)
		for _, srv := range []*httptest.Server{plain, secure, plain, secure} {
			got := l.do(&ClientRequest{URL: srv.URL + "/a", Body: []byte(body)})
			if want := srv.Listener.Addr().String() + "/a" + body; got.err != nil || got.body != want {
				t.Errorf("%s: %.80q %v", srv.URL, got.body, got.err)
			}
		}
		if n := conns.Load(); n != 2 { // one for all http:// URLs, one for the tunnel
			t.Errorf("%d connections to the proxy, want 2", n)
		}
	})
	underBothClients(t, ClientOptions{TLS: client, Proxy: through("")}, func(t *testing.T, l *clientLoop) {
		if got := l.do(&ClientRequest{URL: plain.URL}); got.status != 407 || got.err != nil {
			t.Errorf("http without a user: %+v", got)
		}
		if got := l.do(&ClientRequest{URL: secure.URL}); !errors.Is(got.err, ErrProxy) || !strings.Contains(got.err.Error(), "407") {
			t.Errorf("https without a user: %v", got.err)
		}
	})
	// Without a proxy, the same server.
	underBothClients(t, ClientOptions{TLS: client}, func(t *testing.T, l *clientLoop) {
		if got := l.do(&ClientRequest{URL: secure.URL + "/b"}); got.err != nil || !strings.HasSuffix(got.body, "/b") {
			t.Errorf("%+v", got)
		}
		if got := l.do(&ClientRequest{URL: strings.Replace(secure.URL, "127.0.0.1", "localhost", 1)}); got.err == nil {
			t.Errorf("a certificate for another name: %+v", got)
		}
	})
	for _, bad := range []string{"socks5://x:1", "https://x:1", "http://", "://"} {
		underBothClients(t, ClientOptions{Proxy: func(string) (string, error) { return bad, nil }}, func(t *testing.T, l *clientLoop) {
			if got := l.do(&ClientRequest{URL: plain.URL}); !errors.Is(got.err, ErrProxy) {
				t.Errorf("%s: %v", bad, got.err)
			}
		})
	}
}

// RFC 9112 3.2.2: a request to a proxy has the whole URL, and the Host field of the server.
func TestClientSendsAProxyTheWholeURL(t *testing.T) {
	heads := make(chan string, 10)
	proxy := rawServer(t, func(n int, c *net.TCPConn, r *bufio.Reader) {
		for {
			head := ""
			for !strings.HasSuffix(head, "\r\n\r\n") {
				line, err := r.ReadString('\n')
				if err != nil {
					return
				}
				head += line
			}
			heads <- head
			io.WriteString(c, emptyOK)
		}
	})
	o := ClientOptions{Proxy: func(string) (string, error) { return strings.Replace(proxy, "://", "://u:p@", 1), nil }}
	const auth = "Proxy-Authorization: Basic dTpw\r\n\r\n"
	underBothClients(t, o, func(t *testing.T, l *clientLoop) {
		for url, want := range map[string]string{
			"http://Device.example/a?b=c#d":   "GET http://Device.example/a?b=c HTTP/1.1\r\nHost: Device.example\r\n" + auth,
			"http://device.example:81":        "GET http://device.example:81/ HTTP/1.1\r\nHost: device.example:81\r\n" + auth,
			"http://[2001:db8::1]/%41?":       "GET http://[2001:db8::1]/%41? HTTP/1.1\r\nHost: [2001:db8::1]\r\n" + auth,
			"http://device.example:80/?q=%20": "GET http://device.example:80/?q=%20 HTTP/1.1\r\nHost: device.example:80\r\n" + auth,
		} {
			if got := l.do(&ClientRequest{URL: url}); got.err != nil {
				t.Errorf("%s: %v", url, got.err)
			}
			if head := <-heads; head != want {
				t.Errorf("%s:\n got  %q\n want %q", url, head, want)
			}
			l.m.Do(func() { // with Connect, too
				c, err := Connect(l.m, url, nil, o)
				if err == nil {
					err = Send(c, &ClientRequest{})
				}
				if err != nil {
					t.Error(err)
				}
			})
			if head := <-heads; head != want {
				t.Errorf("Connect to %s:\n got  %q\n want %q", url, head, want)
			}
		}
	})
}

// With Tunnel, http:// URLs go through a tunnel, too; each host has connections of its own then.
func TestClientTunnelsWithoutTLS(t *testing.T) {
	handler := stdhttp.HandlerFunc(func(w stdhttp.ResponseWriter, r *stdhttp.Request) {
		io.WriteString(w, r.RequestURI+r.Header.Get("Proxy-Authorization"))
	})
	one, two := httptest.NewServer(handler), httptest.NewServer(handler)
	defer one.Close()
	defer two.Close()
	var conns atomic.Int32
	through := strings.Replace(testProxy(t, &conns), "://", "://u:p@", 1)
	o := ClientOptions{Tunnel: true, Pipeline: 3, Proxy: func(string) (string, error) { return through, nil }}
	underBothClients(t, o, func(t *testing.T, l *clientLoop) {
		conns.Store(0)
		for _, srv := range []*httptest.Server{one, two, one, two} {
			if got := l.do(&ClientRequest{URL: srv.URL + "/a"}); got.err != nil || got.body != "/a" {
				t.Errorf("%+v", got)
			}
		}
		if n := conns.Load(); n != 2 {
			t.Errorf("%d connections to the proxy, want 2", n)
		}
		got := make(chan string, 10)
		l.m.Do(func() {
			c, err := Connect(l.m, one.URL, func(c *conn.Conn, ev conn.Event) {
				switch ev := ev.(type) {
				case *Response:
					got <- string(ev.Body)
				case *conn.Error:
					got <- ev.Err.Error()
				}
			}, o)
			for _, path := range []string{"/1", "/2", "/3"} { // the first of them waits for the tunnel
				if err == nil {
					err = Send(c, &ClientRequest{URL: path})
				}
			}
			if err != nil {
				got <- err.Error()
			}
		})
		for _, want := range []string{"/1", "/2", "/3"} {
			if body := <-got; body != want {
				t.Errorf("%q, want %q", body, want)
			}
		}
	})
	// A request that is cancelled before the tunnel stands takes the connection along.
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	o.Proxy = func(string) (string, error) { return silent.Addr().String(), nil }
	o.Timeout = 50 * time.Millisecond
	underBothClients(t, o, func(t *testing.T, l *clientLoop) {
		cancelled, told := make(chan bool, 1), make(chan error, 1)
		l.m.Do(func() {
			call, err := l.c.Do(&ClientRequest{URL: one.URL}, func(_ *Response, err error) { told <- err })
			if err != nil {
				t.Error(err)
			}
			cancelled <- call.Cancel()
		})
		if !<-cancelled {
			t.Error("there was nothing to cancel")
		}
		if got := l.do(&ClientRequest{URL: one.URL}); !errors.Is(got.err, ErrTimeout) || !errors.Is(got.err, ErrProxy) {
			t.Errorf("a proxy that does not respond: %v", got.err)
		}
		if s := l.stats(); s != (ClientStats{}) {
			t.Errorf("%+v", s)
		}
		if len(told) > 0 {
			t.Error("a cancelled request was told of")
		}
	})
}

// A proxy that breaks the rules: the tunnel does not stand, and nothing of TLS is sent.
func TestClientTunnelRefuses(t *testing.T) {
	client, err := tlsconn.NewClient(tlsconn.ClientConfig{})
	if err != nil {
		t.Fatal(err)
	}
	for name, response := range map[string]string{
		"malformed": "HELLO\r\n\r\n", "bytes after it": "HTTP/1.1 200 OK\r\n\r\nx", "refused": "HTTP/1.1 403 No\r\n\r\n", "the end": "",
		"endless": "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("b", 20<<10),
	} {
		proxy := rawServer(t, func(n int, c *net.TCPConn, r *bufio.Reader) {
			if _, err := stdhttp.ReadRequest(r); err != nil {
				t.Error(err)
			}
			if r.Buffered() > 0 {
				t.Errorf("%s: bytes before the proxy has agreed", name)
			}
			begin := response[:min(len(response), 15)]
			for i := range begin { // byte by byte
				io.WriteString(c, begin[i:i+1])
			}
			io.WriteString(c, response[len(begin):])
		})
		underBothClients(t, ClientOptions{TLS: client, Proxy: func(string) (string, error) { return proxy, nil }}, func(t *testing.T, l *clientLoop) {
			if got := l.do(&ClientRequest{URL: "https://device.example/"}); !errors.Is(got.err, ErrProxy) {
				t.Errorf("%s: %v", name, got.err)
			}
		})
	}
}
