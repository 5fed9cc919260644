package micro

import (
	"bytes"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/websocket"
)

// lean is a transport that has one read ready at a time, and forgets what is written. A double that
// can do more costs more than what is measured.
type lean struct {
	in   []byte
	sent int
}

func (l *lean) Read(_ int, p []byte) (int, error) {
	if len(l.in) == 0 {
		return 0, unix.EAGAIN
	}
	n := copy(p, l.in)
	l.in = l.in[n:]
	return n, nil
}

func (l *lean) Write(_ int, p []byte) (int, error) {
	l.sent += len(p)
	return len(p), nil
}

func (l *lean) Writev(_ int, pieces [][]byte) (n int, err error) {
	for _, p := range pieces {
		n += len(p)
	}
	l.sent += n
	return n, nil
}

func (l *lean) CloseWrite(int) error { return nil }
func (l *lean) Close(int) error      { return nil }

// leanLoop is a loop of one connection.
type leanLoop struct{ touched *conn.Conn }

func (l *leanLoop) Touch(c *conn.Conn)       { l.touched = c }
func (l *leanLoop) SetPoll(*conn.Conn, bool) {}

const (
	tenHeaders = "GET /plaintext HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: wrk\r\nAccept: */*\r\n" +
		"Accept-Encoding: gzip\r\nA: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\nE: 5\r\nF: 6\r\n\r\n"
	upgradeWS = "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	maskedFrame = "\x82\xc0\x01\x02\x03\x04" // and 64 bytes
)

var greeting = []byte("Hello, World!")

func serveAll(c *conn.Conn, ev conn.Event) {
	switch ev := ev.(type) {
	case *http.Message:
		if string(ev.Path) == "/ws" {
			websocket.Upgrade(c, ev, nil)
			return
		}
		http.ReplyBytes(c, 200, "text/plain", greeting)
	case *websocket.Message:
		websocket.Send(c, ev.Op, ev.Data)
	}
}

// BenchmarkPath is the path of a byte without any system call: one connection over a double of the
// transport, with what the loop calls. An operation is a request, or a message.
func BenchmarkPath(b *testing.B) {
	for _, w := range []struct {
		name, first, in string
		each            int
	}{
		{"plain", "", tenHeaders, 1},
		{"pipelined-16", "", tenHeaders, 16},
		{"echo-64", upgradeWS, maskedFrame + string(make([]byte, 64)), 1},
	} {
		b.Run(w.name, func(b *testing.B) {
			loop, wire := new(leanLoop), new(lean)
			limits := conn.Limits{}.WithDefaults()
			c := conn.New(conn.NewShared(loop), 7, conn.NewID(7), wire, &limits, serveAll)
			http.Attach(c, http.NewServer(http.Options{}))
			c.Driver().Begin()
			turn := func(in []byte) {
				wire.in = in
				c.Driver().Readable()
				if loop.touched != nil {
					loop.touched = nil
					c.Driver().Settle()
				}
			}
			if w.first != "" {
				turn([]byte(w.first))
			}
			in := bytes.Repeat([]byte(w.in), w.each)
			buf := make([]byte, len(in))
			wire.sent = 0
			b.ReportAllocs()
			n := 0
			for ; n < b.N; n += w.each {
				copy(buf, in)
				turn(buf)
			}
			if wire.sent < 64*n {
				b.Fatal(wire.sent, "bytes were sent")
			}
		})
	}
	b.Run("fan-out", func(b *testing.B) { benchFanOut(b) })
}

// benchFanOut has a hub give a message of 64 bytes to 2,000 subscribers. An operation is a
// delivery.
func benchFanOut(b *testing.B) {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer m.Close()
	hub := broadcast.New(m)
	server, shared := http.NewServer(http.Options{}), conn.NewShared(m)
	limits := conn.Limits{}.WithDefaults()
	const subscribers = 2000
	wires := make([]lean, subscribers)
	for i := range wires {
		wires[i].in = []byte(upgradeWS)
		c := conn.New(shared, 1<<20, conn.NewID(1<<20), &wires[i], &limits, serveAll)
		m.Do(func() {
			http.Attach(c, server)
			c.Driver().Readable()
			c.Pause()
			if err := hub.Subscribe(c, "a/b"); err != nil {
				b.Error(err)
			}
		})
	}
	for range 4 {
		m.Poll(0)
	}
	for i := range wires {
		wires[i].sent = 0
	}
	data := make([]byte, 64)
	n := 0
	for ; n < b.N; n += subscribers {
		hub.Publish("a/b", data)
		m.Poll(0)
	}
	m.Poll(0)
	for i := range wires {
		if wires[i].sent < 66*n/subscribers {
			b.Fatal(wires[i].sent, "bytes were sent")
		}
	}
}
