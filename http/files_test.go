package http

import (
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
)

//go:embed testdata/site
var embedded embed.FS

func serving(fsys fs.FS, o FileOptions) conn.Handler {
	return func(c *conn.Conn, ev conn.Event) {
		if m, ok := ev.(*Message); ok {
			ServeFS(c, m, fsys, o)
		}
	}
}

// site writes a small site to a directory and returns it.
func site(t testing.TB) (string, fs.FS) {
	dir := t.TempDir()
	for name, text := range map[string]string{"index.html": "<p>root", "a b.txt": "spaced", "sub/index.html": "<p>sub", "sub/x.css": "css",
		".secret": "no", "sub/.git/config": "no", "none/x": "x", "empty": "", "Ü.json": "{}", `sub\x.css`: "no"} {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		os.Chtimes(p, time.Time{}, time.Unix(1_600_000_000, 0))
	}
	return dir, os.DirFS(dir)
}

func request(method, target string, fields ...string) string {
	return method + " " + target + " HTTP/1.1\r\nHost: h\r\n" + strings.Join(append(fields, ""), "\r\n") + "\r\n"
}

func TestServeFSStatuses(t *testing.T) {
	dir, fsys := site(t)
	if err := unix.Mkfifo(filepath.Join(dir, "fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	os.Symlink("/dev/zero", filepath.Join(dir, "device"))
	os.Symlink("loop", filepath.Join(dir, "loop"))
	tc := newTest(t, Options{}, serving(fsys, FileOptions{Prefix: "/s/"}))
	for _, x := range []struct {
		target string
		status int
		has    string
	}{
		{"/s/", 200, "<p>root"},
		{"/s", 301, "Location: /s/\r\n"},
		{"/s?q=1", 301, "Location: /s/?q=1\r\n"},
		{"/s/index.html", 200, "Content-Type: text/html; charset=utf-8\r\n"},
		{"/s/a%20b.txt", 200, "spaced"},
		{"/s/%C3%9C.json", 200, "application/json"},
		{"/s/sub/", 200, "<p>sub"},
		{"/s/sub", 301, "Location: /s/sub/\r\n"},
		{"/s/s%75b?a=%0d%0ab", 301, "Location: /s/s%75b/?a=%0d%0ab\r\n"},
		{"http://h/s/sub", 301, "Location: /s/sub/\r\n"},
		{"/s/sub/x.css", 200, "text/css"},
		{"/s/empty", 200, "Content-Length: 0\r\n"},
		{"/s/none/", 404, ""},
		{"/s/index.html/", 404, ""},
		{"/s/missing", 404, ""},
		{"/s/index.html/x", 404, ""},
		{"/sub/", 404, ""},
		{"/stuff", 404, ""},
		{"/", 404, ""},
		{"/s//", 404, ""},
		{"/s//sub/", 404, ""},
		{"/s/sub//x.css", 404, ""},
		{"/s/.secret", 404, ""},
		{"/s/%2esecret", 404, ""},
		{"/s/sub/.git/config", 404, ""},
		{"/s/./index.html", 404, ""},
		{"/s/..", 404, ""},
		{"/s/../s/index.html", 404, ""},
		{"/s/sub/../index.html", 404, ""},
		{"/s/%2e%2e/%2e%2e/etc/passwd", 404, ""},
		{"/s/..%2f..%2fetc/passwd", 404, ""},
		{"/s/sub%2fx.css", 404, ""},
		{"/s/sub%5cx.css", 404, ""},
		{"/s/index.html%00", 404, ""},
		{"/s/index.html%0d%0aX:%20y", 404, ""},
		{"/s/fifo", 404, ""},
		{"/s/device", 404, ""},
		{"/s/loop", 404, ""},
		{"/s/" + strings.Repeat("a", 1000), 404, ""},
	} {
		tc.send(request("GET", x.target))
		out := tc.wire.out.String()
		if !strings.Contains(out, x.has) {
			t.Errorf("%s: no %q in\n%s", x.target, x.has, out)
		}
		if strings.Count(out, "HTTP/1.1 ") != 1 || !strings.HasPrefix(out, fmt.Sprint("HTTP/1.1 ", x.status)) {
			t.Errorf("%s: want %d:\n%s", x.target, x.status, out)
		}
		tc.wire.out.Reset()
	}
	tc.wantOpen()
}

func TestServeFSMethods(t *testing.T) {
	_, fsys := site(t)
	tc := newTest(t, Options{}, serving(fsys, FileOptions{}))
	tc.send(request("GET", "/"))
	got := tc.reply()
	tc.send(request("HEAD", "/"))
	h := tc.reply()
	if h+"<p>root" != got {
		t.Fatalf("%q\n%q", h, got)
	}
	for _, part := range []string{"Content-Length: 7\r\nETag: \"", "-7\"\r\nLast-Modified: Sun, 13 Sep 2020 12:26:40 GMT\r\n\r\n"} {
		if !strings.Contains(h, part) {
			t.Errorf("no %q in %q", part, h)
		}
	}
	tc.send(request("POST", "/"))
	if got := tc.reply(); !strings.Contains(got, "405 Method Not Allowed\r\n") || !strings.Contains(got, "Allow: GET, HEAD\r\n") {
		t.Fatalf("%q", got)
	}
	tc.wantOpen()
}

// A symbolic link that leads out of an os.Root is a file that does not exist.
func TestServeFSRoot(t *testing.T) {
	dir, _ := site(t)
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	unix.Mkfifo(filepath.Join(dir, "fifo"), 0o644)
	os.Symlink("/etc/passwd", filepath.Join(dir, "out"))
	os.Symlink("..", filepath.Join(dir, "up"))
	os.Symlink("sub/x.css", filepath.Join(dir, "in"))
	tc := newTest(t, Options{}, serving(root.FS(), FileOptions{}))
	for _, target := range []string{"/out", "/up", "/up/", "/up/x", "/fifo", "/in", "/"} {
		tc.send(request("GET", target))
	}
	tc.wantStatus(404, 404, 404, 404, 404, 200, 200)
	tc.wantOpen()
}

// RFC 9110 13.
func TestServeFSConditions(t *testing.T) {
	_, fsys := site(t)
	tc := newTest(t, Options{}, serving(fsys, FileOptions{}))
	tc.send(request("GET", "/"))
	out := tc.reply()
	_, tag, _ := strings.Cut(out, "ETag: ")
	tag, _, _ = strings.Cut(tag, "\r\n")
	const same, before, after = "Sun, 13 Sep 2020 12:26:40 GMT", "Sun, 13 Sep 2020 12:26:39 GMT", "Sun, 13 Sep 2020 12:26:41 GMT"
	for _, x := range []struct {
		fields string
		status int
	}{
		{"If-None-Match: " + tag, 304},
		{"If-None-Match: W/" + tag, 304},
		{`If-None-Match: "a", W/"b,c" ,` + tag, 304},
		{"If-None-Match: \"a\"\r\nIf-None-Match: " + tag, 304},
		{"If-None-Match: *", 304},
		{`If-None-Match: "a"`, 200},
		{"If-None-Match: " + strings.Trim(tag, `"`), 200},
		{`If-None-Match: "`, 200},
		{`If-None-Match: W/`, 200},
		{"If-None-Match:", 200},
		{"If-None-Match: \"a\"\r\nIf-Modified-Since: " + same, 200}, // 13.1.3: the date is ignored
		{"If-Modified-Since: " + same, 304},
		{"If-Modified-Since: " + after, 304},
		{"If-Modified-Since: " + before, 200},
		{"If-Modified-Since: Sunday, 13-Sep-20 12:26:40 GMT", 304},
		{"If-Modified-Since: Sun Sep 13 12:26:40 2020", 304},
		{"If-Modified-Since: yesterday", 200},
		{"If-Match: " + tag, 200},
		{"If-Match: *", 200},
		{"If-Match: W/" + tag, 412}, // 13.1.1: strong comparison
		{`If-Match: "a"`, 412},
		{"If-Unmodified-Since: " + same, 200},
		{"If-Unmodified-Since: " + before, 412},
		{"If-Match: " + tag + "\r\nIf-Unmodified-Since: " + before, 200},
	} {
		tc.send(request("GET", "/", x.fields))
		got := tc.reply()
		if !strings.HasPrefix(got, fmt.Sprint("HTTP/1.1 ", x.status)) || !strings.Contains(got, "ETag: "+tag+"\r\n") {
			t.Errorf("%s: want %d:\n%s", x.fields, x.status, got)
		}
		if x.status == 304 && (strings.Contains(got, "Content-Length") || !strings.HasSuffix(got, "\r\n\r\n")) {
			t.Errorf("%q", got)
		}
	}
	tc.wantOpen()
}

func TestServeFSEmbedded(t *testing.T) {
	fsys, err := fs.Sub(embedded, "testdata/site")
	if err != nil {
		t.Fatal(err)
	}
	handlers := map[string]conn.Handler{"/": serving(fsys, FileOptions{}), "/testdata/site/": serving(embedded, FileOptions{})}
	for name, h := range handlers {
		tc := newTest(t, Options{}, h)
		tc.send(request("GET", name))
		out := tc.reply()
		if !strings.HasSuffix(out, "\r\n\r\n<h1>hi</h1>\n") || strings.Contains(out, "Last-Modified") {
			t.Fatalf("%q", out)
		}
		_, tag, found := strings.Cut(out, "ETag: ")
		if name == "/" {
			continue // fs.Sub hides the embed.FS
		}
		if !found {
			t.Fatalf("no ETag in %q", out)
		}
		tag, _, _ = strings.Cut(tag, "\r\n")
		tc.send(request("GET", name, "If-None-Match: "+tag))
		tc.wantStatus(304)
	}
}

// A file goes out in steps, however large it is, and pipelined requests wait behind it.
func TestServeFSLargeFile(t *testing.T) {
	big := strings.Repeat("0123456789abcdef", 1<<16) // 1 MiB
	opened := &countFS{FS: fstest.MapFS{"big": {Data: []byte(big)}}}
	tc := newTest(t, Options{}, serving(opened, FileOptions{}))
	tc.wire.room = 0
	tc.send(request("GET", "/big") + request("GET", "/big"))
	most := 0
	for range 1000 {
		tc.wire.room = 10_000
		tc.c.Writable()
		tc.settle()
		most = max(most, tc.c.Pending())
		if tc.c.Pending() == 0 {
			break
		}
	}
	if most > 3*fileStep+1000 { // two steps, and the first of the next file
		t.Fatal(most, "bytes were queued")
	}
	out := tc.reply()
	want := "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: 1048576\r\n\r\n" + big
	if out != want+want {
		t.Fatal("wrong bytes:", len(out))
	}
	tc.wantOpen()
	if opened.n != 0 {
		t.Fatal(opened.n, "files are open")
	}
}

// countFS counts the files that are open.
type countFS struct {
	fs.FS
	n int
}

type countFile struct {
	fs.File
	of *countFS
}

func (c *countFS) Open(name string) (fs.File, error) {
	f, err := c.FS.Open(name)
	if err == nil {
		c.n++
		f = countFile{f, c}
	}
	return f, err
}

func (f countFile) Close() error { f.of.n--; return f.File.Close() }

func TestServeFSClosesTheFile(t *testing.T) {
	fsys := &countFS{FS: fstest.MapFS{"big": {Data: make([]byte, 1<<20)}, "small": {Data: []byte("x")}}}
	tc := newTest(t, Options{}, serving(fsys, FileOptions{}))
	tc.send(request("HEAD", "/big"), request("GET", "/small"), request("GET", "/small", "If-Match: \"x\""))
	if fsys.n != 0 {
		t.Fatal(fsys.n, "files are open")
	}
	tc.wire.room = 0
	tc.send(request("GET", "/big"))
	if fsys.n != 1 {
		t.Fatal(fsys.n, "files are open")
	}
	tc.c.Close()
	tc.settle()
	if fsys.n != 0 {
		t.Fatal("the file is open when the connection is gone")
	}
}

// RFC 9112 8: a body shorter than its Content-Length ends in a cut connection.
func TestServeFSTruncatedFile(t *testing.T) {
	dir, fsys := site(t)
	name := filepath.Join(dir, "big")
	if err := os.WriteFile(name, make([]byte, 1<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	tc := newTest(t, Options{}, serving(fsys, FileOptions{}))
	tc.wire.room = 100_000
	tc.send(request("GET", "/big"))
	if err := os.Truncate(name, 200_000); err != nil {
		t.Fatal(err)
	}
	tc.wire.room = -1
	tc.c.Writable()
	tc.settle()
	if !tc.done || tc.reason != conn.IOError {
		t.Fatal("the connection was not cut:", tc.reason)
	}
	if n := tc.wire.out.Len(); n > 210_000 {
		t.Fatal(n, "bytes")
	}
}

func TestServeFSShutdownFinishesTheFile(t *testing.T) {
	tc := newTest(t, Options{}, serving(fstest.MapFS{"big": {Data: make([]byte, 1<<20)}}, FileOptions{}))
	tc.wire.room = 1000
	tc.send(request("GET", "/big"))
	tc.c.Fire(conn.Shutdown{})
	tc.wire.room = -1
	tc.c.Writable()
	tc.settle()
	if n := len(tc.reply()); n < 1<<20 {
		t.Fatal(n, "bytes")
	}
	tc.wantClosed(conn.Local)
}

func TestContentType(t *testing.T) {
	for name, want := range map[string]string{"a.html": "text/html; charset=utf-8", "a.b/c": "application/octet-stream",
		"X.PNG": "image/png", "a.tar.gz": "application/gzip", "noext": "application/octet-stream", "a.": "application/octet-stream"} {
		if got := contentType(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}
