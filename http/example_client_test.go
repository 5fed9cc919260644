package http_test

import (
	"fmt"
	"log"
	"strings"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/conn/conntest"
	mghttp "github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
)

// A client asks a server, both on one loop.
func ExampleClient() {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	l, err := mghttp.Listen(m, "http://127.0.0.1:0", func(c *conn.Conn, ev conn.Event) {
		if r, ok := ev.(*mghttp.Message); ok {
			mghttp.Reply(c, 200, "text/plain", "%s %s", r.Path, r.Body)
		}
	})
	if err != nil {
		log.Fatal(err)
	}

	client, err := mghttp.NewClient(m, mghttp.ClientOptions{MaxConnsPerHost: 2})
	if err != nil {
		log.Fatal(err)
	}
	answered := false
	request := &mghttp.ClientRequest{
		URL:         "http://" + l.LocalAddr().String() + "/readings",
		ContentType: "application/json",
		Body:        []byte(`{"celsius":21}`),
	}
	_, err = client.Do(request, func(r *mghttp.Response, err error) {
		answered = true
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%d %s\n", r.Status, r.Body)
	})
	if err != nil {
		log.Fatal(err)
	}
	for !answered {
		m.Poll(-1)
	}
	// Output: 200 /readings {"celsius":21}
}

// The event style: one connection, whose handler gets the responses.
func ExampleConnect() {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	l, err := mghttp.Listen(m, "http://127.0.0.1:0", func(c *conn.Conn, ev conn.Event) {
		if r, ok := ev.(*mghttp.Message); ok {
			mghttp.Reply(c, 200, "text/plain", "hello from %s", r.Path)
		}
	})
	if err != nil {
		log.Fatal(err)
	}

	closed := false
	c, err := mghttp.Connect(m, "http://"+l.LocalAddr().String(), func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *mghttp.ResponseHead:
			fmt.Printf("%d, %s\n", ev.Status, ev.Header("Content-Type"))
		case *mghttp.Response:
			fmt.Printf("%s\n", ev.Body)
			c.Close()
		case *conn.Error:
			fmt.Println(ev.Err)
		case *conn.Close:
			closed = true
		}
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := mghttp.Send(c, &mghttp.ClientRequest{URL: "/page"}); err != nil {
		log.Fatal(err)
	}
	for !closed {
		m.Poll(-1)
	}
	// Output:
	// 200, text/plain
	// hello from /page
}

// Requests over a connection that the program has made itself. Here its peer is the example.
func ExampleConnectOver() {
	d := conntest.New(nil, func(c *conn.Conn, ev conn.Event) {
		if ev, ok := ev.(*mghttp.Response); ok {
			fmt.Printf("%d %s\n", ev.Status, ev.Body)
		}
	})
	if err := mghttp.ConnectOver(d.Conn, "http://device.example/"); err != nil {
		fmt.Println(err)
		return
	}
	if err := mghttp.Send(d.Conn, &mghttp.ClientRequest{URL: "/temperature"}); err != nil {
		fmt.Println(err)
		return
	}
	d.Turn()
	fmt.Println(strings.Split(d.Sent(), "\r\n")[:2])
	d.Send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n21.5")
	// Output:
	// [GET /temperature HTTP/1.1 Host: device.example]
	// 200 21.5
}
