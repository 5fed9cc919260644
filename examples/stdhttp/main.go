// Command stdhttp mounts handlers of net/http, a chi router and pprof, beside a route of the loop's
// own.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	nethttp "net/http"
	"net/http/pprof"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/gorilla/websocket"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/examples/internal/program"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/http/stdhttp"
	"github.com/seed4930a636/mangusta/mgr"
)

// router is an ordinary program of net/http: nothing in it knows of the loop.
func router() nethttp.Handler {
	r := chi.NewRouter()
	r.Use(middleware.Recoverer, middleware.Compress(5))
	r.Get("/items/{id}", func(w nethttp.ResponseWriter, r *nethttp.Request) {
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(map[string]string{"id": chi.URLParam(r, "id")})
	})
	r.Post("/upload", func(w nethttp.ResponseWriter, r *nethttp.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			return // the client has gone
		}
		fmt.Fprintln(w, n, "bytes")
	})
	r.Get("/clock", func(w nethttp.ResponseWriter, r *nethttp.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for r.Context().Err() == nil {
			fmt.Fprintf(w, "data: %s\n\n", time.Now().Format(time.TimeOnly))
			nethttp.NewResponseController(w).Flush()
			select {
			case <-r.Context().Done():
			case <-time.After(time.Second):
			}
		}
	})
	r.Get("/ws", echo)
	r.HandleFunc("/debug/pprof/*", pprof.Index)
	return r
}

// echo is a WebSocket of gorilla's, which hijacks the connection.
func echo(w nethttp.ResponseWriter, r *nethttp.Request) {
	c, err := new(websocket.Upgrader).Upgrade(w, r, nil)
	if err != nil {
		return // it has replied
	}
	defer c.Close()
	for {
		kind, p, err := c.ReadMessage()
		if err != nil || c.WriteMessage(kind, p) != nil {
			return
		}
	}
}

func main() {
	flags := program.Register("127.0.0.1:8000")
	workers := flag.Int("workers", 64, "requests handled at a time")
	var web program.Web
	web.Register(flag.CommandLine)
	flag.Parse()
	m, err := flags.Manager(mgr.Options{})
	program.Check(err)

	h := stdhttp.New(m, router(), stdhttp.Options{Workers: *workers})
	x := http.NewMux()
	x.MustHandle("/", h.Serve)
	x.MustHandle("GET /loop", func(c *conn.Conn, _ *http.Message) { http.Reply(c, 200, "text/plain", "from the loop\n") })
	x.MustHandleEvents("/upload", h.Handle) // a body of any length, as it comes
	l, err := http.Listen(m, flags.URL(), x.Serve, http.Options{Hosts: web.Hosts})
	program.Check(err)
	program.Check(program.Run(m, l))
}
