package broadcast_test

import (
	"context"
	"fmt"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/websocket"
)

// manager returns a manager for an example.
func manager() *mgr.Manager {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		panic(err)
	}
	return m
}

// visit serves with handle, and has a WebSocket client for each path, one after the other, print what it gets until that is
// "bye". Then it closes m.
func visit(m *mgr.Manager, handle conn.Handler, paths ...string) {
	defer m.Close()
	l, err := http.Listen(m, "http://127.0.0.1:0", handle)
	if err != nil {
		panic(err)
	}
	for _, path := range paths {
		ctx, done := context.WithCancel(context.Background())
		client := func(c *conn.Conn, ev conn.Event) {
			switch ev := ev.(type) {
			case *websocket.Message:
				fmt.Printf("%s gets %s\n", path, ev.Data)
				if string(ev.Data) == "bye" {
					websocket.CloseWith(c, websocket.CloseNormal, "")
				}
			case *conn.Close:
				done()
			}
		}
		if _, err := websocket.Connect(m, "ws://"+l.LocalAddr().String()+path, client, nil); err != nil {
			panic(err)
		}
		m.Run(ctx)
	}
}
