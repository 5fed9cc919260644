// Command httpclient is bench/peer/httponly with the HTTP client besides, for its size: it posts a
// reading each minute to the URL of its second argument.
package main

import (
	"context"
	"os"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
)

func main() {
	if err := serve(os.Args[1], os.Args[2]); err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
}

func serve(url, to string) error {
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
	client, err := http.NewClient(m)
	if err != nil {
		return err
	}
	m.Every(time.Minute, func() {
		client.Do(&http.ClientRequest{URL: to, Body: []byte("21.5")}, func(r *http.Response, err error) {
			if err != nil {
				os.Stderr.WriteString(err.Error() + "\n")
			}
		})
	})
	return m.Run(context.Background())
}
