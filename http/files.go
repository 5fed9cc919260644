package http

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"github.com/seed4930a636/mangusta/conn"
)

// FileOptions are the settings of ServeFS, ServeDir, ServeFile and ServeOpenFile. The zero value works.
type FileOptions struct {
	// Prefix of the paths that are answered for, such as "/static"; it is cut off before the look-up. ServeFS and
	// ServeDir only.
	Prefix string
	// Dotfiles serves files and directories whose names begin with a dot, too.
	Dotfiles bool
	// List answers for a directory without index.html with a page of its entries, 10,000 at most.
	List bool
	// Precompressed sends name.br or name.gz instead of name to clients that accept such, with Content-Encoding and the
	// content type of name. That they hold the same is the caller's business. A file of which there are only these is
	// answered with 406 where none is acceptable.
	Precompressed bool
	// CacheControl is the value of Cache-Control for files and 304, where the handler has not set one.
	CacheControl string
	// Types are media types by extension, such as "log": "text/plain", that go before those known to this package.
	Types map[string]string
	// BytesPerSecond bounds how fast files over 64 KiB are sent; 0 is no bound. It counts for each connection by itself.
	BytesPerSecond int
	// NotFound, when not nil, answers instead of the plain 404.
	NotFound func(c *conn.Conn, m *Message)
}

// ServeFS answers m, in m's handler, with the file of fsys that its path names. It serves GET and HEAD (others get
// 405), index.html for directories, and 404 for what is missing, is no regular file, has a name that begins with a dot,
// or has a path with "." or ".." elements, an encoded slash, a backslash or a NUL. A directory's path without a slash
// at its end is redirected to the one with it.
//
// The conditions of a request and its Range are heeded: one range, several as multipart/byteranges, or 416.
// Last-Modified and a strong ETag are made of time and size of the file; of its content if it comes from an embed.FS,
// also through fs.Sub, once in the life of a Server. Where no clock stamped the file (times before 1981, as
// reproducible builds have them) there are neither. Two changes within one tick of the file system's clock that keep
// the size keep the ETag.
//
// A file of up to 64 KiB goes out in one write with its head. A larger one is sent as the client takes it: by
// conn.Conn.SendFile where it is an *os.File, else read in steps of 64 KiB, so its size does not matter. If it turns
// out shorter than it was, or cannot be read, the connection is cut.
//
// At most one opts may be given. Headers set before are sent along, and Content-Type and Cache-Control of the handler's
// go before those made here. It returns ErrNoRequest when no request waits, ErrBadHeader for values in opts, and the
// errors of conn.Conn.Write.
//
// An fs.FS that can do Stat without Open (os.DirFS, os.Root.FS) keeps a FIFO from blocking the loop. os.DirFS follows
// symbolic links out of its directory; ServeDir does not.
func ServeFS(c *conn.Conn, m *Message, fsys fs.FS, opts ...FileOptions) error {
	return servePath(c, m, place{fsys: fsys}, opts)
}

// ServeDir is ServeFS for a directory opened with os.OpenRoot: whatever the path, nothing outside of root is reached,
// by a symbolic link neither. Files are opened without blocking, so FIFOs and devices, which get 404, stop nobody.
func ServeDir(c *conn.Conn, m *Message, root *os.Root, opts ...FileOptions) error {
	return servePath(c, m, place{root: root}, opts)
}

// ServeFile answers m with the file at path, whatever the path of m, as ServeFS does. The name is trusted: links are
// followed. A directory gets 404.
func ServeFile(c *conn.Conn, m *Message, path string, opts ...FileOptions) error {
	s, err := newFileReply(c, m, place{}, opts)
	if s == nil {
		return err
	}
	f, info, err := s.open(path)
	return s.opened(path, f, info, err)
}

// ServeOpenFile answers m with f, which it closes, at once or when it has been sent. The content type is that of name.
func ServeOpenFile(c *conn.Conn, m *Message, f fs.File, name string, opts ...FileOptions) error {
	s, err := newFileReply(c, m, place{}, opts)
	if s == nil {
		f.Close()
		return err
	}
	s.opts.Precompressed = false // there is no telling where the neighbours are
	info, err := f.Stat()
	if err != nil {
		f.Close()
	}
	return s.opened(name, f, info, err)
}

// A fileReply is one answer with a file, or what comes of it.
type fileReply struct {
	place
	c    *conn.Conn
	x    *exchange
	m    *Message
	opts FileOptions
	dir  string // to be listed when it has no index.html; "" when not
}

// newFileReply returns nil when m has been answered already, or cannot be.
func newFileReply(c *conn.Conn, m *Message, p place, opts []FileOptions) (*fileReply, error) {
	x, err := waiting(c)
	if err != nil {
		return nil, err
	}
	s := &fileReply{place: p, c: c, x: x, m: m}
	if len(opts) > 0 {
		s.opts = opts[0]
	}
	if !validValue(s.opts.CacheControl) {
		return nil, ErrBadHeader
	}
	if m.Method != "GET" && m.Method != "HEAD" {
		x.extra = appendField(removeField(x.extra, "Allow"), "Allow", "GET, HEAD")
		return nil, Error(c, 405)
	}
	return s, nil
}

// servePath answers with what lies at the path of m.
func servePath(c *conn.Conn, m *Message, p place, opts []FileOptions) error {
	s, err := newFileReply(c, m, p, opts)
	if s == nil {
		return err
	}
	name, ok := fileName(m, &s.opts)
	if !ok {
		return s.fail(404)
	}
	if m.raw[len(m.raw)-1] == '/' {
		if s.opts.List {
			s.dir = name
		}
		name = strings.TrimPrefix(name+"/index.html", "./")
	}
	f, info, err := s.open(name)
	if err == nil && info.IsDir() && m.raw[len(m.raw)-1] != '/' {
		f.Close()
		return s.redirectToDir()
	}
	return s.opened(name, f, info, err)
}

// opened answers with the file that open has given for name.
func (s *fileReply) opened(name string, f fs.File, info fs.FileInfo, err error) error {
	coding := ""
	if s.opts.Precompressed && (err == nil && info.Mode().IsRegular() || errors.Is(err, fs.ErrNotExist)) {
		var status int
		if f, info, coding, status = s.neighbour(name, f, info); status != 0 {
			return s.fail(status)
		}
		err = nil
	}
	if err != nil {
		return s.failFor(name, fileStatus(err), err)
	}
	if !info.Mode().IsRegular() {
		f.Close()
		return s.fail(404)
	}
	return s.send(name, f, info, coding)
}

// fail answers with an error status, or with what there is instead.
func (s *fileReply) fail(status int) error {
	if dir := s.dir; status == 404 && dir != "" {
		s.dir = ""
		return s.list(dir)
	}
	if status == 404 && s.opts.NotFound != nil {
		s.opts.NotFound(s.c, s.m)
		return nil
	}
	return Error(s.c, status)
}

// failFor answers for an error of the file system, and logs it when the client is not to blame.
func (s *fileReply) failFor(name string, status int, err error) error {
	if log := s.c.Shared().Log; log != nil && status >= 500 {
		log.Warn("http: a file could not be served", "name", name, "err", err)
	}
	return s.fail(status)
}

// fileStatus returns the status for an error of a file system.
func fileStatus(err error) int {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return 403
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrInvalid):
		return 404
	case errors.Is(err, fs.ErrClosed):
		return 500
	}
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return 404 // an os.Root has no error value for a symbolic link that leads out of it
	}
	switch errno {
	case syscall.ENAMETOOLONG, syscall.ENOTDIR, syscall.ELOOP, syscall.EINVAL:
		return 404
	case syscall.ENXIO, syscall.ENODEV: // a socket, or a device that is not there
		return 404
	case syscall.EMFILE, syscall.ENFILE:
		return 503
	}
	return 500
}

// redirectToDir sends the client to the path with a slash behind it, so that relative links in index.html work.
func (s *fileReply) redirectToDir() error {
	location := string(s.m.raw) + "/"
	if s.m.Query != nil {
		location += "?" + string(s.m.Query)
	}
	s.x.extra = appendField(removeField(s.x.extra, "Location"), "Location", location)
	return Error(s.c, 301)
}
