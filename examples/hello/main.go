// Command hello answers HTTP and echoes WebSocket messages.
package main

import (
	"context"
	"log"
	"os"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/websocket"
)

func handle(c *conn.Conn, ev conn.Event) {
	switch ev := ev.(type) {
	case *http.Message:
		if ev.Match("/ws") {
			websocket.Upgrade(c, ev, nil)
		} else {
			http.Reply(c, 200, "text/plain", "Hello, %s!\n", c.Peer())
		}
	case *websocket.Message:
		websocket.Send(c, ev.Op, ev.Data)
	}
}

func main() {
	m, err := mgr.New(mgr.Options{NeedListener: true})
	if err != nil {
		log.Fatal(err)
	}
	l, err := http.Listen(m, append(os.Args, "http://:8000")[1], handle,
		http.Options{Hosts: []string{"localhost"}}) // and the machine's own names: see http.Options
	if err != nil {
		log.Fatal(err)
	}
	log.Println("listening on", l.LocalAddr())
	log.Fatal(m.Run(context.Background()))
}
