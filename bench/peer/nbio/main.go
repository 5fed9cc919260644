// Command nbio is the peer for lesismal/nbio in its non-blocking mode: one poller for the one
// processor, and payloads that are released when their handler returns.
package main

import (
	"log"
	"net/http"
	"sync"
	"time"

	"github.com/lesismal/nbio/logging"
	"github.com/lesismal/nbio/nbhttp"
	"github.com/lesismal/nbio/nbhttp/websocket"

	"github.com/seed4930a636/mangusta/bench/peer/internal/setup"
	"github.com/seed4930a636/mangusta/bench/peer/internal/web"
)

// subs are the subscribers.
type subs struct {
	mu    sync.Mutex
	conns map[*websocket.Conn]bool
}

func (s *subs) publish(p []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.WriteMessage(websocket.TextMessage, p)
	}
}

func (s *subs) set(c *websocket.Conn, on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if on {
		s.conns[c] = true
	} else {
		delete(s.conns, c)
	}
}

func main() {
	f := setup.Parse()
	logging.SetLevel(logging.LevelError)
	mux := web.Mux(f)

	echo := upgrader()
	echo.OnMessage(func(c *websocket.Conn, op websocket.MessageType, p []byte) { c.WriteMessage(op, p) })
	handle(mux, "/ws", echo)

	s := &subs{conns: make(map[*websocket.Conn]bool)}
	publish := f.Publisher(s.publish)
	sub := upgrader()
	sub.OnOpen(func(c *websocket.Conn) { s.set(c, true) })
	sub.OnClose(func(c *websocket.Conn, _ error) { s.set(c, false) })
	sub.OnMessage(func(_ *websocket.Conn, _ websocket.MessageType, p []byte) { publish(p) })
	handle(mux, "/sub", sub)

	e := nbhttp.NewEngine(nbhttp.Config{
		Network: "tcp", Addrs: []string{f.Listen}, Handler: mux, IOMod: nbhttp.IOModNonBlocking,
		NPoller: 1, MaxLoad: 1 << 20, ReleaseWebsocketPayload: true,
	})
	if err := e.Start(); err != nil {
		log.Fatal(err)
	}
	select {}
}

func upgrader() *websocket.Upgrader {
	u := websocket.NewUpgrader()
	u.CheckOrigin = func(*http.Request) bool { return true }
	u.EnableCompression(true)
	u.KeepaliveTime = time.Hour
	return u
}

func handle(mux *http.ServeMux, path string, u *websocket.Upgrader) {
	mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) { u.Upgrade(w, r, nil) })
}
