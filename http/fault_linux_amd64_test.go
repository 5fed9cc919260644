package http

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/internal/exhaustive"
	"github.com/seed4930a636/mangusta/internal/stracetest"
)

// DESIGN, invariant 13, for files: each system call of an upload, a form, a listing and a file that
// is served fails once, with errnos of its man page. The client gets its 500, 503 or 507, Done is
// told once and why, no descriptor stays open, and neither a part of a file nor a file that is not
// whole is left.

var fileErrnos = map[string][]unix.Errno{
	"openat":     {unix.EACCES, unix.EDQUOT, unix.EINTR, unix.EIO, unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.ENOSPC, unix.EROFS},
	"write":      {unix.EAGAIN, unix.EBADF, unix.EDQUOT, unix.EFBIG, unix.EINTR, unix.EINVAL, unix.EIO, unix.ENOSPC, unix.EPERM},
	"close":      {unix.EINTR, unix.EIO, unix.ENOSPC, unix.EDQUOT},
	"fstat":      {unix.EBADF, unix.EFAULT, unix.ENOMEM, unix.EOVERFLOW, unix.EIO},
	"newfstatat": {unix.EACCES, unix.EIO, unix.ELOOP, unix.ENOENT, unix.ENOMEM, unix.EOVERFLOW},
	"flock":      {unix.EBADF, unix.EINTR, unix.EINVAL, unix.ENOLCK, unix.EWOULDBLOCK},
	"fcntl":      {unix.EBADF, unix.EINVAL, unix.EMFILE},
	"renameat":   {unix.EACCES, unix.EDQUOT, unix.EIO, unix.EISDIR, unix.ENOENT, unix.ENOMEM, unix.ENOSPC, unix.EROFS},
	"unlinkat":   {unix.EACCES, unix.EBUSY, unix.EIO, unix.ENOENT, unix.EROFS},
	"lseek":      {unix.EBADF, unix.EINVAL, unix.ESPIPE},
	"ftruncate":  {unix.EBADF, unix.EFBIG, unix.EINTR, unix.EINVAL, unix.EIO},
	"getdents64": {unix.EBADF, unix.EINVAL, unix.EIO, unix.ENOENT, unix.ENOTDIR},
	"pread64":    {unix.EBADF, unix.EINTR, unix.EINVAL, unix.EIO, unix.EISDIR, unix.EOVERFLOW},
}

var fileCalls = []uintptr{unix.SYS_OPENAT, unix.SYS_WRITE, unix.SYS_CLOSE, unix.SYS_FSTAT, unix.SYS_NEWFSTATAT, unix.SYS_FLOCK, unix.SYS_FCNTL,
	unix.SYS_RENAMEAT, unix.SYS_UNLINKAT, unix.SYS_LSEEK, unix.SYS_FTRUNCATE, unix.SYS_GETDENTS64, unix.SYS_PREAD64}

// fileSteps are what a client asks for. Each works in a directory of its own, which its test looks
// at afterwards.
var fileSteps = []string{"save", "save in a root", "save too little", "resume", "resume from 0", "form", "form that breaks off",
	"list", "a small file", "a large file", "clean"}

const (
	fileDirs = "MANGUSTA_FAULT_DIR"
	fileBody = 100_000
)

// fileOutcome is what a step came to.
type fileOutcome struct {
	Statuses []int  // of the replies
	Body     string // that of the last, up to the length that is checked
	Dones    int
	Err      string // what Done was told
	Began    string // the error of SaveBody or SaveForm
	Closed   bool   // the connection
	FDs      int    // descriptors that are open now and were not before
}

// TestHelperFiles is the program of TestEachCallOnAFileFailsOnce.
func TestHelperFiles(t *testing.T) {
	stracetest.Report(t, fileCalls, func() any {
		var all []fileOutcome
		for _, step := range fileSteps {
			for _, again := range []string{" 1", " 2"} {
				all = append(all, doFileStep(t, filepath.Join(os.Getenv(fileDirs), step+again), step))
			}
		}
		return all
	})
}

// openNow counts the descriptors that are open, by a call that does not fail.
func openNow() (n int) {
	p := make([]unix.PollFd, 100)
	for fd := range p {
		p[fd].Fd = int32(fd)
	}
	unix.Poll(p, 0)
	for _, x := range p {
		if x.Revents&unix.POLLNVAL == 0 {
			n++
		}
	}
	return n
}

func doFileStep(t *testing.T, dir, step string) (o fileOutcome) {
	before := openNow()
	defer func() { o.FDs = openNow() - before }()
	if step == "clean" {
		if _, err := CleanUploads(nil, dir, 0); err != nil {
			o.Err = err.Error()
		}
		return o
	}
	told := func(err error) {
		if o.Dones++; err != nil {
			o.Err = err.Error()
		}
	}
	var root *os.Root
	if step != "save" && step != "form" && step != "resume" {
		var err error
		if root, err = os.OpenRoot(dir); err != nil {
			o.Began = err.Error()
			return o
		}
		defer root.Close()
	}
	tc := newTest(t, Options{}, func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *Head:
			var err error
			switch {
			case strings.HasPrefix(step, "form"):
				err = SaveForm(c, ev, FormOptions{Root: root, Path: func(p *Part) (string, error) {
					if root == nil && p.IsFile {
						return filepath.Join(dir, p.Filename), nil
					}
					return p.Filename, nil
				}, Done: func(c *conn.Conn, _ *SavedForm, err error) {
					if told(err); err == nil {
						Reply(c, 201, "", "")
					}
				}})
			case strings.HasPrefix(step, "save"), strings.HasPrefix(step, "resume"):
				path := "file"
				if root == nil {
					path = filepath.Join(dir, "file")
				}
				err = SaveBody(c, SaveOptions{Root: root, Path: path, Resume: strings.HasPrefix(step, "resume"),
					Done: func(c *conn.Conn, _ int64, err error) {
						if told(err); err == nil {
							Reply(c, 201, "", "")
						}
					}})
			}
			if err != nil {
				o.Began = err.Error()
				Error(c, 500)
			}
		case *Message:
			ServeDir(c, ev, root, FileOptions{List: true})
		}
	})
	content := string(numbers(fileBody))
	put := "PUT / HTTP/1.1\r\nHost: x\r\n"
	switch step {
	case "save", "save in a root":
		tc.send(put+fmt.Sprintf("Content-Length: %d\r\n\r\n", fileBody), content[:60_000], content[60_000:])
	case "save too little":
		tc.send(put+"Content-Length: 200000\r\n\r\n", content)
		tc.end()
	case "resume":
		tc.send(put+"Upload-Complete: ?0\r\nContent-Length: 60000\r\n\r\n", content[:60_000])
		tc.send(put+"Content-Range: bytes 60000-99999/100000\r\nContent-Length: 40000\r\n\r\n", content[60_000:])
	case "resume from 0":
		tc.send(put+"Upload-Complete: ?0\r\nContent-Length: 60000\r\n\r\n", content[:60_000])
		tc.send(put+"Content-Length: 100000\r\n\r\n", content)
	case "form", "form that breaks off":
		part := "--b\r\nContent-Disposition: form-data; name=f; filename=file%d\r\n\r\n"
		body := fmt.Sprintf(part, 1) + content + "\r\n" + fmt.Sprintf(part, 2) + content + "\r\n--b\r\nContent-Disposition: form-data; name=v\r\n\r\nvalue\r\n--b--\r\n"
		head := "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
		tc.send(head+fmt.Sprintf("Content-Length: %d\r\n\r\n", len(body)), body[:fileBody], body[fileBody:2*fileBody])
		if step == "form" {
			tc.send(body[2*fileBody:])
		} else {
			tc.end()
		}
	case "list":
		tc.send(request("GET", "/sub/"))
	case "a small file":
		tc.send(request("GET", "/small"))
	case "a large file":
		tc.send(request("GET", "/large"))
	}
	for range 30 {
		tc.turn()
	}
	reply := tc.reply()
	for line := range strings.SplitSeq(reply, "\r\n") {
		if i := strings.Index(line, "HTTP/1.1 "); i >= 0 {
			var n int
			fmt.Sscanf(line[i+9:], "%d", &n)
			o.Statuses = append(o.Statuses, n)
		}
	}
	if _, o.Body, _ = strings.Cut(reply, "\r\n\r\n"); step == "a large file" && o.Body == string(numbers(300_000)) {
		o.Body = "whole"
	}
	o.Closed = tc.c.IsClosed()
	return o
}

// prepareFiles makes the directories of all steps.
func prepareFiles(t *testing.T, dir string) {
	t.Helper()
	for _, step := range fileSteps {
		for _, again := range []string{" 1", " 2"} {
			d := filepath.Join(dir, step+again)
			files := map[string]string{}
			switch step {
			case "list":
				files = map[string]string{"sub/a": "1", "sub/b": "2"}
			case "a small file":
				files = map[string]string{"small": "content"}
			case "a large file":
				files = map[string]string{"large": string(numbers(300_000))}
			case "clean":
				files = map[string]string{".upload-1.part": "left", "kept": "kept"}
			}
			if err := os.MkdirAll(filepath.Join(d, "sub"), 0o755); err != nil {
				t.Fatal(err)
			}
			if step != "list" {
				os.Remove(filepath.Join(d, "sub"))
			}
			for name, text := range files {
				if err := os.WriteFile(filepath.Join(d, name), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

func TestEachCallOnAFileFailsOnce(t *testing.T) {
	t.Parallel()
	var calls []string
	for name := range fileErrnos {
		calls = append(calls, name)
	}
	run := func(f stracetest.Fault) (string, []fileOutcome, map[string]int, bool) {
		dir := t.TempDir()
		prepareFiles(t, dir)
		var all []fileOutcome
		made, hit := stracetest.Run(t, "TestHelperFiles", calls, f, &all, fileDirs+"="+dir)
		return dir, all, made, hit
	}
	dir, all, made, _ := run(stracetest.Fault{})
	if told := wantOutcomes(t, stracetest.Fault{}, dir, all); len(told) > 0 {
		t.Fatalf("without a fault: %q", told)
	}
	runs, missed := 0, 0
	for call, errnos := range fileErrnos {
		if made[call] <= 0 {
			t.Errorf("%s is never called", call)
		}
		for nth := 1; nth <= made[call]; nth++ {
			if !exhaustive.On() && nth != (made[call]+1)/2 {
				continue // a run takes some 200 ms
			}
			for i, errno := range errnos {
				if (i+nth)%len(errnos) != 0 {
					continue // each place has one, in turn
				}
				runs++
				f := stracetest.Fault{Call: call, Nth: nth, Errno: errno}
				dir, all, _, hit := run(f)
				if !hit {
					missed++
				}
				if told := wantOutcomes(t, f, dir, all); len(told) > 1 {
					t.Errorf("%v: one fault, and %d steps have failed: %q", f, len(told), told)
				}
			}
		}
	}
	if missed > 1+runs/20 { // the runtime's own calls come and go
		t.Errorf("%d of %d faults were not reached", missed, runs)
	}
	t.Logf("%d runs with one fault each, of %v calls", runs, made)
}

// wantOutcomes looks at what clients and programs were told, and at what is left in the
// directories. It returns which steps have failed.
func wantOutcomes(t *testing.T, f stracetest.Fault, dir string, all []fileOutcome) (told []string) {
	t.Helper()
	for i, o := range all {
		step := fileSteps[i/2]
		d := filepath.Join(dir, step+[]string{" 1", " 2"}[i%2])
		bad := func(format string, args ...any) {
			t.Helper()
			t.Errorf("%v: %s: %s; statuses %v, began %q, Done %d times with %q, closed %v", f, step, fmt.Sprintf(format, args...),
				o.Statuses, o.Began, o.Dones, o.Err, o.Closed)
		}
		if o.FDs != 0 && f.Errno != unix.EBADF && f.Call != "close" { // strace has kept that close from happening
			bad("%d descriptors are open", o.FDs)
		}
		left := map[string]string{}
		list, err := os.ReadDir(d)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			b, _ := os.ReadFile(filepath.Join(d, e.Name()))
			left[e.Name()] = string(b)
		}
		last := 0
		if n := len(o.Statuses); n > 0 {
			last = o.Statuses[n-1]
		}
		content := string(numbers(fileBody))
		good := false // all went as without a fault
		want := map[string]string{}
		switch step {
		case "save", "save in a root", "resume", "resume from 0":
			if good = last == 201; good {
				want["file"] = content
			}
		case "form":
			if good = last == 201; good {
				want["file1"], want["file2"] = content, content
			}
		case "save too little", "form that breaks off":
			good = o.Closed && o.Dones == 1 && !strings.Contains(o.Err, f.Errno.Error())
		case "list":
			good = last == 200 && strings.Contains(o.Body, ">a<") && strings.Contains(o.Body, ">b<")
			want = left
		case "a small file":
			good = last == 200 && o.Body == "content"
			want = left
		case "a large file":
			good = last == 200 && o.Body == "whole"
			want = left
		case "clean":
			good = o.Err == "" && len(left) == 1
			want = map[string]string{"kept": "kept"}
		}
		if !good {
			told = append(told, step)
		}
		for name, text := range left {
			switch whole, ok := want[name]; {
			case ok && whole == text:
			case ok:
				bad("%s has %d bytes that are wrong", name, len(text))
			case strings.HasSuffix(name, resumeSuffix) && !good:
			case f.Call == "unlinkat" && !good && strings.Contains(o.Err, f.Errno.Error()):
			case step == "form" && strings.HasPrefix(name, "file") && text == content && f.Call == "renameat":
			case step == "clean" && f.Errno == unix.ENOENT: // somebody else has been quicker
			case step == "clean" && !good && strings.Contains(o.Err, f.Errno.Error()):
			default:
				bad("%s is left, with %d bytes", name, len(text))
			}
		}
		if good {
			continue
		}
		why := o.Err + o.Began
		switch full := f.Errno == unix.ENOSPC || f.Errno == unix.EDQUOT; {
		case step == "clean":
			if o.Err == "" && f.Errno != unix.ENOENT && f.Errno != unix.EWOULDBLOCK {
				bad("it is silent, and %d files are left", len(left))
			}
		case o.Began != "" && len(o.Statuses) == 0: // the test's own OpenRoot
		case step == "save too little" || step == "form that breaks off":
			if o.Dones != 1 && o.Began == "" {
				bad("Done was told %d times", o.Dones)
			}
		case step == "list" && last == 200 && f.Errno != unix.EMFILE && f.Errno != unix.ENFILE && f.Errno != unix.ENOMEM:
			// The entry is left out; that this is logged is tested in TestListingFaults.
		case step == "list" || step == "a small file" || step == "a large file":
			ok := []int{500}
			if f.Errno == unix.EMFILE || f.Errno == unix.ENFILE {
				ok = []int{503}
			}
			if f.Errno == unix.ENOENT || f.Errno == unix.EACCES || f.Errno == unix.ELOOP || f.Errno == unix.ENOTDIR || f.Errno == unix.EINVAL {
				ok = append(ok, 403, 404)
			}
			if !slices.Contains(ok, last) && !(step == "a large file" && o.Closed) {
				bad("the client got %d, want %v", last, ok)
			}
		default:
			begun := o.Began == ""
			wantStatus := []int{500}
			if full && begun {
				wantStatus = []int{507}
			}
			if strings.HasPrefix(step, "resume") {
				wantStatus = append(wantStatus, 409) // the file was busy, or is not what the client takes it for
			}
			if !slices.Contains(wantStatus, last) {
				bad("the client got %v, want %v", o.Statuses, wantStatus)
			}
			if f.Errno != unix.EWOULDBLOCK && last != 409 && !strings.Contains(why, f.Errno.Error()) {
				bad("it was told %q", why)
			}
			if begun && o.Dones == 0 {
				bad("Done was not told")
			}
		}
	}
	return told
}
