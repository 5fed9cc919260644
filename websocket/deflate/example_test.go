package deflate_test

import (
	"context"
	"fmt"
	"log"
	"strings"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/websocket"
	"github.com/seed4930a636/mangusta/websocket/deflate"
)

// One Compressor is for all connections, those of clients too. Messages are compressed where both
// sides want it.
func ExampleNew() {
	opts := websocket.Options{Compress: deflate.New(deflate.Options{Threshold: 100})}
	text := strings.Repeat("the same again, ", 1000)
	server := func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *http.Message:
			websocket.Upgrade(c, ev, &opts)
		case *websocket.Open:
			before := c.Pending() // the reply of the handshake
			websocket.Send(c, websocket.Text, []byte(text))
			fmt.Println("it takes less than 200 bytes:", c.Pending()-before < 200)
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
			fmt.Println("the client got all of it:", string(ev.Data) == text)
		case *conn.Close:
			stop()
		}
	}
	websocket.Connect(m, "ws://"+l.LocalAddr().String(), client, &websocket.ClientOptions{Options: opts})
	m.Run(ctx)
	// Output:
	// it takes less than 200 bytes: true
	// the client got all of it: true
}
