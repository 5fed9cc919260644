package http

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/seed4930a636/mangusta/conn"
)

// A file goes out in steps, however large it is, and pipelined requests wait for its end.
func TestServeFSLargeFile(t *testing.T) {
	big := strings.Repeat("0123456789abcdef", 1<<16) // 1 MiB
	opened := &countFS{FS: fstest.MapFS{"big": {Data: []byte(big)}}}
	tc := newTest(t, Options{}, serving(opened, FileOptions{}))
	tc.Wire.Room = 0
	tc.send(request("GET", "/big") + request("GET", "/big"))
	most := 0
	for range 1000 {
		tc.Wire.Room = 10_000
		tc.turn()
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
	tc.Wire.Room = 0
	tc.send(request("GET", "/big"))
	if fsys.n != 1 {
		t.Fatal(fsys.n, "files are open")
	}
	tc.c.Close()
	tc.turn()
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
	tc.Wire.Room = 100_000
	tc.send(request("GET", "/big"))
	if err := os.Truncate(name, 200_000); err != nil {
		t.Fatal(err)
	}
	tc.Wire.Room = -1
	tc.turn()
	if !tc.Closed() || tc.c.Reason() != conn.IOError {
		t.Fatal("the connection was not cut:", tc.c.Reason())
	}
	if n := len(tc.Wire.Sent); n > 210_000 {
		t.Fatal(n, "bytes")
	}
}

func TestServeFSShutdownFinishesTheFile(t *testing.T) {
	tc := newTest(t, Options{}, serving(fstest.MapFS{"big": {Data: make([]byte, 1<<20)}}, FileOptions{}))
	tc.Wire.Room = 1000
	tc.send(request("GET", "/big"))
	tc.c.Driver().Fire(&conn.Shutdown{})
	tc.Wire.Room = -1
	tc.turn()
	if n := len(tc.reply()); n < 1<<20 {
		t.Fatal(n, "bytes")
	}
	tc.wantClosed(conn.Local)
}

func servingDir(root *os.Root, o FileOptions) conn.Handler {
	return func(c *conn.Conn, ev conn.Event) {
		if m, ok := ev.(*Message); ok {
			ServeDir(c, m, root, o)
		}
	}
}

// rootWith opens a directory with one file of that size.
func rootWith(t testing.TB, size int) (*os.Root, []byte) {
	t.Helper()
	dir, data := t.TempDir(), numbers(size)
	if err := os.WriteFile(filepath.Join(dir, "big"), data, 0o644); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root, data
}

// openFiles returns how many descriptors of this process are files below the directory.
func openFiles(t testing.TB, root *os.Root) (n int) {
	t.Helper()
	const fds = "/proc/self/fd"
	list, err := os.ReadDir(fds)
	if err != nil {
		t.Skip("no /proc here")
	}
	for _, e := range list {
		if to, err := os.Readlink(filepath.Join(fds, e.Name())); err == nil && strings.HasPrefix(to, root.Name()+"/") {
			n++
		}
	}
	return n
}

// A file that the connection sends from takes no memory, and is closed before the next request is
// served.
func TestServeDirLargeFile(t *testing.T) {
	root, data := rootWith(t, 1<<20)
	tc := newTest(t, Options{}, servingDir(root, FileOptions{}))
	tc.Wire.Room = 0
	tc.send(request("GET", "/big") + request("GET", "/big", "Range: bytes=1000-900000") + request("GET", "/big"))
	for range 1000 {
		if tc.c.Pending() > 1000 || openFiles(t, root) > 1 {
			t.Fatal(tc.c.Pending(), "bytes were queued,", openFiles(t, root), "files are open")
		}
		if tc.c.Pending() == 0 && tc.c.FilePending() == 0 {
			break
		}
		tc.Wire.Room = 50_000
		tc.turn()
	}
	out := string(tc.Wire.Sent)
	if n := strings.Count(out, "HTTP/1.1 20"); n != 3 {
		t.Fatal(n, "replies")
	}
	for _, want := range []string{string(data), string(data[1000:900001]), string(data)} {
		head, rest, _ := strings.Cut(out, "\r\n\r\n")
		if !strings.HasPrefix(rest, want) {
			t.Fatal("wrong bytes behind", head)
		}
		out = rest[len(want):]
	}
	if out != "" || openFiles(t, root) != 0 {
		t.Fatalf("%d bytes more, %d files are open", len(out), openFiles(t, root))
	}
	tc.wantOpen()
}

func TestServeDirClosesTheFile(t *testing.T) {
	root, _ := rootWith(t, 1<<20)
	for name, end := range map[string]func(tc *testConn){
		"Close":      func(tc *testConn) { tc.c.Close() },
		"reset":      func(tc *testConn) { tc.c.Layer().Fail(conn.Reset, os.ErrClosed) },
		"no handler": func(tc *testConn) { tc.c.SetProtocol(nil, nil); tc.c.Close() },
	} {
		for _, r := range []string{"bytes=0-", "bytes=0-100,200-300,400-"} {
			tc := newTest(t, Options{}, servingDir(root, FileOptions{}))
			tc.Wire.Room = 500
			tc.send(request("GET", "/big", "Range: "+r))
			if n := openFiles(t, root); n != 1 {
				t.Fatal(name, n, "files are open")
			}
			end(tc)
			tc.turn()
			if n := openFiles(t, root); n != 0 {
				t.Fatal(name, n, "files are open when the connection is gone")
			}
		}
	}
	tc := newTest(t, Options{}, servingDir(root, FileOptions{}))
	tc.send(request("HEAD", "/big"), request("GET", "/big", "Range: bytes=99999999-"), request("GET", "/big",
		"Range: bytes=0-9"),
		request("GET", "/big", "If-Match: \"x\""), request("GET", "/big", "If-None-Match: *"))
	tc.wantStatus(200, 416, 206, 412, 304)
	if n := openFiles(t, root); n != 0 {
		t.Fatal(n, "files are open")
	}
}

// RFC 9112 8: a body shorter than its Content-Length ends in a cut connection.
func TestServeDirTruncatedFile(t *testing.T) {
	for _, r := range []string{"bytes=0-", "bytes=0-300000,400000-"} {
		root, _ := rootWith(t, 1<<20)
		tc := newTest(t, Options{}, servingDir(root, FileOptions{}))
		tc.Wire.Room = 100_000
		tc.send(request("GET", "/big", "Range: "+r) + request("GET", "/big"))
		if err := os.Truncate(filepath.Join(root.Name(), "big"), 200_000); err != nil {
			t.Fatal(err)
		}
		tc.Wire.Room = -1
		tc.turn()
		if !tc.Closed() || tc.c.Reason() != conn.IOError {
			t.Fatal("the connection was not cut:", tc.c.Reason())
		}
		if n := len(tc.Wire.Sent); n > 201_000 || openFiles(t, root) > 0 {
			t.Fatal(n, "bytes", openFiles(t, root), "files are open")
		}
	}
}

// A part that does not fit into the send queue ends the connection, whatever its policy: half a
// body cannot be made good.
func TestServeDirSendLimit(t *testing.T) {
	root, _ := rootWith(t, 1<<20)
	for _, policy := range []conn.SendPolicy{conn.CloseOnFull, conn.RefuseOnFull} {
		tc := newTest(t, Options{Limits: conn.Limits{Send: 500, OnFull: policy}}, servingDir(root, FileOptions{}))
		tc.Wire.Room = 0
		tc.send(request("GET", "/big", "Range: bytes=0-1,3-4,6-7,9-10,12-13"))
		if tc.Wire.Room = -1; tc.c.IsOpen() {
			tc.turn()
		}
		if !tc.Closed() || tc.c.Reason() != conn.SendLimit || openFiles(t, root) > 0 {
			t.Fatal(tc.Closed(), tc.c.Reason(), openFiles(t, root), "files are open")
		}
	}
}

func TestServeDirThrottle(t *testing.T) {
	root, data := rootWith(t, 1<<20)
	for _, x := range []struct {
		name string
		rate int
	}{{"ServeDir", 100_000}, {"ServeDir", 800_000}, {"ServeFS", 100_000}, {"ServeFS", 800_000}} {
		name, o := x.name, FileOptions{BytesPerSecond: x.rate}
		h := servingDir(root, o)
		if name == "ServeFS" {
			h = serving(fstest.MapFS{"big": {Data: data}}, o)
		}
		tc := newTest(t, Options{HeadTimeout: time.Second, ReplyTimeout: time.Second}, h)
		tc.send(request("GET", "/big") + request("GET", "/big", "Range: bytes=-5"))
		for ms := 0; ms*x.rate < 900_000*1000; ms += 100 {
			due := ms * x.rate / 1000
			if n := len(tc.Wire.Sent); n < due*88/100 || n > due+x.rate/bursts+1000 {
				t.Fatalf("%s at %d/s: %d bytes after %d ms", name, x.rate, n, ms)
			}
			tc.sleep(100 * time.Millisecond)
		}
		tc.sleep(3 * time.Second)
		out := tc.reply()
		if _, body, _ := strings.Cut(out, "\r\n\r\n"); !strings.HasPrefix(body, string(data)+"HTTP/1.1 206 ") {
			t.Fatalf("%s: %d bytes", name, len(body))
		}
		tc.sleep(10 * time.Second)
		tc.send("GET / HT")
		tc.sleep(900 * time.Millisecond)
		tc.send("TP/1.1\r\nHost: h\r\n\r\n")
		tc.wantStatus(404)
		tc.wantOpen()
	}
}

// A bucket never gives more than its rate, but for what it holds, and never less than seven
// eighths.
func TestBucket(t *testing.T) {
	for _, rate := range []int{1, 7, 1000, 1 << 30} {
		var k bucket
		k.throttle(rate, 0)
		now, sent, whole := int64(0), int64(0), int64(rate)*20
		for turns := 0; sent < whole; turns++ {
			n := k.draw(now, whole-sent)
			if sent += n; n == 0 {
				d := k.wait(whole - sent)
				if d <= 0 || d > 2*time.Second {
					t.Fatalf("rate %d: wait %v", rate, d)
				}
				now += int64(d)
			}
			if most := float64(now)/1e9*float64(rate)*1.001 + float64(rate)/bursts + 2; float64(sent) > most ||
				turns > 1000 {
				t.Fatalf("rate %d: %d bytes in %v, %d turns", rate, sent, time.Duration(now), turns)
			}
		}
		if least := 19 * time.Second; time.Duration(now) < least || time.Duration(now) > 23*time.Second {
			t.Errorf("rate %d: %d bytes took %v", rate, sent, time.Duration(now))
		}
	}
}
