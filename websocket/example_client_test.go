package websocket_test

import (
	"context"
	"errors"
	"fmt"
	"log"

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

// A client learns from the code why the server has ended the WebSocket.
func ExampleCode() {
	const loggedOut = 4001 // 4000 to 4999 are for programs
	server := func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *http.Message:
			websocket.Upgrade(c, ev, nil)
		case *websocket.Message:
			websocket.CloseWith(c, loggedOut, "the session has ended")
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
			websocket.Send(c, websocket.Text, []byte("still there?"))
		case *websocket.Control:
			if ev.Op != websocket.Close {
				break
			}
			switch ev.Code {
			case websocket.CloseNormal, websocket.CloseGoingAway:
				fmt.Println("done")
			case websocket.CloseAbnormal: // the connection was lost, or the server did not reply
				fmt.Println("connect again")
			case loggedOut:
				fmt.Println("log in again:", ev.Reason)
			default:
				fmt.Println("failed:", ev.Code, ev.Reason)
			}
		case *conn.Close:
			stop()
		}
	}
	websocket.Connect(m, "ws://"+l.LocalAddr().String(), client, nil)
	m.Run(ctx)
	// Output: log in again: the session has ended
}
