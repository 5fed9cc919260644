package fuzz

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/conn/conntest"
	"github.com/seed4930a636/mangusta/http"
)

// FuzzFilename: the name of a file that came with a form is one element of a path, whatever was
// sent, and saving it under that name stays in the directory.
func FuzzFilename(f *testing.F) {
	for _, s := range []string{"a.txt", `C:\x\y.txt`, "../../etc/passwd", "..", ".", "", "a/", "a\x00b", "\u202etxt.exe", "/", strings.Repeat("x", 300), "a\"; filename*=UTF-8''%2e%2e%2fb", "\xff", "%2e%2e%2f", "..\\..", "CON", " .. "} {
		f.Add(s)
	}
	dir, err := os.MkdirTemp("", "mangusta-fuzz")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { os.RemoveAll(dir) })
	saved := filepath.Join(dir, "saved")
	os.Mkdir(saved, 0o755)
	f.Fuzz(func(t *testing.T, name string) {
		if len(name) > 400 || strings.ContainsAny(name, "\r\n") {
			return
		}
		body := "--b\r\nContent-Disposition: form-data; name=n; filename=\"" + name + "\"\r\n\r\ndata\r\n--b--\r\n"
		var filename string
		var form *http.SavedForm
		status := serveBody(t, body, func(c *conn.Conn, h *http.Head) error {
			return http.SaveForm(c, h, http.FormOptions{
				Path: func(p *http.Part) (string, error) {
					if filename = p.Filename; filename == "" {
						return "", nil
					}
					return filepath.Join(saved, p.Filename), nil
				},
				Done: func(c *conn.Conn, f *http.SavedForm, err error) {
					if form = f; err == nil {
						http.ReplyBytes(c, 200, "", nil)
					}
				}})
		})
		if filename != "" && (filename == "." || filename == ".." || strings.ContainsAny(filename, "/\\\x00\r\n\x7f") || !utf8.ValidString(filename) ||
			!fs.ValidPath(filename) || !filepath.IsLocal(filename) || path.Base(filename) != filename || filepath.Base(filename) != filename) {
			t.Fatalf("%q: file name %q", name, filename)
		}
		outside, _ := os.ReadDir(dir)
		inside, _ := os.ReadDir(saved)
		if len(outside) != 1 || len(inside) > 1 || len(inside) == 1 && (status != 200 || inside[0].Name() != filename) || len(inside) == 0 && status == 200 && filename != "" {
			t.Fatalf("%q: file name %q, %d: %v, %v", name, filename, status, outside, inside)
		}
		if status != 200 && status != 400 {
			t.Fatalf("%q: file name %q: %d %v", name, filename, status, form)
		}
		for _, e := range inside {
			if text, err := os.ReadFile(filepath.Join(saved, e.Name())); err != nil || string(text) != "data" {
				t.Fatalf("%q: %q %v", name, text, err)
			}
			os.Remove(filepath.Join(saved, e.Name()))
		}
	})
}

// serveBody returns the status of the reply to a form.
func serveBody(t *testing.T, body string, handle func(c *conn.Conn, h *http.Head) error) int {
	r := &httpRig{wire: conntest.NewWire(), loop: conntest.NewLoop()}
	l := conn.Limits{}.WithDefaults()
	r.c = r.loop.Add(r.wire, &l, func(c *conn.Conn, ev conn.Event) {
		if h, ok := ev.(*http.Head); ok {
			if err := handle(c, h); err != nil {
				t.Fatal(err)
			}
		}
	})
	http.Attach(r.c, http.NewServer(http.Options{}))
	r.feed(fmtRequest(body))
	return statusOf(r.wire.Sent)
}

func fmtRequest(body string) []byte {
	return fmt.Appendf(nil, "POST / HTTP/1.1\r\nHost: h\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

func statusOf(reply []byte) (status int) {
	fmt.Sscanf(string(reply), "HTTP/1.1 %d", &status)
	return status
}

// FuzzPaths: no target gets what is outside of the directory, and what it gets is the file at its
// path, decoded and cleaned.
func FuzzPaths(f *testing.F) {
	for _, s := range []string{"a.txt", "sub/b.txt", "../secret", "%2e%2e/secret", "sub/..%2f..%2fsecret", "..%5csecret", "link", "sub/../a.txt", "a.txt/", "%00", "sub//b.txt", ".hidden", "a.txt%00.png", "out/secret", "\u00fc.txt", "%c3%bc.txt", "?a.txt", "sub"} {
		f.Add(s)
	}
	dir, err := os.MkdirTemp("", "mangusta-fuzz")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { os.RemoveAll(dir) })
	root := filepath.Join(dir, "root")
	os.MkdirAll(filepath.Join(root, "sub"), 0o755)
	os.WriteFile(filepath.Join(dir, "secret"), []byte("secret"), 0o644)
	files := []string{"a.txt", "sub/b.txt", ".hidden", "\u00fc.txt", "secret.txt"}
	for _, name := range files {
		os.WriteFile(filepath.Join(root, name), []byte("this is "+name), 0o644)
	}
	os.Symlink(filepath.Join(dir, "secret"), filepath.Join(root, "link"))
	os.Symlink("..", filepath.Join(root, "out"))
	os.Symlink("../secret", filepath.Join(root, "near"))
	served, err := os.OpenRoot(root)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { served.Close() })
	f.Fuzz(func(t *testing.T, target string) {
		if len(target) > 150 || strings.ContainsAny(target, "\r\n ") {
			return
		}
		var decoded string
		r := &httpRig{wire: conntest.NewWire(), loop: conntest.NewLoop()}
		l := conn.Limits{}.WithDefaults()
		r.c = r.loop.Add(r.wire, &l, func(c *conn.Conn, ev conn.Event) {
			if m, ok := ev.(*http.Message); ok {
				decoded = string(m.Path)
				http.ServeDir(c, m, served, http.FileOptions{List: true, Dotfiles: true})
			}
		})
		http.Attach(r.c, http.NewServer(http.Options{}))
		r.feed([]byte("GET /" + target + " HTTP/1.1\r\nHost: h\r\n\r\n"))
		status := statusOf(r.wire.Sent)
		_, body, _ := bytes.Cut(r.wire.Sent, []byte("\r\n\r\n"))
		if string(body) == "secret" || bytes.Contains(body, []byte("root/")) {
			t.Fatalf("%q: %d %q", target, status, body)
		}
		if status != 200 || bytes.Contains(body, []byte("<")) { // a listing
			return
		}
		name := strings.TrimPrefix(path.Clean("/"+decoded), "/")
		if want := "this is " + name; string(body) != want || strings.Contains(decoded, "\\") {
			t.Fatalf("%q, path %q: %q", target, decoded, body)
		}
	})
}
