package http

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	stdhttp "net/http"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
	"weak"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/internal/tcptest"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/tlsconn"
)

// timeoutErrors are all errors of limits on time.
var timeoutErrors = []error{ErrResolveTimeout, ErrConnectTimeout, ErrTLSTimeout, ErrFirstByteTimeout, ErrStallTimeout, ErrTimeout}

// Each limit on time has an error of its own, with Do and with Send, over real sockets. The longer
// limits do not get in its way.
func TestClientTimeoutErrors(t *testing.T) {
	const short = 50 * time.Millisecond
	full := tcptest.FullBacklog(t)
	silent := rawServer(t, func(n int, c *net.TCPConn, r *bufio.Reader) { io.Copy(io.Discard, r) })
	says := func(pause time.Duration, pieces ...string) string {
		return rawServer(t, func(n int, c *net.TCPConn, r *bufio.Reader) {
			if _, err := stdhttp.ReadRequest(r); err != nil {
				return
			}
			for _, p := range pieces {
				if _, err := io.WriteString(c, p); err != nil {
					return
				}
				time.Sleep(pause) // a slow server is the subject
			}
			io.Copy(io.Discard, r)
		})
	}
	const head = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
	drips := append([]string{head}, strings.Split(strings.Repeat("x", 200), "")...)
	deaf := rawServer(t, func(n int, c *net.TCPConn, r *bufio.Reader) { <-t.Context().Done() }) // it reads nothing
	tls := func(timeout time.Duration) *tlsconn.Client {
		c, err := tlsconn.NewClient(tlsconn.ClientConfig{Insecure: true, Limits: tlsconn.Limits{HandshakeTimeout: timeout}})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	secure := strings.Replace(silent, "http", "https", 1)
	proxy := func(string) (string, error) { return silent, nil }
	for _, tc := range []struct {
		name string
		o    ClientOptions
		r    ClientRequest
		want error
	}{
		{"resolve", ClientOptions{ResolveTimeout: short}, ClientRequest{URL: "http://never.test/"}, ErrResolveTimeout},
		{"whole, resolving", ClientOptions{Timeout: short}, ClientRequest{URL: "http://never.test/"}, ErrTimeout},
		{"connect", ClientOptions{ConnectTimeout: short}, ClientRequest{URL: "http://" + full}, ErrConnectTimeout},
		{"connect by name", ClientOptions{ConnectTimeout: short}, ClientRequest{URL: "http://local.test" + full[strings.LastIndexByte(full, ':'):]}, ErrConnectTimeout},
		{"whole, connecting", ClientOptions{Timeout: short}, ClientRequest{URL: "http://" + full}, ErrTimeout},
		{"TLS", ClientOptions{TLS: tls(short)}, ClientRequest{URL: secure}, ErrTLSTimeout},
		{"whole, in TLS", ClientOptions{TLS: tls(0), Timeout: short}, ClientRequest{URL: secure}, ErrTimeout},
		{"TLS in a tunnel that does not stand", ClientOptions{TLS: tls(short), Proxy: proxy}, ClientRequest{URL: "https://h.test/"}, ErrTLSTimeout},
		{"first byte", ClientOptions{FirstByteTimeout: short}, ClientRequest{URL: silent}, ErrFirstByteTimeout},
		{"first byte after an interim response", ClientOptions{StallTimeout: short}, ClientRequest{URL: says(0, "HTTP/1.1 103 Early\r\n\r\n")}, ErrStallTimeout},
		{"whole, before the first byte", ClientOptions{Timeout: short}, ClientRequest{URL: silent}, ErrTimeout},
		{"whole, of the request alone", ClientOptions{}, ClientRequest{URL: silent, Timeout: short}, ErrTimeout},
		{"stall in the head", ClientOptions{StallTimeout: short}, ClientRequest{URL: says(0, "HTTP/1.1 200 ")}, ErrStallTimeout},
		{"stall in the body", ClientOptions{StallTimeout: short}, ClientRequest{URL: says(0, head+"abc")}, ErrStallTimeout},
		{"stall in a body without a length", ClientOptions{StallTimeout: short}, ClientRequest{URL: says(0, "HTTP/1.1 200 OK\r\n\r\nabc")}, ErrStallTimeout},
		{"whole, with bytes all the time", ClientOptions{Timeout: 3 * short, StallTimeout: time.Minute}, ClientRequest{URL: says(5*time.Millisecond, drips...)}, ErrTimeout},
		{"stall in the request", ClientOptions{StallTimeout: 4 * short}, ClientRequest{URL: deaf, Body: make([]byte, 16<<20)}, ErrStallTimeout},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var all sync.WaitGroup
			for _, p := range []mgr.Poller{mgr.Epoll, mgr.Select} {
				for _, send := range []bool{false, true} {
					all.Go(func() {
						err := timeoutError(t, p, tc.o, tc.r, send)
						for _, e := range timeoutErrors {
							if errors.Is(err, e) != (e == tc.want) {
								t.Errorf("%s, send %v: %v, want %v", p, send, err, tc.want)
								break
							}
						}
					})
				}
			}
			all.Wait()
		})
	}
}

// timeoutError sends r on a loop of its own, with Send or Do, and returns how that ends.
func timeoutError(t *testing.T, p mgr.Poller, o ClientOptions, r ClientRequest, send bool) error {
	m, err := mgr.New(mgr.Options{Poller: p, Log: mgr.Silent, Resolver: mgr.ResolverFunc(func(m *mgr.Manager, name string, found func(mgr.Resolved)) func() {
		if name == "local.test" {
			m.AfterFunc(0, func() { found(mgr.Resolved{Addrs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}) })
		}
		return func() {} // no answer comes for another name
	})})
	if err != nil {
		return err
	}
	failed := make(chan error, 10)
	if send {
		var c *conn.Conn
		c, err = Connect(m, r.URL, func(c *conn.Conn, ev conn.Event) {
			switch ev := ev.(type) {
			case *conn.Error:
				failed <- ev.Err
			case *conn.Close:
				failed <- errors.New("closed without an error")
			}
		}, o)
		if err == nil {
			err = Send(c, &r)
		}
	} else {
		var c *Client
		if c, err = NewClient(m, o); err == nil {
			_, err = c.Do(&r, func(r *Response, err error) { failed <- err })
		}
	}
	if err != nil {
		return err
	}
	ran := make(chan error, 1)
	go func() { ran <- m.Run(context.Background()) }()
	select {
	case err = <-failed:
	case <-time.After(time.Minute):
		err = errors.New("no end in 20 s")
	}
	m.Close()
	<-ran
	return err
}

// No timer holds a connection in memory that stands, or that is over.
func TestClientTimersDoNotHoldConnections(t *testing.T) {
	silent := rawServer(t, func(n int, c *net.TCPConn, r *bufio.Reader) { io.Copy(io.Discard, r) })
	port := silent[strings.LastIndexByte(silent, ':'):]
	m, err := mgr.New(mgr.Options{Resolver: mgr.ResolverFunc(func(m *mgr.Manager, name string, found func(mgr.Resolved)) func() {
		if name == "local.test" {
			m.AfterFunc(0, func() { found(mgr.Resolved{Addrs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}) })
		}
		return func() {}
	})})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for _, url := range []string{silent, "http://local.test" + port, "http://never.test/", "http://" + tcptest.FullBacklog(t)} {
		over := false
		end := func(c *conn.Conn, ev conn.Event) {
			switch ev.(type) {
			case *conn.Connect:
				c.Close()
			case *conn.Close:
				over = true
			}
		}
		held := func() weak.Pointer[clientConn] {
			c, err := Connect(m, url, end)
			if err == nil {
				err = Send(c, &ClientRequest{})
			}
			if err != nil {
				t.Fatal(err)
			}
			if url != silent && !strings.Contains(url, "local") {
				c.Close()
			}
			return weak.Make(clientOf(c))
		}()
		for limit := time.Now().Add(time.Minute); !over && time.Now().Before(limit); {
			m.Poll(100 * time.Millisecond)
		}
		m.Poll(0)
		for range 10 {
			if runtime.GC(); held.Value() == nil {
				break
			}
		}
		if held.Value() != nil {
			t.Errorf("%s: the connection is over, and still held", url)
		}
	}
}
