package files

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"strconv"
	"sync"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/device"
	"github.com/seed4930a636/mangusta/device/internal/rest"
	"github.com/seed4930a636/mangusta/http"
)

const (
	// ahead is how many bytes of an upload wait for the disk, or are being written, before the
	// client has to wait. One read of the connection comes on top.
	ahead = 160 << 10

	// block is how much is written at a time.
	block = 32 << 10
)

// An upload is one PUT. The loop adds what comes, a goroutine writes it.
type upload struct {
	f     *Files
	path  string
	who   device.Who
	later rest.Later
	alone bool  // no file is to be replaced (If-None-Match: *)
	size  int64 // that was announced; -1 is not known

	// These belong to the goroutine.
	temp     string
	reserved int64 // bytes that usage.received has of this upload
	coming   bool  // usage.coming has it

	mu      sync.Mutex
	moved   sync.Cond // something below has changed
	blocks  [][]byte  // to be written; all but the last are full
	free    [][]byte  // that were written
	waiting int       // bytes of them, and of the one that is being written
	last    bool      // no more comes
	over    bool      // the request has ended, or has its reply: what comes is dropped
	held    bool      // the connection is paused; changed on the loop alone
	cleared bool      // Clear has been called
}

// put is the handler of PUT.
func (f *Files) put(c *conn.Conn, ev conn.Event) {
	switch ev := ev.(type) {
	case *http.Head:
		if err := f.begin(c, ev); err != nil {
			f.fail(c, err)
		}
	case *http.Chunk:
		if u := f.uploadOf(c); u != nil {
			u.add(c, ev)
		}
	}
}

func (f *Files) uploadOf(c *conn.Conn) *upload {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.puts[c]
}

func (f *Files) begin(c *conn.Conn, h *http.Head) error {
	path, err := target(string(h.PathValue("path")))
	if err != nil {
		return err
	}
	if len(h.Header("Content-Range")) > 0 {
		return failure{400, "malformed", "send the whole file"} // RFC 9110 §14.5
	}
	if h.Length > f.opts.MaxFileBytes {
		return errLarge
	}
	if err := f.enter(); err != nil {
		return err
	}
	if err := http.StreamBody(c); err != nil {
		f.leave()
		return err
	}
	u := &upload{f: f, path: path, who: f.opts.Who(c, &h.Request), later: rest.LaterOf(c, h.Later()), size: h.Length}
	u.alone = string(bytes.TrimSpace(h.Header("If-None-Match"))) == "*"
	u.moved.L = &u.mu
	f.mu.Lock()
	f.puts[c] = u
	f.mu.Unlock()
	u.later.OnEnd(func() {
		f.mu.Lock()
		delete(f.puts, c)
		f.mu.Unlock()
		u.end(c)
	})
	f.jobs.Go(func() {
		defer f.leave()
		u.receive()
	})
	return nil
}

// enter takes a place for an upload.
func (f *Files) enter() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.closed:
		return errClosed
	case f.under >= f.opts.MaxUploads:
		return errBusy
	}
	f.under++
	return nil
}

func (f *Files) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.under--
}

// add takes a piece of the body.
func (u *upload) add(c *conn.Conn, k *http.Chunk) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.over {
		return
	}
	u.append(k.Data)
	u.last = k.Last
	u.moved.Signal()
	if u.waiting >= ahead && !u.held && !u.last {
		u.held = true
		c.Pause()
	}
}

func (u *upload) append(p []byte) {
	u.waiting += len(p)
	for len(p) > 0 {
		last := len(u.blocks) - 1
		if last < 0 || len(u.blocks[last]) == block {
			u.blocks = append(u.blocks, u.newBlock())
			last++
		}
		n := min(len(p), block-len(u.blocks[last]))
		u.blocks[last] = append(u.blocks[last], p[:n]...)
		p = p[n:]
	}
}

func (u *upload) newBlock() []byte {
	n := len(u.free)
	if n == 0 {
		return make([]byte, 0, block)
	}
	b := u.free[n-1]
	u.free = u.free[:n-1]
	return b[:0]
}

// end is called on the loop when the request has its reply, and when it is over.
func (u *upload) end(c *conn.Conn) {
	u.mu.Lock()
	u.over, u.blocks, u.free = true, nil, nil
	u.moved.Signal()
	held := u.held
	u.held = false
	u.mu.Unlock()
	if held {
		c.Resume() // the connection may be kept
	}
}

// clear ends the upload.
func (u *upload) clear() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.cleared = true
	u.moved.Signal()
}

// goOn has the client send again. It is called on the loop.
func (u *upload) goOn() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.held && !u.over {
		u.held = false
		u.later.Conn().Resume()
	}
}

var errBrokenOff = errors.New("it has broken off")

// next waits for bytes, and returns nil at the end of the body.
func (u *upload) next() ([]byte, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for len(u.blocks) == 0 && !u.last && !u.over && !u.cleared {
		u.moved.Wait()
	}
	switch {
	case u.over:
		return nil, errBrokenOff
	case u.cleared:
		return nil, errCleared
	case len(u.blocks) == 0:
		return nil, nil
	}
	b := u.blocks[0]
	u.blocks = u.blocks[:copy(u.blocks, u.blocks[1:])]
	return b, nil
}

// wrote takes back a block that was written.
func (u *upload) wrote(b []byte) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.waiting -= len(b)
	u.free = append(u.free, b)
	if u.held && u.waiting <= ahead/2 {
		u.later.Loop.Complete(u.goOn)
	}
}

// receive writes the body to a temporary file, gives that the name, and replies.
func (u *upload) receive() {
	f := u.f
	status, e, err := u.save()
	if u.temp != "" && err != nil {
		if bad := f.root.Remove(u.temp); bad != nil && !errors.Is(bad, fs.ErrNotExist) {
			f.opts.Log.Error("files: a part of an upload remains", "why", bad)
		}
	}
	f.mu.Lock()
	f.usage.received -= u.reserved
	if u.coming {
		f.usage.coming--
	}
	f.mu.Unlock()
	f.audit(u.who, "file "+u.path, "", outcome(err, strconv.FormatInt(e.Size, 10)+" bytes"))
	if err == errBrokenOff {
		return // there is no request to reply to
	}
	u.later.Complete(func(c *conn.Conn) {
		if err != nil {
			f.fail(c, err)
		} else {
			rest.Reply(c, status, e)
		}
		u.end(c) // before the request is over: the rest of a body that is refused has to come
	}, nil)
}

func (u *upload) save() (status int, e Entry, err error) {
	file, err := u.open()
	if err != nil {
		return 0, Entry{}, err
	}
	err = u.copy(file)
	if err == nil {
		err = file.Sync()
	}
	if bad := file.Close(); err == nil {
		err = bad
	}
	if err != nil {
		return 0, Entry{}, err
	}
	return u.install()
}

// open makes the temporary file, if there is room for the upload.
func (u *upload) open() (*os.File, error) {
	f := u.f
	f.disk.Lock()
	defer f.disk.Unlock()
	old, err := u.look()
	if err != nil {
		return nil, err
	}
	if err := f.count(); err != nil {
		return nil, err
	}
	if old == nil {
		if err := u.announce(); err != nil {
			return nil, err
		}
	}
	if err := u.reserve(max(u.size, 0)); err != nil {
		return nil, err
	}
	f.mu.Lock()
	f.serial++
	u.temp = uploads + "/" + strconv.FormatUint(f.serial, 10)
	f.mu.Unlock()
	return f.root.OpenFile(u.temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
}

// look returns what has the name now, nil if it is free, or why the upload cannot have it.
func (u *upload) look() (fs.FileInfo, error) {
	f := u.f
	switch info, err := f.root.Lstat(u.path); {
	case errors.Is(err, fs.ErrNotExist):
		if dir, err := f.root.Lstat(parentOf(u.path)); err != nil || !dir.IsDir() {
			return nil, errParent
		}
		return nil, nil
	case err != nil:
		return nil, f.inTheWay(u.path, err)
	case u.alone:
		return nil, errExists
	case info.IsDir():
		return nil, errDir
	case !info.Mode().IsRegular():
		return nil, errThere
	default:
		return info, nil
	}
}

// announce takes a place among the files.
func (u *upload) announce() error {
	f := u.f
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.usage.files+f.usage.coming >= f.opts.MaxFiles {
		return errMany
	}
	f.usage.coming++
	u.coming = true
	return nil
}

// reserve takes room for n bytes more.
func (u *upload) reserve(n int64) error {
	f := u.f
	f.mu.Lock()
	defer f.mu.Unlock()
	switch room := f.opts.MaxBytes - f.usage.bytes - f.usage.received; {
	case u.reserved+n > f.opts.MaxFileBytes:
		return errLarge
	case n > room:
		return errQuota
	}
	f.usage.received += n
	u.reserved += n
	return nil
}

// copy writes the body to file.
func (u *upload) copy(file *os.File) error {
	for at := int64(0); ; {
		b, err := u.next()
		if b == nil || err != nil {
			return err
		}
		if at += int64(len(b)); at > u.reserved {
			if err := u.reserve(at - u.reserved); err != nil {
				return err
			}
		}
		if _, err := file.Write(b); err != nil {
			return err
		}
		u.wrote(b)
	}
}

// install gives the file its name. It looks at the tree again, which may have changed meanwhile.
func (u *upload) install() (status int, e Entry, err error) {
	f := u.f
	f.disk.Lock()
	defer f.disk.Unlock()
	u.mu.Lock()
	cleared := u.cleared
	u.mu.Unlock()
	if cleared {
		return 0, Entry{}, errCleared
	}
	old, err := u.look()
	if err != nil {
		return 0, Entry{}, err
	}
	info, err := f.root.Lstat(u.temp)
	if err != nil {
		return 0, Entry{}, err
	}
	if err := f.root.Rename(u.temp, u.path); err != nil {
		return 0, Entry{}, f.inTheWay(u.path, err)
	}
	u.temp = ""
	if old == nil {
		f.add(info.Size(), 1)
		status = 201
	} else {
		f.add(info.Size()-old.Size(), 0)
		status = 200
	}
	e, err = f.finish(u.path, parentOf(u.path))
	return status, e, err
}
