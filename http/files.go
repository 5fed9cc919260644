package http

import (
	"embed"
	"errors"
	"hash/fnv"
	"io"
	"io/fs"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/seed4930a636/mangusta/conn"
)

// FileOptions are the settings of ServeFS. The zero value works.
type FileOptions struct {
	Prefix string // of the paths that the file system answers for, such as "/static"; cut off before the look-up
}

// ServeFS answers m, in m's handler, with the file of fsys that its path names. It serves GET and HEAD (others get 405),
// index.html for directories, and 404 for what is missing, is no regular file, has a name that begins with a dot, or has
// a path with "." or ".." elements, an encoded slash, a backslash or a NUL. ETag and Last-Modified are sent where fsys
// knows the time of a file, an ETag for those of an embed.FS; the conditions of a request are heeded. A file is read and
// sent in steps of 64 KiB, so its size does not matter; if it turns out shorter than it was, the connection is cut.
// At most one opts may be given. Headers set before are sent along. It returns ErrNoRequest when no request waits, and the
// errors of conn.Conn.Write.
//
// An fs.FS that can do Stat without Open (os.DirFS, os.Root.FS) keeps a FIFO from blocking the loop. os.DirFS follows
// symbolic links out of its directory; os.Root.FS does not.
func ServeFS(c *conn.Conn, m *Message, fsys fs.FS, opts ...FileOptions) error {
	x, err := waiting(c)
	if err != nil {
		return err
	}
	var o FileOptions
	if len(opts) > 0 {
		o = opts[0]
	}
	if m.Method != "GET" && m.Method != "HEAD" {
		x.extra = appendField(removeField(x.extra, "Allow"), "Allow", "GET, HEAD")
		return Error(c, 405)
	}
	name, ok := fileName(m, o.Prefix)
	if !ok {
		return Error(c, 404)
	}
	// Stat before Open: opening a FIFO or a device could block the loop.
	info, err := fs.Stat(fsys, name)
	if err == nil && info.IsDir() {
		if m.raw[len(m.raw)-1] != '/' {
			return x.redirectToDir(c, m)
		}
		name = strings.TrimPrefix(name+"/index.html", "./")
		info, err = fs.Stat(fsys, name)
	} else if err == nil && m.raw[len(m.raw)-1] == '/' {
		err = fs.ErrNotExist
	}
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err != nil {
		return Error(c, fileStatus(err))
	}
	return x.serveFile(c, m, fsys, name)
}

// fileStatus returns the status for an error of a file system.
func fileStatus(err error) int {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return 403
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrInvalid):
		return 404
	}
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return 404 // an os.Root has no error value for a symbolic link that leads out of it
	}
	switch errno {
	case syscall.ENAMETOOLONG, syscall.ENOTDIR, syscall.ELOOP, syscall.EINVAL:
		return 404
	case syscall.EMFILE, syscall.ENFILE:
		return 503
	}
	return 500
}

// fileName returns the name in the file system that the path of m stands for.
func fileName(m *Message, prefix string) (string, bool) {
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
	path, ok := strings.CutPrefix(string(m.Path), strings.TrimSuffix(prefix, "/"))
	if !ok || slashes != 0 {
		return "", false
	}
	if path != "" && path[0] != '/' {
		return "", false
	}
	path = strings.TrimPrefix(path, "/")
	// This keeps "." and ".." out too.
	if path != "" && (path[0] == '.' || path[0] == '/') || strings.Contains(path, "/.") {
		return "", false
	}
	if path = strings.TrimSuffix(path, "/"); path == "" {
		return ".", true
	}
	return path, fs.ValidPath(path)
}

// redirectToDir sends the client to the path with a slash behind it, so that relative links in index.html work.
func (x *exchange) redirectToDir(c *conn.Conn, m *Message) error {
	location := string(m.raw) + "/"
	if m.Query != nil {
		location += "?" + string(m.Query)
	}
	x.extra = appendField(removeField(x.extra, "Location"), "Location", location)
	return Error(c, 301)
}

func (x *exchange) serveFile(c *conn.Conn, m *Message, fsys fs.FS, name string) error {
	f, err := fsys.Open(name)
	if err != nil {
		return Error(c, fileStatus(err))
	}
	// The file that was opened counts, not the one that Stat saw.
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		f.Close()
		return Error(c, 404)
	}
	v := validators{etag: x.srv.etag(fsys, name, info)}
	if mod := info.ModTime(); !mod.IsZero() && mod.Unix() > 0 {
		v.modified = mod.UTC().Truncate(time.Second)
	}
	x.extra = v.append(x.extra)
	if status := v.check(&m.Request); status != 200 {
		f.Close()
		if status == 304 {
			return ReplyBytes(c, status, "", nil)
		}
		return Error(c, status)
	}
	b := x.appendHead(c, c.AvailableBuffer(), 200, contentType(name), info.Size())
	if _, err := c.Write(b); err != nil {
		f.Close()
		return err
	}
	if x.is(isHead) || info.Size() == 0 {
		f.Close()
	} else {
		x.file = transfer{f: f, left: info.Size()}
		x.readFile(c)
	}
	x.answered(c)
	return nil
}

// A transfer is a file that is being sent.
type transfer struct {
	f    fs.File
	left int64
}

func (t *transfer) close() {
	if t.f != nil {
		t.f.Close()
		*t = transfer{}
	}
}

// fileStep is how much of a file is read at a time, and how much may be queued before the next step.
const fileStep = 64 << 10

// sendFile takes the next step when the one before has gone out, and ends the exchange with the last.
func (x *exchange) sendFile(c *conn.Conn) {
	if x.file.f != nil && c.Pending() < fileStep {
		x.readFile(c)
	}
	if x.file.f == nil && c.IsOpen() {
		x.finish(c)
		x.srv.resume(c)
	}
}

var errShortFile = errors.New("http: serve file: the file is shorter than it was when it was opened")

// readFile queues one step of the file.
func (x *exchange) readFile(c *conn.Conn) {
	if x.srv.file == nil {
		x.srv.file = make([]byte, fileStep)
	}
	n, err := x.file.f.Read(x.srv.file[:min(fileStep, x.file.left)])
	if n > 0 {
		if _, err := c.Write(x.srv.file[:n]); err != nil {
			x.file.close()
			c.Fail(conn.SendLimit, err) // half a body cannot be made good
			return
		}
		x.file.left -= int64(n)
	}
	switch {
	case x.file.left == 0:
		x.file.close()
	case err != nil || n == 0:
		// RFC 9112 8: a message shorter than its Content-Length is incomplete, and only the end of the connection says so.
		x.file.close()
		if err == nil || err == io.EOF {
			err = errShortFile
		}
		c.Fail(conn.IOError, err)
	}
}

// validators of a file; zero when unknown.
type validators struct {
	etag     string
	modified time.Time
}

func (v *validators) append(b []byte) []byte {
	if v.etag != "" {
		b = appendField(removeField(b, "ETag"), "ETag", v.etag)
	}
	if !v.modified.IsZero() {
		b = append(removeField(b, "Last-Modified"), "Last-Modified: "...)
		b = append(v.modified.AppendFormat(b, timeFormat), "\r\n"...)
	}
	return b
}

// check evaluates the conditions of a request in the order of RFC 9110 13.2.2: 200, 304 or 412.
func (v *validators) check(r *Request) int {
	if r.Header("If-Match") != nil {
		if !v.matches(r, "If-Match", true) {
			return 412
		}
	} else if t, ok := parseTime(r.Header("If-Unmodified-Since")); ok && !v.modified.IsZero() && v.modified.After(t) {
		return 412
	}
	if r.Header("If-None-Match") != nil {
		if v.matches(r, "If-None-Match", false) {
			return 304
		}
	} else if t, ok := parseTime(r.Header("If-Modified-Since")); ok && !v.modified.IsZero() && !v.modified.After(t) {
		return 304
	}
	return 200
}

// matches looks for the ETag in a list of them, or for "*". A strong comparison never matches a weak tag (RFC 9110 8.8.3.2).
func (v *validators) matches(r *Request, field string, strong bool) bool {
	for i := range r.fields {
		if !foldEqual(r.fields[i].Name, field) {
			continue
		}
		list := strings.Trim(string(r.fields[i].Value), " \t")
		if list == "*" {
			return true
		}
		for list != "" && v.etag != "" {
			tag, weak := strings.CutPrefix(list, "W/")
			end := strings.IndexByte(strings.TrimPrefix(tag, `"`), '"') + 2
			if tag[:min(1, len(tag))] != `"` || end < 2 {
				break // not a list of entity tags
			}
			if tag[:end] == v.etag && !(weak && strong) {
				return true
			}
			list = strings.TrimLeft(tag[end:], ", \t")
		}
	}
	return false
}

// parseTime reads the three forms of HTTP-date (RFC 9110 5.6.7).
func parseTime(b []byte) (time.Time, bool) {
	if b == nil {
		return time.Time{}, false
	}
	for _, layout := range [...]string{timeFormat, "Monday, 02-Jan-06 15:04:05 GMT", time.ANSIC} {
		if t, err := time.Parse(layout, string(b)); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// An etagKey names a file of an embed.FS. Those never change, so the hash of each is made once.
type etagKey struct {
	fsys embed.FS
	name string
}

// etag returns a strong entity tag: made of time and size, or of the content where an embed.FS knows no time; else "".
func (s *Server) etag(fsys fs.FS, name string, info fs.FileInfo) string {
	size := info.Size()
	if mod := info.ModTime(); !mod.IsZero() {
		return `"` + strconv.FormatInt(mod.UnixNano(), 36) + "-" + strconv.FormatInt(size, 36) + `"`
	}
	embedded, ok := fsys.(embed.FS)
	if !ok {
		return ""
	}
	key := etagKey{embedded, name}
	if tag, ok := s.etags[key]; ok {
		return tag
	}
	data, err := embedded.ReadFile(name)
	if err != nil {
		return ""
	}
	h := fnv.New64a()
	h.Write(data)
	tag := `"` + strconv.FormatUint(h.Sum64(), 36) + "-" + strconv.FormatInt(size, 36) + `"`
	if s.etags == nil {
		s.etags = make(map[etagKey]string)
	}
	s.etags[key] = tag
	return tag
}
