package http_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing/fstest"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/conn/conntest"
	mghttp "github.com/seed4930a636/mangusta/http"
)

// Files that are built into the program, as with package embed.
func ExampleServeFS() {
	files := fstest.MapFS{"index.html": {Data: []byte("<p>hi")}, "app/main.js": {Data: []byte("run()")}}
	server := mghttp.NewServer(mghttp.Options{NoDate: true})
	d := conntest.New(nil, func(c *conn.Conn, ev conn.Event) {
		if m, ok := ev.(*mghttp.Message); ok {
			mghttp.ServeFS(c, m, files, mghttp.FileOptions{Prefix: "/ui"})
		}
	}, conntest.Options{Setup: func(c *conn.Conn) { mghttp.Attach(c, server) }})
	for _, path := range []string{"/ui/", "/ui/app/main.js", "/ui/../secret"} {
		d.Send("GET " + path + " HTTP/1.1\r\nHost: device\r\n\r\n")
		reply := d.Sent()
		status, _, _ := strings.Cut(reply, "\r\n")
		_, body, _ := strings.Cut(reply, "\r\n\r\n")
		fmt.Println(status, strings.TrimSpace(body))
	}
	// Output:
	// HTTP/1.1 200 OK <p>hi
	// HTTP/1.1 200 OK run()
	// HTTP/1.1 404 Not Found 404 Not Found
}

// A directory of the machine: no path and no symbolic link leads out of it.
func ExampleServeDir() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	os.WriteFile(filepath.Join(dir, "main.js"), []byte("run()"), 0o644)
	os.WriteFile(filepath.Join(dir, ".env"), []byte("secret"), 0o644)
	os.Symlink("/etc/passwd", filepath.Join(dir, "users"))
	root, err := os.OpenRoot(dir)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer root.Close()
	o := mghttp.FileOptions{
		Prefix:       "/ui",
		CacheControl: "max-age=3600",
		NotFound: func(c *conn.Conn, m *mghttp.Message) {
			mghttp.Reply(c, 404, "text/plain", "no %s here", m.Path)
		},
	}
	server := mghttp.NewServer(mghttp.Options{NoDate: true})
	d := conntest.New(nil, func(c *conn.Conn, ev conn.Event) {
		if m, ok := ev.(*mghttp.Message); ok {
			mghttp.ServeDir(c, m, root, o)
		}
	}, conntest.Options{Setup: func(c *conn.Conn) { mghttp.Attach(c, server) }})
	for _, path := range []string{"/ui/main.js", "/ui/.env", "/ui/users", "/ui/../etc/passwd"} {
		d.Send("GET " + path + " HTTP/1.1\r\nHost: device\r\n\r\n")
		reply := d.Sent()
		status, _, _ := strings.Cut(reply, "\r\n")
		_, body, _ := strings.Cut(reply, "\r\n\r\n")
		fmt.Println(status, body)
	}
	// Output:
	// HTTP/1.1 200 OK run()
	// HTTP/1.1 404 Not Found no /ui/.env here
	// HTTP/1.1 404 Not Found no /ui/users here
	// HTTP/1.1 404 Not Found no /ui/../etc/passwd here
}

// One file, whatever the path.
func ExampleServeFile() {
	f, err := os.CreateTemp("", "*.txt")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.Remove(f.Name())
	f.WriteString("the manual")
	f.Close()
	server := mghttp.NewServer(mghttp.Options{NoDate: true})
	d := conntest.New(nil, func(c *conn.Conn, ev conn.Event) {
		if m, ok := ev.(*mghttp.Message); ok {
			mghttp.ServeFile(c, m, f.Name())
		}
	}, conntest.Options{Setup: func(c *conn.Conn) { mghttp.Attach(c, server) }})
	for _, method := range []string{"GET", "POST"} {
		d.Send(method + " /help HTTP/1.1\r\nHost: device\r\n\r\n")
		reply := d.Sent()
		status, _, _ := strings.Cut(reply, "\r\n")
		_, body, _ := strings.Cut(reply, "\r\n\r\n")
		fmt.Println(status, strings.TrimSpace(body))
	}
	// Output:
	// HTTP/1.1 200 OK the manual
	// HTTP/1.1 405 Method Not Allowed 405 Method Not Allowed
}
