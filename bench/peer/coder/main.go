// Command coder is the peer for coder/websocket: its echo and chat examples, a queue and a writing
// goroutine for each subscriber.
package main

import (
	"context"
	"log"
	"net/http"
	"sync"

	"github.com/coder/websocket"

	"github.com/seed4930a636/mangusta/bench/peer/internal/setup"
)

var options = &websocket.AcceptOptions{InsecureSkipVerify: true, CompressionMode: websocket.CompressionNoContextTakeover}

func main() {
	f := setup.Parse()
	s := &subs{queues: make(map[chan []byte]bool)}
	publish := f.Publisher(s.publish)
	http.HandleFunc("/ws", echo)
	http.HandleFunc("/sub", func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, publish) })
	log.Fatal(http.ListenAndServe(f.Listen, nil))
}

func echo(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, options)
	if err != nil {
		return
	}
	defer c.CloseNow()
	for {
		op, p, err := c.Read(context.Background())
		if err != nil {
			return
		}
		if err := c.Write(context.Background(), op, p); err != nil {
			return
		}
	}
}

// subs are the subscribers, each with its queue.
type subs struct {
	mu     sync.Mutex
	queues map[chan []byte]bool
}

func (s *subs) publish(p []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for q := range s.queues {
		select {
		case q <- p:
		default: // too slow
			delete(s.queues, q)
			close(q)
		}
	}
}

func (s *subs) serve(w http.ResponseWriter, r *http.Request, publish func([]byte)) {
	q := make(chan []byte, 16)
	s.mu.Lock()
	s.queues[q] = true // before the client's handshake is over: it may publish at once
	s.mu.Unlock()
	defer s.drop(q)
	c, err := websocket.Accept(w, r, options)
	if err != nil {
		return
	}
	defer c.CloseNow()
	go func() {
		defer c.CloseNow()
		for p := range q {
			if c.Write(context.Background(), websocket.MessageText, p) != nil {
				return
			}
		}
	}()
	for {
		_, p, err := c.Read(context.Background())
		if err != nil {
			return
		}
		publish(p)
	}
}

// drop ends the queue of a subscriber that is gone.
func (s *subs) drop(q chan []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.queues[q] {
		delete(s.queues, q)
		close(q)
	}
}
