package broadcast_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/broadcast/enginetest"
)

// Two hubs share an engine: here the one for tests, in a program cluster/nats or cluster/redis. A
// message that is published at one of them comes to the subscribers of both, with one offset.
func ExampleEngine() {
	log := enginetest.NewLog()
	var hubs []*broadcast.Hub
	for range 2 {
		engine := log.Engine()
		defer engine.Close()
		hubs = append(hubs, broadcast.NewHub(broadcast.Options{Retain: true, Engine: engine}))
	}
	for _, hub := range hubs {
		hub.CaughtUp(context.Background()) // listen after this: clients find all history then
	}
	done := make(chan error, 1)
	hubs[0].PublishLater("news", []byte("hello"), func(r broadcast.Receipt, err error) {
		fmt.Println("stored:", r.Offset == log.Last(), err)
		done <- err
	})
	<-done
	// Output: stored: true <nil>
}

// After an error nobody knows whether a message is stored. It can be published again with the same
// ID: the engine stores it once.
func ExampleHub_PublishLater() {
	engine := enginetest.NewLog().Engine()
	defer engine.Close()
	hub := broadcast.NewHub(broadcast.Options{Engine: engine})
	hub.CaughtUp(context.Background())

	receipts := make(chan broadcast.Receipt, 2)
	for range 2 {
		go hub.PublishLater("meter/17", []byte("42"), func(r broadcast.Receipt, err error) {
			receipts <- r
		}, broadcast.PublishOptions{ID: "meter 17, reading 1234"})
	}
	first, second := <-receipts, <-receipts
	fmt.Println(first.Offset == second.Offset)
	// Output: true
}

// A publisher is told when the engine is down.
func ExampleErrDown() {
	engine := enginetest.NewLog().Engine()
	defer engine.Close()
	engine.Down()
	hub := broadcast.NewHub(broadcast.Options{Engine: engine})
	_, err := hub.Publish("news", []byte("hello"))
	fmt.Println(errors.Is(err, broadcast.ErrDown))
	// Output: true
}
