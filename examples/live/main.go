// Command live is the smallest live page: all browsers show at once what one of them writes.
//
//	go run ./examples/live
//
// The page is index.html: it subscribes with mangusta.js, and comes back by itself.
package main

import (
	"embed"
	"flag"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/examples/internal/program"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
)

//go:embed index.html
var page embed.FS

// routes is all that a live page takes on the server.
func routes(m mgr.Group) *http.Mux {
	hub := broadcast.NewHub(broadcast.Options{Encode: broadcast.Framed, History: broadcast.History{Count: 100}}, m)
	everybody := broadcast.Rights{Publish: func(topic string) bool { return topic == "notes" }}
	door := broadcast.NewDoor(hub, broadcast.DoorOptions{Rights: everybody})
	x := http.NewMux()
	x.MustHandle("/hub", door.Serve)
	x.MustHandle("GET /mangusta.js", broadcast.Script)
	x.MustHandle("GET /{$}", func(c *conn.Conn, m *http.Message) { http.ServeFS(c, m, page) })
	return x
}

func main() {
	flags := program.Register("127.0.0.1:8000")
	flag.Parse()
	m, err := flags.Manager(mgr.Options{})
	program.Check(err)
	l, err := http.Listen(m, flags.URL(), routes(m).Serve)
	program.Check(err)
	program.Check(program.Run(m, l))
}
