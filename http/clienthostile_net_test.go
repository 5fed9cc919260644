package http

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	stdhttp "net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/tlsconn"
)

// A proxy that never comes to its response, but sends interim ones as fast as it can, does not keep
// the loop.
func TestClientTunnelBoundsInterims(t *testing.T) {
	client, err := tlsconn.NewClient(tlsconn.ClientConfig{})
	if err != nil {
		t.Fatal(err)
	}
	proxy := rawServer(t, func(n int, c *net.TCPConn, r *bufio.Reader) {
		stdhttp.ReadRequest(r)
		flood := strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 1000)
		for {
			if _, err := io.WriteString(c, flood); err != nil {
				return
			}
		}
	})
	underBothClients(t, ClientOptions{TLS: client, Proxy: func(string) (string, error) { return proxy, nil }}, func(t *testing.T, l *clientLoop) {
		if got := l.do(&ClientRequest{URL: "https://device.example/"}); !errors.Is(got.err, ErrProxy) || !strings.Contains(got.err.Error(), "interim") {
			t.Error(got.err)
		}
	})
}

// A connection that the program has paused, and not resumed by the end of its response, carries the
// next request even so.
func TestClientPausedConnectionIsKept(t *testing.T) {
	srv := httptest.NewServer(stdhttp.HandlerFunc(func(w stdhttp.ResponseWriter, r *stdhttp.Request) { io.WriteString(w, "body") }))
	defer srv.Close()
	underBothClients(t, ClientOptions{MaxConnsPerHost: 1}, func(t *testing.T, l *clientLoop) {
		first := l.begin(&ClientRequest{URL: srv.URL, Events: func(c *conn.Conn, ev conn.Event) {
			switch ev := ev.(type) {
			case *ResponseHead:
				StreamResponse(c)
			case *Chunk:
				if ev.Last {
					c.Pause()
				}
			}
		}})
		second := l.begin(&ClientRequest{URL: srv.URL}) // from the queue, or on the idle connection
		for _, got := range []<-chan clientResult{first, second, l.begin(&ClientRequest{URL: srv.URL})} {
			if r := l.wait(got); r.err != nil || r.status != 200 && got != first {
				t.Errorf("%+v", r)
			}
		}
	})
}

// The kind of a response decides about an EventSource, whatever comes of its body.
func TestEventSourceRefusedWithALongBody(t *testing.T) {
	gone := make(chan bool, 10)
	srv := rawServer(t, func(n int, c *net.TCPConn, r *bufio.Reader) {
		stdhttp.ReadRequest(r)
		fmt.Fprint(c, "HTTP/1.1 404 Not Found\r\nContent-Length: 100000000\r\n\r\nno")
		io.Copy(io.Discard, r)
		gone <- true
	})
	underBothClients(t, ClientOptions{}, func(t *testing.T, l *clientLoop) {
		over := make(chan string, 10)
		if err := l.m.Do(func() {
			_, err := NewEventSource(l.c, &ClientRequest{URL: srv}, EventSourceOptions{
				OnEvent: func(*ServerEvent) {},
				OnState: func(s EventSourceState, err error) { over <- fmt.Sprint(s, " ", err) },
			})
			if err != nil {
				t.Error(err)
			}
		}); err != nil {
			t.Fatal(err)
		}
		if got := <-over; !strings.HasPrefix(got, "closed") || !strings.Contains(got, "404") {
			t.Error(got)
		}
		<-gone
	})
}

// A call that is given up in Setup, of the connection that is being made for it, is on no list.
func TestClientCancelInSetup(t *testing.T) {
	srv := httptest.NewServer(stdhttp.HandlerFunc(func(stdhttp.ResponseWriter, *stdhttp.Request) {}))
	defer srv.Close()
	var second Call
	underBothClients(t, ClientOptions{MaxConnsPerHost: 1, Setup: func(*conn.Conn) { second.Cancel() }}, func(t *testing.T, l *clientLoop) {
		third := make(chan clientResult, 2)
		l.m.Do(func() {
			r := func() *ClientRequest { return &ClientRequest{URL: srv.URL} }
			first, _ := l.c.Do(r(), func(*Response, error) {})
			second, _ = l.c.Do(r(), func(_ *Response, err error) { third <- clientResult{err: errors.New("it was given up")} })
			l.c.Do(r(), func(_ *Response, err error) { third <- clientResult{err: err} })
			first.Cancel()
		})
		if r := l.wait(third); r.err != nil {
			t.Error(r.err)
		}
		if s := l.stats(); s.Waiting != 0 || s.Conns > 1 {
			t.Errorf("%+v", s)
		}
	})
}
