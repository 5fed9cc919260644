package http

import (
	"container/list"
	"errors"
	"io"
	"io/fs"
	"os"
	"reflect"
	"time"
)

// A fileCache keeps small files between requests, the last used first. An entry is compared
// with the file system once in fileCheck: size, times and inode. It is for the files of the
// operating system and for embedded ones, which never change; those of other file systems are not
// kept, since nothing is known of their times.
type fileCache struct {
	limit int // bytes
	bytes int
	named map[fileKey]*list.Element // of *cachedFile
	used  list.List                 // the last used in front
}

const (
	fileCheck = time.Second
	// fileCost is what an entry takes beside name and content, about.
	fileCost = 512
)

// fileQuiet is how long a file must not have changed to be kept. Two changes within one tick of the
// file system's clock cannot be told apart afterwards. Tests change it.
var fileQuiet = 2 * time.Second

// A fileKey says where a file was found.
type fileKey struct {
	fsys fs.FS
	root *os.Root
	name string
}

// A cachedFile is a file that is kept, or the knowledge that there is none. It is an fs.File that
// is read by ReadAt.
type cachedFile struct {
	fileKey
	info     fs.FileInfo // nil if there is no such file
	body     []byte
	constant bool  // it is embedded
	checked  int64 // when it was compared, by the clock of the loop

	// These are made for the first reply.
	v      Validators
	fields []byte // of v, and Accept-Ranges
	ctype  string // of the name that it was served by
	coding string // that all these are for
}

// find returns what is kept for the name, nil if that is nothing.
func (k *fileCache) find(p place, name []byte, now int64) *cachedFile {
	if len(k.named) == 0 || !p.comparable() {
		return nil
	}
	return k.use(k.named[fileKey{p.fsys, p.root, string(name)}], now)
}

func (k *fileCache) findName(p place, name string, now int64) *cachedFile {
	if len(k.named) == 0 || !p.comparable() {
		return nil
	}
	return k.use(k.named[fileKey{p.fsys, p.root, name}], now)
}

// use returns the file of an entry, unless it has changed.
func (k *fileCache) use(e *list.Element, now int64) *cachedFile {
	if e == nil {
		return nil
	}
	f := e.Value.(*cachedFile)
	if !f.constant && now-f.checked >= int64(fileCheck) {
		if !f.holds() {
			k.drop(e)
			return nil
		}
		f.checked = now
	}
	k.used.MoveToFront(e)
	return f
}

// holds compares f with the file system.
func (f *cachedFile) holds() bool {
	info, err := place{f.fsys, f.root}.stat(f.name)
	if f.info == nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	return err == nil && sameFile(info, f.info)
}

// keep takes the file into the cache, if it may be kept, and closes it. The result is nil if f is
// not kept.
func (k *fileCache) keep(p place, name string, f fs.File, info fs.FileInfo, now int64) *cachedFile {
	size := info.Size()
	if !info.Mode().IsRegular() || size > fileStep || !k.fits(name, int(size)) || !p.comparable() {
		return nil
	}
	at, ok := f.(io.ReaderAt)
	if !ok {
		return nil
	}
	c := &cachedFile{fileKey: fileKey{p.fsys, p.root, name}, info: info, checked: now, constant: isEmbedded(info)}
	if _, ok := f.(*os.File); !c.constant && (!ok || !quietSince(info, time.Now().Add(-fileQuiet))) {
		return nil
	}
	c.body = make([]byte, size)
	if n, err := at.ReadAt(c.body, 0); n < len(c.body) && err != nil {
		return nil
	}
	// A write during the read shows in the times.
	if after, err := f.Stat(); !c.constant && (err != nil || !sameFile(after, info)) {
		return nil
	}
	f.Close()
	k.add(c)
	return c
}

// keepMissing remembers that there is no file of that name.
func (k *fileCache) keepMissing(p place, name string, now int64) {
	if k.fits(name, 0) && p.comparable() {
		k.add(&cachedFile{fileKey: fileKey{p.fsys, p.root, name}, checked: now})
	}
}

func (k *fileCache) fits(name string, size int) bool { return fileCost+len(name)+size <= k.limit }

func (f *cachedFile) cost() int { return fileCost + len(f.name) + len(f.body) }

// add takes f in, and drops what was not used for the longest time.
func (k *fileCache) add(f *cachedFile) {
	if e := k.named[f.fileKey]; e != nil {
		k.drop(e)
	}
	if k.named == nil {
		k.named = make(map[fileKey]*list.Element)
	}
	k.named[f.fileKey] = k.used.PushFront(f)
	for k.bytes += f.cost(); k.bytes > k.limit; {
		k.drop(k.used.Back())
	}
}

func (k *fileCache) drop(e *list.Element) {
	f := k.used.Remove(e).(*cachedFile)
	delete(k.named, f.fileKey)
	k.bytes -= f.cost()
}

// comparable reports whether p may be part of a key.
func (p place) comparable() bool { return p.fsys == nil || reflect.ValueOf(p.fsys).Comparable() }

// validators returns the validators of the file, and their fields with Accept-Ranges. name is that
// of the file without the coding.
func (f *cachedFile) validators(s *Server, name, coding string) (Validators, []byte) {
	if f.fields == nil || f.coding != coding {
		f.v = s.validators(f, f.info, coding)
		f.fields = appendField(f.v.append(nil), "Accept-Ranges", "bytes")
		f.ctype, f.coding = contentType(name), coding
	}
	return f.v, f.fields
}

func (f *cachedFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *cachedFile) Close() error               { return nil }

// Read implements fs.File. The file is shared, so it has no offset.
func (f *cachedFile) Read([]byte) (int, error) { return 0, fs.ErrInvalid }

// ReadAt implements io.ReaderAt.
func (f *cachedFile) ReadAt(b []byte, off int64) (int, error) {
	if off >= int64(len(f.body)) {
		return 0, io.EOF
	}
	n := copy(b, f.body[off:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}
