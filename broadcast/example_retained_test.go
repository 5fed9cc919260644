package broadcast_test

import (
	"fmt"
	"time"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/websocket"
)

// A topic that is deleted has no last message any more. Its subscribers get
// {"topic":"room/1","offset":…,"deleted":true}, also those that come back later.
func ExampleHub_Delete() {
	hub := broadcast.NewHub(broadcast.Options{Retain: true})
	hub.Publish("room/1", []byte("occupied"))
	hub.Delete("room/1")
	for _, t := range hub.Topics() {
		fmt.Println(t.Name, "deleted:", t.Deleted)
	}
	// Output: room/1 deleted: true
}

// A page that need not see every reading gets at most one of each sensor in a second, the newest.
// The hub knows who is there.
func ExampleHub_Present() {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer m.Close()
	hub := broadcast.New(m)
	handler := func(c *conn.Conn, ev conn.Event) {
		if ev, ok := ev.(*http.Message); ok {
			websocket.Upgrade(c, ev, nil)
			hub.Subscribe(c, "sensors/#", broadcast.SubscribeOptions{MinInterval: time.Second, Who: "Ann"})
		}
	}
	http.Listen(m, "http://127.0.0.1:0", handler)
	for _, p := range hub.Present("sensors/#", 100) {
		fmt.Println(p.Who, "is there")
	}
}

// A patch says by from which offset it goes on.
func ExampleMessage_patch() {
	_, text := broadcast.JSON(nil, &broadcast.Message{Topic: "room/1", Offset: 12, From: 11, Data: []byte(`{"light":"on"}`)})
	fmt.Printf("%s\n", text)
	// Output: {"topic":"room/1","offset":12,"from":11,"patch":{"light":"on"}}
}

// A program gives out tokens that say what their bearers may do, and a Door takes them.
func ExampleKeys() {
	keys, err := broadcast.NewKeys([]byte("32 random bytes, the same on all nodes"))
	if err != nil {
		fmt.Println(err)
		return
	}
	token, err := keys.Sign(broadcast.Grant{Subscribe: []string{"room/1/#"}, Until: time.Now().Add(time.Hour), Who: "Ann"})
	if err != nil {
		fmt.Println(err)
		return
	}
	hub := broadcast.NewHub(broadcast.Options{Encode: broadcast.Framed})
	broadcast.NewDoor(hub, broadcast.DoorOptions{Authorize: keys.Authorize})

	grant, err := keys.Verify(token)
	rights := grant.Rights()
	fmt.Println(grant.Who, rights.MaySubscribe("room/1/light"), rights.MaySubscribe("room/#"), err)
	// Output: Ann true false <nil>
}
