package conntest_test

import (
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/conn/conntest"
	"github.com/seed4930a636/mangusta/http"
)

// A user's handler, tested without a socket. The layer is put on as http.Listen would.
func ExampleNew() {
	hello := func(c *conn.Conn, ev conn.Event) {
		if m, ok := ev.(*http.Message); ok {
			name, _ := m.Var("name")
			http.Reply(c, 200, "text/plain", "Hello, %s!", name)
		}
	}
	server := http.NewServer(http.Options{NoDate: true})
	d := conntest.New(nil, hello, conntest.Options{Setup: func(c *conn.Conn) { http.Attach(c, server) }})
	d.Send("GET /?name=device HTTP/1.1\r\n", "Host: device.local\r\n\r\n")
	fmt.Println(strings.ReplaceAll(d.Sent(), "\r\n", "\n"))
	// Output:
	// HTTP/1.1 200 OK
	// Content-Type: text/plain
	// Content-Length: 14
	//
	// Hello, device!
}

// In a test the words fail it: d := conntest.New(t, handler). A peer that is slow, and then silent,
// has no need of real time.
func ExampleDialogue() {
	d := conntest.New(nil, func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*conn.Accept); ok {
			c.WriteString("0123456789")
		}
	}, conntest.Options{Limits: conn.Limits{Idle: time.Minute}})
	d.WantSent("0123456789")
	d.Room(4) // its kernel takes 4 bytes, and then no more
	d.Conn.WriteString("abcdefgh")
	d.Turn()
	d.WantSent("abcd")
	d.Room(-1)
	d.WantSent("efgh")
	d.Sleep(2 * time.Minute)
	d.WantClosed(conn.Idle)
	fmt.Println(strings.Join(d.Events(), " | "))
	// Output: Open | Accept | Write 10 | Write 4 | Write 4 | Error idle for too long | Close idle for too long
}

// Two connections of one loop: what one says goes to the other.
func ExampleLoop() {
	l := conntest.NewLoop()
	limits := conn.Limits{}.WithDefaults()
	var wires [2]*conntest.Wire
	var conns [2]*conn.Conn
	for i := range conns {
		wires[i] = conntest.NewWire()
		conns[i] = l.Add(wires[i], &limits, func(c *conn.Conn, ev conn.Event) {
			if _, ok := ev.(*conn.Read); ok {
				conns[1-i].Write(c.Recv.Bytes())
				c.Recv.Discard(c.Recv.Len())
			}
		})
		conns[i].Driver().Begin()
		conns[i].Driver().Fire(&conn.Accept{})
	}
	wires[0].Arrive([]byte("hello, you"), nil)
	if err := l.Turn(); err != nil {
		fmt.Println(err)
	}
	fmt.Printf("%s\n", wires[1].Sent)
	// Output: hello, you
}

// A write fails as the kernel's may.
func ExampleWire() {
	d := conntest.New(nil, func(c *conn.Conn, ev conn.Event) {
		if ev, ok := ev.(*conn.Error); ok {
			fmt.Println(ev.Reason)
		}
	})
	d.Wire.FailWrite(unix.ECONNRESET)
	d.Conn.WriteString("hello")
	d.Turn()
	// Output: reset by the peer
}
