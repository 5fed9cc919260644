package main

import (
	"log"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/websocket"
)

// broadcast sends p to every subscriber. It is called on the loop or off it, as -publisher says.
func (s *server) broadcast(p []byte) {
	frame := websocket.Prepare(websocket.Text, p)
	err := s.m.Broadcast(func(c *conn.Conn) {
		if c.Data == marked {
			websocket.SendPrepared(c, frame)
		}
	})
	if err != nil {
		log.Fatal(err)
	}
}
