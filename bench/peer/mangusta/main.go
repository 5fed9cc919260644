// Command mangusta is the server for what examples/testee does not serve: routes, broadcast, and wake-ups.
//
//	GET /plaintext                    Hello, World!
//	GET /users/{user}/posts/{post}    JSON
//	GET /ws                           WebSocket: echo
//	GET /sub                          WebSocket: what comes goes to every connection on /sub
package main

import (
	"context"
	"log"

	"github.com/seed4930a636/mangusta/bench/peer/internal/setup"
	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/websocket"
)

// server is one manager's state.
type server struct {
	m       *mgr.Manager
	hub     *broadcast.Hub
	mux     *http.Mux
	out     []byte // the loop's, for replies
	publish func(p []byte)
}

// subscriber marks, as a connection's Data, that it came on /sub.
type subscriber struct{}

var (
	marked  any = subscriber{}
	options     = &websocket.Options{Origins: []string{"*"}, Deflate: new(websocket.Deflate)}
)

func (s *server) routes() {
	s.mux.MustHandle("GET /plaintext", func(c *conn.Conn, _ *http.Message) {
		http.ReplyBytes(c, 200, "text/plain", setup.Hello)
	})
	s.mux.MustHandle("GET /users/{user}/posts/{post}", func(c *conn.Conn, m *http.Message) {
		s.out = setup.AppendPost(s.out[:0], m.PathValue("user"), m.PathValue("post"))
		http.ReplyBytes(c, 200, "application/json", s.out)
	})
	s.mux.MustHandle("GET /ws", func(c *conn.Conn, m *http.Message) { websocket.Upgrade(c, m, options) })
	s.mux.MustHandle("GET /sub", func(c *conn.Conn, m *http.Message) {
		if websocket.Upgrade(c, m, options) == nil {
			s.subscribe(c)
		}
	})
}

func (s *server) handle(c *conn.Conn, ev conn.Event) {
	msg, ok := ev.(*websocket.Message)
	switch {
	case !ok:
		s.mux.Serve(c, ev)
	case c.Data == marked:
		s.publish(msg.Data)
	default:
		websocket.Send(c, msg.Op, msg.Data)
	}
}

func main() {
	f := setup.Parse()
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		log.Fatal(err)
	}
	if pings > 0 {
		wake(m, pings)
		return
	}
	s := &server{m: m, hub: broadcast.New(m), mux: http.NewMux()}
	s.publish = f.Publisher(s.broadcast)
	s.routes()
	if _, err := http.Listen(m, "tcp://"+f.Listen, s.handle); err != nil {
		log.Fatal(err)
	}
	log.Fatal(m.Run(context.Background()))
}
