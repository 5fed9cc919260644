package http_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	nethttp "net/http"
	"testing/fstest"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	mghttp "github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
)

// ask runs a loop whose connections have the handler, and prints the status, the header fields named, and the body of the replies to
// these requests.
func ask(handler func(m *mgr.Manager) conn.Handler, fields []string, requests ...string) {
	for i, q := range requests {
		requests[i] = q + " HTTP/1.1\r\nHost: device\r\n\r\n"
	}
	talk(handler, fields, requests...)
}

// talk is ask for requests that are given byte by byte.
func talk(handler func(m *mgr.Manager) conn.Handler, fields []string, requests ...string) {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		panic(err)
	}
	l, err := mghttp.Listen(m, "http://127.0.0.1:0", handler(m))
	if err != nil {
		panic(err)
	}
	addr := l.LocalAddr().String()
	go m.Run(context.Background())
	defer m.Close()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		panic(err)
	}
	defer c.Close()
	r := bufio.NewReader(c)
	for _, q := range requests {
		go io.WriteString(c, q)
		resp, err := nethttp.ReadResponse(r, nil)
		if err != nil {
			panic(err)
		}
		body, _ := io.ReadAll(resp.Body)
		fmt.Print(resp.Status)
		for _, f := range fields {
			fmt.Printf(" %s", resp.Header.Get(f))
		}
		fmt.Printf(" %s\n", body)
	}
}

func ExampleReply() {
	ask(func(*mgr.Manager) conn.Handler {
		return func(c *conn.Conn, ev conn.Event) {
			m, ok := ev.(*mghttp.Message)
			switch {
			case !ok:
			case m.Match("/hello/*"):
				mghttp.Reply(c, 200, "text/plain", "Hello, %s!", m.Path[len("/hello/"):])
			default:
				mghttp.Error(c, 404)
			}
		}
	}, []string{"Content-Type"}, "GET /hello/w%6Frld", "GET /other")
	// Output:
	// 200 OK text/plain Hello, world!
	// 404 Not Found text/plain; charset=utf-8 404 Not Found
}

// A request may be answered later: the connection serves the next one only then.
func ExampleReply_later() {
	ask(func(m *mgr.Manager) conn.Handler {
		return func(c *conn.Conn, ev conn.Event) {
			if _, ok := ev.(*mghttp.Message); ok {
				m.AfterFunc(10*time.Millisecond, func() { mghttp.Reply(c, 200, "text/plain", "at last") })
			}
		}
	}, nil, "GET /")
	// Output: 200 OK at last
}

// A handler that does not want the body says so in Head, before it is sent.
func ExampleHead() {
	ask(func(*mgr.Manager) conn.Handler {
		return func(c *conn.Conn, ev conn.Event) {
			switch ev := ev.(type) {
			case *mghttp.Head:
				if ev.Header("Authorization") == nil {
					mghttp.SetHeader(c, "WWW-Authenticate", `Basic realm="device"`)
					mghttp.Error(c, 401)
				} else {
					mghttp.SetMaxBody(c, 64<<20)
				}
			case *mghttp.Message:
				mghttp.Reply(c, 200, "text/plain", "%d bytes", len(ev.Body))
			}
		}
	}, []string{"WWW-Authenticate"}, "GET /", "GET / HTTP/1.1\r\nAuthorization: Basic eDp5\r\nX:")
	// Output:
	// 401 Unauthorized Basic realm="device" 401 Unauthorized
	//
	// 200 OK  0 bytes
}

func ExampleServeFS() {
	files := fstest.MapFS{"index.html": {Data: []byte("<p>hi")}, "app/main.js": {Data: []byte("run()")}}
	ask(func(*mgr.Manager) conn.Handler {
		return func(c *conn.Conn, ev conn.Event) {
			if m, ok := ev.(*mghttp.Message); ok {
				mghttp.ServeFS(c, m, files, mghttp.FileOptions{Prefix: "/ui"})
			}
		}
	}, []string{"Content-Type"}, "GET /ui/", "GET /ui/app/main.js", "GET /ui/../secret")
	// Output:
	// 200 OK text/html; charset=utf-8 <p>hi
	// 200 OK text/javascript; charset=utf-8 run()
	// 404 Not Found text/plain; charset=utf-8 404 Not Found
}
