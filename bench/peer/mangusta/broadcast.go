package main

import (
	"log"

	"github.com/seed4930a636/mangusta/conn"
)

// topic is what all subscribers of the bench share.
const topic = "all"

// subscribe makes c one of those that get what is published.
func (s *server) subscribe(c *conn.Conn) {
	c.Data = marked
	if err := s.hub.Subscribe(c, topic); err != nil {
		log.Fatal(err)
	}
}

// broadcast sends p to every subscriber. It is called on the loop or off it, as -publisher says.
func (s *server) broadcast(p []byte) {
	if _, err := s.hub.Publish(topic, p); err != nil {
		log.Fatal(err)
	}
}
