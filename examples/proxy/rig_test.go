package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	mghttp "github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/internal/tcptest"
	"github.com/seed4930a636/mangusta/mgr"
)

// A rig is a proxy on a loop of its own.
type rig struct {
	t    *testing.T
	p    *proxy
	addr string
}

// underBoth runs f under each poller.
func underBoth(t *testing.T, f func(t *testing.T, poller mgr.Poller)) {
	for _, poller := range []mgr.Poller{mgr.Epoll, mgr.Select} {
		t.Run(poller.String(), func(t *testing.T) { f(t, poller) })
	}
}

// start runs a proxy with the arguments of a command line.
func start(t *testing.T, poller mgr.Poller, args ...string) *rig {
	t.Helper()
	var cfg config
	set := flag.NewFlagSet("", flag.ContinueOnError)
	cfg.register(set)
	if err := set.Parse(args); err != nil {
		t.Fatal(err)
	}
	if err := cfg.check(); err != nil {
		t.Fatal(err)
	}
	m, err := mgr.New(mgr.Options{Poller: poller, Log: mgr.Silent})
	if err != nil {
		t.Fatal(err)
	}
	p, err := newProxy(m, cfg)
	if err != nil {
		t.Fatal(err)
	}
	l, err := mghttp.Listen(m, "tcp://127.0.0.1:0", p.handle, p.serverOptions())
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, p: p, addr: l.LocalAddr().String()}
	ran := make(chan error, 1)
	go func() { ran <- m.Run(context.Background()) }()
	t.Cleanup(func() {
		m.Close()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	})
	return r
}

// on runs f on the loop.
func (r *rig) on(f func(p *proxy)) {
	r.t.Helper()
	done := make(chan bool)
	if err := r.p.m.Do(func() { f(r.p); close(done) }); err != nil {
		r.t.Fatal(err)
	}
	<-done
}

// held returns how many bytes the connections of the proxy hold, and what its passages do.
func (r *rig) held() (n int) {
	r.t.Helper()
	r.on(func(p *proxy) {
		p.m.Broadcast(func(c *conn.Conn) {
			n += c.Pending() + c.Recv.Len()
			if x := passageOf(c); x != nil {
				n += x.body.waiting()
			}
		})
	})
	return n
}

// eventually wants ok of the proxy, soon.
func (r *rig) eventually(what string, ok func(p *proxy) bool) {
	r.t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		var is bool
		if r.on(func(p *proxy) { is = ok(p) }); is {
			return
		}
		if time.Now().After(end) {
			r.t.Fatal("not so: ", what)
		}
	}
}

// dial connects to the proxy.
func (r *rig) dial() (*net.TCPConn, *bufio.Reader) {
	r.t.Helper()
	return dial(r.t, r.addr)
}

func dial(t *testing.T, addr string) (*net.TCPConn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(30 * time.Second))
	return c.(*net.TCPConn), bufio.NewReader(c)
}

// exchange sends raw bytes, in which "\n" stands for CR LF, and returns the response to a request
// with that method, and its body.
func (r *rig) exchange(method, raw string) (*http.Response, string) {
	r.t.Helper()
	c, in := r.dial()
	defer c.Close()
	io.WriteString(c, lines(raw))
	resp, err := http.ReadResponse(in, &http.Request{Method: method})
	if err != nil {
		r.t.Fatalf("%q: %v", raw, err)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatalf("%q: after %q: %v", raw, b, err)
	}
	return resp, string(b)
}

// get is exchange for a GET.
func (r *rig) get(path string) (*http.Response, string) {
	r.t.Helper()
	return r.exchange("GET", "GET "+path+" HTTP/1.1\nHost: localhost\nConnection: close\n\n")
}

func lines(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

// server runs a server of net/http.
func server(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(func() { s.Config.Close() }) // s.Close would wait for ever for the handlers of a test that has failed
	return s.URL
}

// raw runs a server that answers each connection by a script.
func raw(t *testing.T, serve func(n int, c *net.TCPConn, in *bufio.Reader)) string {
	t.Helper()
	return "http://" + tcptest.Serve(t, serve)
}

// says runs a server whose response to each request are these bytes, and that keeps the connection.
func says(t *testing.T, response string) string {
	return raw(t, func(n int, c *net.TCPConn, in *bufio.Reader) {
		for {
			req, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			io.Copy(io.Discard, req.Body)
			io.WriteString(c, lines(response))
		}
	})
}

// nowhere returns a URL where nobody listens.
func nowhere(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	return "http://" + l.Addr().String()
}

// describe is a handler that tells what came.
func describe(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	uri := r.RequestURI
	fmt.Fprintf(w, "%s %s %s %q %v\n", r.Method, uri, r.Host, b, err)
	r.Header.Write(w)
	for name, v := range r.Trailer {
		fmt.Fprintf(w, "trailer %s=%s\n", name, v)
	}
}
