package broadcast_test

import (
	"fmt"
	"time"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/websocket"
)

// A subscriber gets what is published to the topics of its pattern, from whichever goroutine.
func Example() {
	m := manager()
	hub := broadcast.New(m)
	visit(m, func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *http.Message:
			websocket.Upgrade(c, ev, nil)
		case *websocket.Open:
			if err := hub.Subscribe(c, "sensors/+/temperature"); err != nil {
				fmt.Println(err)
			}
			go func() {
				hub.Publish("sensors/kitchen/temperature", []byte("21.5"))
				hub.Publish("sensors/kitchen/humidity", []byte("40"))
				hub.Publish("sensors/attic/temperature", []byte("bye"))
			}()
		}
	}, "/live")
	// Output:
	// /live gets 21.5
	// /live gets bye
}

// One who comes back says which message was its last.
func ExampleHistory() {
	m := manager()
	hub := broadcast.NewHub(broadcast.Options{History: broadcast.History{Count: 100, Age: time.Hour}}, m)
	hub.Publish("news", []byte("one"))
	last, _ := hub.Publish("news", []byte("two"))
	hub.Publish("news", []byte("three"))
	hub.Publish("news", []byte("bye"))
	visit(m, func(c *conn.Conn, ev conn.Event) {
		if r, ok := ev.(*http.Message); ok {
			since := broadcast.All
			if r.Match("/back") {
				since = last.Offset
			}
			websocket.Upgrade(c, r, nil)
			hub.Subscribe(c, "news", broadcast.SubscribeOptions{Since: since})
		}
	}, "/first", "/back")
	// Output:
	// /first gets one
	// /first gets two
	// /first gets three
	// /first gets bye
	// /back gets three
	// /back gets bye
}

// With Retain a newcomer gets the last message of each topic first.
func ExampleOptions_retain() {
	m := manager()
	hub := broadcast.NewHub(broadcast.Options{Retain: true}, m)
	hub.Publish("lamp/kitchen", []byte("kitchen on"))
	hub.Publish("lamp/attic", []byte("attic on"))
	hub.Publish("lamp/kitchen", []byte("kitchen off"))
	visit(m, func(c *conn.Conn, ev conn.Event) {
		if r, ok := ev.(*http.Message); ok {
			websocket.Upgrade(c, r, nil)
			hub.Subscribe(c, "lamp/#")
			hub.Publish("lamp/cellar", []byte("bye"))
		}
	}, "/new")
	// Output:
	// /new gets attic on
	// /new gets kitchen off
	// /new gets bye
}

// A dashboard on a slow phone sees the newest values. It is told how many it has not seen.
func ExampleSubscribeOptions() {
	m := manager()
	hub := broadcast.New(m)
	visit(m, func(c *conn.Conn, ev conn.Event) {
		if r, ok := ev.(*http.Message); ok {
			websocket.Upgrade(c, r, nil)
			hub.Subscribe(c, "#", broadcast.SubscribeOptions{
				Policy:     broadcast.KeepLatest,
				TellMissed: true,
				Filter:     func(m *broadcast.Message) bool { return m.Topic != "debug" },
			})
			// A message that has begun holds up the others, as a slow connection would.
			w := websocket.Writer(c, websocket.Text)
			w.Write([]byte("a long "))
			for i := range 10 {
				hub.Publish("load", fmt.Append(nil, "load ", i))
				hub.Publish("debug", nil)
			}
			hub.Publish("end", []byte("bye"))
			m.AfterFunc(time.Millisecond, func() {
				w.Write([]byte("story"))
				w.Close()
			})
		}
	}, "/phone")
	// Output:
	// /phone gets a long story
	// /phone gets {"missed":9}
	// /phone gets load 9
	// /phone gets bye
}

// Encode makes the message of the payload and what is known of it.
func ExampleOptions_encode() {
	m := manager()
	hub := broadcast.NewHub(broadcast.Options{
		Encode: func(b []byte, m *broadcast.Message) (websocket.Op, []byte) {
			if string(m.Data) == "bye" {
				return websocket.Text, append(b, m.Data...)
			}
			return websocket.Text, fmt.Appendf(b, `{"topic":%q,"data":%s}`, m.Topic, m.Data)
		},
	}, m)
	visit(m, func(c *conn.Conn, ev conn.Event) {
		if r, ok := ev.(*http.Message); ok {
			websocket.Upgrade(c, r, nil)
			hub.Subscribe(c, "#")
			hub.Publish("load", []byte("0.5"))
			hub.Publish("end", []byte("bye"))
		}
	}, "/json")
	// Output:
	// /json gets {"topic":"load","data":0.5}
	// /json gets bye
}

// In a chat everybody but the author gets a message, and one is greeted alone.
func ExampleHub_PublishExcept() {
	m := manager()
	hub := broadcast.NewHub(broadcast.Options{
		Presence: func(p broadcast.Presence) {
			what := "leaves"
			if p.Joined {
				what = "joins"
			}
			fmt.Printf("somebody %s %s, %d are there\n", what, p.Pattern, p.Count)
		},
	}, m)
	visit(m, func(c *conn.Conn, ev conn.Event) {
		if r, ok := ev.(*http.Message); ok {
			websocket.Upgrade(c, r, nil)
			hub.Subscribe(c, "room/1")
			hub.PublishTo(c.ID(), "room/1", []byte("welcome"))
			hub.PublishExcept(c.ID(), "room/1", []byte("somebody is here"))
			hub.Publish("room/1", []byte("bye"))
		}
	}, "/chat")
	// Output:
	// somebody joins room/1, 1 are there
	// /chat gets welcome
	// /chat gets bye
	// somebody leaves room/1, 0 are there
}
