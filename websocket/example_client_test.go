package websocket_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/websocket"
)

// A client and a server on one loop.
func ExampleConnect() {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	l, err := http.Listen(m, "http://127.0.0.1:0", func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *http.Message:
			websocket.Upgrade(c, ev, nil)
		case *websocket.Message:
			websocket.Send(c, ev.Op, ev.Data)
		}
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, done := context.WithCancel(context.Background())
	client := func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *websocket.Open:
			websocket.Send(c, websocket.Text, []byte("hello"))
		case *websocket.Message:
			fmt.Printf("%s %q\n", ev.Op, ev.Data)
			websocket.CloseWith(c, websocket.CloseNormal, "")
		case *websocket.Control:
			if ev.Op == websocket.Close {
				fmt.Println("end", ev.Code, ev.Clean)
			}
		case *conn.Error:
			if e, ok := errors.AsType[*websocket.HandshakeError](ev.Err); ok {
				fmt.Println("refused:", e.Status, e.Reason)
			}
		case *conn.Close:
			done()
		}
	}
	if _, err := websocket.Connect(m, "ws://"+l.LocalAddr().String()+"/echo", client, nil); err != nil {
		fmt.Println(err)
		return
	}
	m.Run(ctx)
	m.Close()
	// Output:
	// text "hello"
	// end 1000 true
}
