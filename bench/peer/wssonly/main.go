// Command wssonly is the smallest program with mangusta's WebSockets over TLS, for its size.
package main

import (
	"context"
	"os"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/tlsconn"
	"github.com/seed4930a636/mangusta/websocket"
)

func main() {
	if err := serve(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
}

func serve(url, cert, key string) error {
	protection, err := tlsconn.Files(cert, key)
	if err != nil {
		return err
	}
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		return err
	}
	_, err = http.Listen(m, url, func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *http.Message:
			websocket.Upgrade(c, ev, nil)
		case *websocket.Message:
			websocket.Send(c, ev.Op, ev.Data)
		}
	}, http.Options{TLS: protection})
	if err != nil {
		return err
	}
	return m.Run(context.Background())
}
