// Command gorilla is the peer for gorilla/websocket: the echo loop and the chat hub of its
// examples, the hub with PreparedMessage. Buffers of size 0 are those of net/http, as its
// documentation advises; for large messages it advises buffers of their size.
package main

import (
	"log"
	"net/http"

	"github.com/gorilla/websocket"

	"github.com/seed4930a636/mangusta/bench/peer/internal/setup"
)

var upgrader = websocket.Upgrader{EnableCompression: true, CheckOrigin: func(*http.Request) bool { return true }}

func main() {
	f := setup.Parse()
	upgrader.ReadBufferSize, upgrader.WriteBufferSize = f.Buffer, f.Buffer
	h := &hub{clients: make(map[*client]bool), register: make(chan *client), unregister: make(chan *client),
		messages: make(chan *websocket.PreparedMessage, 256)}
	go h.run()
	publish := f.Publisher(h.publish)
	http.HandleFunc("/ws", echo)
	http.HandleFunc("/sub", func(w http.ResponseWriter, r *http.Request) { h.serve(w, r, publish) })
	log.Fatal(http.ListenAndServe(f.Listen, nil))
}

func echo(w http.ResponseWriter, r *http.Request) {
	c, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer c.Close()
	for {
		op, p, err := c.ReadMessage()
		if err != nil {
			return
		}
		if err := c.WriteMessage(op, p); err != nil {
			return
		}
	}
}

// hub owns the set of subscribers; its goroutine gives each of them every message.
type hub struct {
	clients              map[*client]bool
	register, unregister chan *client
	messages             chan *websocket.PreparedMessage
}

type client struct {
	c    *websocket.Conn
	send chan *websocket.PreparedMessage
}

func (h *hub) publish(p []byte) {
	m, err := websocket.NewPreparedMessage(websocket.TextMessage, p)
	if err != nil {
		log.Fatal(err)
	}
	h.messages <- m
}

func (h *hub) run() {
	for {
		select {
		case c := <-h.register:
			h.clients[c] = true
		case c := <-h.unregister:
			h.drop(c)
		case m := <-h.messages:
			for c := range h.clients {
				select {
				case c.send <- m:
				default: // too slow
					h.drop(c)
				}
			}
		}
	}
}

func (h *hub) drop(c *client) {
	if h.clients[c] {
		delete(h.clients, c)
		close(c.send)
	}
}

func (h *hub) serve(w http.ResponseWriter, r *http.Request, publish func([]byte)) {
	ws, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	c := &client{ws, make(chan *websocket.PreparedMessage, 256)}
	h.register <- c
	go c.write()
	defer func() {
		h.unregister <- c
		ws.Close()
	}()
	for {
		_, p, err := ws.ReadMessage()
		if err != nil {
			return
		}
		publish(p)
	}
}

// write sends what the hub gives, until the hub closes the channel.
func (c *client) write() {
	defer c.c.Close()
	for m := range c.send {
		if err := c.c.WritePreparedMessage(m); err != nil {
			return
		}
	}
}
