package websocket_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	nethttp "net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/websocket"
)

// server is a manager with an HTTP listener that upgrades every request, in a goroutine of its own.
type server struct {
	*mgr.Manager
	t    *testing.T
	addr string
	errs chan error // what Upgrade returned

	mu    sync.Mutex
	notes []string // of all connections, in the words of rig
	ended chan string
}

// underBoth runs a dialogue with a server of its own on each poller. h gets the events after
// Upgrade; nil echoes.
func underBoth(t *testing.T, opts *websocket.Options, h conn.Handler, dialogue func(t *testing.T, s *server)) {
	for _, p := range []mgr.Poller{mgr.Epoll, mgr.Select} {
		t.Run(p.String(), func(t *testing.T) { dialogue(t, serve(t, p, opts, h)) })
	}
}

func serve(t *testing.T, p mgr.Poller, opts *websocket.Options, h conn.Handler) *server {
	t.Helper()
	return serveWith(t, mgr.Options{Poller: p}, opts, h)
}

func serveWith(t *testing.T, o mgr.Options, opts *websocket.Options, h conn.Handler) *server {
	t.Helper()
	o.Log = mgr.Silent // the stacks of handlers that panic would hide which test failed
	m, err := mgr.New(o)
	if err != nil {
		t.Fatal(err)
	}
	if h == nil {
		h = echo
	}
	s := &server{Manager: m, t: t, errs: make(chan error, 1000), ended: make(chan string, 1000)}
	handle := func(c *conn.Conn, ev conn.Event) {
		if c.IsListener() {
			return
		}
		switch ev := ev.(type) {
		case *http.Message:
			s.errs <- websocket.Upgrade(c, ev, opts)
		case *websocket.Open:
			s.note("open %q", ev.Protocol)
		case *websocket.Message:
			s.note("%s %s", ev.Op, short(ev.Data))
		case *websocket.Control:
			if ev.Op == websocket.Close {
				s.note("end %d %q clean=%v", ev.Code, ev.Reason, ev.Clean)
			} else {
				s.note("%s %s", ev.Op, short(ev.Data))
			}
		case *conn.Close:
			s.note("closed")
			s.ended <- ev.Reason.String()
		}
		h(c, ev)
	}
	l, err := http.Listen(m, "http://127.0.0.1:0", handle, http.Options{Limits: conn.Limits{Send: 64 << 20}})
	if err != nil {
		t.Fatal(err)
	}
	s.addr = l.LocalAddr().String()
	ran := make(chan error, 1)
	go func() { ran <- m.Run(context.Background()) }()
	t.Cleanup(func() {
		m.Close()
		if err := <-ran; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return s
}

func (s *server) note(f string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notes = append(s.notes, fmt.Sprintf(f, args...))
}

// wantNotes waits for one connection to end and compares what its handler has seen.
func (s *server) wantNotes(want ...string) {
	s.t.Helper()
	select {
	case <-s.ended:
	case <-time.After(time.Minute):
		s.t.Fatal("the connection does not end")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(s.notes, want) {
		s.t.Errorf("events:\n  got  %s\n  want %s", strings.Join(s.notes, " | "), strings.Join(want, " | "))
	}
	s.notes = nil
}

// peer is a client that knows nothing but bytes.
type peer struct {
	net.Conn
	t testing.TB
	r *bufio.Reader
}

const request = "GET /ws HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"

func (s *server) dial() *peer {
	s.t.Helper()
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.peerOf(c)
}

func (s *server) peerOf(c net.Conn) *peer {
	c.SetDeadline(time.Now().Add(60 * time.Second))
	s.t.Cleanup(func() { c.Close() })
	return &peer{Conn: c, t: s.t, r: bufio.NewReaderSize(c, 64<<10)}
}

// open is dial with the handshake done.
func (s *server) open() *peer {
	s.t.Helper()
	p := s.dial()
	io.WriteString(p, request+"\r\n")
	p.wantReply(101)
	return p
}

func (p *peer) wantReply(status int) *nethttp.Response {
	p.t.Helper()
	reply, err := nethttp.ReadResponse(p.r, &nethttp.Request{Method: "GET"})
	if err != nil {
		p.t.Fatal(err)
	}
	if reply.StatusCode != status {
		p.t.Fatalf("status %s, want %d", reply.Status, status)
	}
	body, _ := io.ReadAll(reply.Body)
	reply.Body = io.NopCloser(bytes.NewReader(body))
	return reply
}

func (p *peer) send(frames ...[]byte) {
	p.t.Helper()
	if _, err := p.Write(slices.Concat(frames...)); err != nil {
		p.t.Fatal(err)
	}
}

// frame reads one frame of the server's.
func (p *peer) frame() (first byte, payload []byte, err error) {
	var head [10]byte
	if _, err := io.ReadFull(p.r, head[:2]); err != nil {
		return 0, nil, err
	}
	n := uint64(head[1])
	switch {
	case n == 126:
		io.ReadFull(p.r, head[2:4])
		n = uint64(binary.BigEndian.Uint16(head[2:]))
	case n == 127:
		io.ReadFull(p.r, head[2:10])
		n = binary.BigEndian.Uint64(head[2:])
	case n > 127:
		return 0, nil, fmt.Errorf("the server's frame is masked")
	}
	payload = make([]byte, n)
	_, err = io.ReadFull(p.r, payload)
	return head[0], payload, err
}

func (p *peer) want(first byte, payload string) {
	p.t.Helper()
	got, data, err := p.frame()
	if err != nil || got != first || string(data) != payload {
		p.t.Fatalf("frame %#x %s, %v; want %#x %s", got, short(data), err, first, short([]byte(payload)))
	}
}

// wantClose wants a Close frame with the code, and then the end of the stream.
func (p *peer) wantClose(code int) {
	p.t.Helper()
	first, data, err := p.frame()
	if err != nil || first != 0x88 || len(data) < 2 || int(binary.BigEndian.Uint16(data)) != code {
		p.t.Fatalf("frame %#x %q, %v; want close %d", first, data, err, code)
	}
	p.wantEOF()
}

func (p *peer) wantEOF() {
	p.t.Helper()
	if b, err := io.ReadAll(p.r); err != nil || len(b) > 0 {
		p.t.Fatalf("read %q, %v; want the end of the stream", b, err)
	}
}

// finish is the closing handshake begun by the client.
func (p *peer) finish() {
	p.t.Helper()
	p.send(masked(0x88, closing(1000, "")))
	p.wantClose(1000)
	p.Close()
}
