package json_test

import (
	"fmt"
	"strings"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/conn/conntest"
	mghttp "github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/http/json"
)

func ExampleReply() {
	server := mghttp.NewServer(mghttp.Options{NoDate: true})
	d := conntest.New(nil, func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*mghttp.Message); ok {
			json.Reply(c, 200, map[string]any{"up": true, "load": 0.5})
		}
	}, conntest.Options{Setup: func(c *conn.Conn) { mghttp.Attach(c, server) }})
	d.Send("GET / HTTP/1.1\r\nHost: device\r\n\r\n")
	fmt.Println(strings.ReplaceAll(d.Sent(), "\r", ""))
	// Output:
	// HTTP/1.1 200 OK
	// Content-Type: application/json
	// Content-Length: 22
	//
	// {"load":0.5,"up":true}
}
