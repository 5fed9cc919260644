package micro

import (
	"bytes"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/websocket"
)

// BenchmarkLoop is a whole loop with its poller and 64 connections, which are socketpairs: a turn
// for each of them to send once. An operation is a request, or a message. The system calls of the
// other ends are in it.
func BenchmarkLoop(b *testing.B) {
	plain := "GET /plaintext HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n"
	b.Run("plain", func(b *testing.B) { benchLoop(b, "", plain, 1) })
	b.Run("pipelined-16", func(b *testing.B) { benchLoop(b, "", plain, 16) })
	b.Run("echo-64", func(b *testing.B) {
		upgrade := "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
		benchLoop(b, upgrade, "\x82\xc0\x00\x00\x00\x00"+string(make([]byte, 64)), 1)
	})
}

func benchLoop(b *testing.B, greeting, request string, each int) {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer m.Close()
	srv := http.NewServer(http.Options{})
	body := []byte("Hello, World!")
	handle := func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *http.Message:
			if greeting != "" {
				websocket.Upgrade(c, ev, nil)
				return
			}
			http.ReplyBytes(c, 200, "text/plain", body)
		case *websocket.Message:
			websocket.Send(c, ev.Op, ev.Data)
		}
	}
	const conns = 64
	var peers [conns]int
	for i := range peers {
		p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
		if err != nil {
			b.Fatal(err)
		}
		defer unix.Close(p[0])
		peers[i] = p[0]
		c, err := m.Wrap(p[1], handle)
		if err != nil {
			b.Fatal(err)
		}
		http.Attach(c, srv)
	}
	m.Poll(0) // now they are watched
	in := make([]byte, 64<<10)
	turn := func(p []byte) {
		for _, fd := range peers {
			if _, err := unix.Write(fd, p); err != nil {
				b.Fatal(err)
			}
		}
		m.Poll(0)
		for _, fd := range peers {
			if n, err := unix.Read(fd, in); err != nil || n <= 0 {
				b.Fatal(n, err)
			}
		}
	}
	if greeting != "" {
		turn([]byte(greeting))
	}
	burst := bytes.Repeat([]byte(request), each)
	for n := 0; n < b.N; n += conns * each {
		turn(burst)
	}
}
