package http

import (
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"mime/multipart"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/seed4930a636/mangusta/conn"
)

// RFC 9110 13.
func TestServeFSConditions(t *testing.T) {
	_, fsys := site(t)
	tc := newTest(t, Options{}, serving(fsys, FileOptions{}))
	tc.send(request("GET", "/"))
	out := tc.reply()
	_, tag, _ := strings.Cut(out, "ETag: ")
	tag, _, _ = strings.Cut(tag, "\r\n")
	const same, before, after = "Sun, 13 Sep 2020 12:26:40 GMT", "Sun, 13 Sep 2020 12:26:39 GMT",
		"Sun, 13 Sep 2020 12:26:41 GMT"
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

// RFC 9110 15.4.5: with an ETag a 304 needs no Last-Modified; without one it is what caches have.
func TestServeFSNotModifiedFields(t *testing.T) {
	mod := time.Date(2020, 9, 13, 12, 26, 40, 0, time.UTC)
	tc := newTest(t, Options{}, serving(fstest.MapFS{"a": {Data: []byte("x"), ModTime: mod}},
		FileOptions{CacheControl: "max-age=60"}))
	tc.send(request("GET", "/a", "If-Modified-Since: Sun, 13 Sep 2020 12:26:40 GMT"))
	tc.wantReply("HTTP/1.1 304 Not Modified\nETag: \"c5m8nwso7bwg-1\"\nCache-Control: max-age=60\n\n")
}

const alphabet = "abcdefghijklmnopqrstuvwxyz"

// alpha is a file system with a small file and one of over 64 KiB, each of which says by its bytes
// where they stand.
func alpha() fstest.MapFS {
	mod := time.Date(2020, 9, 13, 12, 26, 40, 0, time.UTC)
	return fstest.MapFS{
		"a.txt": {Data: []byte(alphabet), ModTime: mod}, "empty": {ModTime: mod},
		"big.bin": {Data: numbers(1 << 20), ModTime: mod},
	}
}

func numbers(n int) []byte {
	b := make([]byte, 0, n)
	for len(b) < n {
		b = fmt.Appendf(b, "%015d\n", len(b))
	}
	return b[:n]
}

// RFC 9110 14.
func TestServeFSRange(t *testing.T) {
	tc := newTest(t, Options{}, serving(alpha(), FileOptions{}))
	const tag, mod = `"c5m8nwso7bwg-q"`, "Sun, 13 Sep 2020 12:26:40 GMT"
	for _, x := range []struct {
		fields string
		status int
		crange string
		body   string
	}{
		{"Range: bytes=0-0", 206, "bytes 0-0/26", "a"},
		{"Range: bytes=2-5", 206, "bytes 2-5/26", "cdef"},
		{"range: BYTES=2-5", 206, "bytes 2-5/26", "cdef"},     // 14.1: range units are case-insensitive
		{"Range: bytes=20-", 206, "bytes 20-25/26", "uvwxyz"}, // open
		{"Range: bytes=-3", 206, "bytes 23-25/26", "xyz"},     // suffix
		{"Range: bytes=-100", 206, "bytes 0-25/26", alphabet}, // 14.1.2: longer than the whole
		{"Range: bytes=24-100", 206, "bytes 24-25/26", "yz"},  // 14.1.2: last-pos past the end
		{"Range: bytes=0-1,2-3", 206, "bytes 0-3/26", "abcd"}, // 15.3.7.2: coalesced
		{"Range: bytes=0-1,90-91", 206, "bytes 0-1/26", "ab"}, // one is satisfiable
		{"Range: bytes=26-", 416, "bytes */26", ""},           // 14.2: not satisfiable
		{"Range: bytes=-0", 416, "bytes */26", ""},            // 14.1.2: a suffix of no bytes
		{"Range: bytes=99999999999999999999-", 416, "bytes */26", ""},
		{"Range: bytes=5-2", 200, "", alphabet}, // 14.1.1: invalid, and ignored
		{"Range: bytes=", 200, "", alphabet},
		{"Range: bytes=a-b", 200, "", alphabet},
		{"Range: bytes=--1", 200, "", alphabet},
		{"Range: lines=1-2", 200, "", alphabet},                               // 14.2: unknown unit
		{"Range: bytes=" + strings.Repeat("0-0,2-2,", 20), 200, "", alphabet}, // 17.15: too many
		{"Range: bytes=0-0\r\nRange: bytes=1-1", 200, "", alphabet},
		{"Range: bytes=0-0\r\nIf-Range: " + tag, 206, "bytes 0-0/26", "a"},
		{"Range: bytes=0-0\r\nIf-Range: W/" + tag, 200, "", alphabet}, // 13.1.5: strong comparison
		{"Range: bytes=0-0\r\nIf-Range: \"other\"", 200, "", alphabet},
		{"Range: bytes=99-\r\nIf-Range: \"other\"", 200, "", alphabet}, // no 416 for a Range that is ignored
		{"Range: bytes=0-0\r\nIf-Range: " + mod, 206, "bytes 0-0/26", "a"},
		{"Range: bytes=0-0\r\nIf-Range: Sun, 13 Sep 2020 12:26:41 GMT", 200, "", alphabet}, // must be the very date
		{"Range: bytes=0-0\r\nIf-None-Match: " + tag, 304, "", ""},                         // 13.2.2: conditions come first
		{"Range: bytes=99-\r\nIf-Match: \"other\"", 412, "", "412 Precondition Failed\n"},
		{"Range: bytes=99-\r\nIf-None-Match: " + tag, 304, "", ""},
	} {
		for _, fresh := range []bool{true, false} {
			if fresh {
				tc = newTest(t, Options{}, serving(alpha(), FileOptions{}))
			}
			tc.send(request("GET", "/a.txt", x.fields))
			out := tc.reply()
			head, body, _ := strings.Cut(out, "\r\n\r\n")
			if !strings.HasPrefix(head, fmt.Sprint("HTTP/1.1 ", x.status, " ")) || field(out, "Content-Range") != x.crange {
				t.Errorf("%s: want %d, Content-Range %q:\n%s", x.fields, x.status, x.crange, out)
			}
			if x.status < 400 && body != x.body || x.status != 304 && field(out,
				"Content-Length") != strconv.Itoa(len(body)) {
				t.Errorf("%s: body %q, want %q", x.fields, body, x.body)
			}
			if x.status < 300 && (field(out, "Accept-Ranges") != "bytes" || field(out, "ETag") != tag ||
				field(out, "Last-Modified") != mod || field(out, "Content-Type") != textPlain) {
				t.Errorf("%s: fields are missing:\n%s", x.fields, out)
			}
			tc.wantOpen()
		}
	}
}

// RFC 9110 14.2: a Range is for GET alone.
func TestServeFSRangeOfOtherMethods(t *testing.T) {
	tc := newTest(t, Options{}, serving(alpha(), FileOptions{}))
	for _, r := range []string{"bytes=0-0", "bytes=99-", "bytes=0-0,2-2"} {
		tc.send(request("HEAD", "/a.txt", "Range: "+r))
		if out := tc.reply(); !strings.HasPrefix(out, "HTTP/1.1 200 ") || field(out, "Content-Length") != "26" ||
			field(out, "Content-Range") != "" || !strings.HasSuffix(out, "\r\n\r\n") {
			t.Errorf("HEAD with Range %s:\n%s", r, out)
		}
		tc.send(request("POST", "/a.txt", "Range: "+r))
		tc.wantStatus(405)
	}
	tc.wantOpen()
}

func TestServeFSRangeOfAnEmptyFile(t *testing.T) {
	tc := newTest(t, Options{}, serving(alpha(), FileOptions{}))
	tc.send(request("GET", "/empty", "Range: bytes=0-"), request("GET", "/empty", "Range: bytes=-5"), request("GET",
		"/empty"))
	tc.wantStatus(416, 200, 200)
	tc.wantOpen()
}

// RFC 9110 14.6: several ranges.
func TestServeFSMultipart(t *testing.T) {
	tc := newTest(t, Options{}, serving(alpha(), FileOptions{}))
	big := string(numbers(1 << 20))
	for _, x := range []struct {
		target, ranges string
		want           []string // Content-Range and body
	}{
		{"/a.txt", "0-1,5-6", []string{"bytes 0-1/26 ab", "bytes 5-6/26 fg"}},
		{"/a.txt", "-1, 0-0", []string{"bytes 25-25/26 z", "bytes 0-0/26 a"}},
		{"/a.txt", "0-1,5-6,1-2,99-", []string{"bytes 0-2/26 abc", "bytes 5-6/26 fg"}},
		{"/big.bin", "0-15,1000-300000,-16", []string{"bytes 0-15/1048576 " + big[:16],
			"bytes 1000-300000/1048576 " + big[1000:300001], "bytes 1048560-1048575/1048576 " + big[1048560:]}},
	} {
		name := x.target + " " + x.ranges
		tc.send(request("GET", x.target, "Range: bytes="+x.ranges))
		out := tc.reply()
		_, body, _ := strings.Cut(out, "\r\n\r\n")
		boundary, ok := strings.CutPrefix(field(out, "Content-Type"), "multipart/byteranges; boundary=")
		if !strings.HasPrefix(out, "HTTP/1.1 206 ") || !ok || field(out, "Content-Range") != "" {
			t.Fatalf("%s:\n%.500s", name, out)
		}
		if field(out, "Content-Length") != strconv.Itoa(len(body)) {
			t.Fatalf("%s: Content-Length %s, %d bytes", name, field(out, "Content-Length"), len(body))
		}
		r := multipart.NewReader(strings.NewReader(body), boundary)
		for _, want := range x.want {
			p, err := r.NextRawPart()
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			b, err := io.ReadAll(p)
			if got := p.Header.Get("Content-Range") + " " + string(b); got != want || err != nil ||
				p.Header.Get("Content-Type") != contentType(x.target) {
				t.Errorf("%s: part %.100q %v, want %.100q", name, got, err, want)
			}
		}
		if _, err := r.NextRawPart(); err != io.EOF {
			t.Errorf("%s: behind the last part: %v", name, err)
		}
	}
	tc.wantOpen()
}

// Whatever the ranges, sizes and room: what is sent is what was announced.
func TestServeFSRandomRanges(t *testing.T) {
	dir := t.TempDir()
	data := numbers(200_000)
	if err := os.WriteFile(filepath.Join(dir, "f"), data, 0o644); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	handlers := map[string]conn.Handler{"ServeFS": serving(fstest.MapFS{"f": {Data: data}}, FileOptions{}),
		"ServeDir": servingDir(root, FileOptions{})}
	for name, h := range handlers {
		d := rand.New(rand.NewPCG(1, 1))
		tc := newTest(t, Options{}, h)
		for range 300 {
			var spec []string
			for range 1 + d.IntN(4) {
				from := d.IntN(len(data))
				spec = append(spec, fmt.Sprintf("%d-%d", from, from+d.IntN(1<<d.IntN(18))))
			}
			tc.Wire.Room = d.IntN(10_000)
			tc.send(request("GET", "/f", "Range: bytes="+strings.Join(spec, ",")))
			for range 1000 {
				if tc.Wire.Room = d.IntN(50_000); tc.c.Pending() == 0 && tc.c.FilePending() == 0 {
					break
				}
				tc.turn()
			}
			out := tc.reply()
			_, body, _ := strings.Cut(out, "\r\n\r\n")
			if field(out, "Content-Length") != strconv.Itoa(len(body)) {
				t.Fatalf("%s %v: Content-Length %s, %d bytes", name, spec, field(out, "Content-Length"), len(body))
			}
			check := func(crange, got string) {
				var from, to int
				if n, err := fmt.Sscanf(crange, "bytes %d-%d/200000", &from, &to); n != 2 || err != nil ||
					got != string(data[from:to+1]) {
					t.Fatalf("%s %v: wrong bytes for %s", name, spec, crange)
				}
			}
			if boundary, ok := strings.CutPrefix(field(out, "Content-Type"), "multipart/byteranges; boundary="); ok {
				r := multipart.NewReader(strings.NewReader(body), boundary)
				for {
					p, err := r.NextRawPart()
					if err == io.EOF {
						break
					}
					if err != nil {
						t.Fatal(err)
					}
					b, _ := io.ReadAll(p)
					check(p.Header.Get("Content-Range"), string(b))
				}
			} else {
				check(field(out, "Content-Range"), body)
			}
			tc.wantOpen()
		}
	}
}

// A file that can only be read from its beginning has no ranges.
func TestServeFSRangeOfAFileThatCannotSeek(t *testing.T) {
	fsys := &countFS{FS: alpha()}
	tc := newTest(t, Options{}, serving(fsys, FileOptions{}))
	for _, r := range []string{"bytes=0-0", "bytes=99-"} {
		tc.send(request("GET", "/a.txt", "Range: "+r))
		if out := tc.reply(); !strings.HasPrefix(out, "HTTP/1.1 200 ") || field(out, "Accept-Ranges") != "" ||
			!strings.HasSuffix(out, alphabet) {
			t.Errorf("%q", out)
		}
	}
	if fsys.n != 0 {
		t.Error(fsys.n, "files are open")
	}
}

// Fields that the handler has set win over those of ServeFS, also in the parts of several ranges.
func TestServeFSFieldsOfTheHandler(t *testing.T) {
	tc := newTest(t, Options{}, func(c *conn.Conn, ev conn.Event) {
		if m, ok := ev.(*Message); ok {
			SetHeader(c, "Content-Type", "text/x-mine")
			SetHeader(c, "Cache-Control", "no-store")
			SetHeader(c, "Vary", "Origin")
			SetHeader(c, "X-Other", "1")
			ServeFS(c, m, alpha(), FileOptions{CacheControl: "max-age=1", Precompressed: true})
		}
	})
	tc.send(request("GET", "/a.txt"))
	tc.wantReply("HTTP/1.1 200 OK\nContent-Type: text/x-mine\nContent-Length: 26\nCache-Control: no-store\nVary: Origin\n" +
		"X-Other: 1\nVary: Accept-Encoding\nETag: \"c5m8nwso7bwg-q\"\nLast-Modified: Sun, 13 Sep 2020 12:26:40 GMT\n" +
		"Accept-Ranges: bytes\n\n" + alphabet)
	tc.send(request("GET", "/a.txt", "Range: bytes=0-0,5-5"))
	out := tc.reply()
	if strings.Count(out, "\r\nContent-Type: text/x-mine\r\nContent-Range: bytes ") != 2 || strings.Count(out,
		"Content-Type: ") != 3 {
		t.Errorf("%q", out)
	}
	tc.wantOpen()
}

func TestServeFSTypes(t *testing.T) {
	tc := newTest(t, Options{}, serving(alpha(), FileOptions{Types: map[string]string{"txt": "text/x-mine",
		"": "image/x", "bin": "a\r\nb"}}))
	for target, want := range map[string]string{"/a.txt": "text/x-mine", "/empty": "image/x",
		"/big.bin": "application/octet-stream"} {
		tc.send(request("HEAD", target))
		if got := field(tc.reply(), "Content-Type"); got != want {
			t.Errorf("%s: %s, want %s", target, got, want)
		}
	}
	tc = newTest(t, Options{}, func(c *conn.Conn, ev conn.Event) {
		if m, ok := ev.(*Message); ok {
			if err := ServeFS(c, m, alpha(), FileOptions{CacheControl: "a\r\nb"}); err != ErrBadHeader {
				t.Error(err)
			}
			Error(c, 500)
		}
	})
	tc.send(request("GET", "/a.txt"))
	tc.wantStatus(500)
}

// Precompressed neighbours, RFC 9110 12.5.3.
func TestServeFSPrecompressed(t *testing.T) {
	mod := time.Date(2020, 9, 13, 12, 26, 40, 0, time.UTC)
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s), ModTime: mod} }
	fsys := &countFS{FS: fstest.MapFS{
		"a.js": file("plain"), "a.js.br": file("BROTL"), "a.js.gz": file("GZIP "), "b.js": file("b"), "b.js.gz": file("z"),
		"c.js": file("c"), "only.css.gz": file("zip"), "d/index.html": file("d"), "d/index.html.gz": file("dz"),
		"dir.br/x": file("x"),
		"dir":      file("dir"), "e/index.html.gz": file("ez"),
	}}
	tc := newTest(t, Options{}, serving(fsys, FileOptions{Precompressed: true, List: true}))
	tags := map[string]string{}
	for _, x := range []struct {
		target, accept, coding, body string
		status                       int
	}{
		{"/a.js", "gzip, br", "br", "BROTL", 200},
		{"/a.js", "gzip", "gzip", "GZIP ", 200},
		{"/a.js", "x-gzip", "gzip", "GZIP ", 200},
		{"/a.js", "gzip, br;q=0.5", "gzip", "GZIP ", 200},
		{"/a.js", "*", "br", "BROTL", 200},
		{"/a.js", "*;q=0", "", "plain", 200},
		{"/a.js", "identity, gzip;q=0.5", "", "plain", 200},
		{"/a.js", "deflate", "", "plain", 200},
		{"/a.js", "", "", "plain", 200},
		{"/a.js", "br;q=0, gzip;q=0", "", "plain", 200},
		{"/b.js", "gzip, br", "gzip", "z", 200},
		{"/b.js", "br", "", "b", 200},
		{"/c.js", "gzip, br", "", "c", 200},
		{"/dir", "br", "", "dir", 200},
		{"/only.css", "gzip", "gzip", "zip", 200},
		{"/only.css", "gzip;q=0.1, identity", "gzip", "zip", 200},
		{"/only.css", "br", "", "", 406},
		{"/only.css", "", "", "", 406},
		{"/d/", "gzip", "gzip", "dz", 200},
		{"/e/", "gzip", "gzip", "ez", 200},
		{"/a.js.gz", "gzip", "", "GZIP ", 200},
		{"/missing", "gzip", "", "", 404},
		{"/a.js/", "gzip", "", "", 404},
	} {
		var fields []string
		if x.accept != "" {
			fields = []string{"Accept-Encoding: " + x.accept}
		}
		tc.send(request("GET", x.target, fields...))
		out := tc.reply()
		if !strings.HasPrefix(out, fmt.Sprint("HTTP/1.1 ", x.status, " ")) || field(out, "Content-Encoding") != x.coding ||
			field(out, "Vary") != "Accept-Encoding" || x.status == 200 && !strings.HasSuffix(out, "\r\n\r\n"+x.body) {
			t.Errorf("%s with %q: want %d %q %q:\n%s", x.target, x.accept, x.status, x.coding, x.body, out)
		}
		if strings.HasPrefix(x.target, "/a.js") && len(x.target) < 6 {
			if field(out, "Content-Type") != "text/javascript; charset=utf-8" {
				t.Errorf("%s with %q: %s", x.target, x.accept, field(out, "Content-Type"))
			}
			tags[x.coding] = field(out, "ETag")
			// The condition is held against the variant that would be sent.
			tc.send(request("GET", x.target, append(fields, "If-None-Match: "+tags[x.coding])...))
			if out := tc.reply(); !strings.HasPrefix(out, "HTTP/1.1 304 ") || field(out,
				"Vary") != "Accept-Encoding" || field(out, "Content-Encoding") != "" {
				t.Errorf("%s with %q and If-None-Match:\n%s", x.target, x.accept, out)
			}
		}
	}
	// RFC 9110 8.8.3.3: each has a tag of its own.
	if tags["br"] == tags["gzip"] || tags["br"] == tags[""] || tags["gzip"] == tags[""] {
		t.Errorf("ETags %v", tags)
	}
	if fsys.n != 0 {
		t.Error(fsys.n, "files are open")
	}
	tc.wantOpen()
}

// A range is one of the coded file.
func TestServeFSRangeOfAPrecompressedFile(t *testing.T) {
	fsys := fstest.MapFS{"a.js": {Data: []byte("plain")}, "a.js.gz": {Data: []byte("GZIPPED")}}
	tc := newTest(t, Options{}, serving(fsys, FileOptions{Precompressed: true}))
	tc.send(request("GET", "/a.js", "Accept-Encoding: gzip", "Range: bytes=2-4"))
	tc.wantReply("HTTP/1.1 206 Partial Content\nContent-Type: text/javascript; charset=utf-8\nContent-Length: 3\n" +
		"Vary: Accept-Encoding\nAccept-Ranges: bytes\nContent-Encoding: gzip\nContent-Range: bytes 2-4/7\n\nIPP")
}

// brokenFS has files that cannot be read, or are shorter than they say.
type brokenFS struct {
	fstest.MapFS
	err error
}

type brokenFile struct {
	fs.File
	err error
}

func (b brokenFS) Open(name string) (fs.File, error) {
	f, err := b.MapFS.Open(name)
	if err == nil {
		f = brokenFile{f, b.err}
	}
	return f, err
}

func (f brokenFile) Read([]byte) (int, error) { return 0, f.err }

func TestServeFSUnreadableFile(t *testing.T) {
	for _, err := range []error{io.EOF, io.ErrUnexpectedEOF, fs.ErrPermission, nil} {
		fsys := brokenFS{fstest.MapFS{"small": {Data: []byte("x")}, "big": {Data: make([]byte, 1<<20)}}, err}
		tc := newTest(t, Options{}, serving(fsys, FileOptions{}))
		if err != nil { // io.ReadFull would not end
			tc.send(request("GET", "/small"))
			tc.wantStatus(500)
			tc.wantOpen()
		}
		tc.send(request("GET", "/big"))
		if !tc.Closed() || tc.c.Reason() != conn.IOError {
			t.Errorf("%v: a big file that cannot be read: %v", err, tc.c.Reason())
		}
	}
}
