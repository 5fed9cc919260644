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
	for name, text := range map[string]string{"index.html": "<p>root", "a b.txt": "spaced",
		"sub/index.html": "<p>sub", "sub/x.css": "css",
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
		out := string(tc.Wire.Sent)
		if !strings.Contains(out, x.has) {
			t.Errorf("%s: no %q in\n%s", x.target, x.has, out)
		}
		if strings.Count(out, "HTTP/1.1 ") != 1 || !strings.HasPrefix(out, fmt.Sprint("HTTP/1.1 ", x.status)) {
			t.Errorf("%s: want %d:\n%s", x.target, x.status, out)
		}
		tc.Sent()
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
	for _, part := range []string{"Content-Length: 7\r\nETag: \"",
		"-7\"\r\nLast-Modified: Sun, 13 Sep 2020 12:26:40 GMT\r\nAccept-Ranges: bytes\r\n\r\n"} {
		if !strings.Contains(h, part) {
			t.Errorf("no %q in %q", part, h)
		}
	}
	tc.send(request("POST", "/"))
	if got := tc.reply(); !strings.Contains(got, "405 Method Not Allowed\r\n") || !strings.Contains(got,
		"Allow: GET, HEAD\r\n") {
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

// An embed.FS knows no times: the ETag is made of the content, through fs.Sub and other wrappers,
// too, and made once.
func TestServeFSEmbedded(t *testing.T) {
	sub, err := fs.Sub(embedded, "testdata/site")
	if err != nil {
		t.Fatal(err)
	}
	tags := map[string]bool{}
	for name, fsys := range map[string]fs.FS{"/": sub, "/testdata/site/": embedded} {
		tc := newTest(t, Options{}, serving(fsys, FileOptions{}))
		tc.send(request("GET", name))
		out := tc.reply()
		if !strings.HasSuffix(out, "\r\n\r\n<h1>hi</h1>\n") || strings.Contains(out, "Last-Modified") {
			t.Fatalf("%q", out)
		}
		tag := field(out, "ETag")
		tags[tag] = true
		tc.send(request("GET", name, "If-None-Match: "+tag))
		tc.wantStatus(304)
		tc.send(request("GET", name, "Range: bytes=1-2"))
		if out := tc.reply(); !strings.HasSuffix(out, "\r\n\r\nh1") || field(out, "ETag") != tag {
			t.Fatalf("%q", out)
		}
		tc.send(request("GET", name+"a.css"))
		if other := field(tc.reply(), "ETag"); other == "" || other == tag {
			t.Fatalf("a.css has the ETag %q, index.html %q", other, tag)
		}
		if len(tc.s.etags) != 2 {
			t.Fatal(len(tc.s.etags), "hashes are kept")
		}
	}
	if len(tags) != 1 || tags[""] {
		t.Fatal("ETags of one file:", tags)
	}
}

// field returns the value of a field of a reply, "" when it is not there.
func field(reply, name string) string {
	head, _, _ := strings.Cut(reply, "\r\n\r\n")
	_, v, _ := strings.Cut(head, "\r\n"+name+": ")
	v, _, _ = strings.Cut(v, "\r\n")
	return v
}

// Reproducible builds stamp all files with one time: it says nothing about their content.
func TestServeFSFilesWithoutAClock(t *testing.T) {
	for _, mod := range []time.Time{{}, time.Unix(0, 0), time.Unix(1, 0), time.Date(1980, 1, 1, 0, 0, 0, 0, time.Local)} {
		tc := newTest(t, Options{}, serving(fstest.MapFS{"a": {Data: []byte("x"), ModTime: mod}}, FileOptions{}))
		tc.send(request("GET", "/a"))
		if out := tc.reply(); field(out, "ETag") != "" || field(out, "Last-Modified") != "" {
			t.Errorf("%v: %q", mod, out)
		}
	}
}

// RFC 9110 8.8.2.1: a Last-Modified is never later than the reply.
func TestServeFSFilesFromTheFuture(t *testing.T) {
	tc := newTest(t, Options{}, serving(fstest.MapFS{"a": {Data: []byte("x"), ModTime: time.Now().Add(time.Hour)}},
		FileOptions{}))
	tc.send(request("GET", "/a"))
	mod, ok := ParseTime([]byte(field(tc.reply(), "Last-Modified")))
	if !ok || mod.After(time.Now()) {
		t.Error(mod)
	}
}

func TestContentType(t *testing.T) {
	for name, want := range map[string]string{"a.html": "text/html; charset=utf-8", "a.b/c": "application/octet-stream",
		"X.PNG": "image/png", "a.tar.gz": "application/gzip", "noext": "application/octet-stream",
		"a.": "application/octet-stream"} {
		if got := contentType(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// Whatever a path says, and whatever lies in the directory, nothing outside is reached and nothing
// blocks.
func TestServeDirStatuses(t *testing.T) {
	dir, _ := site(t)
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := unix.Mkfifo(filepath.Join(dir, "fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: filepath.Join(dir, "socket")}); err != nil {
		t.Fatal(err)
	}
	for to, name := range map[string]string{"/etc/passwd": "out", "..": "up", "../../../../etc": "etc",
		"sub/x.css": "in", "sub": "subdir",
		"/dev/zero": "device", "loop": "loop", "fifo": "tofifo", "nothing": "dangling", dir + "/index.html": "absolute"} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	odd := "cr\r\nSet-Cookie: a=b"
	if err := os.WriteFile(filepath.Join(dir, odd), []byte("odd"), 0o644); err != nil {
		t.Fatal(err)
	}
	os.WriteFile(filepath.Join(dir, "invalid\xff"), []byte("invalid"), 0o644)
	os.MkdirAll(filepath.Join(dir, odd+"d"), 0o755)
	tc := newTest(t, Options{}, servingDir(root, FileOptions{Prefix: "/s"}))
	for target, want := range map[string]string{
		"/s/": "200", "/s": "301", "/s/index.html": "200", "/s/sub": "301", "/s/sub/": "200", "/s/sub/x.css": "200",
		"/s/in":     "200",
		"/s/subdir": "301", "/s/subdir/": "200", "/s/cr%0d%0aSet-Cookie:%20a=b": "200",
		"/s/cr%0d%0aSet-Cookie:%20a=bd": "301",
		"/s/invalid%ff":                 "200", "/s/a%20b.txt": "200",
		"/s/out": "404", "/s/up": "404", "/s/up/": "404", "/s/up/etc/passwd": "404", "/s/etc/passwd": "404",
		"/s/etc/":   "404",
		"/s/device": "404", "/s/loop": "404", "/s/fifo": "404", "/s/tofifo": "404", "/s/socket": "404",
		"/s/dangling": "404",
		"/s/absolute": "404", "/s/.secret": "404", "/s/sub/.git/config": "404", "/s/none/": "404",
		"/s/index.html/": "404", "/s/fifo/": "404",
		"/s/index.html/x": "404", "/s//index.html": "404", "/s/./index.html": "404", "/s/sub/..": "404", "/s/..": "404",
		"/s/../../etc/passwd": "404", "/s/%2e%2e/%2e%2e/etc/passwd": "404", "/s/..%2f..%2fetc/passwd": "404",
		"/s/%2e%2e%2fetc":           "404",
		"/s/..%5c..%5cetc%5cpasswd": "404", "/s/sub%5cx.css": "404", "/s/%2fetc/passwd": "404", "/s//etc/passwd": "404",
		"/s/index.html%00": "404", "/s/index.html%00.css": "404", "/s/%00": "404", "/s/%c0%ae%c0%ae/etc/passwd": "404",
		"/s/%252e%252e/etc/passwd": "404", "/s/" + strings.Repeat("a", 1000): "404", "/s/" + strings.Repeat("a/",
			2500): "404",
		"/sx": "404", "/": "404", "/s%2findex.html": "404",
	} {
		tc.send(request("GET", target))
		out := tc.reply()
		if strings.Count(out, "HTTP/1.1 ") != 1 || !strings.HasPrefix(out, "HTTP/1.1 "+want+" ") ||
			strings.Contains(out, "\nSet-Cookie") {
			t.Errorf("%s: want %s:\n%s", target, want, out)
		}
	}
	tc.wantOpen()
	if n := openFiles(t, root); n != 0 {
		t.Error(n, "files are open")
	}
}

// RFC 9110 15.5.4. Root reads everything, so this is for others.
func TestServeDirUnreadable(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root reads everything")
	}
	root, _ := rootWith(t, 10)
	os.Chmod(filepath.Join(root.Name(), "big"), 0)
	tc := newTest(t, Options{}, servingDir(root, FileOptions{}))
	tc.send(request("GET", "/big"))
	tc.wantStatus(403)
}

func TestServeFSDotfiles(t *testing.T) {
	dir, fsys := site(t)
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	o := FileOptions{Dotfiles: true}
	for _, h := range []conn.Handler{serving(fsys, o), servingDir(root, o)} {
		tc := newTest(t, Options{}, h)
		for target, want := range map[string]int{"/.secret": 200, "/sub/.git/config": 200, "/.": 404, "/..": 404,
			"/sub/../.secret": 404,
			"/./.secret":      404, "/...": 404, "/%2e": 404, "/sub/.": 404, "/sub/..": 404, "/sub/../": 404,
			"/sub/%2e%2e/index.html": 404} {
			tc.send(request("GET", target))
			tc.wantStatus(want)
		}
	}
}

// NotFound replies instead of 404 and of nothing else.
func TestServeFSNotFound(t *testing.T) {
	calls := 0
	fsys := fstest.MapFS{"index.html": {Data: []byte("app")}, "d/x": {}}
	o := FileOptions{NotFound: func(c *conn.Conn, m *Message) {
		calls++
		if m.Match("/api/#") {
			Reply(c, 404, "application/json", `{"path":%q}`, m.Path)
			return
		}
		f, _ := fsys.Open("index.html")
		ServeOpenFile(c, m, f, "index.html")
	}}
	tc := newTest(t, Options{}, serving(fsys, o))
	tc.send(request("GET", "/api/x"))
	if out := tc.reply(); !strings.HasPrefix(out, "HTTP/1.1 404 ") || !strings.HasSuffix(out, `{"path":"/api/x"}`) {
		t.Errorf("%q", out)
	}
	for _, target := range []string{"/some/view", "/d/", "/.hidden", "/..", "/a%00"} {
		tc.send(request("GET", target))
		if out := tc.reply(); !strings.HasPrefix(out, "HTTP/1.1 200 ") || !strings.HasSuffix(out, "\r\n\r\napp") {
			t.Errorf("%s: %q", target, out)
		}
	}
	tc.send(request("POST", "/x"), request("GET", "/index.html", "If-Match: \"x\""), request("GET", "/index.html",
		"Range: bytes=9-"))
	tc.wantStatus(405, 412, 416)
	if calls != 6 {
		t.Errorf("called %d times", calls)
	}
	tc.wantOpen()
}

func TestServeFile(t *testing.T) {
	dir, _ := site(t)
	if err := unix.Mkfifo(filepath.Join(dir, "fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "index.html.gz"), []byte("zip"), 0o644); err != nil {
		t.Fatal(err)
	}
	tc := newTest(t, Options{}, func(c *conn.Conn, ev conn.Event) {
		if m, ok := ev.(*Message); ok {
			path := string(m.Header("X-File"))
			if path != "/dev/zero" {
				path = filepath.Join(dir, path)
			}
			ServeFile(c, m, path, FileOptions{Precompressed: true})
		}
	})
	for path, want := range map[string]int{"index.html": 200, ".secret": 200,
		"../" + filepath.Base(dir) + "/sub/x.css": 200,
		"sub": 404, "fifo": 404, "/dev/zero": 404, "missing": 404, "index.html/x": 404} {
		tc.send(request("GET", "/whatever/../..", "X-File: "+path))
		tc.wantStatus(want)
	}
	tc.send(request("GET", "/", "X-File: index.html", "Range: bytes=3-"))
	if out := tc.reply(); !strings.HasSuffix(out, "\r\n\r\nroot") || field(out,
		"Content-Type") != "text/html; charset=utf-8" {
		t.Errorf("%q", out)
	}
	tc.send(request("GET", "/", "X-File: index.html", "Accept-Encoding: gzip"))
	if out := tc.reply(); !strings.HasSuffix(out, "\r\n\r\nzip") || field(out, "Content-Encoding") != "gzip" {
		t.Errorf("%q", out)
	}
	tc.send(request("DELETE", "/", "X-File: index.html"))
	tc.wantStatus(405)
	tc.wantOpen()
}

// The file is closed whatever the reply is.
func TestServeOpenFile(t *testing.T) {
	root, data := rootWith(t, 100_000)
	tc := newTest(t, Options{}, func(c *conn.Conn, ev conn.Event) {
		if m, ok := ev.(*Message); ok {
			f, err := root.Open("big")
			if err != nil {
				t.Fatal(err)
			}
			if m.Match("/closed") {
				f.Close()
			}
			ServeOpenFile(c, m, f, filepath.Join(root.Name(), "x.css"), FileOptions{Precompressed: true})
		}
	})
	if err := os.WriteFile(filepath.Join(root.Name(), "x.css.gz"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	tc.send(request("GET", "/", "Accept-Encoding: gzip"))
	if out := tc.reply(); !strings.HasSuffix(out, "\r\n\r\n"+string(data)) || field(out,
		"Content-Type") != "text/css; charset=utf-8" {
		t.Errorf("%.500q", out)
	}
	tc.send(request("GET", "/closed"), request("POST", "/"), request("HEAD", "/"), request("GET", "/", "Range: bytes=-0"))
	tc.wantStatus(500, 405, 200, 416)
	if n := openFiles(t, root); n != 0 {
		t.Error(n, "files are open")
	}
	f, _ := root.Open("big")
	if err := ServeOpenFile(tc.c, &Message{}, f, "x"); err != ErrNoRequest {
		t.Error(err)
	}
	if n := openFiles(t, root); n != 0 {
		t.Error(n, "files are open")
	}
}

// Failures on the server's side go to its log.
func TestServeFSLogs(t *testing.T) {
	for errno, want := range map[unix.Errno]int{unix.EIO: 500, unix.EMFILE: 503, unix.ENFILE: 503, unix.EACCES: 403,
		unix.ENAMETOOLONG: 404,
		unix.ENXIO:        404, unix.ELOOP: 404} {
		tc := newTest(t, Options{}, serving(failingFS{errno}, FileOptions{}))
		var log logged
		tc.Loop.Shared.Log = &log
		tc.send(request("GET", "/x"))
		tc.wantStatus(want)
		if (len(log) == 1) != (want >= 500) {
			t.Errorf("%v: logged %q", errno, log)
		}
	}
}

type failingFS struct{ err error }

func (f failingFS) Open(name string) (fs.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: f.err}
}

type logged []string

func (l *logged) Warn(msg string, args ...any)  { *l = append(*l, fmt.Sprint(msg, args)) }
func (l *logged) Error(msg string, args ...any) { *l = append(*l, fmt.Sprint(msg, args)) }
