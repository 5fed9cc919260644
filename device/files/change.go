package files

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"
)

// These change the tree; all but Clear are called with disk held.

func (f *Files) mkdir(path string) (Entry, error) {
	if err := f.count(); err != nil {
		return Entry{}, err
	}
	f.mu.Lock()
	full := f.usage.files+f.usage.coming >= f.opts.MaxFiles
	f.mu.Unlock()
	if full {
		return Entry{}, errMany
	}
	if err := f.root.Mkdir(path, 0o700); err != nil {
		return Entry{}, f.inTheWay(path, err)
	}
	f.add(0, 1)
	return f.finish(path, parentOf(path))
}

func (f *Files) rename(from, to string) (Entry, error) {
	if _, err := f.root.Lstat(from); err != nil {
		return Entry{}, err
	}
	if strings.HasPrefix(to, from+"/") {
		return Entry{}, errInto
	}
	if from != to && !f.free(from, to) {
		return Entry{}, errThere
	}
	if err := f.root.Rename(from, to); err != nil {
		return Entry{}, f.inTheWay(to, err)
	}
	return f.finish(to, parentOf(to), parentOf(from))
}

// free reports whether no other file is called so. On a disk to which capital letters are small
// ones, the new path may be the old file.
func (f *Files) free(from, to string) bool {
	there, err := f.root.Lstat(to)
	if errors.Is(err, fs.ErrNotExist) {
		return true
	}
	old, bad := f.root.Lstat(from)
	return err == nil && bad == nil && strings.EqualFold(from, to) && os.SameFile(old, there)
}

func (f *Files) remove(path string) (Entry, error) {
	info, err := f.root.Lstat(path)
	if err != nil {
		return Entry{}, err
	}
	if err := f.root.Remove(path); err != nil {
		return Entry{}, err
	}
	size := int64(0)
	if info.Mode().IsRegular() {
		size = info.Size()
	}
	f.add(-size, -1)
	return entryOf(path, info), f.syncDir(parentOf(path))
}

// Clear deletes all files, and ends the uploads that are under way. It waits for the disk. Safe for
// concurrent use.
func (f *Files) Clear() error {
	f.disk.Lock()
	defer f.disk.Unlock()
	f.mu.Lock()
	for _, u := range f.puts {
		u.clear()
	}
	f.counted = time.Time{}
	f.mu.Unlock()
	d, err := f.openDir(".")
	if err != nil {
		return fmt.Errorf("files: %w", err)
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	for _, name := range names {
		if name != uploads {
			err = errors.Join(err, f.root.RemoveAll(name))
		}
	}
	if err = errors.Join(err, d.Sync()); err != nil {
		return fmt.Errorf("files: %w", err)
	}
	return nil
}

// inTheWay makes an error of what a new path may meet.
func (f *Files) inTheWay(path string, err error) error {
	if errors.Is(err, fs.ErrExist) {
		return errThere
	}
	if info, bad := f.root.Lstat(parentOf(path)); bad != nil || !info.IsDir() {
		return errParent
	}
	return err
}

// add changes the usage by what was made or removed.
func (f *Files) add(bytes int64, files int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.usage.bytes += bytes
	f.usage.files += files
}

// finish has the disk keep a change in some directories, and returns the entry at path.
func (f *Files) finish(path string, dirs ...string) (Entry, error) {
	for _, dir := range dirs {
		if err := f.syncDir(dir); err != nil {
			return Entry{}, err
		}
	}
	info, err := f.root.Lstat(path)
	if err != nil {
		return Entry{}, err
	}
	return entryOf(path, info), nil
}

// An Entry is a file or a directory.
type Entry struct {
	Name     string    `json:"name"`
	Size     int64     `json:"size"` // bytes; 0 of a directory
	Modified time.Time `json:"modified"`
	Dir      bool      `json:"dir,omitempty"`
}

func entryOf(path string, info fs.FileInfo) Entry {
	e := Entry{Name: path[strings.LastIndexByte(path, '/')+1:], Modified: info.ModTime().UTC().Truncate(time.Second), Dir: info.IsDir()}
	if !e.Dir {
		e.Size = info.Size()
	}
	return e
}
