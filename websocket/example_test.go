package websocket_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/websocket"
)

// An echo server. Its handler sees the HTTP request first, and the events of the WebSocket after
// Upgrade.
func Example() {
	opts := &websocket.Options{Protocols: []string{"echo"}}
	server := func(c *conn.Conn, ev conn.Event) {
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

	m, err := mgr.New(mgr.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	l, err := http.Listen(m, "http://127.0.0.1:0", server)
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	client := func(c *conn.Conn, ev conn.Event) {
		switch ev.(type) {
		case *websocket.Open:
			websocket.Send(c, websocket.Text, []byte("hi"))
		case *websocket.Message:
			websocket.CloseWith(c, websocket.CloseNormal, "")
		case *conn.Close:
			stop()
		}
	}
	websocket.Connect(m, "ws://"+l.LocalAddr().String(), client,
		&websocket.ClientOptions{Options: websocket.Options{Protocols: []string{"echo"}}})
	m.Run(ctx)
	// Output:
	// open echo
	// text "hi"
	// end 1000 true
}

// A message that is sent piece by piece. Each Write is a fragment; the other side gets one message.
func ExampleWriter() {
	server := func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *http.Message:
			websocket.Upgrade(c, ev, nil)
		case *websocket.Open:
			w := websocket.Writer(c, websocket.Text)
			fmt.Fprintf(w, "load %.1f", 0.5)
			fmt.Fprintf(w, ", up %v", time.Minute)
			w.Close()
			websocket.CloseWith(c, websocket.CloseNormal, "")
		}
	}

	m, err := mgr.New(mgr.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	l, err := http.Listen(m, "http://127.0.0.1:0", server)
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	client := func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *websocket.Message:
			fmt.Printf("%s %q\n", ev.Op, ev.Data)
		case *conn.Close:
			stop()
		}
	}
	websocket.Connect(m, "ws://"+l.LocalAddr().String(), client, nil)
	m.Run(ctx)
	// Output: text "load 0.5, up 1m0s"
}

// With Options.Stream a message comes in pieces, so it may be larger than memory.
func ExampleChunk() {
	opts := &websocket.Options{Stream: true}
	size := 0
	server := func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *http.Message:
			websocket.Upgrade(c, ev, opts)
		case *websocket.Chunk:
			if ev.First {
				size = 0
			}
			if size += len(ev.Data); ev.Last {
				fmt.Println(ev.Op, "of", size, "bytes")
				websocket.CloseWith(c, websocket.CloseNormal, "")
			}
		}
	}

	m, err := mgr.New(mgr.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	l, err := http.Listen(m, "http://127.0.0.1:0", server)
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	client := func(c *conn.Conn, ev conn.Event) {
		switch ev.(type) {
		case *websocket.Open:
			websocket.Send(c, websocket.Binary, make([]byte, 3<<20))
		case *conn.Close:
			stop()
		}
	}
	websocket.Connect(m, "ws://"+l.LocalAddr().String(), client, nil)
	m.Run(ctx)
	// Output: binary of 3145728 bytes
}

// A message for every WebSocket of a manager: it is encoded once, and sent from any goroutine.
func ExampleSendPrepared() {
	server := func(c *conn.Conn, ev conn.Event) {
		if ev, ok := ev.(*http.Message); ok {
			websocket.Upgrade(c, ev, nil)
		}
	}

	m, err := mgr.New(mgr.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	l, err := http.Listen(m, "http://127.0.0.1:0", server)
	if err != nil {
		log.Fatal(err)
	}
	const clients = 3
	opened, got := make(chan bool, clients), make(chan string, clients)
	client := func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *websocket.Open:
			opened <- true
		case *websocket.Message:
			got <- string(ev.Data)
		}
	}
	for range clients {
		websocket.Connect(m, "ws://"+l.LocalAddr().String(), client, nil)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- m.Run(ctx) }()
	for range clients {
		<-opened
	}

	news := websocket.Prepare(websocket.Text, []byte("news"))
	m.Broadcast(func(c *conn.Conn) {
		if websocket.Is(c) {
			websocket.SendPrepared(c, news)
		}
	})
	for range clients {
		fmt.Println(<-got)
	}
	stop()
	<-ended
	// Output:
	// news
	// news
	// news
}

// A ping of the program's own, beside those of Options.PingInterval. The other side replies to it
// by itself.
func ExampleControl() {
	server := func(c *conn.Conn, ev conn.Event) {
		if ev, ok := ev.(*http.Message); ok {
			websocket.Upgrade(c, ev, nil)
		}
	}

	m, err := mgr.New(mgr.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	l, err := http.Listen(m, "http://127.0.0.1:0", server)
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	client := func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *websocket.Open:
			websocket.Send(c, websocket.Ping, []byte("17"))
		case *websocket.Control:
			fmt.Printf("%s %q\n", ev.Op, ev.Data)
			if ev.Op == websocket.Pong {
				websocket.CloseWith(c, websocket.CloseNormal, "")
			}
		case *conn.Close:
			stop()
		}
	}
	websocket.Connect(m, "ws://"+l.LocalAddr().String(), client, nil)
	m.Run(ctx)
	// Output:
	// pong "17"
	// close ""
}
