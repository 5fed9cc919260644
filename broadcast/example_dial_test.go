package broadcast_test

import (
	"context"
	"fmt"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
)

// A program subscribes to the hub of another one; here both are on one loop.
func ExampleDial() {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	hub := broadcast.NewHub(broadcast.Options{Encode: broadcast.Framed, History: broadcast.History{Count: 10}}, m)
	x := http.NewMux()
	x.MustHandle("/hub", broadcast.NewDoor(hub).Serve)
	l, err := http.Listen(m, "http://127.0.0.1:0", x.Serve)
	if err != nil {
		fmt.Println(err)
		return
	}
	hub.Publish("sensors/attic", []byte(`{"celsius": 31}`))

	remote, err := broadcast.Dial(m, "ws://"+l.LocalAddr().String()+"/hub", broadcast.DialOptions{
		Message: func(msg *broadcast.Message) {
			fmt.Printf("%s %s\n", msg.Topic, msg.Data)
			if msg.Topic == "sensors/kitchen" {
				m.Close()
			}
		},
		Missed: func(x broadcast.Missed) { fmt.Println(x.N, "are missing") },
		Live:   func() { hub.Publish("sensors/kitchen", []byte("warm")) },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	remote.Subscribe("sensors/+", broadcast.All)
	m.Run(context.Background())
	// Output:
	// sensors/attic {"celsius": 31}
	// sensors/kitchen warm
}
