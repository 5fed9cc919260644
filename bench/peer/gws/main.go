// Command gws is the peer for lxzan/gws: messages handled on the goroutine that reads them, and its
// Broadcaster.
package main

import (
	"log"
	"net/http"
	"sync"

	"github.com/lxzan/gws"

	"github.com/seed4930a636/mangusta/bench/peer/internal/setup"
)

var option = &gws.ServerOption{PermessageDeflate: gws.PermessageDeflate{Enabled: true}, ReadMaxPayloadSize: 64 << 20}

// echo sends back what comes.
type echo struct{ gws.BuiltinEventHandler }

func (echo) OnMessage(c *gws.Conn, m *gws.Message) {
	defer m.Close()
	c.WriteMessage(m.Opcode, m.Bytes())
}

// subs are the subscribers.
type subs struct {
	gws.BuiltinEventHandler
	mu      sync.Mutex
	conns   map[*gws.Conn]bool
	publish func([]byte)
}

func (s *subs) OnOpen(c *gws.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[c] = true
}

func (s *subs) OnClose(c *gws.Conn, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

func (s *subs) OnMessage(_ *gws.Conn, m *gws.Message) {
	defer m.Close()
	s.publish(m.Bytes())
}

func (s *subs) broadcast(p []byte) {
	b := gws.NewBroadcaster(gws.OpcodeText, p)
	defer b.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		b.Broadcast(c)
	}
}

func main() {
	f := setup.Parse()
	option.ReadBufferSize, option.WriteBufferSize = f.Buffer, f.Buffer
	s := &subs{conns: make(map[*gws.Conn]bool)}
	s.publish = f.Publisher(s.broadcast)
	handle("/ws", gws.NewUpgrader(echo{}, option))
	handle("/sub", gws.NewUpgrader(s, option))
	log.Fatal(http.ListenAndServe(f.Listen, nil))
}

func handle(path string, u *gws.Upgrader) {
	http.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
		c, err := u.Upgrade(w, r)
		if err != nil {
			return
		}
		go c.ReadLoop() // not in this goroutine: it would keep the request in memory
	})
}
