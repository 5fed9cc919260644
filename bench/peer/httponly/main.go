// Command httponly is the smallest program with mangusta's HTTP and without WebSocket, for its size.
package main

import (
	"context"
	"log"

	"github.com/seed4930a636/mangusta/bench/peer/internal/setup"
	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
)

func main() {
	f := setup.Parse()
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		log.Fatal(err)
	}
	_, err = http.Listen(m, "tcp://"+f.Listen, func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*http.Message); ok {
			http.ReplyBytes(c, 200, "text/plain", setup.Hello)
		}
	})
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(m.Run(context.Background()))
}
