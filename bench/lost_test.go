package main

import (
	"bufio"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// lossy is a server that echoes on /ws and broadcasts on /sub, and loses one message: number drop
// of those it would send.
type lossy struct {
	mu   sync.Mutex
	subs []net.Conn
	sent int
	drop int
}

// startLossy runs it in this process, whose figures are those of the server then.
func startLossy(t *testing.T, drop int) *process {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	s := &lossy{drop: drop}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go s.serve(c)
		}
	}()
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	return &process{cmd: &exec.Cmd{Process: self}, addr: l.Addr().String()}
}

func (s *lossy) serve(c net.Conn) {
	defer c.Close()
	r := bufio.NewReader(c)
	req, err := http.ReadRequest(r)
	if err != nil {
		return
	}
	to := func() []net.Conn { return []net.Conn{c} }
	if req.URL.Path == "/sub" {
		s.mu.Lock()
		s.subs = append(s.subs, c)
		s.mu.Unlock()
		to = func() []net.Conn { return s.subs }
	}
	c.Write([]byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
		accept + "\r\n\r\n"))
	for {
		h, p, err := readFrame(r)
		if err != nil {
			return
		}
		s.send(ws.NewFrame(h.OpCode, true, p), to)
	}
}

func (s *lossy) send(f ws.Frame, to func() []net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range to() {
		if s.sent++; s.sent != s.drop {
			ws.WriteFrame(c, f)
		}
	}
}

func TestRunThatLosesAMessageIsInvalid(t *testing.T) {
	before := patience
	patience = 200 * time.Millisecond
	defer func() { patience = before }()
	loads := map[string]loader{
		"echo":      echo{conns: 3, active: 3, size: 64},
		"broadcast": broadcast{subs: 3, size: 64, inFlight: 2},
	}
	for name, l := range loads {
		t.Run(name, func(t *testing.T) {
			r, err := l.run(startLossy(t, 0), 30*time.Millisecond)
			if err != nil || r.Invalid != "" || r.Ops == 0 {
				t.Errorf("a server that loses nothing: %+v, %v", r, err)
			}
			r, err = l.run(startLossy(t, 20), 30*time.Millisecond)
			if err != nil || !strings.Contains(r.Invalid, "lost") {
				t.Errorf("a server that loses a message: %q, %v", r.Invalid, err)
			}
		})
	}
}
