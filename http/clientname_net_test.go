package http

import (
	"context"
	"errors"
	"io"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	stdhttp "net/http"

	"github.com/seed4930a636/mangusta/mgr"
)

// A URL with a name: the manager's Resolver finds the address, and ResolveTimeout bounds that.
func TestClientResolvesNames(t *testing.T) {
	srv := httptest.NewServer(stdhttp.HandlerFunc(func(w stdhttp.ResponseWriter, r *stdhttp.Request) { io.WriteString(w, r.Host) }))
	defer srv.Close()
	port := srv.URL[strings.LastIndexByte(srv.URL, ':')+1:]
	resolver := mgr.ResolverFunc(func(m *mgr.Manager, name string, found func(mgr.Resolved)) func() {
		if name == "device.example" {
			m.AfterFunc(0, func() { found(mgr.Resolved{Addrs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}) })
		}
		return func() {} // no answer ever comes for another name
	})
	for _, p := range []mgr.Poller{mgr.Epoll, mgr.Select} {
		m, err := mgr.New(mgr.Options{Poller: p, Resolver: resolver})
		if err != nil {
			t.Fatal(err)
		}
		c, err := NewClient(m, ClientOptions{ResolveTimeout: 50 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		ran := make(chan error, 1)
		go func() { ran <- m.Run(context.Background()) }()
		l := &clientLoop{t: t, m: m, c: c}
		if r := l.do(&ClientRequest{URL: "http://device.example:" + port}); r.err != nil || r.body != "device.example:"+port {
			t.Errorf("%+v", r)
		}
		if r := l.do(&ClientRequest{URL: "http://other.example/"}); !errors.Is(r.err, ErrResolveTimeout) {
			t.Errorf("a name without an answer: %v", r.err)
		}
		m.Close()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	}
}

// RFC 9110 10.1.1: after 417 the request is repeated without the expectation.
func TestClientRepeatsWithoutExpectation(t *testing.T) {
	srv := httptest.NewServer(stdhttp.HandlerFunc(func(w stdhttp.ResponseWriter, r *stdhttp.Request) {
		if r.Header.Get("Expect") != "" {
			w.WriteHeader(417)
			return
		}
		io.Copy(w, r.Body)
	}))
	defer srv.Close()
	underBothClients(t, ClientOptions{}, func(t *testing.T, l *clientLoop) {
		if r := l.do(&ClientRequest{URL: srv.URL, Body: []byte("abc"), Expect: true}); r.err != nil || r.status != 200 || r.body != "abc" {
			t.Errorf("%+v", r)
		}
	})
}
