package http_test

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/seed4930a636/mangusta/conn"
	mghttp "github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
)

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
	ask(func(*mgr.Manager) conn.Handler {
		return func(c *conn.Conn, ev conn.Event) {
			if m, ok := ev.(*mghttp.Message); ok {
				mghttp.ServeDir(c, m, root, o)
			}
		}
	}, []string{"Cache-Control"}, "GET /ui/main.js", "GET /ui/.env", "GET /ui/users", "GET /ui/../etc/passwd")
	// Output:
	// 200 OK max-age=3600 run()
	// 404 Not Found  no /ui/.env here
	// 404 Not Found  no /ui/users here
	// 404 Not Found  no /ui/../etc/passwd here
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
	ask(func(*mgr.Manager) conn.Handler {
		return func(c *conn.Conn, ev conn.Event) {
			if m, ok := ev.(*mghttp.Message); ok {
				mghttp.ServeFile(c, m, f.Name())
			}
		}
	}, []string{"Content-Type"}, "GET /help", "POST /help")
	// Output:
	// 200 OK text/plain; charset=utf-8 the manual
	// 405 Method Not Allowed text/plain; charset=utf-8 405 Method Not Allowed
}
