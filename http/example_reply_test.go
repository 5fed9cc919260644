package http_test

import (
	"fmt"
	"strings"
	"testing/fstest"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/conn/conntest"
	mghttp "github.com/seed4930a636/mangusta/http"
)

// SetHeader replaces a field of the reply to come, AddHeader adds another one.
func ExampleAddHeader() {
	server := mghttp.NewServer(mghttp.Options{NoDate: true})
	d := conntest.New(nil, func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*mghttp.Message); ok {
			mghttp.SetHeader(c, "Cache-Control", "no-store")
			mghttp.AddHeader(c, "Link", "</app.css>; rel=preload")
			mghttp.AddHeader(c, "Link", "</app.js>; rel=preload")
			mghttp.Reply(c, 200, "text/plain", "hello\n")
		}
	}, conntest.Options{Setup: func(c *conn.Conn) { mghttp.Attach(c, server) }})
	d.Send("GET / HTTP/1.1\r\nHost: device\r\n\r\n")
	fmt.Print(strings.ReplaceAll(d.Sent(), "\r", ""))
	// Output:
	// HTTP/1.1 200 OK
	// Content-Type: text/plain
	// Content-Length: 6
	// Cache-Control: no-store
	// Link: </app.css>; rel=preload
	// Link: </app.js>; rel=preload
	//
	// hello
}

// A browser loads the style sheet while the page is being made.
func ExampleSendInterim() {
	server := mghttp.NewServer(mghttp.Options{NoDate: true})
	d := conntest.New(nil, func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*mghttp.Message); ok {
			mghttp.SendInterim(c, 103, mghttp.Field{Name: []byte("Link"), Value: []byte("</app.css>; rel=preload")})
			mghttp.Reply(c, 200, "text/html", "<p>hello\n")
		}
	}, conntest.Options{Setup: func(c *conn.Conn) { mghttp.Attach(c, server) }})
	d.Send("GET / HTTP/1.1\r\nHost: device\r\n\r\n")
	fmt.Print(strings.ReplaceAll(d.Sent(), "\r", ""))
	// Output:
	// HTTP/1.1 103 Early Hints
	// Link: </app.css>; rel=preload
	//
	// HTTP/1.1 200 OK
	// Content-Type: text/html
	// Content-Length: 9
	//
	// <p>hello
}

// A reply whose length is known. If its source fails, Abort cuts the connection: the client must
// not take half a body for the whole.
func ExampleBeginLength() {
	server := mghttp.NewServer(mghttp.Options{NoDate: true})
	d := conntest.New(nil, func(c *conn.Conn, ev conn.Event) {
		if m, ok := ev.(*mghttp.Message); ok {
			mghttp.BeginLength(c, 200, "text/plain", 10)
			mghttp.WriteChunk(c, []byte("hello"))
			if m.Match("/broken") {
				mghttp.Abort(c)
				return
			}
			mghttp.WriteChunk(c, []byte(", you"))
			mghttp.End(c)
		}
	}, conntest.Options{Setup: func(c *conn.Conn) { mghttp.Attach(c, server) }})
	d.Send("GET / HTTP/1.1\r\nHost: device\r\n\r\n")
	_, body, _ := strings.Cut(d.Sent(), "\r\n\r\n")
	fmt.Println(body)
	d.Send("GET /broken HTTP/1.1\r\nHost: device\r\n\r\n")
	d.WantClosed(conn.Local)
	// Output: hello, you
}

// A file that the program has opened itself. The name gives the content type.
func ExampleServeOpenFile() {
	files := fstest.MapFS{"v7.bin": {Data: []byte("an image")}}
	server := mghttp.NewServer(mghttp.Options{NoDate: true})
	d := conntest.New(nil, func(c *conn.Conn, ev conn.Event) {
		if m, ok := ev.(*mghttp.Message); ok {
			f, err := files.Open("v7.bin")
			if err != nil {
				mghttp.Error(c, 404)
				return
			}
			mghttp.ServeOpenFile(c, m, f, "firmware.txt")
		}
	}, conntest.Options{Setup: func(c *conn.Conn) { mghttp.Attach(c, server) }})
	d.Send("GET /latest HTTP/1.1\r\nHost: device\r\nRange: bytes=3-\r\n\r\n")
	fmt.Println(strings.ReplaceAll(d.Sent(), "\r", ""))
	// Output:
	// HTTP/1.1 206 Partial Content
	// Content-Type: text/plain; charset=utf-8
	// Content-Length: 5
	// Accept-Ranges: bytes
	// Content-Range: bytes 3-7/8
	//
	// image
}

// A comparison that tells a client nothing by how long it takes.
func ExampleSecretEqual() {
	token := "3f2a9c"
	for _, given := range []string{"3f2a9c", "3f2a9d", ""} {
		fmt.Println(mghttp.SecretEqual(given, token))
	}
	// Output:
	// true
	// false
	// false
}

// The pages of errors in the program's own style: for its own calls of Error, and for requests that
// package http refuses.
func ExampleOptions_errorPage() {
	server := mghttp.NewServer(mghttp.Options{NoDate: true, ErrorPage: func(status int) mghttp.Page {
		return mghttp.Page{ContentType: "text/html", Body: fmt.Appendf(nil, "<h1>%s</h1>\n", mghttp.StatusText(status))}
	}})
	d := conntest.New(nil, func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*mghttp.Message); ok {
			mghttp.Error(c, 404)
		}
	}, conntest.Options{Setup: func(c *conn.Conn) { mghttp.Attach(c, server) }})
	d.Send("GET / HTTP/1.1\r\nHost: device\r\n\r\n")
	fmt.Print(strings.ReplaceAll(d.Sent(), "\r", ""))
	// Output:
	// HTTP/1.1 404 Not Found
	// Content-Type: text/html
	// Content-Length: 19
	//
	// <h1>Not Found</h1>
}
