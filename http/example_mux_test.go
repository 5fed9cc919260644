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
		return func(c *conn.Conn, m *mghttp.Message) {
			fmt.Printf("%s %s by %q: ", m.Method, m.Path, m.Pattern())
			mghttp.SetHeader(c, "X-Content-Type-Options", "nosniff")
			next(c, m)
		}
	})
	ask(func(*mgr.Manager) conn.Handler { return x.Serve }, []string{"X-Content-Type-Options"}, "GET /items/7", "GET /none")
	// Output:
	// GET /items/7 by "GET /items/{id}": 200 OK nosniff item 7
	// GET /none by "": 404 Not Found nosniff 404 Not Found
}
