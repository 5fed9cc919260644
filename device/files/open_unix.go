package files

import (
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// openFile opens a file for reading. A FIFO does not block, and a terminal does not become ours.
func (f *Files) openFile(path string) (*os.File, fs.FileInfo, error) {
	info, err := f.root.Lstat(path)
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() && !info.IsDir() { // opening a device may do something
		return nil, nil, fs.ErrNotExist
	}
	file, err := f.root.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, nil, err
	}
	if info, err = file.Stat(); err == nil && !info.Mode().IsRegular() && !info.IsDir() { // it was replaced meanwhile
		err = fs.ErrNotExist
	}
	if err != nil {
		file.Close()
		return nil, nil, err
	}
	return file, info, nil
}

// openDir opens a directory for reading.
func (f *Files) openDir(path string) (*os.File, error) {
	return f.root.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_DIRECTORY, 0)
}

// syncDir has the disk keep what has changed in a directory.
func (f *Files) syncDir(path string) error {
	d, err := f.openDir(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
