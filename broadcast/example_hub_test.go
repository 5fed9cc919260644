package broadcast_test

import (
	"context"
	"fmt"
	"time"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/websocket"
)

// A subscriber gets what is published to the topics of its pattern, from whichever goroutine.
func Example() {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	hub := broadcast.New(m)
	l, err := http.Listen(m, "http://127.0.0.1:0", func(c *conn.Conn, ev conn.Event) {
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
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	client := func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *websocket.Message:
			fmt.Printf("%s\n", ev.Data)
			if string(ev.Data) == "bye" {
				websocket.CloseWith(c, websocket.CloseNormal, "")
			}
		case *conn.Close:
			m.Close()
		}
	}
	if _, err := websocket.Connect(m, "ws://"+l.LocalAddr().String(), client, nil); err != nil {
		fmt.Println(err)
		return
	}
	m.Run(context.Background())
	// Output:
	// 21.5
	// bye
}

// A client that comes back says which message was its last.
func ExampleHistory() {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	hub := broadcast.NewHub(broadcast.Options{History: broadcast.History{Count: 100, Age: time.Hour}}, m)
	hub.Publish("news", []byte("one"))
	last, _ := hub.Publish("news", []byte("two"))
	hub.Publish("news", []byte("three"))
	hub.Publish("news", []byte("bye"))
	l, err := http.Listen(m, "http://127.0.0.1:0", func(c *conn.Conn, ev conn.Event) {
		if r, ok := ev.(*http.Message); ok {
			since := broadcast.All
			if r.Match("/back") {
				since = last.Offset
			}
			websocket.Upgrade(c, r, nil)
			hub.Subscribe(c, "news", broadcast.SubscribeOptions{Since: since})
		}
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer m.Close()
	for _, path := range []string{"/first", "/back"} {
		ctx, done := context.WithCancel(context.Background())
		client := func(c *conn.Conn, ev conn.Event) {
			switch ev := ev.(type) {
			case *websocket.Message:
				fmt.Printf("%s gets %s\n", path, ev.Data)
				if string(ev.Data) == "bye" {
					websocket.CloseWith(c, websocket.CloseNormal, "")
				}
			case *conn.Close:
				done()
			}
		}
		if _, err := websocket.Connect(m, "ws://"+l.LocalAddr().String()+path, client, nil); err != nil {
			fmt.Println(err)
			return
		}
		m.Run(ctx)
	}
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
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	hub := broadcast.NewHub(broadcast.Options{Retain: true}, m)
	hub.Publish("lamp/kitchen", []byte("kitchen on"))
	hub.Publish("lamp/attic", []byte("attic on"))
	hub.Publish("lamp/kitchen", []byte("kitchen off"))
	l, err := http.Listen(m, "http://127.0.0.1:0", func(c *conn.Conn, ev conn.Event) {
		if r, ok := ev.(*http.Message); ok {
			websocket.Upgrade(c, r, nil)
			hub.Subscribe(c, "lamp/#")
			hub.Publish("lamp/cellar", []byte("bye"))
		}
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	client := func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *websocket.Message:
			fmt.Printf("%s\n", ev.Data)
			if string(ev.Data) == "bye" {
				websocket.CloseWith(c, websocket.CloseNormal, "")
			}
		case *conn.Close:
			m.Close()
		}
	}
	if _, err := websocket.Connect(m, "ws://"+l.LocalAddr().String(), client, nil); err != nil {
		fmt.Println(err)
		return
	}
	m.Run(context.Background())
	// Output:
	// attic on
	// kitchen off
	// bye
}

// A dashboard on a slow phone sees the newest values. It is told how many it has not seen.
func ExampleSubscribeOptions() {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	hub := broadcast.New(m)
	l, err := http.Listen(m, "http://127.0.0.1:0", func(c *conn.Conn, ev conn.Event) {
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
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	client := func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *websocket.Message:
			fmt.Printf("%s\n", ev.Data)
			if string(ev.Data) == "bye" {
				websocket.CloseWith(c, websocket.CloseNormal, "")
			}
		case *conn.Close:
			m.Close()
		}
	}
	if _, err := websocket.Connect(m, "ws://"+l.LocalAddr().String(), client, nil); err != nil {
		fmt.Println(err)
		return
	}
	m.Run(context.Background())
	// Output:
	// a long story
	// {"missed":9}
	// load 9
	// bye
}

// Encode makes the message of the payload and what is known of it.
func ExampleOptions_encode() {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	hub := broadcast.NewHub(broadcast.Options{
		Encode: func(b []byte, m *broadcast.Message) (websocket.Op, []byte) {
			if string(m.Data) == "bye" {
				return websocket.Text, append(b, m.Data...)
			}
			return websocket.Text, fmt.Appendf(b, `{"topic":%q,"data":%s}`, m.Topic, m.Data)
		},
	}, m)
	l, err := http.Listen(m, "http://127.0.0.1:0", func(c *conn.Conn, ev conn.Event) {
		if r, ok := ev.(*http.Message); ok {
			websocket.Upgrade(c, r, nil)
			hub.Subscribe(c, "#")
			hub.Publish("load", []byte("0.5"))
			hub.Publish("end", []byte("bye"))
		}
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	client := func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *websocket.Message:
			fmt.Printf("%s\n", ev.Data)
			if string(ev.Data) == "bye" {
				websocket.CloseWith(c, websocket.CloseNormal, "")
			}
		case *conn.Close:
			m.Close()
		}
	}
	if _, err := websocket.Connect(m, "ws://"+l.LocalAddr().String(), client, nil); err != nil {
		fmt.Println(err)
		return
	}
	m.Run(context.Background())
	// Output:
	// {"topic":"load","data":0.5}
	// bye
}

// In a chat everybody but the author gets a message, and one is greeted alone.
func ExampleHub_PublishExcept() {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	hub := broadcast.NewHub(broadcast.Options{
		Presence: func(p broadcast.Presence) {
			what := "leaves"
			if p.Joined {
				what = "joins"
			}
			fmt.Printf("somebody %s %s, %d are there\n", what, p.Pattern, p.Count)
		},
	}, m)
	l, err := http.Listen(m, "http://127.0.0.1:0", func(c *conn.Conn, ev conn.Event) {
		if r, ok := ev.(*http.Message); ok {
			websocket.Upgrade(c, r, nil)
			hub.Subscribe(c, "room/1")
			hub.PublishTo(c.ID(), "room/1", []byte("welcome"))
			hub.PublishExcept(c.ID(), "room/1", []byte("somebody is here"))
			hub.Publish("room/1", []byte("bye"))
		}
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	client := func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *websocket.Message:
			fmt.Printf("%s\n", ev.Data)
			if string(ev.Data) == "bye" {
				websocket.CloseWith(c, websocket.CloseNormal, "")
			}
		case *conn.Close:
			m.Close()
		}
	}
	if _, err := websocket.Connect(m, "ws://"+l.LocalAddr().String(), client, nil); err != nil {
		fmt.Println(err)
		return
	}
	m.Run(context.Background())
	// Output:
	// somebody joins room/1, 1 are there
	// welcome
	// bye
	// somebody leaves room/1, 0 are there
}
