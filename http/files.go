package http

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"syscall"

	"github.com/seed4930a636/mangusta/conn"
)

// FileOptions are the settings of ServeFS, ServeDir, ServeFile and ServeOpenFile. The zero value
// works.
type FileOptions struct {
	// Prefix is the beginning of the paths that are served, such as "/static"; it is cut off before
	// the look-up. Paths without it get 404. ServeFS and ServeDir only.
	Prefix string
	// Dotfiles serves files and directories whose names begin with a dot, too.
	Dotfiles bool
	// List makes a page of the entries of a directory without index.html, with sizes and times,
	// 10,000 at most. The loop waits meanwhile.
	List bool
	// Precompressed sends name.br or name.gz instead of name to clients that accept them, with
	// Content-Encoding and the content type of name. The caller must see to it that they have the
	// same content. If only these exist and the client accepts none, it gets 406.
	Precompressed bool
	// CacheControl is the value of Cache-Control for files and 304, unless the handler has set one.
	CacheControl string
	// Types are media types by extension, such as "log": "text/plain". They come before those of
	// this package.
	Types map[string]string
	// BytesPerSecond bounds how fast files over 64 KiB are sent; 0 is no bound. Each connection has
	// a bound of its own.
	BytesPerSecond int
	// NotFound, if not nil, replies instead of the plain 404.
	NotFound func(c *conn.Conn, m *Message)
}

// ServeFS replies to m, in m's handler, with the file of fsys that its path names. It serves GET
// and HEAD (other methods get 405), and index.html for directories. A file gets 404 if it is
// missing, is no regular file, has a name that begins with a dot, or has a path with "." or ".."
// elements, an encoded slash, a backslash or a NUL. A directory's path without a slash at its end
// is redirected to the one with it.
//
// The conditions of a request and its Range are heeded: the reply has one range, several as
// multipart/byteranges, or is 416. Last-Modified and a strong ETag are made from the time and the
// size of the file. For a file from an embed.FS, also through fs.Sub, they are made from its
// content, once in the life of a Server. A file whose time was not set by a clock (before 1981, as
// reproducible builds have it) has neither. Two changes within one tick of the file system's clock
// that keep the size also keep the ETag.
//
// A file of up to 64 KiB goes out in one write with its head, and may be kept: see
// Options.FileCache. A larger one is sent as the client takes it: an *os.File by
// conn.Conn.SendFile, any other in steps of 64 KiB, so its size does not matter. If it has become
// shorter meanwhile, or cannot be read, the connection is cut.
//
// At most one opts may be given. Fields that the handler has set go with the reply; its
// Content-Type and Cache-Control come before those of this function. It returns ErrNoRequest if no
// request waits, ErrBadHeader for values in opts, and the errors of conn.Conn.Write.
//
// With an fs.FS that can do Stat without Open (os.DirFS, os.Root.FS), a FIFO cannot block the loop.
// os.DirFS follows symbolic links out of its directory; ServeDir does not.
func ServeFS(c *conn.Conn, m *Message, fsys fs.FS, opts ...FileOptions) error {
	return servePath(c, m, place{fsys: fsys}, opts)
}

// ServeDir is ServeFS for a directory opened with os.OpenRoot: whatever the path, nothing outside
// of root is reached, not even by a symbolic link. Files are opened without blocking, so FIFOs and
// devices, which get 404, do not stop the loop.
func ServeDir(c *conn.Conn, m *Message, root *os.Root, opts ...FileOptions) error {
	return servePath(c, m, place{root: root}, opts)
}

// ServeFile replies to m with the file at path, as ServeFS does, whatever the path of m. The path
// is trusted: links are followed. A directory gets 404.
func ServeFile(c *conn.Conn, m *Message, path string, opts ...FileOptions) error {
	var s fileReply
	if ok, err := s.begin(c, m, place{}, opts); !ok {
		return err
	}
	f, info, err := s.open(path)
	return s.opened(path, f, info, err)
}

// ServeOpenFile replies to m with f. It closes f, at once or after f has been sent. The content
// type is that of name.
func ServeOpenFile(c *conn.Conn, m *Message, f fs.File, name string, opts ...FileOptions) error {
	var s fileReply
	if ok, err := s.begin(c, m, place{}, opts); !ok {
		f.Close()
		return err
	}
	s.opts.Precompressed = false // its path, and so that of its neighbours, is not known
	info, err := f.Stat()
	if err != nil {
		f.Close()
	}
	return s.opened(name, f, info, err)
}

// A fileReply is one reply with a file, or with an error or a redirect in its place.
type fileReply struct {
	place
	c    *conn.Conn
	x    *exchange
	m    *Message
	opts FileOptions
	dir  string // to be listed if it has no index.html; "" if not
}

// begin fills s in. It returns false if m has its reply already, or cannot have one.
func (s *fileReply) begin(c *conn.Conn, m *Message, p place, opts []FileOptions) (bool, error) {
	x, err := waiting(c)
	if err != nil {
		return false, err
	}
	s.place, s.c, s.x, s.m = p, c, x, m
	if len(opts) > 0 {
		s.opts = opts[0]
	}
	if !validValue(s.opts.CacheControl) {
		return false, ErrBadHeader
	}
	if m.Method != "GET" && m.Method != "HEAD" {
		x.extra = appendField(removeField(x.extra, "Allow"), "Allow", "GET, HEAD")
		return false, Error(c, 405)
	}
	return true, nil
}

// servePath replies with the file or directory at the path of m.
func servePath(c *conn.Conn, m *Message, p place, opts []FileOptions) error {
	var s fileReply
	if ok, err := s.begin(c, m, p, opts); !ok {
		return err
	}
	path, ok := fileName(m, &s.opts)
	if !ok {
		return s.fail(404)
	}
	var room [64]byte
	if m.raw[len(m.raw)-1] == '/' {
		if s.opts.List {
			s.dir = string(path)
		}
		path = bytes.TrimPrefix(append(append(room[:0], path...), "/index.html"...), []byte("./"))
	}
	if k := s.x.srv.files.find(p, path, s.now()); k != nil && k.info != nil {
		return s.opened(k.name, k, k.info, nil)
	}
	name := string(path)
	f, info, err := s.open(name)
	if err == nil && info.IsDir() && m.raw[len(m.raw)-1] != '/' {
		f.Close()
		return s.redirectToDir()
	}
	return s.opened(name, f, info, err)
}

// open is place.open with the cache of small files.
func (s *fileReply) open(name string) (fs.File, fs.FileInfo, error) {
	files := &s.x.srv.files
	if k := files.findName(s.place, name, s.now()); k != nil {
		if k.info == nil {
			return nil, nil, fs.ErrNotExist
		}
		return k, k.info, nil
	}
	f, info, err := s.place.open(name)
	if err == nil {
		if k := files.keep(s.place, name, f, info, s.now()); k != nil {
			return k, info, nil
		}
	}
	return f, info, err
}

func (s *fileReply) now() int64 { return s.c.Layer().Shared().Now }

// opened replies with the file that open has returned for name.
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

// fail replies with an error status, or leaves a 404 to NotFound.
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

// failFor replies to an error of the file system, and logs it unless the client caused it.
func (s *fileReply) failFor(name string, status int, err error) error {
	if status >= 500 {
		s.logFailure(name, err)
	}
	return s.fail(status)
}

func (s *fileReply) logFailure(name string, err error) {
	if log := s.c.Layer().Shared().Log; log != nil {
		log.Warn("http: a file could not be served", "name", name, "err", err)
	}
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
	errno, ok := errors.AsType[syscall.Errno](err)
	if !ok {
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

// redirectToDir redirects to the path with a slash at its end, so that relative links in index.html
// work.
func (s *fileReply) redirectToDir() error {
	location := string(s.m.raw) + "/"
	if s.m.Query != nil {
		location += "?" + string(s.m.Query)
	}
	s.x.extra = appendField(removeField(s.x.extra, "Location"), "Location", location)
	return Error(s.c, 301)
}
