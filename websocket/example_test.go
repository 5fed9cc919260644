package websocket_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	nethttp "net/http"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/websocket"
)

// An echo server. The handler sees the HTTP request first, and the WebSocket's events after Upgrade.
func Example() {
	opts := &websocket.Options{Protocols: []string{"echo"}}
	handle := func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *http.Message:
			if err := websocket.Upgrade(c, ev, opts); err != nil {
				fmt.Println(err)
			}
		case *websocket.Open:
			fmt.Println("open", ev.Protocol)
		case *websocket.Message:
			fmt.Printf("%s %q\n", ev.Op, ev.Data)
			websocket.Send(c, ev.Op, ev.Data)
		case *websocket.Control:
			if ev.Op == websocket.Close {
				fmt.Println("end", ev.Code, ev.Clean)
			}
		}
	}
	converse(handle, "\x81\x82\x00\x00\x00\x00hi", "\x88\x82\x00\x00\x00\x00\x03\xe8")
	// Output:
	// open echo
	// text "hi"
	// end 1000 true
	// the client got "\x81\x02hi\x88\x02\x03\xe8"
}

// A message made piece by piece, and the end of the conversation.
func ExampleWriter() {
	handle := func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *http.Message:
			websocket.Upgrade(c, ev, nil)
		case *websocket.Open:
			w := websocket.Writer(c, websocket.Text)
			fmt.Fprintf(w, "load %.1f", 0.5)
			fmt.Fprintf(w, ", up %v", time.Minute)
			w.Close()
			websocket.CloseWith(c, websocket.CloseGoingAway, "")
		}
	}
	converse(handle, "\x88\x82\x00\x00\x00\x00\x03\xe9")
	// Output:
	// the client got "\x01\bload 0.5\x00\t, up 1m0s\x80\x00\x88\x02\x03\xe9"
}

// A message for every WebSocket of a manager, encoded once, from any goroutine.
func ExamplePrepare() {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer m.Close()
	go m.Run(context.Background())
	news := websocket.Prepare(websocket.Text, []byte("news"))
	err = m.Broadcast(func(c *conn.Conn) {
		if websocket.Is(c) {
			websocket.SendPrepared(c, news)
		}
	})
	fmt.Println(err)
	// Output: <nil>
}

// converse runs a server with handle, sends it a handshake and the frames, and prints what it got.
func converse(handle conn.Handler, frames ...string) {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	l, err := http.Listen(m, "http://127.0.0.1:0", handle)
	if err != nil {
		fmt.Println(err)
		return
	}
	addr := l.LocalAddr().String()
	got := make(chan string)
	go func() {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			got <- err.Error()
			return
		}
		defer c.Close()
		fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: "+addr+"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: echo\r\n\r\n")
		r := bufio.NewReader(c)
		if _, err := nethttp.ReadResponse(r, nil); err != nil {
			got <- err.Error()
			return
		}
		for _, f := range frames {
			io.WriteString(c, f)
		}
		all, _ := io.ReadAll(r)
		got <- string(all)
	}()
	for range 1000 {
		select {
		case all := <-got:
			m.Close()
			fmt.Printf("the client got %q\n", all)
			return
		default:
			m.Poll(10 * time.Millisecond)
		}
	}
}
