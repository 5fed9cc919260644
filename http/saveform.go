package http

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"github.com/seed4930a636/mangusta/conn"
)

// FormOptions say where SaveForm puts the parts of a form, and which functions it calls. Path and
// Done are needed; all else may be left out.
type FormOptions struct {
	// Path is called when the header of a part is there, and returns the file that the part goes
	// to; "" means that the part is a value, which is kept in memory. p.IsFile tells which parts
	// the client sent as files; p.Filename, if not empty, is safe as the last element of a path. An
	// error refuses the form, with 400 unless Done replies. The Part is valid until Path returns.
	Path func(p *Part) (string, error)
	// Root, if any, is the directory that paths are relative to and do not lead out of, whatever is
	// in it.
	Root *os.Root
	// Mode is the mode of the files, less the umask; default 0o644.
	Mode os.FileMode

	Limits    MultipartLimits // of parts, else 413
	MaxValues int             // bytes of all values and names together, else 413; default 64 KiB
	MaxSize   int64           // bytes of the body, else 413; default Options.MaxBody, negative is no limit
	// Check is called after all is written, before the files get their names. An error from it
	// makes the form fail.
	Check func(f *SavedForm) error
	// Done is called once, at the end. Without an error all files have their names, and Done
	// replies. With an error no file is left, unless a rename failed; Done may reply. If it does
	// not and the client still waits, the client gets 507 if the disk is full, 422 for an error of
	// Check, 400 for an error of Path, the Status of a FormError, else 500. f has what was read,
	// and the program may keep it. A reply that comes later needs the handle of Head.Later.
	Done func(c *conn.Conn, f *SavedForm, err error)
}

// A SavedForm has the parts that SaveForm has read, in the order in which they were sent.
type SavedForm struct {
	Values []SavedValue
	Files  []SavedFile
}

// A SavedValue is a part that was kept in memory.
type SavedValue struct{ Name, Value string }

// A SavedFile is a part that went to a file.
type SavedFile struct {
	Name        string // of the form's field
	Filename    string // see Part
	ContentType string // as sent; empty without one
	Path        string // as FormOptions.Path has returned it
	Size        int64  // bytes
}

// Value returns the first value of that name.
func (f *SavedForm) Value(name string) (value string, ok bool) {
	for _, v := range f.Values {
		if v.Name == name {
			return v.Value, true
		}
	}
	return "", false
}

// SaveForm, called in the handler of Head, has the parts of a multipart/form-data body written to
// files as they come, and collects the others as values; there are no Chunk or Message events. Of a
// file only the bytes of one read are in memory. The files get their names together, after the form
// is complete and Check has passed. Until then they are called ".upload-….part", and CleanUploads
// removes those that a power cut has left. The loop writes as with SaveBody.
//
// A body that is malformed or over a limit gets 400 or 413, and Done a *FormError. SaveForm returns
// ErrNoRequest if no Head that waits for a reply is being handled, and a *FormError for a body that
// is no multipart/form-data: the caller replies with its Status. After an error nothing has begun.
func SaveForm(c *conn.Conn, h *Head, o FormOptions) error {
	x, err := waiting(c)
	if err != nil || x.in != inHead || x.sink != nil {
		return ErrNoRequest
	}
	if o.Path == nil || o.Done == nil {
		return errNoPath
	}
	r, err := h.MultipartReader(o.Limits)
	if err != nil {
		return err
	}
	def(&o.MaxValues, 64<<10)
	if o.Mode == 0 {
		o.Mode = 0o644
	}
	x.flags |= asStream
	switch {
	case o.MaxSize == 0:
		x.maxBody = x.srv.opts.MaxBody
	case o.MaxSize < 0:
		x.maxBody = math.MaxInt64
	default:
		x.maxBody = o.MaxSize
	}
	x.sink = &formSink{c: c, o: o, r: r}
	return nil
}

var errNoPath = errors.New("http: save form: no Path, or no Done")

// A formSink takes the body for SaveForm.
type formSink struct {
	c      *conn.Conn
	o      FormOptions
	r      *MultipartReader
	form   SavedForm
	files  []partFile // of form.Files; only the last one may be open
	value  []byte     // of the part that is being read, if it is a value
	inFile bool
	memory int // bytes of all values and names
	over   bool
}

func (s *formSink) write(c *conn.Conn, data []byte, last bool) {
	for !s.over {
		ev, n, err := s.r.Next(data)
		data = data[n:]
		if err == nil && ev.Kind == PartNone {
			break
		}
		if err == nil {
			err = s.handle(ev)
		}
		if err != nil {
			s.fail(err)
		}
	}
	if last && !s.over {
		if err := s.r.End(); err != nil {
			s.fail(err)
			return
		}
		s.finish()
	}
}

// handle handles one event of the reader.
func (s *formSink) handle(ev PartEvent) error {
	switch ev.Kind {
	case PartBegin:
		return s.startPart(ev.Part)
	case PartData:
		if s.inFile {
			_, err := s.files[len(s.files)-1].f.Write(ev.Data)
			s.form.Files[len(s.files)-1].Size += int64(len(ev.Data))
			return err
		}
		if err := s.remember(len(ev.Data)); err != nil {
			return err
		}
		s.value = append(s.value, ev.Data...)
	case PartEnd:
		if s.inFile {
			s.inFile = false
			return s.files[len(s.files)-1].f.Close()
		}
		s.form.Values = append(s.form.Values, SavedValue{ev.Part.Name, string(s.value)})
	}
	return nil
}

// startPart asks where a part goes.
func (s *formSink) startPart(p *Part) error {
	if err := s.remember(len(p.Name)); err != nil {
		return err
	}
	path, err := s.o.Path(p)
	if err != nil {
		return &pathError{err}
	}
	if path == "" {
		s.value = s.value[:0]
		return nil
	}
	for _, f := range s.files {
		if filepath.Clean(f.path) == filepath.Clean(path) {
			return fmt.Errorf("%w: %.300q: two parts of the form", ErrBadPath, path)
		}
	}
	if err := checkPath(s.o.Root, path); err != nil {
		return err
	}
	f := partFile{root: s.o.Root, path: path}
	if err := f.create(s.o.Mode); err != nil {
		return err
	}
	s.files = append(s.files, f)
	s.form.Files = append(s.form.Files, SavedFile{Name: p.Name, Filename: p.Filename, ContentType: string(p.ContentType), Path: path})
	s.inFile = true
	return nil
}

// remember counts n bytes that are kept in memory.
func (s *formSink) remember(n int) error {
	if s.memory += n; s.memory > s.o.MaxValues {
		return s.r.fail(413, "the values are too long")
	}
	return nil
}

// A pathError is an error of FormOptions.Path.
type pathError struct{ err error }

func (e *pathError) Error() string { return e.err.Error() }
func (e *pathError) Unwrap() error { return e.err }

// finish gives the files their names.
func (s *formSink) finish() {
	if _, err := waiting(s.c); err != nil || s.c.IsClosed() {
		s.drop(errReplied) // by Path
		return
	}
	if s.o.Check != nil {
		if err := s.o.Check(&s.form); err != nil {
			s.fail(&checkError{err})
			return
		}
	}
	for len(s.files) > 0 {
		if err := s.files[0].commit(); err != nil {
			s.fail(err)
			return
		}
		s.files = s.files[1:]
	}
	s.over = true
	s.o.Done(s.c, &s.form, nil)
}

// fail ends a form that went wrong on this side, and replies unless Done does.
func (s *formSink) fail(err error) {
	err = fmt.Errorf("http: save form: %w", err)
	s.drop(err)
	replySaveError(s.c, err)
}

// drop removes the files that were written, and gives Done the reason.
func (s *formSink) drop(err error) {
	if s.over {
		return
	}
	s.over = true
	for i := range s.files {
		f := &s.files[i]
		gone := f.remove() // before the lock is given up
		f.f.Close()        // the last one may be open
		if gone != nil {
			err = errors.Join(err, fmt.Errorf("http: save form: %w", gone))
		}
	}
	s.files = nil
	s.o.Done(s.c, &s.form, err)
}
