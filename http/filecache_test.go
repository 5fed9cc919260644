package http

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/internal/racetest"
)

// always keeps files that were just written, too.
func always(t testing.TB) {
	before := fileQuiet
	fileQuiet = -time.Hour
	t.Cleanup(func() { fileQuiet = before })
}

// A file that is kept gets the same replies as one that is not.
func TestFileCacheReplies(t *testing.T) {
	always(t)
	dir := t.TempDir()
	text := strings.Repeat("0123456789", 200)
	for name, text := range map[string]string{"a.txt": text, "a.txt.gz": "zipped", "empty.css": "", "sub/index.html": "<p>", "Ü.json": "{}"} {
		path := filepath.Join(dir, name)
		os.MkdirAll(filepath.Dir(path), 0o755)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		os.Chtimes(path, time.Time{}, time.Unix(1_600_000_000, 0))
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	serve := func(size int) *testConn {
		return newTest(t, Options{FileCache: size, Server: "s"}, func(c *conn.Conn, ev conn.Event) {
			if m, ok := ev.(*Message); ok {
				if size == 0 {
					m.fields = nil // the rig has looked at them; most handlers do not
				}
				name, sets := strings.CutPrefix(string(m.Query), "set=")
				late, setsLate := strings.CutPrefix(string(m.Query), "late=")
				if sets {
					SetHeader(c, name, `"mine"`)
				}
				ServeDir(c, m, root, FileOptions{Precompressed: string(m.Query) != "plain", CacheControl: "max-age=9", NotFound: func(c *conn.Conn, m *Message) {
					if setsLate {
						SetHeader(c, late, "mine")
					}
					Error(c, 404)
				}})
			}
		})
	}
	kept, read := serve(0), serve(-1)
	var tag string
	for range 3 { // the first fills the cache
		for _, target := range []string{"/a.txt", "/empty.css", "/sub/", "/sub", "/%C3%9C.json", "/missing", "/a.txt.gz", "/../a.txt", "/a.txt?plain", "/a.txt?set=ETag",
			"/a.txt?set=Date", "/a.txt?set=Content-Type", "/a.txt?set=Server", "/a.txt?set=Upgrade", "/a.txt?set=Accept-Ranges",
			"/missing?late=Date", "/missing?late=Server", "/missing?late=Content-Type", "/missing?late=Upgrade"} {
			for _, fields := range [][]string{{}, {"Range: bytes=3-7"}, {"Range: bytes=3-7,9-"}, {"Range: bytes=99999-"}, {"Accept-Encoding: gzip"},
				{"If-None-Match: " + tag}, {`If-Match: "x"`}, {"If-Modified-Since: Tue, 01 Dec 2020 00:00:00 GMT"}, {"if-unmodified-since: Tue, 01 Dec 2015 00:00:00 GMT"},
				{"RANGE: bytes=3-7", "If-Range: " + tag}, {"Range: bytes=3-7", `If-Range: "x"`}} {
				for _, method := range []string{"GET", "HEAD", "POST"} {
					in := request(method, target, fields...)
					kept.send(in)
					read.send(in)
					got, want := undated(kept.reply()), undated(read.reply())
					if i := strings.Index(want, "boundary="); i >= 0 {
						other := got[strings.Index(got, "boundary=")+9:]
						mine := want[i+9:]
						got = strings.ReplaceAll(got, other[:strings.IndexByte(other, '\r')], "B")
						want = strings.ReplaceAll(want, mine[:strings.IndexByte(mine, '\r')], "B")
						got, want = lengthless(got), lengthless(want)
					}
					if twice := doubled(got); twice != "" {
						t.Fatalf("%s: two fields %s: %q", in, twice, got)
					}
					if got != want {
						t.Fatalf("%s: %q, but without a cache %q", in, got, want)
					}
					if i := strings.Index(want, "ETag: "); i >= 0 && target == "/a.txt" && tag == "" {
						tag = want[i+6 : i+6+strings.IndexByte(want[i+6:], '\r')]
					}
				}
			}
		}
	}
	if n := len(kept.server(t).files.named); n < 5 {
		t.Errorf("%d files are kept", n)
	}
	if n := len(read.server(t).files.named); n != 0 {
		t.Errorf("%d files are kept with a negative FileCache", n)
	}
}

// doubled returns the name of a field that is in the head of a reply twice.
func doubled(reply string) string {
	head, _, _ := strings.Cut(reply, "\r\n\r\n")
	seen := map[string]bool{}
	for line := range strings.Lines(head) {
		name, _, isField := strings.Cut(line, ":")
		if isField && seen[name] {
			return name
		}
		seen[name] = true
	}
	return ""
}

// undated takes the time of the reply out.
func undated(reply string) string {
	if i := strings.Index(reply, "\r\nDate: "); i >= 0 && reply[i+8] != '"' && reply[i+8] != 'm' {
		return reply[:i+8] + reply[i+2+strings.IndexByte(reply[i+2:], '\r'):]
	}
	return reply
}

// lengthless takes the Content-Length out: boundaries are of different lengths.
func lengthless(reply string) string {
	i := strings.Index(reply, "Content-Length: ")
	return reply[:i] + reply[i+strings.IndexByte(reply[i:], '\n')+1:]
}

// server returns the server of the connection.
func (tc *testConn) server(t testing.TB) *Server {
	s, _ := stateOf(tc.c)
	if s == nil {
		t.Fatal("no server")
	}
	return s
}

// Whatever happens to a file, its new state is served a second later at most.
func TestFileCacheChanges(t *testing.T) {
	always(t)
	old := time.Unix(1_600_000_000, 0)
	for _, x := range []struct {
		name string
		do   func(path string) error
		want string
	}{
		{"nothing", func(string) error { return nil }, "200 first"},
		{"other bytes of the same length and time", func(p string) error {
			// The file system's clock may not have moved on yet: the file is written until it has.
			for before := ctime(p); ; {
				if err := os.WriteFile(p, []byte("other"), 0o644); err != nil {
					return err
				}
				os.Chtimes(p, time.Time{}, old)
				if ctime(p) != before {
					return nil
				}
			}
		}, "200 other"},
		{"longer", func(p string) error { return os.WriteFile(p, []byte("longer now"), 0o644) }, "200 longer now"},
		{"truncated", func(p string) error { return os.Truncate(p, 2) }, "200 fi"},
		{"empty", func(p string) error { return os.Truncate(p, 0) }, "200 "},
		{"removed", os.Remove, "404 404 Not Found\n"},
		{"another in its place", func(p string) error {
			q := p + ".new"
			if err := os.WriteFile(q, []byte("newer"), 0o644); err != nil {
				return err
			}
			os.Chtimes(q, time.Time{}, old)
			return os.Rename(q, p)
		}, "200 newer"},
		{"a directory in its place", func(p string) error {
			os.Remove(p)
			return os.Mkdir(p, 0o755)
		}, "301 301 Moved Permanently\n"},
		{"not to be read", func(p string) error {
			if os.Getuid() == 0 {
				return os.Remove(p) // root may read all
			}
			return os.Chmod(p, 0)
		}, map[bool]string{true: "404 404 Not Found\n", false: "403 403 Forbidden\n"}[os.Getuid() == 0]},
	} {
		t.Run(x.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "f.txt")
			os.WriteFile(path, []byte("first"), 0o644)
			os.Chtimes(path, time.Time{}, old)
			root, err := os.OpenRoot(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer root.Close()
			tc := newTest(t, Options{}, func(c *conn.Conn, ev conn.Event) {
				if m, ok := ev.(*Message); ok {
					ServeDir(c, m, root)
				}
			})
			get := func() string {
				tc.send(request("GET", "/f.txt"))
				reply := tc.reply()
				_, body, _ := strings.Cut(reply, "\r\n\r\n")
				return fmt.Sprintf("%.3s %s", strings.TrimPrefix(reply, "HTTP/1.1 "), body)
			}
			if got := get(); got != "200 first" {
				t.Fatal(got)
			}
			if err := x.do(path); err != nil {
				t.Fatal(err)
			}
			if got := get(); got != "200 first" {
				t.Errorf("%q at once: the file was not kept", got)
			}
			tc.sleep(fileCheck)
			for range 2 {
				if got := get(); got != x.want {
					t.Errorf("%q after a second, want %q", got, x.want)
				}
			}
		})
	}
}

func ctime(path string) time.Time {
	info, err := os.Stat(path)
	if err != nil {
		return time.Time{}
	}
	return changed(info)
}

// A neighbour that appears is found a second later at most.
func TestFileCacheNeighbourAppears(t *testing.T) {
	always(t)
	dir := t.TempDir()
	os.WriteFile(filepath.Join(dir, "f.js"), []byte("plain"), 0o644)
	tc := newTest(t, Options{}, func(c *conn.Conn, ev conn.Event) {
		if m, ok := ev.(*Message); ok {
			ServeFS(c, m, os.DirFS(dir), FileOptions{Precompressed: true})
		}
	})
	get := func(want string) {
		t.Helper()
		tc.send(request("GET", "/f.js", "Accept-Encoding: gzip"))
		if got := tc.reply(); !strings.HasSuffix(got, "\r\n\r\n"+want) {
			t.Errorf("%q, want %s", got, want)
		}
	}
	get("plain")
	os.WriteFile(filepath.Join(dir, "f.js.gz"), []byte("zipped"), 0o644)
	get("plain")
	tc.sleep(fileCheck)
	get("zipped")
}

// A file that has changed a moment ago is not kept, nor a large one, nor are the files of a file
// system that cannot tell when they change.
func TestFileCacheKeepsNot(t *testing.T) {
	before := fileQuiet
	always(t)
	dir := t.TempDir()
	os.WriteFile(filepath.Join(dir, "f"), []byte("x"), 0o644)
	large := t.TempDir()
	os.WriteFile(filepath.Join(large, "f"), make([]byte, fileStep+1), 0o644)
	inMemory := fstest.MapFS{"f": {Data: []byte("x")}}
	for name, fsys := range map[string]fs.FS{"new": os.DirFS(dir), "no hash": inMemory, "no inodes": &inMemory, "large": os.DirFS(large)} {
		fileQuiet = -time.Hour
		if name == "new" {
			fileQuiet = before
		}
		tc := newTest(t, Options{}, serving(fsys, FileOptions{}))
		tc.send(request("GET", "/f"))
		tc.wantStatus(200)
		if n := len(tc.server(t).files.named); n != 0 {
			t.Errorf("%s: %d files are kept", name, n)
		}
	}
}

// The bytes that are kept stay below the limit, and what was used last stays.
func TestFileCacheIsBounded(t *testing.T) {
	always(t)
	dir := t.TempDir()
	for i := range 40 {
		os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), bytes.Repeat([]byte{'x'}, 1000), 0o644)
	}
	const limit = 10 * (1000 + fileCost + 2)
	tc := newTest(t, Options{FileCache: limit}, serving(os.DirFS(dir), FileOptions{Precompressed: true}))
	files := &tc.server(t).files
	for i := range 200 {
		for _, name := range []int{0, i % 40} {
			tc.send(request("GET", fmt.Sprint("/", name)))
			tc.wantStatus(200)
		}
		if files.bytes > limit || files.used.Len() != len(files.named) {
			t.Fatalf("%d bytes, %d files, %d names", files.bytes, files.used.Len(), len(files.named))
		}
		if e := files.named[fileKey{fsys: os.DirFS(dir), name: "0"}]; e == nil {
			t.Fatal("the file that is used always was dropped")
		}
	}
	if len(files.named) < 9 {
		t.Errorf("%d files are kept", len(files.named))
	}
}

// smallFile returns a function that requests a file of 1 KB.
func smallFile(tb testing.TB) (turn func()) {
	always(tb)
	dir := tb.TempDir()
	os.WriteFile(filepath.Join(dir, "file-of-1-kb.txt"), bytes.Repeat([]byte{'x'}, 1024), 0o644)
	root, err := os.OpenRoot(dir)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { root.Close() })
	request := strings.Replace(tenHeaders, "/plaintext", "/static/file-of-1-kb.txt", 1)
	return repeating(tb, request, func(c *conn.Conn, ev conn.Event) {
		if m, ok := ev.(*Message); ok {
			ServeDir(c, m, root, FileOptions{Prefix: "/static/"})
		}
	})
}

func TestFileCacheAllocatesNothing(t *testing.T) {
	if racetest.Enabled {
		t.Skip("the race detector allocates")
	}
	turn := smallFile(t)
	if n := testing.AllocsPerRun(1000, turn); n != 0 {
		t.Fatal(n, "allocations per request")
	}
}

func BenchmarkSmallFile(b *testing.B) {
	turn := smallFile(b)
	b.ReportAllocs()
	for b.Loop() {
		turn()
	}
}
