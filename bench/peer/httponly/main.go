// Command httponly is the smallest program with mangusta's HTTP and without WebSocket, for its
// size.
package main

import (
	"context"
	"os"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
)

func main() {
	if err := serve(os.Args[1]); err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
}

func serve(url string) error {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		return err
	}
	_, err = http.Listen(m, url, func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*http.Message); ok {
			http.Reply(c, 200, "text/plain", "Hello, %s!\n", c.RemoteAddr())
		}
	})
	if err != nil {
		return err
	}
	return m.Run(context.Background())
}
