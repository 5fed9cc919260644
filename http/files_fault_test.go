package http

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/sys/unix"
)

// faultyFS fails one operation once, and counts what is open.
type faultyFS struct {
	fstest.MapFS
	op   string // "stat", "open", "fstat", "read"
	err  error
	skip int // so many of these operations go well before
	open int // files opened and not yet closed
	hit  bool
}

func (f *faultyFS) fault(op, name string) error {
	if f.hit || op != f.op {
		return nil
	}
	if f.skip > 0 {
		f.skip--
		return nil
	}
	f.hit = true
	return &fs.PathError{Op: op, Path: name, Err: f.err}
}

func (f *faultyFS) Stat(name string) (fs.FileInfo, error) {
	if err := f.fault("stat", name); err != nil {
		return nil, err
	}
	return f.MapFS.Stat(name)
}

func (f *faultyFS) Open(name string) (fs.File, error) {
	if err := f.fault("open", name); err != nil {
		return nil, err
	}
	file, err := f.MapFS.Open(name)
	if err != nil {
		return nil, err
	}
	f.open++
	seq := &faultyFile{file, f, name}
	if at, ok := file.(io.ReaderAt); ok {
		return &faultyFileAt{seq, at}, nil
	}
	return seq, nil
}

type faultyFile struct {
	fs.File
	fsys *faultyFS
	name string
}

func (f *faultyFile) Stat() (fs.FileInfo, error) {
	if err := f.fsys.fault("fstat", f.name); err != nil {
		return nil, err
	}
	return f.File.Stat()
}

func (f *faultyFile) Read(p []byte) (int, error) {
	if err := f.fsys.fault("read", f.name); err != nil {
		return 0, err
	}
	return f.File.Read(p)
}

func (f *faultyFile) ReadDir(n int) ([]fs.DirEntry, error) {
	if err := f.fsys.fault("readdir", f.name); err != nil {
		return nil, err
	}
	return f.File.(fs.ReadDirFile).ReadDir(n)
}

func (f *faultyFile) Close() error {
	f.fsys.open--
	return f.File.Close()
}

type faultyFileAt struct {
	*faultyFile
	at io.ReaderAt
}

func (f *faultyFileAt) ReadAt(p []byte, off int64) (int, error) {
	if err := f.fsys.fault("read", f.name); err != nil {
		return 0, err
	}
	return f.at.ReadAt(p, off)
}

// Each operation on a file fails once, at each place. The client gets one clear status, or, when
// the reply has begun, its end; no descriptor stays open, and the next request is served.
func TestServeFSFaults(t *testing.T) {
	files := fstest.MapFS{"small": {Data: []byte("content")}, "big": {Data: make([]byte, 300<<10)}, "small.gz": {Data: []byte("coded")}}
	for _, op := range []string{"stat", "open", "fstat", "read"} {
		for _, errno := range []unix.Errno{unix.EIO, unix.ESTALE, unix.ENOMEM, unix.EMFILE, unix.ENFILE} {
			for _, o := range []FileOptions{{}, {Precompressed: true}} {
				for _, name := range []string{"small", "big"} {
					for skip := range 8 {
						fsys := &faultyFS{MapFS: files, op: op, err: errno, skip: skip}
						what := fmt.Sprintf("%s number %d of %s: %v, precompressed %v", op, skip, name, errno, o.Precompressed)
						if !serveFault(t, what, fsys, name, o) {
							break // there are not so many of these operations
						}
					}
				}
			}
		}
	}
}

// serveFault reports whether the fault was met.
func serveFault(t *testing.T, what string, fsys *faultyFS, name string, o FileOptions) bool {
	t.Helper()
	tc := newTest(t, Options{}, serving(fsys, o))
	tc.send(request("GET", "/"+name, "Accept-Encoding: gzip"))
	if !fsys.hit {
		return false
	}
	if fsys.open != 0 {
		t.Errorf("%s: %d files are open", what, fsys.open)
	}
	if tc.Closed() {
		if name != "big" || fsys.op != "read" {
			t.Errorf("%s: the connection ended: %v", what, tc.c.Reason())
		}
		return true
	}
	want := 500
	if fsys.op != "read" && (fsys.err == unix.EMFILE || fsys.err == unix.ENFILE) {
		want = 503
	}
	t.Run(what, func(t *testing.T) {
		tc.t = t
		if out := tc.reply(); o.Precompressed && strings.HasPrefix(out, "HTTP/1.1 200 ") {
			// The coded neighbour could not be looked at; the file itself is as good.
			if !strings.HasSuffix(out, "\r\n\r\n"+string(fsys.MapFS[name].Data)) {
				t.Errorf("%.300q", out)
			}
		} else if !strings.HasPrefix(out, fmt.Sprintf("HTTP/1.1 %d ", want)) || strings.Count(out, "HTTP/1.1 ") != 1 {
			t.Errorf("want %d, got %.300q", want, out)
		}
		tc.send(request("GET", "/"+name))
		tc.wantStatus(200)
		if fsys.open != 0 {
			t.Errorf("%d files are open after the next request", fsys.open)
		}
	})
	return true
}

// A listing that cannot be whole because the machine is short of something is an error; one entry
// that is broken is left out, and logged.
func TestListingFaults(t *testing.T) {
	files := fstest.MapFS{"a": {Data: []byte("1")}, "b": {Data: []byte("2")}}
	for _, op := range []string{"stat", "open", "fstat", "readdir"} {
		for errno, want := range map[unix.Errno]int{unix.EMFILE: 503, unix.ENFILE: 503, unix.ENOMEM: 500, unix.EIO: 500} {
			for skip := range 10 {
				fsys := &faultyFS{MapFS: files, op: op, err: errno, skip: skip}
				tc := newTest(t, Options{}, serving(fsys, FileOptions{List: true}))
				var logged logLines
				tc.c.Layer().Shared().Log = &logged
				tc.send(request("GET", "/"))
				if !fsys.hit {
					if skip == 0 {
						t.Errorf("no %s", op)
					}
					break
				}
				out := tc.reply()
				good := strings.HasPrefix(out, fmt.Sprintf("HTTP/1.1 %d ", want))
				if errno == unix.EIO && strings.HasPrefix(out, "HTTP/1.1 200 ") {
					good = strings.Contains(out, ">a<") != strings.Contains(out, ">b<")
				}
				if !good || len(logged) != 1 || fsys.open != 0 {
					t.Errorf("%s number %d: %v: logged %q, %d open, %.300q", op, skip, errno, logged, fsys.open, out)
				}
			}
		}
	}
}

// logLines is a log.
type logLines []string

func (l *logLines) Warn(msg string, args ...any)  { *l = append(*l, fmt.Sprint(msg, args)) }
func (l *logLines) Error(msg string, args ...any) { *l = append(*l, fmt.Sprint(msg, args)) }

// Saving a body: the file cannot be opened, or cannot get its name. Done is told once, the client
// gets 500, and neither a file nor a part of one is left.
func TestSaveBodyFaults(t *testing.T) {
	t.Run("no descriptor", func(t *testing.T) {
		u := newUpload(t, SaveOptions{})
		tc := newTest(t, Options{}, u.handle)
		restore := noDescriptors(t)
		tc.send(post + "Content-Length: 3\r\n\r\nabc")
		restore()
		tc.wantStatus(500)
		if !errors.Is(u.began, unix.EMFILE) || u.dones != 0 {
			t.Error(u.began, u.dones)
		}
		u.wantFile("")
		tc.wantOpen()
		tc.send(post + "Content-Length: 3\r\n\r\nabc")
		tc.wantStatus(201)
		u.wantFile("abc")
	})
	t.Run("rename", func(t *testing.T) {
		u := newUpload(t, SaveOptions{})
		tc := newTest(t, Options{}, u.handle)
		tc.send(post + "Content-Length: 3\r\n\r\na")
		if err := os.Mkdir(u.opts.Path, 0o755); err != nil {
			t.Fatal(err)
		}
		before := descriptors(t)
		tc.send("bc")
		tc.wantStatus(500)
		if u.dones != 1 || u.err == nil || descriptors(t) >= before {
			t.Errorf("Done %d times, %v; %d descriptors, %d before", u.dones, u.err, descriptors(t), before)
		}
		if err := os.Remove(u.opts.Path); err != nil {
			t.Error(err)
		}
		u.wantFile("")
		tc.wantOpen()
	})
}

// noDescriptors has every open fail with EMFILE until restore is called.
func noDescriptors(t *testing.T) (restore func()) {
	t.Helper()
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		t.Fatal(err)
	}
	none := l
	none.Cur = 0
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
			t.Fatal(err)
		}
	}
}

// descriptors counts those of this process.
func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	return len(list)
}
