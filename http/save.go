package http

import (
	"errors"
	"fmt"
	"hash"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/seed4930a636/mangusta/conn"
)

// SaveOptions say where SaveBody puts a body, and who is told. Path or File is needed, and Done; all else may be left
// out.
type SaveOptions struct {
	// Path names the file. The body goes to a temporary one beside it, ".upload-….part", which gets the name when it is
	// complete; a file of that name is replaced.
	Path string
	// Root, if any, is the directory that Path is relative to and does not lead out of, whatever is in it.
	Root *os.Root
	// Mode is that of the file, less the umask; default 0o644.
	Mode os.FileMode
	// File is written to instead, from its offset on. It must be a regular file. It is closed before Done, and removed
	// by its name on failure.
	File *os.File

	MaxSize int64     // bytes, else 413; default Options.MaxBody, negative is no limit
	Hash    hash.Hash // is given all that is written
	// Progress is called when size bytes have been written; total is -1 when the client has not told. It may answer the
	// request, which gives the upload up.
	Progress func(c *conn.Conn, size, total int64)
	// Check is called when all is written, before the file gets its name: an error from it is one of the upload.
	Check func(size int64) error
	// Done is called once, at the end. Without an error the file is complete, and Done answers. With one the file is
	// gone, and Done may answer: where it does not and the client still waits, it gets 507 when the disk is full, 422
	// for an error of Check, else 500. Where the client is to blame it has been answered (413, 400, 408), or its
	// connection is cut.
	Done func(c *conn.Conn, size int64, err error)
}

// SaveBody, called in the handler of Head, has the body written to a file as it comes, instead of Chunk or Message
// events. The loop does one write of what one read brought, 64 KiB at most where nothing was buffered, and does not
// wait for the disk beyond that: nothing is synced. It returns ErrNoRequest when no Head that waits for an answer is
// being handled, and what keeps the file from being opened; nothing has begun then, and a File is still the caller's.
func SaveBody(c *conn.Conn, o SaveOptions) error {
	x, err := waiting(c)
	if err != nil || x.phase != phaseHead || x.sink != nil {
		return ErrNoRequest
	}
	switch {
	case (o.Path == "") == (o.File == nil):
		return errNoFile
	case o.Done == nil:
		return errNoDone
	}
	limit := o.MaxSize
	if limit == 0 {
		limit = x.srv.opts.MaxBody
	}
	s := &saver{c: c, o: o, total: -1, f: o.File}
	if !x.f.chunked {
		s.total = x.f.length
	}
	// What is too long from the start gets its 413 without a file.
	if limit < 0 || x.f.length <= limit {
		if err := s.open(); err != nil {
			return fmt.Errorf("http: save body: %w", err)
		}
	}
	x.flags |= streamed
	x.maxBody = math.MaxInt64
	if limit >= 0 {
		x.maxBody = limit
	}
	x.sink = s
	return nil
}

var (
	errNoFile     = errors.New("http: save body: neither Path nor File, or both")
	errNoDone     = errors.New("http: save body: no Done")
	errNotRegular = errors.New("not a regular file")
)

// A saver is the sink of SaveBody.
type saver struct {
	c     *conn.Conn
	o     SaveOptions
	f     *os.File
	temp  string // name of f until it gets its own; "" for the caller's file
	size  int64
	total int64
	over  bool
}

func (s *saver) open() error {
	o := &s.o
	if o.File != nil {
		info, err := o.File.Stat()
		if err == nil && !info.Mode().IsRegular() {
			err = errNotRegular
		}
		return err
	}
	mode := o.Mode
	if mode == 0 {
		mode = 0o644
	}
	name := ".upload-" + strconv.FormatUint(rand.Uint64(), 36) + ".part"
	s.temp = filepath.Join(filepath.Dir(o.Path), name)
	const flags = os.O_WRONLY | os.O_CREATE | os.O_EXCL
	var err error
	if o.Root != nil {
		s.f, err = o.Root.OpenFile(s.temp, flags, mode)
	} else {
		s.f, err = os.OpenFile(s.temp, flags, mode)
	}
	return err
}

func (s *saver) take(c *conn.Conn, data []byte, last bool) {
	if s.over {
		return
	}
	if len(data) > 0 {
		if _, err := s.f.Write(data); err != nil {
			s.fail(err)
			return
		}
		s.size += int64(len(data))
		if s.o.Hash != nil {
			s.o.Hash.Write(data)
		}
		if s.o.Progress != nil {
			s.o.Progress(c, s.size, s.total)
		}
	}
	if last {
		s.finish()
	}
}

// finish gives the file its name.
func (s *saver) finish() {
	if _, err := waiting(s.c); err != nil || s.c.IsClosed() {
		s.drop(errAnswered) // by Progress
		return
	}
	err := s.f.Close()
	if err == nil && s.o.Check != nil {
		if err = s.o.Check(s.size); err != nil {
			err = &checkError{err}
		}
	}
	if err == nil && s.temp != "" {
		if s.o.Root != nil {
			err = s.o.Root.Rename(s.temp, s.o.Path)
		} else {
			err = os.Rename(s.temp, s.o.Path)
		}
	}
	if err != nil {
		s.fail(err)
		return
	}
	s.over = true
	s.o.Done(s.c, s.size, nil)
}

// A checkError is what SaveOptions.Check had against a file.
type checkError struct{ err error }

func (e *checkError) Error() string { return e.err.Error() }
func (e *checkError) Unwrap() error { return e.err }

// fail ends an upload that went wrong here, and answers where Done does not.
func (s *saver) fail(err error) {
	s.drop(fmt.Errorf("http: save body: %w", err))
	if _, none := waiting(s.c); none != nil {
		return
	}
	var check *checkError
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		Error(s.c, 507)
	case errors.As(err, &check):
		Error(s.c, 422)
	default:
		Error(s.c, 500)
	}
}

// drop removes what has been written and tells why.
func (s *saver) drop(err error) {
	if s.over {
		return
	}
	s.over = true
	if s.f != nil {
		s.f.Close()
		if gone := s.remove(); gone != nil {
			err = errors.Join(err, fmt.Errorf("http: save body: %w", gone))
		}
	}
	s.o.Done(s.c, s.size, err)
}

func (s *saver) remove() error {
	switch {
	case s.temp == "":
		return os.Remove(s.f.Name())
	case s.o.Root != nil:
		return s.o.Root.Remove(s.temp)
	}
	return os.Remove(s.temp)
}
