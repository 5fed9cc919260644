// Package disksim is a disk whose power can be cut.
//
// It keeps less order than any real file system: what was not synced may be there after the cut or
// not, in any combination. The content of a file may be any prefix of what was written, or zeros;
// of the changes of names in a directory any subset may have happened, each whole. Of the writes to a
// device any may be there, each whole or the beginning of it.
package disksim

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"path"
	"slices"
	"strings"

	"github.com/seed4930a636/mangusta/device/internal/disk"
)

// ErrCut is the error of every operation after the power was cut.
var ErrCut = errors.New("disksim: the power is off")

// An inode is what a name stands for: a file, a symbolic link or a directory.
type inode struct {
	dir     bool
	link    string
	content []byte // as a reader sees it
	synced  []byte // as the disk has it
	writes  []write
}

// A write is one to a device, since the last sync.
type write struct {
	at   int64
	data []byte
}

// A change is one step of names in a directory: nil removes the name.
type change map[string]*inode

// A Disk is a disk.FS in memory. Its paths are absolute. It belongs to one goroutine.
type Disk struct {
	names   map[string]*inode // as a reader sees them
	durable map[string]*inode
	waiting []change // changes of names since the last SyncDir of their directory

	// CutAt is the number of the operation at which the power is cut, before it takes effect; 0
	// never. Operations are what changes the disk: writes, renames, syncs.
	CutAt int
	// FailAt is the number of the operation that fails with Fail, without effect; 0 none.
	FailAt int
	Fail   error
	ops    int
	cut    bool
}

// New returns a disk with an empty root directory.
func New() *Disk {
	root := &inode{dir: true}
	return &Disk{names: map[string]*inode{"/": root}, durable: map[string]*inode{"/": root}}
}

// Ops returns how many operations have changed the disk, those included that failed.
func (d *Disk) Ops() int { return d.ops }

// op counts an operation, and reports whether it fails.
func (d *Disk) op() error {
	if d.cut {
		return ErrCut
	}
	d.ops++
	if d.ops == d.CutAt {
		d.cut = true
		return ErrCut
	}
	if d.ops == d.FailAt {
		return d.Fail
	}
	return nil
}

// Restart returns the disk as it may be after a power cut: rnd decides what of the unsynced
// changes has reached it.
func (d *Disk) Restart(rnd *rand.Rand) *Disk {
	names := make(map[string]*inode, len(d.durable))
	for name, node := range d.durable {
		names[name] = node
	}
	for _, c := range d.waiting {
		if rnd.IntN(2) == 0 {
			apply(names, c)
		}
	}
	after := &Disk{names: map[string]*inode{}, durable: map[string]*inode{}}
	made := map[*inode]*inode{} // one inode may have several names
	for name, node := range names {
		if made[node] == nil {
			made[node] = node.afterCut(rnd)
		}
		after.names[name], after.durable[name] = made[node], made[node]
	}
	// A name in a directory that is gone is gone too.
	for name := range after.names {
		if p := after.names[path.Dir(name)]; p == nil || !p.dir {
			delete(after.names, name)
			delete(after.durable, name)
		}
	}
	return after
}

func (n *inode) afterCut(rnd *rand.Rand) *inode {
	after := &inode{dir: n.dir, link: n.link, content: slices.Clone(n.synced)}
	for _, w := range n.writes {
		switch rnd.IntN(3) {
		case 0:
			copy(after.content[w.at:], w.data)
		case 1:
			copy(after.content[w.at:], w.data[:rnd.IntN(len(w.data)+1)])
		}
	}
	if n.writes == nil && !slices.Equal(n.content, n.synced) {
		switch rnd.IntN(4) {
		case 0: // nothing of it
		case 1:
			after.content = slices.Clone(n.content)
		case 2:
			after.content = slices.Clone(n.content[:rnd.IntN(len(n.content)+1)])
		case 3: // the size has reached the disk, the data has not
			after.content = make([]byte, len(n.content))
		}
	}
	after.synced = slices.Clone(after.content)
	return after
}

func apply(names map[string]*inode, c change) {
	for name, node := range c {
		if node == nil {
			delete(names, name)
		} else {
			names[name] = node
		}
	}
}

// change makes c visible, and durable once its directory is synced.
func (d *Disk) change(c change) {
	apply(d.names, c)
	d.waiting = append(d.waiting, c)
}

func (d *Disk) find(op, name string) (*inode, error) {
	if d.cut {
		return nil, ErrCut
	}
	node := d.names[clean(name)]
	for range 8 {
		if node == nil || node.link == "" {
			break
		}
		target := node.link
		if !path.IsAbs(target) {
			target = path.Join(path.Dir(clean(name)), target)
		}
		name = target
		node = d.names[clean(target)]
	}
	if node == nil {
		return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
	}
	return node, nil
}

func clean(name string) string { return path.Clean("/" + name) }

// Open implements disk.FS.
func (d *Disk) Open(name string) (io.ReadCloser, error) {
	node, err := d.find("open", name)
	if err != nil {
		return nil, err
	}
	if node.dir {
		return nil, fmt.Errorf("%s is no regular file", name)
	}
	return io.NopCloser(strings.NewReader(string(node.content))), nil
}

// Create implements disk.FS.
func (d *Disk) Create(name string, _ fs.FileMode) (disk.File, error) {
	if err := d.op(); err != nil {
		return nil, err
	}
	name = clean(name)
	if _, err := d.find("create", path.Dir(name)); err != nil {
		return nil, err
	}
	node := d.names[name]
	if node == nil {
		node = &inode{}
		d.change(change{name: node})
	}
	node.content = nil
	return &file{d, node}, nil
}

// Append implements disk.FS.
func (d *Disk) Append(name string) (disk.File, int64, error) {
	node, err := d.find("append", name)
	if err != nil {
		return nil, 0, err
	}
	return &file{d, node}, int64(len(node.content)), nil
}

// Rename implements disk.FS. As rename(2), it replaces a file or a symbolic link that is there.
func (d *Disk) Rename(from, to string) error {
	if err := d.op(); err != nil {
		return err
	}
	from, to = clean(from), clean(to)
	node := d.names[from]
	if node == nil {
		return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}
	}
	if node.dir {
		return fmt.Errorf("disksim: rename of a directory is not modelled")
	}
	d.change(change{from: nil, to: node})
	return nil
}

// Remove implements disk.FS.
func (d *Disk) Remove(name string) error {
	if err := d.op(); err != nil {
		return err
	}
	name = clean(name)
	node := d.names[name]
	if node == nil {
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
	}
	if list, _ := d.List(name); node.dir && len(list) > 0 {
		return &fs.PathError{Op: "remove", Path: name, Err: errors.New("directory not empty")}
	}
	d.change(change{name: nil})
	return nil
}

// Mkdir implements disk.FS.
func (d *Disk) Mkdir(name string, _ fs.FileMode) error {
	return d.make(name, &inode{dir: true})
}

// Symlink implements disk.FS.
func (d *Disk) Symlink(target, name string) error {
	return d.make(name, &inode{link: target})
}

func (d *Disk) make(name string, node *inode) error {
	if err := d.op(); err != nil {
		return err
	}
	name = clean(name)
	if d.names[name] != nil {
		return &fs.PathError{Op: "make", Path: name, Err: fs.ErrExist}
	}
	if _, err := d.find("make", path.Dir(name)); err != nil {
		return err
	}
	d.change(change{name: node})
	return nil
}

// Readlink implements disk.FS.
func (d *Disk) Readlink(name string) (string, error) {
	if d.cut {
		return "", ErrCut
	}
	node := d.names[clean(name)]
	if node == nil {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrNotExist}
	}
	if node.link == "" {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrInvalid}
	}
	return node.link, nil
}

// List implements disk.FS.
func (d *Disk) List(dir string) ([]string, error) {
	if _, err := d.find("list", dir); err != nil {
		return nil, err
	}
	var names []string
	for name := range d.names {
		if name != "/" && path.Dir(name) == clean(dir) {
			names = append(names, path.Base(name))
		}
	}
	slices.Sort(names)
	return names, nil
}

// SyncDir implements disk.FS. A rename from one directory to another is durable as soon as one of
// them is synced.
func (d *Disk) SyncDir(dir string) error {
	if err := d.op(); err != nil {
		return err
	}
	if _, err := d.find("sync", dir); err != nil {
		return err
	}
	d.waiting = slices.DeleteFunc(d.waiting, func(c change) bool {
		for name := range c {
			if path.Dir(name) == clean(dir) {
				apply(d.durable, c)
				return true
			}
		}
		return false
	})
	return nil
}

type file struct {
	d    *Disk
	node *inode
}

func (f *file) Write(p []byte) (int, error) {
	if err := f.d.op(); err != nil {
		return 0, err
	}
	f.node.content = append(f.node.content, p...)
	return len(p), nil
}

func (f *file) Truncate(size int64) error {
	if err := f.d.op(); err != nil {
		return err
	}
	if size > int64(len(f.node.content)) {
		return fs.ErrInvalid
	}
	f.node.content = f.node.content[:size:size]
	return nil
}

func (f *file) Sync() error {
	if err := f.d.op(); err != nil {
		return err
	}
	f.node.synced = slices.Clone(f.node.content)
	return nil
}

func (f *file) Close() error { return nil }

// Device implements disk.FS. A device is a file that was synced.
func (d *Disk) Device(name string, _ bool) (disk.Device, error) {
	node, err := d.find("open", name)
	if err != nil {
		return nil, err
	}
	return &device{file{d, node}}, nil
}

type device struct{ file }

func (v *device) Size() (int64, error) { return int64(len(v.node.content)), nil }

func (v *device) ReadAt(p []byte, at int64) (int, error) {
	if v.d.cut {
		return 0, ErrCut
	}
	return bytes.NewReader(v.node.content).ReadAt(p, at)
}

func (v *device) WriteAt(p []byte, at int64) (int, error) {
	if err := v.d.op(); err != nil {
		return 0, err
	}
	n := copy(v.node.content[at:], p)
	v.node.writes = append(v.node.writes, write{at, slices.Clone(p[:n])})
	if n < len(p) {
		return n, io.ErrShortWrite
	}
	return n, nil
}

func (v *device) Sync() error {
	if err := v.file.Sync(); err != nil {
		return err
	}
	v.node.writes = nil
	return nil
}
