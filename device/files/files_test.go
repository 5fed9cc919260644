package files

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/internal/exhaustive"
	"github.com/seed4930a636/mangusta/internal/looptest"
	"github.com/seed4930a636/mangusta/mgr"
)

func TestTheWholeWay(t *testing.T) {
	looptest.EachPoller(t, func(t *testing.T, p mgr.Poller) {
		r := serve(t, p, Options{MaxBytes: 1000})
		r.want(200, `{"path":"","entries":[],"used":0,"quota":1000,"files":0,"max_files":4096,"max_size":1000}`, "GET", "", "")
		r.want(201, `"name":"notes.txt","size":5,`, "PUT", "/notes.txt", "hello")
		r.want(200, `"size":6,`, "PUT", "/notes.txt", "hello!")
		r.want(412, "there is one", "PUT", "/notes.txt", "x", "If-None-Match", "*")
		r.want(201, `"size":0,`, "PUT", "/empty", "", "If-None-Match", "*")
		r.want(200, "hello!", "GET", "/notes.txt", "")
		r.want(206, "ell", "GET", "/notes.txt", "", "Range", "bytes=1-3")
		if resp, text := r.ask("HEAD", "/notes.txt", ""); resp.StatusCode != 200 || resp.ContentLength != 6 || text != "" {
			t.Error(resp, text)
		}
		r.want(409, "no such directory", "PUT", "/dir/a", "x")
		r.want(201, `"name":"dir","size":0,`, "POST", "/dir?mkdir", "")
		r.want(409, "there is one", "POST", "/dir?mkdir", "")
		r.want(409, "there is one", "POST", "/notes.txt?mkdir", "")
		r.want(409, "no such directory", "POST", "/none/dir?mkdir", "")
		r.want(409, "no such directory", "POST", "/notes.txt/dir?mkdir", "")
		r.want(409, "a directory has that name", "PUT", "/dir", "x")
		r.want(201, "", "PUT", "/dir/Grüße 1%25.txt", "ä")
		r.want(200, `"name":"Grüße 1%.txt"`, "GET", "/dir/", "")
		r.want(200, "ä", "GET", "/dir/Gr%C3%BC%C3%9Fe%201%25.txt", "")
		r.want(200, `"name":"b"`, "POST", "/notes.txt?rename=dir/b", "")
		r.want(409, "there is one", "POST", "/empty?rename=dir/b", "")
		r.want(409, "there is one", "POST", "/empty?rename=dir", "")
		r.want(409, "into itself", "POST", "/dir?rename=dir/in", "")
		r.want(409, "no such directory", "POST", "/empty?rename=none/a", "")
		r.want(404, "no such", "POST", "/none?rename=a", "")
		r.want(200, "", "POST", "/empty?rename=empty", "")
		r.want(409, "not empty", "DELETE", "/dir", "")
		r.want(404, "no such", "DELETE", "/none", "")
		r.want(404, "no such", "GET", "/none", "")
		r.want(404, "no such", "GET", "/empty/none", "")
		l := r.listing("")
		if names := fmt.Sprint(l.Entries[0].Name, l.Entries[1].Name); names != "direm"+"pty" || l.Used != 8 || l.Files != 4 {
			t.Errorf("%+v", l)
		}
		r.want(200, "", "POST", "/dir?rename=DIR", "")
		r.want(200, "hello!", "GET", "/DIR/b", "")
		r.want(200, "", "DELETE", "/DIR/b", "")
		r.want(200, "", "DELETE", "/DIR/Gr%C3%BC%C3%9Fe%201%25.txt", "")
		r.want(200, `"dir":true`, "DELETE", "/DIR/", "")
		if l := r.listing(""); l.Used != 0 || l.Files != 1 {
			t.Errorf("%+v", l)
		}
		r.wantNothingLeft()
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, want := range []string{`ann file notes.txt "" "6 bytes"`, `ann file notes.txt "notes.txt" "dir/b"`, `ann directory dir "" "made"`,
			`ann file DIR/b "" "deleted"`, `ann file empty "empty" "failed: there is one of that name"`} {
			if !slices.Contains(r.audit, want) {
				t.Errorf("the audit lacks %s: %q", want, r.audit)
			}
		}
	})
}

func TestRefusals(t *testing.T) {
	r := serve(t, 0, Options{})
	r.write("a", "1")
	for _, method := range []string{"PUT", "POST", "DELETE"} {
		for _, fields := range [][]string{{"Stranger", "1"}, {"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}} {
			r.want(403, "", method, "/a?rename=b", "2", fields...)
		}
	}
	r.want(403, "", "GET", "", "", "Nobody", "1")
	r.want(403, "", "GET", "/a", "", "Nobody", "1")
	r.want(400, "ask for", "POST", "/a", "")
	r.want(400, "ask for", "POST", "/a?mkdir&rename=b", "")
	r.want(400, "no file can be", "POST", "/a?rename=", "")
	r.want(400, "the whole file", "PUT", "/a", "2", "Content-Range", "bytes 0-0/5")
	for _, method := range []string{"PUT", "POST", "DELETE"} {
		r.want(400, "no file can be", method, "/?rename=b", "")
	}
	r.want(405, "", "PATCH", "/a", "2")
	r.want(400, "", "PUT", "", "2") // after a redirect
	r.wantFile("a", "1")
	r.wantNothingLeft()
}

func TestNames(t *testing.T) {
	long := strings.Repeat("x", 255)
	for _, tt := range []struct{ text, path string }{
		{"", "."}, {"/", "."}, {"a", "a"}, {"a/", "a"}, {"a/b.c", "a/b.c"}, {".hidden", ".hidden"}, {"...", "..."}, {"a b", "a b"}, {"ä", "ä"},
		{long, long}, {long + "x", ""}, {long + "/" + long, long + "/" + long},
		{strings.Repeat("a/", 16), strings.Repeat("a/", 15) + "a"}, {strings.Repeat("a/", 17), ""}, {strings.Repeat(long+"/", 5), ""},
		{"..", ""}, {".", ""}, {"../a", ""}, {"a/..", ""}, {"a/../b", ""}, {"a/./b", ""}, {"a//b", ""}, {"/a", ""}, {"//", ""}, {"a//", ""},
		{"a\\b", ""}, {"..\\a", ""}, {"a\x00b", ""}, {"a\nb", ""}, {"\x7f", ""}, {"\u0085", ""}, {"\xff", ""}, {"a\u202etxt.exe", ""},
		{".uploads", ""}, {".uploads/1", ""}, {".UpLoads/1", ""}, {"a/.uploads", "a/.uploads"}, {".uploads2", ".uploads2"},
	} {
		if path, ok := parsePath(tt.text); path != tt.path && ok || ok != (tt.path != "") {
			t.Errorf("%.50q: %.50q %v, want %.50q", tt.text, path, ok, tt.path)
		}
	}
}

func FuzzNames(f *testing.F) {
	for _, s := range []string{"a/b", "..", "a/../b", "\x00", "/etc", "a\\..", "."} {
		f.Add(s)
	}
	root, err := os.OpenRoot(f.TempDir())
	if err != nil {
		f.Fatal(err)
	}
	defer root.Close()
	f.Fuzz(func(t *testing.T, s string) {
		path, ok := parsePath(s)
		if !ok {
			return
		}
		if !fs.ValidPath(path) || !filepath.IsLocal(path) {
			t.Errorf("%q", path)
		}
		if _, err := root.Lstat(path); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENAMETOOLONG) {
			t.Error(err)
		}
	})
}

// None of these leads out, whatever the request.
func TestPathsThatLeadOut(t *testing.T) {
	r := serve(t, 0, Options{})
	r.want(201, "", "POST", "/dir?mkdir", "")
	r.write("dir/a", "1")
	outside := r.outside()
	targets := []string{
		"/files/../secret", "/files/%2e%2e/secret", "/files/%2E%2E%2Fsecret", "/files/..%2fsecret", "/files/dir/../../secret",
		"/files/dir/%2e%2e/%2e%2e/secret", "/files/dir%2f..%2f..%2fsecret", "/files/./../secret", "/files/.%2e/secret", "/files/..;/secret",
		"/files/" + outside, "/files/" + strings.ReplaceAll(outside, "/", "%2f"), "/files//" + outside, "/files/dir/" + outside,
		"/files/..%5csecret", "/files/dir%5c..%5c..%5csecret", "/files/%00", "/files/dir/a%00", "/files/%00/../secret", "/files/..%00/secret",
		"/files/%252e%252e/secret", "/files/%c0%ae%c0%ae/secret", "/files/%ff", "/files/%E2%80%AE", "/files/%uff0e%uff0e/secret",
		"/files/.uploads/1", "/files/.uploads", "/files/%2euploads/1", "/files/" + strings.Repeat("x", 256), "/files/" + strings.Repeat("a/", 40),
	}
	for _, target := range targets {
		for _, method := range []string{"GET", "PUT", "DELETE", "POST"} {
			at := target
			if method == "POST" {
				at += "?mkdir"
			}
			status, text := r.raw(method, at, "evil")
			if strings.Contains(text, secret) || strings.Contains(text, filepath.Dir(r.dir)) {
				t.Errorf("%s %s: %s", method, at, text)
			}
			// A plain name may be made of a target that looks worse than it is.
			if status < 300 && method != "DELETE" && !strings.Contains(target, "..;") && !strings.Contains(target, "%252e") && !strings.Contains(target, "%uff") {
				t.Errorf("%s %s: %d", method, at, status)
			}
			r.wantSecret()
		}
		name := strings.TrimPrefix(target, "/files/")
		if status, _ := r.raw("POST", "/files/dir/a?rename="+name, ""); status < 300 {
			r.raw("POST", "/files/"+name+"?rename=dir/a", "")
		}
		r.wantSecret()
	}
	r.wantFile("dir/a", "1")
	r.wantNothingLeft()
}

// Links that lead out are not followed, whatever the request; what is not a file is none.
func TestLinksAndDevices(t *testing.T) {
	r := serve(t, 0, Options{MaxBytes: 1000})
	if err := os.Mkdir(filepath.Join(filepath.Dir(r.dir), "elsewhere"), 0o700); err != nil {
		t.Fatal(err)
	}
	r.write("a", "1")
	for name, to := range map[string]string{
		"file": r.outside(), "up": "../secret", "dir": filepath.Dir(r.dir), "updir": "..", "gone": "none", "self": "self", "elsewhere": "../elsewhere", "inside": "a",
	} {
		if err := os.Symlink(to, r.path(name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mkfifo(r.path("fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(r.path("bad\xffname"), []byte("1234"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{"/file", "/up", "/dir", "/dir/secret", "/updir/secret", "/gone", "/self", "/self/a", "/fifo", "/fifo/a", "/inside"} {
		r.want(404, "no such", "GET", target, "")
		resp, text := r.ask("PUT", target, "evil")
		if resp.StatusCode < 400 || strings.Contains(text, "/") {
			t.Errorf("PUT %s: %d %s", target, resp.StatusCode, text)
		}
	}
	for _, target := range []string{"/dir/new", "/updir/new", "/elsewhere/new"} {
		for method, query := range map[string]string{"PUT": "", "POST": "?mkdir"} {
			if resp, text := r.ask(method, target+query, "evil"); resp.StatusCode < 400 {
				t.Errorf("%s %s: %d %s", method, target, resp.StatusCode, text)
			}
		}
		if resp, text := r.ask("POST", "/a?rename="+target[1:], ""); resp.StatusCode < 400 {
			t.Errorf("rename to %s: %d %s", target, resp.StatusCode, text)
		}
	}
	r.want(404, "no such", "DELETE", "/dir/secret", "")
	r.recount()
	// Only the one file is shown; the others count.
	if l := r.listing(""); len(l.Entries) != 1 || l.Entries[0].Name != "a" || l.Used != 5 || l.Files != 11 {
		t.Errorf("%+v", l)
	}
	r.want(200, "", "DELETE", "/dir", "") // the link itself
	r.wantSecret()
}

// A directory that becomes a link out of the tree, again and again, leads no request out.
func TestLinkThatIsSwapped(t *testing.T) {
	r := serve(t, 0, Options{})
	elsewhere := filepath.Join(filepath.Dir(r.dir), "elsewhere")
	for _, dir := range []string{elsewhere, r.path("dir")} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(elsewhere, "a"), []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../elsewhere", r.path("link")); err != nil {
		t.Fatal(err)
	}
	r.write("dir/a", "inside")
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for { // an exchange: each name is always there
			select {
			case <-stop:
				return
			default:
				unix.Renameat2(unix.AT_FDCWD, r.path("link"), unix.AT_FDCWD, r.path("dir"), unix.RENAME_EXCHANGE)
			}
		}
	}()
	seen := map[int]int{}
	rounds := 60
	if exhaustive.On() {
		rounds = 2000
	}
	for i := range rounds {
		r.recount() // each walks the tree
		for method, target := range map[string]string{"GET": "/dir/a", "PUT": "/dir/new", "DELETE": "/dir/new", "POST": fmt.Sprintf("/dir/d%d?mkdir", i)} {
			resp, text := r.ask(method, target, "evil")
			seen[resp.StatusCode]++
			if strings.Contains(text, secret) || resp.StatusCode >= 500 {
				t.Fatalf("%s: %d %s", target, resp.StatusCode, text)
			}
		}
		if _, text := r.ask("GET", "/dir", ""); strings.Contains(text, fmt.Sprint(`"size":`, len(secret))) {
			t.Fatal(text)
		}
	}
	close(stop)
	<-stopped
	list, err := os.ReadDir(elsewhere)
	if err != nil || len(list) != 1 {
		t.Errorf("outside there are %v, %v", list, err)
	}
	if text, err := os.ReadFile(filepath.Join(elsewhere, "a")); string(text) != secret {
		t.Errorf("%q %v", text, err)
	}
	t.Logf("replies by status: %v", seen)
}

// A file that a stranger has uploaded does not run as a page of ours.
func TestNothingRuns(t *testing.T) {
	r := serve(t, 0, Options{})
	for name, kind := range map[string]string{
		"page.html": "", "x.svg": "", "x.xml": "", "sw.js": "", "x.xhtml": "", "x.pdf": "", "none": "", ".txt": "", "x.css": "", "x.wasm": "",
		"x.TXT": "text/plain; charset=utf-8", "x.json": "text/plain; charset=utf-8", "x.png": "image/png", "a.b.jpg": "image/jpeg",
	} {
		r.want(201, "", "PUT", "/"+name, "<script>alert(1)</script>")
		resp, _ := r.ask("GET", "/"+name, "")
		h := resp.Header
		attached := strings.HasPrefix(h.Get("Content-Disposition"), "attachment")
		if kind == "" && (!attached || h.Get("Content-Type") != "application/octet-stream") || kind != "" && (attached || h.Get("Content-Type") != kind) ||
			!strings.HasPrefix(h.Get("Content-Security-Policy"), "sandbox;") || h.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %v", name, h)
		}
	}
	const name = "azAZ09.-_%22%3B%20%40%5B%60%7B%3A%E2%82%AC.txt"
	r.want(201, "", "PUT", "/"+name, "1")
	resp, _ := r.ask("GET", "/"+name+"?download", "")
	if got := resp.Header.Get("Content-Disposition"); got != `attachment; filename="azAZ09.-____________.txt"; filename*=UTF-8''`+name {
		t.Error(got)
	}
}

func TestErrorsOfTheDisk(t *testing.T) {
	f := serve(t, 0, Options{}).f
	for _, tt := range []struct {
		err    error
		status int
	}{
		{syscall.ENOSPC, 507}, {syscall.EDQUOT, 507}, {syscall.EIO, 500}, {syscall.EROFS, 500}, {syscall.EACCES, 403}, {syscall.EPERM, 403},
		{syscall.EMFILE, 503}, {syscall.ENFILE, 503}, {syscall.ENOENT, 404}, {syscall.ENOTDIR, 404}, {syscall.ELOOP, 404}, {syscall.ENOTEMPTY, 409},
		{syscall.ENAMETOOLONG, 400}, {errors.New("path escapes from parent"), 404}, {errQuota, 507},
	} {
		for _, err := range []error{tt.err, &fs.PathError{Op: "write", Path: "/home", Err: tt.err}} {
			if got := f.failureOf(err); got.status != tt.status || strings.Contains(got.text, "home") {
				t.Errorf("%v: %+v, want %d", err, got, tt.status)
			}
		}
	}
}

// On a disk to which capital letters are small ones, A is the file a; here a second link stands for
// that.
func TestRenameToOtherLetters(t *testing.T) {
	r := serve(t, 0, Options{})
	r.want(201, "", "PUT", "/a", "x")
	r.want(201, "", "PUT", "/other", "x")
	for _, name := range []string{"A", "b"} {
		if err := os.Link(filepath.Join(r.dir, "a"), filepath.Join(r.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	r.want(201, "", "PUT", "/Other", "y")
	for _, tt := range []struct {
		from, to string
		free     bool
	}{{"a", "A", true}, {"a", "b", false}, {"other", "Other", false}, {"a", "none", true}, {"none", "a", false}, {"None", "none/x", true}, {"A", "a/x", false}} {
		if got := r.f.free(tt.from, tt.to); got != tt.free {
			t.Errorf("%s for %s is free: %v", tt.to, tt.from, got)
		}
	}
}

// New removes the parts of uploads that a power cut has ended, and refuses a directory that is a
// file.
func TestNew(t *testing.T) {
	dir := t.TempDir()
	for _, err := range []error{os.Mkdir(filepath.Join(dir, uploads), 0o700), os.WriteFile(filepath.Join(dir, uploads, "1"), []byte("part"), 0o600),
		os.WriteFile(filepath.Join(dir, "a"), nil, 0o600)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	f, err := New(Options{Root: dir})
	if err != nil {
		t.Fatal(err)
	}
	if list, err := os.ReadDir(filepath.Join(dir, uploads)); err != nil || len(list) != 0 {
		t.Errorf("%v %v", list, err)
	}
	f.Close()
	if err := f.run(func() { t.Error("it runs") }); err != errClosed {
		t.Error(err)
	}
	if err := f.enter(); err != errClosed {
		t.Error(err)
	}
	for _, root := range []string{filepath.Join(dir, "a"), filepath.Join(dir, "a", "b")} {
		if _, err := New(Options{Root: root}); err == nil {
			t.Errorf("%s is taken", root)
		}
	}
}

// While many requests wait for the disk, more are turned away, and the loop goes on.
func TestTooManyRequests(t *testing.T) {
	r := serve(t, 0, Options{})
	r.f.disk.Lock()
	waiting := make(chan string, maxWaiting)
	for range maxWaiting {
		go func() {
			_, text := r.ask("GET", "", "")
			waiting <- text
		}()
	}
	r.until(func() bool { return r.f.waiting == maxWaiting })
	if resp, text := r.ask("GET", "", ""); resp.StatusCode != 503 || resp.Header.Get("Retry-After") != "1" {
		t.Errorf("%d %s", resp.StatusCode, text)
	}
	r.want(503, "try again", "DELETE", "/a", "")
	r.f.disk.Unlock()
	for range maxWaiting {
		if text := <-waiting; !strings.Contains(text, `"entries"`) {
			t.Error(text)
		}
	}
}
