package http

import (
	"errors"
	"fmt"
	"hash"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
)

func put(fields, body string) string {
	return "PUT / HTTP/1.1\r\nHost: a\r\n" + strings.ReplaceAll(fields, "\n", "\r\n") + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body)
}

func patch(fields, body string) string { return "PATCH" + put(fields, body)[3:] }

const headLine = "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"

// RFC 9110 14.5: a PUT of a part must not be taken for the whole.
func TestSaveBodyRefusesAPart(t *testing.T) {
	for _, fields := range []string{"Content-Range: bytes 5-9/10\n", "Content-Range: bytes 0-4/10\n", "Content-Range: bytes 5-9/*\n", "Content-Range: bytes 0-4/*\n",
		"Content-Range: bytes */10\n", "Content-Range: 5-9/10\n", "Content-Range: bytes 5-8/10\n", "Content-Range:\n", "Content-Range: bytes 0-4/5\nContent-Range: bytes 0-4/5\n",
		"Upload-Offset: 5\n", "Upload-Complete: ?0\n", "Upload-Length: 10\n", "Upload-Offset: x\n"} {
		u := newUpload(t, SaveOptions{})
		os.WriteFile(u.opts.Path, []byte("01234"), 0o644)
		tc := newTest(t, Options{}, u.handle)
		tc.send(put(fields, "56789"), getLine)
		tc.wantStatus(400, 201)
		if u.began != nil || u.dones != 1 {
			t.Errorf("%q: %v, Done %d times", fields, u.began, u.dones)
		}
		os.WriteFile(u.opts.Path, []byte("01234"), 0o644)
		tc.send(put(fields, "56789"))
		tc.wantStatus(400)
		u.wantFile("01234")
		if u.dones != 1 || u.err == nil || !strings.HasPrefix(u.err.Error(), "http: save body: ") {
			t.Errorf("%q: Done %d times, %v", fields, u.dones, u.err)
		}
		tc.wantOpen()
	}
	for _, fields := range []string{"Content-Range: bytes 0-4/5\n", "Upload-Offset: 0\nUpload-Complete: ?1\nUpload-Length: 5\n"} {
		u := newUpload(t, SaveOptions{})
		tc := newTest(t, Options{}, u.handle)
		tc.send(put(fields, "whole"))
		tc.wantStatus(201)
		u.wantFile("whole")
	}
}

// A client that has asked to be told first is told, and the body never comes.
func TestSaveBodyRefusesAPartBeforeItsBody(t *testing.T) {
	u := newUpload(t, SaveOptions{})
	tc := newTest(t, Options{}, u.handle)
	tc.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Range: bytes 5-9/10\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
	tc.wantStatus(400)
	u.wantFile("")
}

// wantReplies sends a request and wants the statuses, and the offset in the last reply.
func (tc *testConn) wantOffset(request string, status int, offset, complete string) {
	tc.t.Helper()
	tc.send(request)
	out := tc.reply()
	if !strings.HasPrefix(out, fmt.Sprintf("HTTP/1.1 %d ", status)) || field(out, "Upload-Offset") != offset || field(out, "Upload-Complete") != complete {
		tc.t.Fatalf("%q:\n%s\nwant %d, offset %q, complete %q", request, out, status, offset, complete)
	}
	if status == 200 && field(out, "Content-Length") != offset {
		tc.t.Fatalf("HEAD: %s", out)
	}
}

func resumable(t *testing.T) (*upload, *testConn) {
	u := newUpload(t, SaveOptions{Resume: true, MaxSize: 100})
	return u, newTest(t, Options{}, u.handle)
}

func TestResume(t *testing.T) {
	t.Run("broken off, told by HEAD, continued by PATCH", func(t *testing.T) {
		u, tc := resumable(t)
		tc.wantOffset(headLine, 404, "", "")
		tc.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123")
		tc.end()
		tc.wantStatus(400)
		if u.dones != 1 || u.err == nil || u.size != 4 {
			t.Fatal(u.dones, u.err, u.size)
		}
		tc = newTest(t, Options{}, u.handle)
		tc.wantOffset(headLine, 200, "4", "?0")
		if u.dones != 0 {
			t.Error("Done was called for HEAD")
		}
		tc.wantOffset(patch("Upload-Offset: 4\n", "456789"), 201, "", "")
		if u.dones != 1 || u.err != nil || u.size != 10 {
			t.Fatal(u.dones, u.err, u.size)
		}
		u.wantFile("0123456789")
		tc.wantOffset(headLine, 200, "10", "?1")
		tc.wantOpen()
	})
	t.Run("pieces by Content-Range", func(t *testing.T) {
		u, tc := resumable(t)
		tc.wantOffset(put("Content-Range: bytes 0-3/10\n", "0123"), 204, "4", "?0")
		if u.dones != 1 || u.err != ErrIncomplete || u.size != 4 {
			t.Fatal(u.dones, u.err, u.size)
		}
		tc.wantOffset(put("Content-Range: bytes 4-4/10\n", "4"), 204, "5", "?0")
		tc.wantOffset(put("Content-Range: bytes 5-5/*\n", "5"), 204, "6", "?0")
		tc.wantOffset(put("Content-Range: bytes 6-9/10\n", "6789"), 201, "", "")
		u.wantFile("0123456789")
	})
	t.Run("pieces by Upload-Complete", func(t *testing.T) {
		u, tc := resumable(t)
		tc.wantOffset("POST"+put("Upload-Complete: ?0\n", "01")[3:], 204, "2", "?0")
		tc.wantOffset(patch("Upload-Offset: 2\nUpload-Complete: ?0\nUpload-Length: 6\n", "23"), 204, "4", "?0")
		tc.wantOffset(patch("Upload-Offset: 4\nUpload-Complete: ?0\n", ""), 204, "4", "?0")
		tc.send("PATCH / HTTP/1.1\r\nHost: a\r\nUpload-Offset: 4\r\nUpload-Complete: ?1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n4\r\n", "1\r\n5\r\n0\r\n\r\n")
		tc.wantStatus(201)
		u.wantFile("012345")
	})
	t.Run("the total is reached", func(t *testing.T) {
		u, tc := resumable(t)
		tc.wantOffset(put("Upload-Complete: ?0\nUpload-Length: 4\n", "01"), 204, "2", "?0")
		tc.wantOffset(patch("Upload-Offset: 2\nUpload-Complete: ?0\nUpload-Length: 4\n", "23"), 201, "", "")
		u.wantFile("0123")
	})
	t.Run("at another offset", func(t *testing.T) {
		u, tc := resumable(t)
		tc.wantOffset(put("Content-Range: bytes 0-3/10\n", "0123"), 204, "4", "?0")
		for _, at := range []int{1, 3, 5} {
			tc.wantOffset(patch(fmt.Sprintf("Upload-Offset: %d\n", at), "x"), 409, "4", "")
			if u.dones != 1 || u.err == nil {
				t.Fatal(u.dones, u.err)
			}
		}
		tc.wantOffset(headLine, 200, "4", "?0")
		tc.wantOffset(patch("Upload-Offset: 4\n", "456789"), 201, "", "")
		u.wantFile("0123456789")
		tc.wantOffset(patch("Upload-Offset: 10\n", "x"), 409, "0", "") // it is complete: there is nothing to go on with
		u.wantFile("0123456789")
	})
	t.Run("anew", func(t *testing.T) {
		u, tc := resumable(t)
		os.WriteFile(u.opts.Path, []byte("old"), 0o644)
		tc.wantOffset(headLine, 200, "3", "?1")
		tc.wantOffset(put("Content-Range: bytes 0-3/10\n", "9999"), 204, "4", "?0")
		tc.wantOffset(headLine, 200, "4", "?0")
		tc.wantOffset(put("Content-Range: bytes 0-1/10\n", "01"), 204, "2", "?0")
		if old, _ := os.ReadFile(u.opts.Path); string(old) != "old" {
			t.Fatalf("%q before the new one is complete", old)
		}
		tc.wantOffset(put("", "new"), 201, "", "")
		u.wantFile("new")
	})
	t.Run("malformed", func(t *testing.T) {
		u, tc := resumable(t)
		for _, fields := range []string{"", "Upload-Offset: -1\n", "Upload-Offset: 0x1\n", "Upload-Offset:\n", "Upload-Offset: 9223372036854775807\n", "Upload-Offset: 0\nUpload-Offset: 0\n",
			"Upload-Offset: 0\nUpload-Complete: 1\n", "Upload-Offset: 0\nUpload-Length: 1\n", "Upload-Offset: 0\nUpload-Length: 3\n", "Upload-Offset: 0\nContent-Range: bytes 0-1/2\n",
			"Content-Range: bytes 0-2/3\n", "Content-Range: bytes 1-0/3\n", "Content-Range: bytes 0-1/1\n", "Content-Range: bytes 0-1\n", "Content-Range: items 0-1/2\n"} {
			tc.wantOffset(patch(fields, "ab"), 400, "", "")
			if u.dones != 1 || u.err == nil {
				t.Fatalf("%q: %d, %v", fields, u.dones, u.err)
			}
		}
		tc.wantOffset("DELETE"+put("", "ab")[3:], 405, "", "")
		u.wantFile("")
		tc.wantOpen()
	})
	t.Run("a body that is not as long as its head says", func(t *testing.T) {
		u, tc := resumable(t)
		const chunked = "PUT / HTTP/1.1\r\nHost: a\r\nContent-Range: bytes 0-3/10\r\nTransfer-Encoding: chunked\r\n\r\n"
		tc.send(chunked + "2\r\nab\r\n0\r\n\r\n")
		tc.wantStatus(400)
		tc.send(chunked + "5\r\nabcde\r\n0\r\n\r\n")
		tc.wantStatus(413)
		if u.dones != 1 || u.err == nil {
			t.Fatal(u.dones, u.err)
		}
	})
	t.Run("too large", func(t *testing.T) {
		u, tc := resumable(t)
		tc.wantOffset(put("Content-Range: bytes 0-1/101\n", "ab"), 413, "", "")
		tc.wantOffset(patch("Upload-Offset: 101\n", "ab"), 413, "", "")
		if u.dones != 1 || u.err == nil {
			t.Fatal(u.dones, u.err)
		}
		u.wantFile("")
		tc.wantOffset(put("Upload-Complete: ?0\n", strings.Repeat("x", 99)), 204, "99", "?0")
		tc.wantOffset(patch("Upload-Offset: 99\n", "ab"), 413, "", "")
		tc = newTest(t, Options{}, u.handle)
		tc.wantOffset(patch("Upload-Offset: 99\n", "a"), 201, "", "")
	})
	t.Run("while another one writes", func(t *testing.T) {
		u, tc := resumable(t)
		tc.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n01")
		v := newUpload(t, u.opts)
		other := newTest(t, Options{}, v.handle)
		other.wantOffset(put("", "9999"), 409, "", "")
		other.wantOffset(patch("Upload-Offset: 2\n", "99"), 409, "", "")
		other.wantOffset(headLine, 200, "2", "?0")
		if v.dones != 0 || other.c.IsClosed() {
			t.Fatal("Done for HEAD, or closed")
		}
		tc.send("23")
		tc.wantStatus(201)
		u.wantFile("0123")
	})
	t.Run("refused by Check", func(t *testing.T) {
		u, tc := resumable(t)
		u.opts.Check = func(int64) error { return errors.New("bad sum") }
		tc.wantOffset(put("Content-Range: bytes 0-1/4\n", "ab"), 204, "2", "?0")
		tc.wantOffset(put("Content-Range: bytes 2-3/4\n", "cd"), 422, "", "")
		u.wantFile("") // it can be made good only from the beginning
	})
	t.Run("nothing has come", func(t *testing.T) {
		u, tc := resumable(t)
		tc.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n")
		tc.end()
		u.wantFile("")
	})
	t.Run("too slow", func(t *testing.T) {
		u, tc := resumable(t)
		tc.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n01")
		tc.sleep(11 * time.Second)
		tc.wantStatus(408)
		tc = newTest(t, Options{}, u.handle)
		tc.wantOffset(headLine, 200, "2", "?0")
	})
	t.Run("progress", func(t *testing.T) {
		u, tc := resumable(t)
		u.opts.Progress = func(c *conn.Conn, size, total int64) { u.progress = append(u.progress, fmt.Sprint(size, "/", total)) }
		tc.send(put("Content-Range: bytes 0-1/4\n", "01"))
		tc.send("PATCH / HTTP/1.1\r\nHost: a\r\nUpload-Offset: 2\r\nContent-Length: 2\r\n\r\n2", "3")
		if got := fmt.Sprint(u.progress); got != "[3/4 4/4]" {
			t.Error(got)
		}
	})
	t.Run("in a root", func(t *testing.T) {
		root, err := os.OpenRoot(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		u := newUpload(t, SaveOptions{Root: root, Path: "a", Resume: true})
		tc := newTest(t, Options{}, u.handle)
		tc.wantOffset(put("Content-Range: bytes 0-1/4\n", "01"), 204, "2", "?0")
		tc.wantOffset(put("Content-Range: bytes 2-3/4\n", "23"), 201, "", "")
		u.wantFile("0123")
		u.opts.Path = "../a"
		tc.send(headLine)
		tc.wantStatus(500)
		if !errors.Is(u.began, ErrBadPath) {
			t.Error(u.began)
		}
	})
	t.Run("a name with no room for more", func(t *testing.T) {
		u, tc := resumable(t)
		u.opts.Path = filepath.Join(filepath.Dir(u.opts.Path), strings.Repeat("x", 250))
		tc.send(put("", "x"))
		tc.wantStatus(500)
		if !errors.Is(u.began, ErrBadPath) {
			t.Error(u.began)
		}
	})
	t.Run("what is no file", func(t *testing.T) {
		u, tc := resumable(t)
		os.Mkdir(filepath.Join(filepath.Dir(u.opts.Path), ".upload-saved.resume.part"), 0o755)
		for _, request := range []string{put("", "x"), headLine} {
			tc.send(request)
			tc.wantStatus(500)
			if u.began == nil {
				t.Errorf("%q: no error", request)
			}
		}
	})
	t.Run("with a Hash", func(t *testing.T) {
		u, tc := resumable(t)
		u.opts.Hash = errHash{}
		tc.send(put("", "x"))
		if u.began != errHashPart {
			t.Error(u.began)
		}
	})
}

type errHash struct{ hash.Hash }

// A given file is written at the offset, within what there is, and kept.
func TestResumeAGivenFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "given")
	os.WriteFile(path, []byte("> 0123"), 0o644)
	u := newUpload(t, SaveOptions{Resume: true})
	tc := newTest(t, Options{}, func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*Head); ok {
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			f.Seek(2, 0)
			u.opts.Path, u.opts.File = "", f
		}
		u.handle(c, ev)
	})
	tc.wantOffset(headLine, 200, "4", "?0")
	tc.wantOffset(patch("Upload-Offset: 5\n", "x"), 409, "4", "")
	tc.wantOffset(patch("Upload-Offset: 2\n", "xyz"), 201, "", "")
	u.wantFile("> 01xyz")
	tc.wantOffset(put("Content-Range: bytes 5-5/9\n", "5"), 204, "6", "?0")
	tc.send("PATCH / HTTP/1.1\r\nHost: a\r\nUpload-Offset: 6\r\nContent-Length: 3\r\n\r\n6")
	tc.end()
	u.wantFile("> 01xyz56")
	if u.opts.File.Close() == nil {
		t.Error("the file was left open")
	}
}

// Names that cannot be are found in the head, before the body is taken.
func TestSaveBodyFindsBadPathsInTheHead(t *testing.T) {
	dir := t.TempDir()
	os.Mkdir(filepath.Join(dir, "sub"), 0o755)
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for _, resume := range []bool{false, true} {
		for _, name := range []string{"..", ".", "sub", "sub/", "sub/..", "sub/.", "a\x00b", strings.Repeat("x", 256), strings.Repeat("x", 300), "a/", "../x", strings.Repeat("./", 2100) + "x"} {
			for _, r := range []*os.Root{nil, root} {
				path := name
				if r != nil && len(name) > 4096 {
					continue // a root has no such limit
				}
				if r == nil {
					path = dir + "/" + name
					if name == "../x" {
						continue
					}
				}
				u := newUpload(t, SaveOptions{Path: path, Root: r, Resume: resume})
				tc := newTest(t, Options{}, u.handle)
				tc.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n") // and no body
				tc.wantStatus(500)
				if !errors.Is(u.began, ErrBadPath) || u.dones != 0 {
					t.Errorf("%.20q, root %v: %v", name, r != nil, u.began)
				}
			}
		}
	}
	names, _ := os.ReadDir(dir)
	if len(names) != 1 {
		t.Error(names)
	}
}

// A reply that comes after Done needs the handle of its request: on the connection alone it could
// reach the next one.
func TestSaveBodyIsRepliedToLater(t *testing.T) {
	dir := t.TempDir()
	var laters []*Later
	tc := newTest(t, Options{}, func(c *conn.Conn, ev conn.Event) {
		if h, ok := ev.(*Head); ok {
			later := h.Later()
			SaveBody(c, SaveOptions{Path: filepath.Join(dir, "saved"), Done: func(c *conn.Conn, size int64, err error) {
				if err != nil {
					t.Error(err)
				}
				laters = append(laters, later)
			}})
		}
	})
	tc.send(put("", "first") + put("", "second"))
	if len(laters) != 1 {
		t.Fatalf("%d are done before the first has its reply", len(laters))
	}
	tc.enter(false)
	if err := Reply(tc.c, 200, "", "of nobody"); !errors.Is(err, ErrOutside) {
		t.Errorf("a reply without the handle: %v", err)
	}
	reply := func(want error) {
		t.Helper()
		if err := laters[0].Reply(201, "", "for the first"); err != want {
			t.Errorf("the first: %v, want %v", err, want)
		}
		tc.turn()
		tc.turn()
	}
	reply(nil)
	tc.wantStatus(201)
	if len(laters) != 2 {
		t.Fatal("the second is not done")
	}
	reply(ErrGone)
	tc.wantStatus()
	if err := laters[1].Reply(200, "", "for the second"); err != nil {
		t.Error(err)
	}
	tc.turn()
	tc.wantStatus(200)
	tc.wantOpen()
}

// An upload that is complete is not lost because the process is out of descriptors.
func TestSaveBodyWithoutADescriptorLeft(t *testing.T) {
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Skip(err)
	}
	restore := func() { unix.Setrlimit(unix.RLIMIT_NOFILE, &old) }
	defer restore()
	for _, resume := range []bool{false, true} {
		u := newUpload(t, SaveOptions{Resume: resume, Check: func(int64) error {
			return unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 1, Max: old.Max})
		}})
		tc := newTest(t, Options{}, u.handle)
		tc.send(put("", "whole"))
		restore()
		tc.wantStatus(201)
		u.wantFile("whole")
	}
}

func TestCleanUploads(t *testing.T) {
	for _, in := range []string{"", "root"} {
		dir := t.TempDir()
		var root *os.Root
		place := dir
		if in != "" {
			root, _ = os.OpenRoot(dir)
			defer root.Close()
			place = "."
		}
		old := time.Now().Add(-time.Hour)
		for _, name := range []string{".upload-1.part", ".upload-a.resume.part", ".upload-x.part.txt", "upload-2.part", "a.part", ".upload-young.part"} {
			path := filepath.Join(dir, name)
			os.WriteFile(path, []byte("x"), 0o644)
			if !strings.Contains(name, "young") {
				os.Chtimes(path, old, old)
			}
		}
		os.Mkdir(filepath.Join(dir, ".upload-dir.part"), 0o755)
		os.Symlink("a.part", filepath.Join(dir, ".upload-link.part"))
		// Uploads that are going on, though nothing has come for an hour.
		going := newUpload(t, SaveOptions{Path: filepath.Join(dir, "plain")})
		resumed := newUpload(t, SaveOptions{Path: filepath.Join(dir, "resumed"), Resume: true})
		var tcs []*testConn
		for _, u := range []*upload{going, resumed} {
			tc := newTest(t, Options{}, u.handle)
			tc.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nx")
			tcs = append(tcs, tc)
		}
		parts, _ := filepath.Glob(filepath.Join(dir, ".upload-*.part"))
		for _, p := range parts {
			if info, _ := os.Stat(p); info.Size() == 1 && !strings.Contains(p, "young") {
				os.Chtimes(p, old, old)
			}
		}
		n, err := CleanUploads(root, place, time.Minute)
		if n != 2 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		if n, err = CleanUploads(root, place, 0); n != 1 || err != nil {
			t.Errorf("without an age: %d, %v", n, err)
		}
		for _, tc := range tcs {
			tc.send("y")
			tc.wantStatus(201)
		}
		var got []string
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			got = append(got, e.Name())
		}
		if s := strings.Join(got, " "); s != ".upload-dir.part .upload-link.part .upload-x.part.txt a.part plain resumed upload-2.part" {
			t.Error(s)
		}
		if _, err := CleanUploads(root, filepath.Join(place, "none"), 0); !errors.Is(err, os.ErrNotExist) || !strings.HasPrefix(err.Error(), "http: clean uploads: ") {
			t.Error(err)
		}
	}
}
