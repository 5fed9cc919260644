package broadcast_test

import (
	"bytes"
	"context"
	"fmt"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/websocket"
)

// A client of the Door subscribes and publishes by messages; mangusta.js does so for a page.
func ExampleDoor() {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	hub := broadcast.NewHub(broadcast.Options{Encode: broadcast.Framed}, m)
	everybody := broadcast.Rights{Publish: func(topic string) bool { return topic == "chat" }}
	door := broadcast.NewDoor(hub, broadcast.DoorOptions{Rights: everybody})
	x := http.NewMux()
	x.MustHandle("/hub", door.Serve)
	x.MustHandle("GET /mangusta.js", broadcast.Script)
	l, err := http.Listen(m, "http://127.0.0.1:0", x.Serve)
	if err != nil {
		fmt.Println(err)
		return
	}
	client := func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *websocket.Open:
			websocket.Send(c, websocket.Text, []byte(`{"subscribe":{"#":null},"publish":"secret","data":1,"id":1}`))
			websocket.Send(c, websocket.Text, []byte(`{"publish":"chat","data":"hello"}`))
		case *websocket.Message:
			switch {
			case bytes.HasPrefix(ev.Data, []byte(`{"reply"`)):
				fmt.Printf("%s\n", ev.Data)
			case bytes.HasPrefix(ev.Data, []byte(`{"topic"`)):
				_, data, _ := bytes.Cut(ev.Data, []byte(`"data":`))
				fmt.Printf("%s\n", bytes.TrimSuffix(data, []byte("}")))
				m.Close()
			}
		}
	}
	if _, err := websocket.Connect(m, "ws://"+l.LocalAddr().String()+"/hub", client, nil); err != nil {
		fmt.Println(err)
		return
	}
	m.Run(context.Background())
	// Output:
	// {"reply":1,"error":"this client may not publish to it"}
	// "hello"
}
