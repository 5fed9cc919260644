// Command hello answers HTTP and echoes WebSocket messages.
//
//	hello [URL]    listens there, by default at http://:8000
package main

import (
	"context"
	"log"
	"os"
	"strings"

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
	url := append(os.Args, "http://:8000")[1]
	if strings.HasPrefix(url, "-") { // -h, say: it has no flags, and does without package flag
		os.Stderr.WriteString("usage: hello [URL]\nIt has no flags. URL is where it listens; by default http://:8000\n")
		os.Exit(2)
	}
	m, err := mgr.New(mgr.Options{NeedListener: true})
	if err != nil {
		log.Fatal(err)
	}
	l, err := http.Listen(m, url, handle,
		http.Options{Hosts: []string{"localhost"}}) // and the machine's own names: see http.Options
	if err != nil {
		log.Fatal(err)
	}
	log.Println("listening on", l.LocalAddr())
	log.Fatal(m.Run(context.Background()))
}
