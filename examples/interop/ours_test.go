package interop

import (
	"context"
	"fmt"
	nethttp "net/http"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/websocket"
	"github.com/seed4930a636/mangusta/websocket/deflate"
)

// run starts a manager.
func run(t *testing.T, p mgr.Poller) *mgr.Manager {
	t.Helper()
	m, err := mgr.New(mgr.Options{Poller: p, Limits: conn.Limits{Send: 2 * most}})
	if err != nil {
		t.Fatal(err)
	}
	ran := make(chan error, 1)
	go func() { ran <- m.Run(context.Background()) }()
	t.Cleanup(func() {
		m.Close()
		if err := <-ran; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return m
}

// mode is how messages are compressed.
type mode string

const (
	plain    mode = "plain"    // not at all
	alone    mode = "deflate"  // each for itself
	takeover mode = "takeover" // referring to those before
	window   mode = "window"   // each for itself, and no further back than 512 bytes
)

func options(m mode) websocket.Options {
	o := websocket.Options{MaxMessage: most}
	switch m {
	case alone:
		o.Compress = deflate.New()
	case takeover:
		o.Compress = deflate.New(deflate.Options{ServerTakeover: true, ClientTakeover: true})
	case window:
		o.Compress = deflate.New(deflate.Options{MaxWindowBits: 9})
	}
	return o
}

// wantAgreed fails the test unless the response that opened a WebSocket agreed on
// permessage-deflate, or did not.
func wantAgreed(t *testing.T, h nethttp.Header, m mode) {
	t.Helper()
	if got := h.Get("Sec-WebSocket-Extensions"); strings.HasPrefix(got, "permessage-deflate") != (m != plain) ||
		strings.Contains(got, "context_takeover") != (m == alone || m == window) {
		t.Fatalf("%s: the server agreed on the extensions %q", m, got)
	}
}

// server is ours.
type server struct {
	t    *testing.T
	url  string
	ends chan string // how each connection ended
}

// listen starts our server. page is what it answers to requests that are no handshake.
func listen(t *testing.T, p mgr.Poller, how mode, page string) *server {
	t.Helper()
	m := run(t, p)
	s := &server{t: t, ends: make(chan string, 100)}
	o := options(how)
	h := func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *http.Message:
			if page != "" && string(ev.Path) != "/ws" {
				http.Reply(c, 200, "text/html; charset=utf-8", "%s", page)
				return
			}
			websocket.Upgrade(c, ev, &o)
		case *websocket.Message:
			answer(c, ev)
		case *websocket.Control:
			switch ev.Op {
			case websocket.Pong:
				websocket.Send(c, websocket.Text, []byte(ponged))
			case websocket.Close:
				s.ends <- fmt.Sprintf("%d %q clean=%v", ev.Code, ev.Reason, ev.Clean)
			}
		}
	}
	var l *conn.Conn
	var err error
	listening := make(chan bool)
	m.Do(func() {
		l, err = http.Listen(m, "http://127.0.0.1:0", h)
		if err == nil {
			s.url = "ws://" + l.LocalAddr().String() + "/ws"
		}
		close(listening)
	})
	<-listening
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// answer is our server's side of the conversation.
func answer(c *conn.Conn, m *websocket.Message) {
	switch string(m.Data[:min(len(m.Data), 100)]) {
	case closeMe:
		websocket.CloseWith(c, 4002, "enough")
	case pingMe:
		websocket.Send(c, websocket.Ping, []byte("are you there?"))
	case fragmentMe:
		w := websocket.Writer(c, websocket.Text)
		for _, p := range fragments {
			w.Write([]byte(p))
		}
		w.Close()
	default:
		websocket.Send(c, m.Op, m.Data)
	}
}

// wantEnd waits for a connection to end, cleanly. The code that counts is the peer's: it answers
// with ours.
func (s *server) wantEnd(code int) {
	s.t.Helper()
	select {
	case got := <-s.ends:
		if !strings.HasPrefix(got, fmt.Sprint(code, " ")) || !strings.HasSuffix(got, "clean=true") {
			s.t.Errorf("our server's connection ended with %s, want %d", got, code)
		}
	case <-time.After(patience):
		s.t.Fatal("our server's connection does not end")
	}
}

// ourSocket is our client.
type ourSocket struct {
	mailbox
	m *mgr.Manager
	c *conn.Conn
}

// dial connects our client.
func dial(t *testing.T, m *mgr.Manager, url string, how mode) socket {
	t.Helper()
	s := &ourSocket{mailbox: newMailbox(), m: m}
	opened := make(chan error, 1)
	o := &websocket.ClientOptions{Options: options(how)}
	h := func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *websocket.Open:
			opened <- nil
		case *websocket.Message:
			s.in <- mail{ev.Op == websocket.Binary, string(ev.Data), nil}
		case *websocket.Control:
			switch ev.Op {
			case websocket.Pong:
				s.pong <- true
			case websocket.Close:
				err := error(ended{int(ev.Code), ev.Reason})
				if !ev.Clean {
					err = fmt.Errorf("unclean: %w", err)
				}
				s.in <- mail{err: err}
			}
		case *conn.Error:
			opened <- ev.Err
		}
	}
	err := s.do(func() (err error) {
		s.c, err = websocket.Connect(m, url, h, o)
		return err
	})
	if err == nil {
		err = <-opened
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// do calls f on the loop.
func (s *ourSocket) do(f func() error) error {
	done := make(chan error, 1)
	if err := s.m.Do(func() { done <- f() }); err != nil {
		return err
	}
	return <-done
}

func (s *ourSocket) send(binary bool, parts ...string) error {
	op := websocket.Text
	if binary {
		op = websocket.Binary
	}
	return s.do(func() error {
		if len(parts) == 1 {
			return websocket.Send(s.c, op, []byte(parts[0]))
		}
		w := websocket.Writer(s.c, op)
		for _, p := range parts {
			if _, err := w.Write([]byte(p)); err != nil {
				return err
			}
		}
		return w.Close()
	})
}

func (s *ourSocket) ping() error {
	if err := s.do(func() error { return websocket.Send(s.c, websocket.Ping, []byte("p")) }); err != nil {
		return err
	}
	return s.waitPong()
}

func (s *ourSocket) end(code int, reason string) error {
	return s.do(func() error { return websocket.CloseWith(s.c, websocket.Code(code), reason) })
}

// wantAnswer waits for the peer's Close frame, which repeats the code (RFC 6455 §5.5.1: typically),
// or says 1000, as gws does to 1001.
func (s *ourSocket) wantAnswer(t *testing.T, code int) {
	t.Helper()
	_, _, err := s.receive()
	if e, ok := err.(ended); !ok || e.code != code && e.code != 1000 {
		t.Errorf("the Close frame %d is answered with %v", code, err)
	}
}
