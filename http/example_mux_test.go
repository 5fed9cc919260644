package http_test

import (
	"fmt"

	"github.com/seed4930a636/mangusta/conn"
	mghttp "github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
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
	ask(func(*mgr.Manager) conn.Handler { return x.Serve }, []string{"Allow", "Location"},
		"GET /items/a%2Fb", "DELETE /items/7", "PUT /items/7", "GET /files/css/main.css", "GET /files", "GET /none")
	// Output:
	// 200 OK   item a/b
	// 200 OK   item 7 is gone
	// 405 Method Not Allowed DELETE, GET, HEAD  405 Method Not Allowed
	//
	// 200 OK   file css/main.css
	// 307 Temporary Redirect  /files/ 307 Temporary Redirect
	//
	// 404 Not Found   404 Not Found
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
				fmt.Printf("%s %s by %q: ", head.Method, head.Path, head.Pattern())
				mghttp.SetHeader(c, "X-Content-Type-Options", "nosniff")
			}
			next(c, ev)
		}
	})
	ask(func(*mgr.Manager) conn.Handler { return x.Serve }, []string{"X-Content-Type-Options"}, "GET /items/7", "GET /none")
	// Output:
	// GET /items/7 by "GET /items/{id}": 200 OK nosniff item 7
	// GET /none by "": 404 Not Found nosniff 404 Not Found
}

// Only the device's owner may send firmware, of any length, and nobody else's is even received.
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
			mghttp.Stream(c)
		case *mghttp.Chunk:
			if size += len(ev.Data); ev.Last {
				mghttp.Reply(c, 200, "text/plain", "%d bytes", size)
			}
		}
	}, owner)
	const put = "PUT /firmware HTTP/1.1\r\nHost: device\r\nContent-Length: 3\r\n"
	talk(func(*mgr.Manager) conn.Handler { return x.Serve }, nil,
		put+"\r\nabc", put+"Authorization: Bearer secret\r\n\r\nabc")
	// Output:
	// 403 Forbidden 403 Forbidden
	//
	// 200 OK 3 bytes
}
