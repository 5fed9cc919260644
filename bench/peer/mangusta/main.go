// Command mangusta is the server for what examples/testee does not serve: routes, broadcast, and
// wake-ups. With -loops N it has N loops.
//
//	GET /plaintext                    Hello, World!
//	GET /users/{user}/posts/{post}    JSON
//	GET /ws                           WebSocket: echo
//	GET /sub                          WebSocket: what comes goes to every connection on /sub
package main

import (
	"context"
	"flag"
	"log"

	"github.com/seed4930a636/mangusta/bench/peer/internal/setup"
	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/tlsconn"
	"github.com/seed4930a636/mangusta/websocket"
	"github.com/seed4930a636/mangusta/websocket/deflate"
)

// server is the state of the loop, or of all of them.
type server struct {
	hub     *broadcast.Hub
	mux     *http.Mux
	out     []byte // for replies, if there is one loop
	publish func(p []byte)
}

// subscriber marks, as a connection's Data, that it came on /sub.
type subscriber struct{}

var (
	marked  any = subscriber{}
	options     = &websocket.Options{Origins: []string{"*"}, Compress: deflate.New()}
)

func (s *server) routes(loops int) {
	s.mux.MustHandle("GET /plaintext", func(c *conn.Conn, _ *http.Message) {
		http.ReplyBytes(c, 200, "text/plain", setup.Hello)
	})
	s.mux.MustHandle("GET /users/{user}/posts/{post}", func(c *conn.Conn, m *http.Message) {
		if loops > 1 {
			http.ReplyBytes(c, 200, "application/json", setup.AppendPost(nil, m.PathValue("user"), m.PathValue("post")))
			return
		}
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

func protection(f setup.Flags) (*tlsconn.Server, error) {
	c := tlsconn.Config{Pairs: []tlsconn.Pair{{Cert: f.Cert, Key: f.Key}}}
	if f.Nice > 0 {
		c.Signer = tlsconn.Nice(f.Nice)
	}
	return tlsconn.NewServer(c)
}

func main() {
	loops := flag.Int("loops", 1, "how many loops")
	f := setup.Parse()
	if f.Wake > 0 {
		m, err := mgr.New(mgr.Options{})
		if err != nil {
			log.Fatal(err)
		}
		wake(m, f)
		return
	}
	m, run, err := newGroup(*loops)
	if err != nil {
		log.Fatal(err)
	}
	s := &server{hub: broadcast.New(m), mux: http.NewMux()}
	s.publish = f.Publisher(s.broadcast)
	s.routes(*loops)
	url, o := "http://"+f.Listen, http.Options{}
	if f.Cert != "" {
		url = "https://" + f.Listen
		if o.TLS, err = protection(f); err != nil {
			log.Fatal(err)
		}
	}
	if _, err := http.Listen(m, url, s.handle, o); err != nil {
		log.Fatal(err)
	}
	log.Fatal(run(context.Background()))
}

// newGroup makes so many loops. One is a Manager that stands alone.
func newGroup(loops int) (m mgr.Group, run func(context.Context) error, err error) {
	if loops > 1 {
		l, err := mgr.NewLoops(loops, mgr.Options{})
		if err != nil {
			return nil, nil, err
		}
		return l, l.Run, nil
	}
	one, err := mgr.New(mgr.Options{})
	if err != nil {
		return nil, nil, err
	}
	return one, one.Run, nil
}
