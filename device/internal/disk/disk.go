// Package disk changes files such that a power cut leaves the old content or the new one, never a
// part of it.
//
// Three rules make that true, on every file system that Linux has:
//
//   - A file is written under another name, synced, and renamed: rename(2) is atomic.
//   - A directory is synced after a rename, a creation or a removal that later steps rely on:
//     fsync(2) of a file does not make its name durable.
//   - A reader does not take a file for complete because of its name: the name may be durable while
//     the content is not.
package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// An FS is the part of a file system that a device's state needs. OS is the real one;
// disksim.Disk is one whose power can be cut. Names are as os has them.
type FS interface {
	// Open opens a file for reading. It refuses anything but a regular file: with a FIFO the caller
	// would wait for a writer.
	Open(name string) (io.ReadCloser, error)
	// Create makes an empty file, or empties the one that is there.
	Create(name string, perm fs.FileMode) (File, error)
	// Append opens a file that exists, to write at its end, and returns its size.
	Append(name string) (File, int64, error)
	Rename(from, to string) error
	Remove(name string) error
	Mkdir(name string, perm fs.FileMode) error
	Symlink(target, name string) error
	Readlink(name string) (string, error)
	// List returns the names in a directory, sorted.
	List(dir string) ([]string, error)
	// SyncDir makes the names in dir durable.
	SyncDir(dir string) error
	// Device opens a block device that exists, or a regular file in its place. If it is opened to be
	// written to, a block device must not be mounted, nor be written to by another.
	Device(name string, write bool) (Device, error)
}

// A Device has a fixed size. Its bytes are overwritten in place: after a power cut each write since
// the last Sync may be there, or a part of it, or nothing.
type Device interface {
	io.ReaderAt
	io.WriterAt
	Size() (int64, error)
	Sync() error
	Close() error
}

// A File is open for writing.
type File interface {
	io.Writer
	Truncate(size int64) error
	// Sync makes the content durable, not the name.
	Sync() error
	Close() error
}

// Replace makes data the whole content of the file name: after a power cut the file has either
// the old content or data. When it returns nil, data is durable. It writes name+".new" first; one
// that an earlier cut left is overwritten.
func Replace(d FS, name string, data []byte, perm fs.FileMode) error {
	if err := prepare(d, name+".new", data, perm); err != nil {
		return err
	}
	if err := d.Rename(name+".new", name); err != nil {
		return err
	}
	return d.SyncDir(filepath.Dir(name))
}

// ReplaceKeeping is Replace, and keeps the file that was there as name+".old", for Load to fall
// back on. In between there may be no file called name: Load knows.
func ReplaceKeeping(d FS, name string, data []byte, perm fs.FileMode) error {
	if err := prepare(d, name+".new", data, perm); err != nil {
		return err
	}
	if err := d.Rename(name, name+".old"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := d.Rename(name+".new", name); err != nil {
		return err
	}
	return d.SyncDir(filepath.Dir(name))
}

// ReplaceBoth is Replace for the file and for its copy name+".old", for Load to fall back on. When it
// returns nil, no single damaged file brings back what the file held before: this is for a file whose
// former content is a danger. It changes the copy first, so there is always a file called name once
// there was one. If it fails, the copy may have data already.
func ReplaceBoth(d FS, name string, data []byte, perm fs.FileMode) error {
	for _, to := range []string{name + ".old", name} {
		if err := prepare(d, name+".new", data, perm); err != nil {
			return err
		}
		if err := d.Rename(name+".new", to); err != nil {
			return err
		}
	}
	return d.SyncDir(filepath.Dir(name))
}

// MakeDirs makes a directory, and those above it, unless they are there. When it returns nil, those
// that it has made are durable.
func MakeDirs(d FS, name string, perm fs.FileMode) error {
	name = filepath.Clean(name)
	above := filepath.Dir(name)
	err := d.Mkdir(name, perm)
	if errors.Is(err, fs.ErrNotExist) && above != name {
		if err = MakeDirs(d, above, perm); err == nil {
			err = d.Mkdir(name, perm)
		}
	}
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return d.SyncDir(above)
}

// Forget removes what ReplaceKeeping, ReplaceBoth and an earlier cut have left beside the file name,
// and others by the suffixes in more: for a file whose former content is a secret. The bytes may be
// on the flash until it needs the room.
func Forget(d FS, name string, more ...string) error {
	for _, suffix := range append([]string{".old", ".new"}, more...) {
		if err := d.Remove(name + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return d.SyncDir(filepath.Dir(name))
}

// prepare writes a file and syncs its content.
func prepare(d FS, name string, data []byte, perm fs.FileMode) error {
	f, err := d.Create(name, perm)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// Load returns the content of the file name that check accepts: of name itself, or else of the copy
// that ReplaceKeeping or ReplaceBoth made. The error wraps fs.ErrNotExist only when there is neither;
// otherwise it says why a file was not accepted, even if the copy's content is returned with it.
func Load(d FS, name string, limit int64, check func([]byte) error) ([]byte, error) {
	data, err := loadOne(d, name, limit, check)
	if err == nil {
		return data, nil
	}
	old, oldErr := loadOne(d, name+".old", limit, check)
	switch {
	case oldErr == nil && errors.Is(err, fs.ErrNotExist):
		return old, nil // the power was cut between the two renames
	case oldErr == nil:
		return old, err
	case errors.Is(err, fs.ErrNotExist):
		return nil, oldErr // a damaged copy alone is not the same as a new device
	}
	return nil, err
}

func loadOne(d FS, name string, limit int64, check func([]byte) error) ([]byte, error) {
	data, err := Read(d, name, limit)
	if err != nil {
		return nil, err
	}
	if err := check(data); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return data, nil
}

// Read returns the content of a file that has at most limit bytes.
func Read(d FS, name string, limit int64) ([]byte, error) {
	f, err := d.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%s has more than %d bytes", name, limit)
	}
	return data, err
}

// OS is the file system of the machine.
var OS FS = osFS{}

type osFS struct{}

func (osFS) Open(name string) (io.ReadCloser, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", name)
	}
	return os.Open(name)
}

func (osFS) Create(name string, perm fs.FileMode) (File, error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, perm)
	if err != nil {
		return nil, err
	}
	// The mode applies to a new file only: a file of an earlier run may have another mode.
	if err := f.Chmod(perm); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (osFS) Append(name string) (File, int64, error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}

func (osFS) Rename(from, to string) error              { return os.Rename(from, to) }
func (osFS) Remove(name string) error                  { return os.Remove(name) }
func (osFS) Mkdir(name string, perm fs.FileMode) error { return os.Mkdir(name, perm) }
func (osFS) Symlink(target, name string) error         { return os.Symlink(target, name) }
func (osFS) Readlink(name string) (string, error)      { return os.Readlink(name) }

func (osFS) List(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, nil
}

func (osFS) SyncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func (osFS) Device(name string, write bool) (Device, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	flag := os.O_RDONLY
	switch mode := info.Mode(); {
	case mode.IsRegular() && write:
		flag = os.O_RDWR
	case mode.IsRegular():
	case mode&fs.ModeDevice == 0 || mode&fs.ModeCharDevice != 0:
		return nil, fmt.Errorf("%s is no block device", name)
	case write:
		flag = os.O_RDWR | os.O_EXCL // EBUSY if it is mounted: open(2)
	}
	f, err := os.OpenFile(name, flag, 0)
	if err != nil {
		return nil, err
	}
	return device{f}, nil
}

type device struct{ *os.File }

// Size is where the end is: stat(2) says 0 for a block device.
func (d device) Size() (int64, error) { return d.Seek(0, io.SeekEnd) }
