package http

import (
	"bytes"
	"io/fs"
	"os"
	"strings"
)

// A place is where files are looked up: fsys, root, or, when both are nil, the file system of the
// machine.
type place struct {
	fsys fs.FS
	root *os.Root
}

// open opens a file or a directory. It does not wait for FIFOs and devices; Mode tells what was
// opened.
func (p place) open(name string) (fs.File, fs.FileInfo, error) {
	var f fs.File
	var err error
	if p.fsys != nil {
		// Stat before Open: opening a FIFO or a device could block the loop.
		var info fs.FileInfo
		if info, err = fs.Stat(p.fsys, name); err != nil {
			return nil, nil, err
		}
		if !info.IsDir() && !info.Mode().IsRegular() {
			return nil, nil, fs.ErrNotExist
		}
		f, err = p.fsys.Open(name)
	} else {
		var file *os.File
		if p.root != nil {
			file, err = p.root.OpenFile(name, readOnly, 0)
		} else {
			file, err = os.OpenFile(name, readOnly, 0)
		}
		f = file
	}
	if err != nil {
		return nil, nil, err
	}
	// The opened file counts, which may not be the one that Stat saw.
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// stat follows links as far as open does.
func (p place) stat(name string) (fs.FileInfo, error) {
	switch {
	case p.fsys != nil:
		return fs.Stat(p.fsys, name)
	case p.root != nil:
		return p.root.Stat(name)
	}
	return os.Stat(name)
}

var (
	here  = []byte(".") // the name of the directory of a place
	slash = []byte("/")
)

// fileName returns the name in the file system that the path of m stands for: "." for the prefix
// itself.
func fileName(m *Message, o *FileOptions) ([]byte, bool) {
	// A slash that was encoded is data, not a separator, and no file name has one.
	if len(m.raw) != len(m.Path) && bytes.Count(m.raw, slash) != bytes.Count(m.Path, slash) {
		return nil, false
	}
	prefix := strings.TrimSuffix(o.Prefix, "/")
	path := m.Path
	if bytes.IndexByte(path, 0) >= 0 || bytes.IndexByte(path, '\\') >= 0 || len(path) < len(prefix) || string(path[:len(prefix)]) != prefix {
		return nil, false
	}
	if path = path[len(prefix):]; len(path) == 0 || len(path) == 1 && path[0] == '/' {
		return here, true
	}
	if path[0] != '/' {
		return nil, false
	}
	path = bytes.TrimSuffix(path[1:], slash)
	for rest, more := path, true; more; {
		var element []byte
		element, rest, more = bytes.Cut(rest, slash)
		if len(element) == 0 || string(element) == "." || string(element) == ".." || element[0] == '.' && !o.Dotfiles {
			return nil, false
		}
	}
	return path, true
}
