package http

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
)

// upload is a handler that saves each body, and what it was told of that.
type upload struct {
	t        testing.TB
	opts     SaveOptions
	began    error
	size     int64
	err      error
	dones    int
	progress []string
	silent   bool // Done does not reply
}

func (u *upload) handle(c *conn.Conn, ev conn.Event) {
	switch ev.(type) {
	case *Head:
		u.dones, u.progress = 0, nil
		u.opts.Done = func(c *conn.Conn, size int64, err error) {
			u.dones++
			u.size, u.err = size, err
			if err == nil && !u.silent {
				Reply(c, 201, "", "")
			}
		}
		if u.began = SaveBody(c, u.opts); u.began != nil {
			Error(c, 500)
		}
	case *Message, *Chunk:
		u.t.Errorf("%T although the body is saved", ev)
	}
}

// wantFile wants the file, "" for none, and nothing else in its directory.
func (u *upload) wantFile(want string) {
	u.t.Helper()
	path := u.opts.Path
	if u.opts.File != nil {
		path = u.opts.File.Name()
	}
	if u.opts.Root != nil {
		path = filepath.Join(u.opts.Root.Name(), path)
	}
	names, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		u.t.Fatal(err)
	}
	if want == "" && len(names) == 0 {
		return
	}
	got, err := os.ReadFile(path)
	if err != nil || string(got) != want || len(names) != 1 {
		u.t.Fatalf("%d files; %q %v, want %q", len(names), got, err, want)
	}
}

func newUpload(t testing.TB, o SaveOptions) *upload {
	if o.File == nil && o.Path == "" {
		o.Path = filepath.Join(t.TempDir(), "saved")
	}
	return &upload{t: t, opts: o}
}

func TestSaveBody(t *testing.T) {
	small := strings.ReplaceAll(nextRequest, "\n", "\r\n")
	for name, test := range map[string]struct{ in, want string }{
		"Content-Length": {fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(small), small), small},
		"chunked":        {fmt.Sprintf("%s%x;a=b\r\n%s\r\n1\r\nx\r\n0\r\nA: b\r\n\r\n", chunkedLine, len(small), small), small + "x"},
		"tiny chunks":    {chunkedLine + "1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n", "abc"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, pieces := range splits(post + test.in + "GET / HTTP/1.1\r\n") {
				h := sha256.New()
				u := newUpload(t, SaveOptions{Path: filepath.Join(dir, "saved"), Hash: h})
				tc := newTest(t, Options{}, u.handle)
				tc.send(pieces...)
				tc.wantReply("HTTP/1.1 201 Created\nContent-Length: 0\n\n")
				u.wantFile(test.want)
				sum := sha256.Sum256([]byte(test.want))
				if u.dones != 1 || u.err != nil || u.size != int64(len(test.want)) || !bytes.Equal(h.Sum(nil), sum[:]) {
					t.Fatal(u.dones, u.err, u.size)
				}
				os.Remove(u.opts.Path)
			}
		})
	}
	t.Run("empty", func(t *testing.T) {
		u := newUpload(t, SaveOptions{})
		tc := newTest(t, Options{}, u.handle)
		tc.send(getLine)
		tc.wantStatus(201)
		if info, err := os.Stat(u.opts.Path); err != nil || info.Size() != 0 || info.Mode().Perm()&0o077&^0o044 != 0 {
			t.Fatal(info, err)
		}
	})
	t.Run("replaces", func(t *testing.T) {
		u := newUpload(t, SaveOptions{Mode: 0o600})
		os.WriteFile(u.opts.Path, []byte("old"), 0o644)
		tc := newTest(t, Options{}, u.handle)
		tc.send(post + "Content-Length: 3\r\n\r\nne")
		if got, _ := os.ReadFile(u.opts.Path); string(got) != "old" {
			t.Fatalf("%q before the body is complete", got)
		}
		tc.send("w")
		u.wantFile("new")
		if info, _ := os.Stat(u.opts.Path); info.Mode().Perm() != 0o600 {
			t.Fatal(info.Mode())
		}
	})
	t.Run("given file", func(t *testing.T) {
		f, err := os.Create(filepath.Join(t.TempDir(), "given"))
		if err != nil {
			t.Fatal(err)
		}
		f.WriteString("> ")
		u := newUpload(t, SaveOptions{File: f})
		tc := newTest(t, Options{}, u.handle)
		tc.send(post + "Content-Length: 3\r\n\r\nnew")
		u.wantFile("> new")
		if f.Close() == nil {
			t.Error("the file was left open")
		}
	})
	t.Run("answered later", func(t *testing.T) {
		u := newUpload(t, SaveOptions{})
		u.silent = true
		tc := newTest(t, Options{}, u.handle)
		tc.send(post + "Content-Length: 3\r\n\r\nnew")
		tc.wantReply("")
		Reply(tc.c, 200, "", "")
		tc.turn()
		tc.wantStatus(200)
		tc.wantOpen()
	})
	t.Run("progress", func(t *testing.T) {
		u := newUpload(t, SaveOptions{})
		u.opts.Progress = func(c *conn.Conn, size, total int64) {
			u.progress = append(u.progress, fmt.Sprint(size, "/", total))
		}
		tc := newTest(t, Options{}, u.handle)
		tc.send(post+"Content-Length: 6\r\n\r\nab", "cd", "ef")
		if got := fmt.Sprint(u.progress); got != "[2/6 4/6 6/6]" {
			t.Error(got)
		}
		tc.send(post+chunkedLine+"2\r\nab\r\n1\r\nc\r\n", "1\r\nd\r\n0\r\n\r\n")
		if got := fmt.Sprint(u.progress); got != "[3/-1 4/-1]" {
			t.Error(got)
		}
	})
	t.Run("Expect", func(t *testing.T) {
		u := newUpload(t, SaveOptions{})
		tc := newTest(t, Options{}, u.handle)
		tc.send(post+"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n", "ab")
		tc.wantStatus(100, 201)
	})
}

// A Root is not left, whatever the name and whatever is in it.
func TestSaveBodyInRoot(t *testing.T) {
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	u := newUpload(t, SaveOptions{Root: root, Path: "a"})
	tc := newTest(t, Options{}, u.handle)
	tc.send(post + "Content-Length: 3\r\n\r\nabc")
	tc.wantStatus(201)
	u.wantFile("abc")
	u.opts.MaxSize = 1
	tc.send(post + chunkedLine + "1\r\na\r\n1\r\nb\r\n")
	tc.wantStatus(413)
	u.wantFile("abc")
	os.Symlink("/tmp", filepath.Join(dir, "out"))
	for _, path := range []string{"../x", "/tmp/x", "out/x", "none/x"} {
		u := newUpload(t, SaveOptions{Root: root, Path: path})
		tc := newTest(t, Options{}, u.handle)
		tc.send(post + "Content-Length: 3\r\n\r\nabc")
		tc.wantStatus(500)
		if u.began == nil || u.dones != 0 {
			t.Error(path, u.began, u.dones)
		}
	}
}

// Whatever goes wrong, nothing is left of the file, Done is called once, and a client that still
// listens gets a reply.
func TestSaveBodyFailures(t *testing.T) {
	for name, test := range map[string]struct {
		opts   SaveOptions
		in     string
		status []int
		err    string
	}{
		"too long from the start": {SaveOptions{MaxSize: 5}, "Content-Length: 6\r\n\r\nabcdef", []int{413}, "body too long"},
		"too long, by default":    {SaveOptions{}, "Content-Length: 1048577\r\n\r\n", []int{413}, "body too long"},
		"too long in chunks":      {SaveOptions{MaxSize: 5}, chunkedLine + "3\r\nabc\r\n3\r\ndef\r\n", []int{413}, "body too long"},
		"broken chunk":            {SaveOptions{}, chunkedLine + "3\r\nabc\r\nx\r\n", []int{400}, "chunk size"},
		"cut":                     {SaveOptions{}, "Content-Length: 6\r\n\r\nabc", []int{400}, "ended by the client"},
		"cut in chunks":           {SaveOptions{}, chunkedLine + "6\r\nabc", []int{400}, "ended by the client"},
		"check": {SaveOptions{Check: func(int64) error { return errors.New("bad sum") }},
			"Content-Length: 3\r\n\r\nabc", []int{422}, "bad sum"},
		"answered by Progress": {SaveOptions{Progress: func(c *conn.Conn, _, _ int64) { Error(c, 503) }},
			"Content-Length: 6\r\n\r\nabcdef", []int{503}, "replied to"},
		"closed by Progress": {SaveOptions{Progress: func(c *conn.Conn, _, _ int64) { c.Close() }},
			"Content-Length: 6\r\n\r\nabcdef", nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			for _, pieces := range splits(post + test.in) {
				u := newUpload(t, test.opts)
				tc := newTest(t, Options{}, u.handle)
				tc.send(pieces...)
				tc.end()
				tc.wantStatus(test.status...)
				u.wantFile("")
				if u.dones != 1 || u.err == nil || !strings.Contains(u.err.Error(), test.err) {
					t.Fatal(u.dones, u.err)
				}
			}
		})
	}
	t.Run("too slow", func(t *testing.T) {
		u := newUpload(t, SaveOptions{})
		tc := newTest(t, Options{}, u.handle)
		tc.send(post + "Content-Length: 3\r\n\r\na")
		tc.sleep(11 * time.Second)
		tc.wantStatus(408)
		u.wantFile("")
		tc.wantClosed(conn.DeadlineOver)
	})
	t.Run("answered between", func(t *testing.T) {
		u := newUpload(t, SaveOptions{})
		tc := newTest(t, Options{}, u.handle)
		tc.send(post + "Content-Length: 3\r\n\r\na")
		Error(tc.c, 503)
		tc.turn()
		u.wantFile("")
		tc.send("bc" + getLine)
		tc.wantStatus(503, 201)
		tc.wantOpen()
	})
	t.Run("given file", func(t *testing.T) {
		f, err := os.Create(filepath.Join(t.TempDir(), "given"))
		if err != nil {
			t.Fatal(err)
		}
		u := newUpload(t, SaveOptions{File: f})
		tc := newTest(t, Options{}, u.handle)
		tc.send(post + "Content-Length: 3\r\n\r\na")
		tc.end()
		u.wantFile("")
	})
	t.Run("file removed by somebody else", func(t *testing.T) {
		u := newUpload(t, SaveOptions{})
		tc := newTest(t, Options{}, u.handle)
		tc.send(post + "Content-Length: 3\r\n\r\na")
		names, _ := filepath.Glob(filepath.Join(filepath.Dir(u.opts.Path), ".upload-*.part"))
		os.Remove(names[0])
		tc.send("bc")
		tc.wantStatus(500)
		if !errors.Is(u.err, os.ErrNotExist) {
			t.Error(u.err)
		}
	})
	t.Run("disk full", func(t *testing.T) {
		u := newUpload(t, SaveOptions{})
		tc := newTest(t, Options{}, u.handle)
		tc.send(post + "Content-Length: 3\r\n\r\na")
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		if err != nil {
			t.Skip(err)
		}
		s := tc.c.Layer().ProtocolState().(*exchange).sink.(*bodySink)
		s.f.Close()
		s.f = full
		tc.send("b", "c")
		tc.wantStatus(507)
		if !errors.Is(u.err, syscall.ENOSPC) {
			t.Error(u.err)
		}
		u.wantFile("")
		tc.wantOpen()
	})
	t.Run("descriptor", func(t *testing.T) {
		u := newUpload(t, SaveOptions{})
		tc := newTest(t, Options{}, u.handle)
		tc.send(post + "Content-Length: 3\r\n\r\na")
		tc.c.Layer().ProtocolState().(*exchange).sink.(*bodySink).f.Close()
		tc.send("b", "c")
		tc.wantStatus(500)
		u.wantFile("")
	})
}

func TestSaveBodyErrors(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	unix.Mkfifo(fifo, 0o644)
	f, err := os.OpenFile(fifo, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	done := func(*conn.Conn, int64, error) { t.Error("Done was called") }
	for name, o := range map[string]SaveOptions{
		"no file":    {Done: done},
		"both":       {Done: done, Path: filepath.Join(dir, "x"), File: f},
		"no Done":    {Path: filepath.Join(dir, "x")},
		"a FIFO":     {Done: done, File: f},
		"no such":    {Done: done, Path: filepath.Join(dir, "none", "x")},
		"not a dir.": {Done: done, Path: "/dev/null/x"},
	} {
		var err error
		tc := newTest(t, Options{}, headHandler(func(c *conn.Conn, h *Head) {
			if err = SaveBody(c, o); err != nil {
				Error(c, 400)
			}
		}))
		tc.send(post + "Content-Length: 1\r\n\r\nx")
		tc.wantStatus(400)
		if err == nil || !strings.HasPrefix(err.Error(), "http: save body: ") {
			t.Errorf("%s: %v", name, err)
		}
		tc.wantOpen()
	}
	tc := newTest(t, Options{}, keep)
	if err := SaveBody(tc.c, SaveOptions{}); err != ErrNoRequest {
		t.Error(err)
	}
	tc.send(getLine)
	if err := SaveBody(tc.c, SaveOptions{}); err != ErrNoRequest {
		t.Error("behind Head:", err)
	}
	names, _ := os.ReadDir(dir)
	if len(names) != 1 {
		t.Error(names)
	}
}

// The bytes of one read are written at once, however many chunks they are.
func TestSaveBodyJoinsChunks(t *testing.T) {
	writes := 0
	u := newUpload(t, SaveOptions{Progress: func(*conn.Conn, int64, int64) { writes++ }})
	tc := newTest(t, Options{}, u.handle)
	tc.send(post+chunkedLine, strings.Repeat("1\r\na\r\n", 5000)+"0\r\n\r\n")
	u.wantFile(strings.Repeat("a", 5000))
	if writes != 1 {
		t.Fatal(writes, "writes")
	}
}
