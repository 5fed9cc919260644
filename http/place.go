package http

import (
	"io/fs"
	"os"
	"strings"
)

// A place is where files are looked up: fsys, root, or, when both are nil, the file system of the machine.
type place struct {
	fsys fs.FS
	root *os.Root
}

// open opens a file or a directory. What else it may come upon, it neither waits for nor has told apart: Mode says so.
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
	// The file that was opened counts, not the one that Stat saw.
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// fileName returns the name in the file system that the path of m stands for: "." for the prefix itself.
func fileName(m *Message, o *FileOptions) (string, bool) {
	// A slash that was encoded is data, not a separator, and no file name has one.
	slashes := 0
	for _, b := range m.raw {
		if b == '/' {
			slashes++
		}
	}
	for _, b := range m.Path {
		switch b {
		case '/':
			slashes--
		case 0, '\\':
			return "", false
		}
	}
	path, ok := strings.CutPrefix(string(m.Path), strings.TrimSuffix(o.Prefix, "/"))
	if !ok || slashes != 0 {
		return "", false
	}
	if path == "" || path == "/" {
		return ".", true
	}
	if path[0] != '/' {
		return "", false
	}
	path = strings.TrimSuffix(path[1:], "/")
	for element := range strings.SplitSeq(path, "/") {
		if element == "" || element == "." || element == ".." || element[0] == '.' && !o.Dotfiles {
			return "", false
		}
	}
	return path, true
}
