package websocket_test

import (
	"context"
	"fmt"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/websocket"
)

// A device that sends readings, to a server that is busy at first. A message that is sent in the
// meantime waits.
func ExampleReconnect() {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	requests := 0
	l, err := http.Listen(m, "http://127.0.0.1:0", func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *http.Message:
			if requests++; requests == 1 {
				http.Reply(c, 503, "text/plain", "starting\n")
				return
			}
			websocket.Upgrade(c, ev, nil)
		case *websocket.Message:
			fmt.Printf("the server got %q\n", ev.Data)
			websocket.Send(c, websocket.Text, []byte("thanks"))
		}
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, done := context.WithCancel(context.Background())
	var r *websocket.Reconnector
	r, err = websocket.Reconnect(m, "ws://"+l.LocalAddr().String()+"/readings", func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *websocket.State: // c is nil
			fmt.Println(ev.Phase, ev.Status)
			if ev.Phase == websocket.PhaseClosed {
				done()
			}
		case *websocket.Message:
			r.Close()
		}
	}, &websocket.ReconnectOptions{
		MinDelay: 10 * time.Millisecond, // 1 s by default
		MaxQueue: 100, DropOldest: true, // of the readings that wait
		Fatal: websocket.RefusedForGood, // 401, 403, 404 and the like
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := r.Send(websocket.Text, []byte("21.5")); err != nil {
		fmt.Println(err)
	}
	m.Run(ctx)
	m.Close()
	// Output:
	// connecting 0
	// waiting 503
	// connecting 0
	// open 0
	// the server got "21.5"
	// closed 0
}
