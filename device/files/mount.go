package files

import (
	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/device"
	"github.com/seed4930a636/mangusta/device/internal/rest"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/http/middleware"
)

// Mount adds the routes of the files to x, below prefix, such as "/files":
//
//	GET    PREFIX/PATH              a directory: a Listing, as JSON; a file: its content, by
//	                                ranges, too; ?download has a browser save it
//	PUT    PREFIX/PATH              the body becomes the file: 201, or 200 if it has replaced one.
//	                                With If-None-Match: * none is replaced
//	POST   PREFIX/PATH?rename=NEW   gives it another path, which must be free
//	POST   PREFIX/PATH?mkdir        makes a directory
//	DELETE PREFIX/PATH              a file, or a directory that is empty
//
// The reply to a change is an Entry. A failure is {"error": "…", "code": "…"}: 400 for a name that no file can
// have, 404, 409 if something is in the way, 412, 413 for a file over Options.MaxFileBytes, 507 if
// the quota or the disk is full, and 503 if too much is under way.
//
// mayRead is called for each GET, and mayChange for each other request, before its body is read. If
// one returns false it must have replied. Pages of other origins are refused.
func (f *Files) Mount(x *http.Mux, prefix string, mayRead, mayChange func(c *conn.Conn, r *http.Request) bool) {
	read, own, change := http.Guard(mayRead), middleware.CSRF(), http.Guard(mayChange)
	x.MustHandle("GET "+prefix, f.get, read)
	x.MustHandle("GET "+prefix+"/{path...}", f.get, read)
	x.MustHandleEvents("PUT "+prefix+"/{path...}", f.put, own, change)
	x.MustHandle("POST "+prefix+"/{path...}", f.post, own, change)
	x.MustHandle("DELETE "+prefix+"/{path...}", f.delete, own, change)
}

// change has do change the tree, on another goroutine, and replies with what it returns.
func (f *Files) change(c *conn.Conn, m *http.Message, do func(who device.Who) (status int, e Entry, err error)) {
	who, later := f.opts.Who(c, &m.Request), rest.LaterOf(c, m.Later())
	err := f.run(func() {
		f.disk.Lock()
		status, e, err := do(who)
		f.disk.Unlock()
		later.Complete(func(c *conn.Conn) {
			if err != nil {
				f.fail(c, err)
			} else {
				rest.Reply(c, status, e)
			}
		}, nil)
	})
	if err != nil {
		f.fail(c, err)
	}
}

// target returns the path that a change is for, which is not the root.
func target(text string) (string, error) {
	path, ok := parsePath(text)
	if !ok || path == "." {
		return "", errName
	}
	return path, nil
}

func (f *Files) post(c *conn.Conn, m *http.Message) {
	path, err := target(string(m.PathValue("path")))
	_, mkdir := m.QueryVar("mkdir")
	name, rename := m.QueryVar("rename")
	to := ""
	switch {
	case err != nil:
	case mkdir == rename:
		err = failure{400, "malformed", "ask for ?rename=NEW or for ?mkdir"}
	case rename:
		to, err = target(name)
	}
	if err != nil {
		f.fail(c, err)
		return
	}
	f.change(c, m, func(who device.Who) (int, Entry, error) {
		if mkdir {
			e, err := f.mkdir(path)
			f.audit(who, "directory "+path, "", outcome(err, "made"))
			return 201, e, err
		}
		e, err := f.rename(path, to)
		f.audit(who, "file "+path, path, outcome(err, to))
		return 200, e, err
	})
}

func (f *Files) delete(c *conn.Conn, m *http.Message) {
	path, err := target(string(m.PathValue("path")))
	if err != nil {
		f.fail(c, err)
		return
	}
	f.change(c, m, func(who device.Who) (int, Entry, error) {
		e, err := f.remove(path)
		f.audit(who, "file "+path, "", outcome(err, "deleted"))
		return 200, e, err
	})
}

// outcome is the To of an audit entry.
func outcome(err error, done string) string {
	if err != nil {
		return "failed: " + err.Error()
	}
	return done
}
