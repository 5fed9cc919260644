package http

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Temporary files are called ".upload-….part", where … is a number, or the name of the file and
// ".resume". They are in the directory of the file that they become.
const (
	partPrefix   = ".upload-"
	partSuffix   = ".part"
	resumeSuffix = ".resume" + partSuffix
)

// ErrBadPath is wrapped by the errors of SaveBody and SaveForm for a path that no file can have: it
// ends in "..", contains a NUL, is too long, leads out of Root, or is that of a directory. If the
// path comes from the client, it is the client's mistake (400).
var ErrBadPath = errors.New("http: save: no file can have this path")

var errBusy = errors.New("another upload is writing to it")

// A partFile is a file that gets its name when it is complete. It is locked (flock) as long as it
// is open, so that neither a second upload nor CleanUploads takes it away.
type partFile struct {
	root *os.Root // nil when paths are those of the process
	path string
	temp string
	f    *os.File
}

// checkPath returns an error that wraps ErrBadPath if no file can be called path.
func checkPath(root *os.Root, path string) error {
	bad := func(why any) error { return fmt.Errorf("%w: %.300q: %v", ErrBadPath, path, why) }
	if base := filepath.Base(path); base == "." || base == ".." || path == "" || os.IsPathSeparator(path[len(path)-1]) {
		return bad("it names no file")
	}
	var info fs.FileInfo
	var err error
	switch {
	case root == nil:
		info, err = os.Lstat(path)
	case !filepath.IsLocal(path):
		return bad("it leads out of the root")
	default:
		info, err = root.Lstat(path)
	}
	switch {
	case err == nil && info.IsDir():
		return bad("is a directory")
	case err == nil, errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, syscall.ENAMETOOLONG), errors.Is(err, syscall.EINVAL), errors.Is(err, syscall.EILSEQ):
		return bad(err)
	}
	return err
}

// create opens a new temporary file.
func (p *partFile) create(mode os.FileMode) error {
	err := p.open(partPrefix+strconv.FormatUint(rand.Uint64(), 36)+partSuffix, os.O_EXCL, mode)
	if err == nil {
		if err = lock(p.f); err != nil {
			p.f.Close()
			p.remove()
		}
	}
	return err
}

// resume opens the temporary file that an earlier upload to this path has left, or makes it. It
// returns its size.
func (p *partFile) resume(mode os.FileMode) (size int64, err error) {
	for range 3 {
		if err := p.open(partPrefix+filepath.Base(p.path)+resumeSuffix, unix.O_NOFOLLOW|unix.O_NONBLOCK, mode); err != nil {
			if errors.Is(err, syscall.ENAMETOOLONG) {
				err = fmt.Errorf("%w: %.300q: too long to be resumed", ErrBadPath, p.path)
			}
			return 0, err
		}
		info, err := p.f.Stat()
		if err == nil && !info.Mode().IsRegular() {
			err = errNotRegular
		}
		if err == nil {
			err = lock(p.f)
		}
		if err != nil {
			p.f.Close()
			return 0, err
		}
		if info, err = p.locked(); err == nil {
			return info.Size(), nil
		}
		p.f.Close()
	}
	return 0, errBusy
}

// locked returns the FileInfo of the file. It returns an error if the temporary name belongs to
// another file by now: before the lock was taken, another upload may have renamed this one.
func (p *partFile) locked() (fs.FileInfo, error) {
	info, err := p.f.Stat()
	if err != nil {
		return nil, err
	}
	now, err := p.lstat(p.temp)
	if err == nil && !os.SameFile(info, now) {
		err = errBusy
	}
	return info, err
}

// resumed returns the size of the temporary file that an upload to path has left. If there is none,
// the error is fs.ErrNotExist.
func (p *partFile) resumed() (int64, error) {
	info, err := p.lstat(filepath.Join(filepath.Dir(p.path), partPrefix+filepath.Base(p.path)+resumeSuffix))
	if err == nil && !info.Mode().IsRegular() {
		err = errNotRegular
	}
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (p *partFile) open(name string, flags int, mode os.FileMode) (err error) {
	p.temp = filepath.Join(filepath.Dir(p.path), name)
	flags |= writeOnly | os.O_CREATE
	if p.root != nil {
		p.f, err = p.root.OpenFile(p.temp, flags, mode)
	} else {
		p.f, err = os.OpenFile(p.temp, flags, mode)
	}
	return err
}

// lock takes the lock of f, which lasts until f is closed. On a file system without locks it does
// nothing.
func lock(f *os.File) error {
	for {
		switch err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err {
		case unix.EINTR:
		case unix.EWOULDBLOCK:
			return errBusy
		case unix.EBADF:
			return os.NewSyscallError("flock", err)
		default:
			return nil
		}
	}
}

// close closes the file, and returns the errors of earlier writes. The lock is kept until release
// is called. If there is no descriptor left to keep it with, the lock is given up: the upload
// matters more.
func (p *partFile) close() (release func(), err error) {
	if fd, err := unix.FcntlInt(p.f.Fd(), unix.F_DUPFD_CLOEXEC, 0); err == nil {
		return func() { unix.Close(fd) }, p.f.Close()
	}
	return func() {}, p.f.Close()
}

// commit gives the file its name.
func (p *partFile) commit() error {
	if p.root != nil {
		return p.root.Rename(p.temp, p.path)
	}
	return os.Rename(p.temp, p.path)
}

func (p *partFile) remove() error {
	if p.root != nil {
		return p.root.Remove(p.temp)
	}
	return os.Remove(p.temp)
}

func (p *partFile) lstat(path string) (fs.FileInfo, error) {
	if p.root != nil {
		return p.root.Lstat(path)
	}
	return os.Lstat(path)
}

// CleanUploads removes from a directory the files that uploads have left there when power or the
// program failed: files called ".upload-….part" that no upload is writing to and that were last
// written more than age ago. It returns how many it has removed. With a root, dir is a path in it;
// "." is the root itself.
//
// Files that are kept to be resumed (SaveOptions.Resume) are removed the same way, so age bounds
// how long an upload may be interrupted. It should also be longer than an upload of SaveForm takes,
// whose complete parts are not written to any more; 0 is right only before the program listens.
// CleanUploads reads the whole directory: call it at the start, or from a goroutine. It is safe for
// concurrent use.
func CleanUploads(root *os.Root, dir string, age time.Duration) (removed int, err error) {
	open := os.OpenFile
	if root != nil {
		open = root.OpenFile
	}
	d, err := open(dir, os.O_RDONLY, 0)
	if err != nil {
		return 0, fmt.Errorf("http: clean uploads: %w", err)
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	for _, name := range names {
		if !strings.HasPrefix(name, partPrefix) || !strings.HasSuffix(name, partSuffix) {
			continue
		}
		p := partFile{root: root, temp: filepath.Join(dir, name)}
		gone, bad := p.clean(open, age)
		if gone {
			removed++
		}
		err = errors.Join(err, bad)
	}
	if err != nil {
		return removed, fmt.Errorf("http: clean uploads: %w", err)
	}
	return removed, nil
}

// clean removes the file unless an upload is writing to it, or has written within age.
func (p *partFile) clean(open func(string, int, os.FileMode) (*os.File, error), age time.Duration) (gone bool, err error) {
	// O_NONBLOCK and O_NOFOLLOW: there may be a FIFO or a link of that name.
	info, err := p.lstat(p.temp)
	if err == nil && info.Mode().IsRegular() {
		p.f, err = open(p.temp, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	}
	if p.f != nil {
		defer p.f.Close()
		if err = lock(p.f); err == nil {
			info, err = p.locked()
		}
		if err == nil && time.Since(info.ModTime()) >= age {
			err = p.remove()
			gone = err == nil
		}
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errBusy) {
		err = nil // it has just been completed, or given up
	}
	return gone, err
}
