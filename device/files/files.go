package files

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"sync"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/device"
	"github.com/seed4930a636/mangusta/device/internal/disk"
	"github.com/seed4930a636/mangusta/http"
)

// Options configure Files. Root is needed.
type Options struct {
	// Root is the directory. New makes it if it is missing, for this program alone.
	Root string

	// MaxBytes bounds the sum of all files, and MaxFiles the number of files and directories; 64
	// MiB and 4096 when 0, negative is no bound. A file that is replaced counts until the new one
	// has its name.
	MaxBytes int64
	MaxFiles int

	// MaxFileBytes bounds one file; MaxBytes when 0.
	MaxFileBytes int64

	// MaxUploads bounds the uploads that are under way; 4 when 0.
	MaxUploads int

	// Who returns the sender of a request, for the audit. Nil knows the address only.
	Who func(c *conn.Conn, r *http.Request) device.Who

	// Audit, unless nil, is called for each change, on any goroutine.
	Audit func(device.Entry)

	// Log gets errors of the disk; slog.Default when nil.
	Log *slog.Logger
}

// Files are the files below a directory. New makes them.
type Files struct {
	opts Options
	root *os.Root
	jobs sync.WaitGroup

	// disk is held by the one change of the tree that is under way, and by the one listing.
	disk sync.Mutex

	mu      sync.Mutex
	closed  bool
	waiting int // requests, but for uploads, that use the disk or wait for it
	under   int // uploads under way
	puts    map[*conn.Conn]*upload
	serial  uint64 // of the temporary file that was made last
	usage   usage  // as it was last found, and changed since
	counted time.Time
}

// A usage is what files take.
type usage struct {
	bytes    int64 // of files that have their names
	files    int   // and directories
	received int64 // bytes of uploads under way, as announced or, without that, as they came
	coming   int   // files that uploads under way will add
}

const (
	// maxWaiting bounds the requests that use the disk at a time.
	maxWaiting = 16

	// fresh is how long the usage is believed: the program may change files, too.
	fresh = 2 * time.Second
)

// New opens the directory, and removes what uploads have left there that broke off.
func New(opts Options) (*Files, error) {
	switch {
	case opts.MaxBytes == 0:
		opts.MaxBytes = 64 << 20
	case opts.MaxBytes < 0:
		opts.MaxBytes = math.MaxInt64
	}
	switch {
	case opts.MaxFiles == 0:
		opts.MaxFiles = 4096
	case opts.MaxFiles < 0:
		opts.MaxFiles = math.MaxInt
	}
	if opts.MaxFileBytes <= 0 {
		opts.MaxFileBytes = opts.MaxBytes
	}
	if opts.MaxUploads == 0 {
		opts.MaxUploads = 4
	}
	if opts.Log == nil {
		opts.Log = slog.Default()
	}
	if opts.Who == nil {
		opts.Who = func(c *conn.Conn, _ *http.Request) device.Who {
			return device.Who{Via: c.RemoteAddr().Addr().Unmap().String()}
		}
	}
	if err := disk.MakeDirs(disk.OS, opts.Root, 0o700); err != nil {
		return nil, fmt.Errorf("files: %w", err)
	}
	root, err := os.OpenRoot(opts.Root)
	if err != nil {
		return nil, fmt.Errorf("files: %w", err)
	}
	f := &Files{opts: opts, root: root, puts: map[*conn.Conn]*upload{}}
	err = root.RemoveAll(uploads)
	if err == nil {
		err = root.Mkdir(uploads, 0o700)
	}
	if err != nil {
		root.Close()
		return nil, fmt.Errorf("files: %w", err)
	}
	return f, nil
}

// Close waits for what uses the disk, and closes the directory. It is for the time after the loop
// has ended; requests get 503 then.
func (f *Files) Close() error {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.jobs.Wait()
	return f.root.Close()
}

var (
	errClosed = failure{503, "busy", "the files are closed"}
	errBusy   = failure{503, "busy", "too many requests use the disk: try again"}
)

// run calls job on another goroutine.
func (f *Files) run(job func()) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.closed:
		return errClosed
	case f.waiting >= maxWaiting:
		return errBusy
	}
	f.waiting++
	f.jobs.Go(func() {
		defer func() {
			f.mu.Lock()
			f.waiting--
			f.mu.Unlock()
		}()
		job()
	})
	return nil
}

// count makes sure that the usage is fresh. It is called with disk held.
func (f *Files) count() error {
	f.mu.Lock()
	known := time.Since(f.counted) < fresh
	f.mu.Unlock()
	if known {
		return nil
	}
	var u usage
	if err := f.walk(".", 0, &u); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.usage.bytes, f.usage.files, f.counted = u.bytes, u.files, time.Now()
	return nil
}

const (
	// maxWalk bounds what is counted. A program may have put more files there, and deeper ones,
	// than this package makes: then the directory counts as full.
	maxWalk      = 1 << 16
	maxWalkDepth = 64
)

// walk adds what is in dir to u.
func (f *Files) walk(dir string, depth int, u *usage) error {
	return f.each(dir, func(name string, info fs.FileInfo) (bool, error) {
		if dir == "." && name == uploads {
			return true, nil
		}
		u.files++
		if info.Mode().IsRegular() {
			u.bytes += info.Size()
		}
		if u.files > maxWalk || depth > maxWalkDepth {
			u.files = math.MaxInt32
			return false, nil
		}
		if !info.IsDir() {
			return true, nil
		}
		err := f.walk(below(dir, name), depth+1, u)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
			err = nil // it is gone meanwhile, or not ours
		}
		return u.files < math.MaxInt32, err
	})
}

// each calls do with each entry of a directory, until it returns false.
func (f *Files) each(dir string, do func(name string, info fs.FileInfo) (bool, error)) error {
	d, err := f.openDir(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	for {
		names, err := d.Readdirnames(256)
		for _, name := range names {
			info, err := f.root.Lstat(below(dir, name))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return err
			}
			if more, err := do(name, info); !more || err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// audit tells of a change that was made or has failed.
func (f *Files) audit(who device.Who, what, from, to string) {
	if f.opts.Audit != nil {
		f.opts.Audit(device.Entry{Time: time.Now(), Who: who.Name, Via: who.Via, What: what, From: from, To: to})
	}
}
