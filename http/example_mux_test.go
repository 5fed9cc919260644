package http_test

import (
	"bufio"
	"fmt"
	"io"
	nethttp "net/http"
	"strings"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/conn/conntest"
	mghttp "github.com/seed4930a636/mangusta/http"
)

func ExampleMux() {
	x := mghttp.NewMux()
	x.MustHandle("GET /items/{id}", func(c *conn.Conn, m *mghttp.Message) {
		mghttp.Reply(c, 200, "text/plain", "item %s", m.PathValue("id"))
	})
	x.MustHandle("DELETE /items/{id}", func(c *conn.Conn, m *mghttp.Message) {
		mghttp.Reply(c, 200, "text/plain", "item %s is gone", m.PathValue("id"))
	})
	x.MustHandle("/files/{name...}", func(c *conn.Conn, m *mghttp.Message) {
		mghttp.Reply(c, 200, "text/plain", "file %s", m.PathValue("name"))
	})
	server := mghttp.NewServer(mghttp.Options{})
	d := conntest.New(nil, x.Serve, conntest.Options{Setup: func(c *conn.Conn) { mghttp.Attach(c, server) }})
	for _, request := range []string{"GET /items/a%2Fb", "DELETE /items/7", "PUT /items/7", "GET /files/css/main.css", "GET /files", "GET /none"} {
		d.Send(request + " HTTP/1.1\r\nHost: device\r\n\r\n")
		resp, err := nethttp.ReadResponse(bufio.NewReader(strings.NewReader(d.Sent())), nil)
		if err != nil {
			fmt.Println(err)
			return
		}
		body, _ := io.ReadAll(resp.Body)
		fmt.Println(resp.StatusCode, resp.Header.Get("Allow")+resp.Header.Get("Location"), strings.TrimSpace(string(body)))
	}
	// Output:
	// 200  item a/b
	// 200  item 7 is gone
	// 405 DELETE, GET, HEAD 405 Method Not Allowed
	// 200  file css/main.css
	// 307 /files/ 307 Temporary Redirect
	// 404  404 Not Found
}

// Patterns from a configuration file are checked with the error of Handle.
func ExampleMux_Handle() {
	x := mghttp.NewMux()
	h := func(c *conn.Conn, m *mghttp.Message) { mghttp.Error(c, 501) }
	for _, pattern := range []string{"GET /a/{x}", "/a/b", "GET /a/b", "/a/{x}y"} {
		if err := x.Handle(pattern, h); err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// http: handle "/a/b": conflicts with "GET /a/{x}": both match GET /a/b, and neither is more specific
	// http: handle "/a/{x}y": the wildcard in "{x}y" does not fill the segment
}

func ExampleMux_Use() {
	x := mghttp.NewMux()
	x.MustHandle("GET /items/{id}", func(c *conn.Conn, m *mghttp.Message) {
		mghttp.Reply(c, 200, "text/plain", "item %s", m.PathValue("id"))
	})
	x.Use(func(next mghttp.Handler) mghttp.Handler {
		return func(c *conn.Conn, ev conn.Event) {
			if head, ok := ev.(*mghttp.Head); ok {
				fmt.Printf("%s %s goes to %q\n", head.Method, head.Path, head.Pattern())
				mghttp.SetHeader(c, "X-Content-Type-Options", "nosniff")
			}
			next(c, ev)
		}
	})
	server := mghttp.NewServer(mghttp.Options{NoDate: true})
	d := conntest.New(nil, x.Serve, conntest.Options{Setup: func(c *conn.Conn) { mghttp.Attach(c, server) }})
	d.Send("GET /items/7 HTTP/1.1\r\nHost: device\r\n\r\n")
	fmt.Println(strings.ReplaceAll(d.Sent(), "\r", ""))
	d.Send("GET /none HTTP/1.1\r\nHost: device\r\n\r\n")
	// Output:
	// GET /items/7 goes to "GET /items/{id}"
	// HTTP/1.1 200 OK
	// Content-Type: text/plain
	// Content-Length: 6
	// X-Content-Type-Options: nosniff
	//
	// item 7
	// GET /none goes to ""
}

// Only the device's owner may send firmware, of any length. From any other client not even the body
// is received.
func ExampleGuard() {
	owner := mghttp.Guard(func(c *conn.Conn, r *mghttp.Request) bool {
		ok := r.Credentials().IsBearer("secret")
		if !ok {
			mghttp.Error(c, 403)
		}
		return ok
	})
	x := mghttp.NewMux()
	size := 0
	x.MustHandleEvents("PUT /firmware", func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *mghttp.Head:
			size = 0
			mghttp.StreamBody(c)
		case *mghttp.Chunk:
			if size += len(ev.Data); ev.Last {
				fmt.Println(size, "bytes")
				mghttp.Reply(c, 200, "", "")
			}
		}
	}, owner)
	server := mghttp.NewServer(mghttp.Options{})
	d := conntest.New(nil, x.Serve, conntest.Options{Setup: func(c *conn.Conn) { mghttp.Attach(c, server) }})
	for _, field := range []string{"", "Authorization: Bearer secret\r\n"} {
		d.Send("PUT /firmware HTTP/1.1\r\nHost: device\r\nContent-Length: 3\r\n" + field + "\r\nabc")
		status, _, _ := strings.Cut(d.Sent(), "\r\n")
		fmt.Println(status)
	}
	// Output:
	// HTTP/1.1 403 Forbidden
	// 3 bytes
	// HTTP/1.1 200 OK
}

// The middleware of a group is around its routes, and around the 404 for other paths below its
// prefix.
func ExampleMux_Group() {
	needsKey := mghttp.Guard(func(c *conn.Conn, r *mghttp.Request) bool {
		if string(r.Header("X-Key")) == "secret" {
			return true
		}
		mghttp.Error(c, 403)
		return false
	})
	x := mghttp.NewMux()
	x.MustHandle("GET /{$}", func(c *conn.Conn, m *mghttp.Message) { mghttp.Reply(c, 200, "text/plain", "welcome") })
	api := x.Group("/api", needsKey)
	api.MustHandle("GET /items/{id}", func(c *conn.Conn, m *mghttp.Message) {
		mghttp.Reply(c, 200, "text/plain", "item %s", m.PathValue("id"))
	})
	server := mghttp.NewServer(mghttp.Options{})
	d := conntest.New(nil, x.Serve, conntest.Options{Setup: func(c *conn.Conn) { mghttp.Attach(c, server) }})
	for _, head := range []string{"GET / HTTP/1.1", "GET /api/items/7 HTTP/1.1", "GET /api/none HTTP/1.1", "GET /api/items/7 HTTP/1.1\r\nX-Key: secret"} {
		d.Send(head + "\r\nHost: device\r\n\r\n")
		status, _, _ := strings.Cut(d.Sent(), "\r\n")
		fmt.Println(status)
	}
	// Output:
	// HTTP/1.1 200 OK
	// HTTP/1.1 403 Forbidden
	// HTTP/1.1 403 Forbidden
	// HTTP/1.1 200 OK
}
