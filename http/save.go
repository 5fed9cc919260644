package http

import (
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
	"os"
	"strconv"
	"syscall"

	"github.com/seed4930a636/mangusta/conn"
)

// SaveOptions say where SaveBody puts a body, and which functions it calls. Path or File is needed,
// and Done; all else may be left out.
type SaveOptions struct {
	// Path names the file. The body goes to a temporary one beside it, ".upload-….part", which gets
	// the name when it is complete; a file of that name is replaced. CleanUploads removes temporary
	// files that a power cut has left.
	Path string
	// Root, if any, is the directory that Path is relative to and does not lead out of, whatever is
	// in it.
	Root *os.Root
	// Mode is the mode of the file, less the umask; default 0o644.
	Mode os.FileMode
	// File, if not nil, is written to instead, from its offset on. It must be a regular file. It is
	// closed before Done, and removed by its name on failure, unless Resume is set.
	File *os.File

	// Resume lets a client send the file in several requests, and go on after a break: see
	// SaveBody.
	Resume bool

	MaxSize int64     // bytes of the file, else 413; default Options.MaxBody, negative is no limit
	Hash    hash.Hash // gets all bytes that are written; not with Resume, where a request may bring only the end
	// Progress is called when size bytes of the file have been written; total is -1 if the client
	// has not told it. Progress may reply to the request, which gives the upload up.
	Progress func(c *conn.Conn, size, total int64)
	// Check is called after all is written, before the file gets its name. An error from it makes
	// the upload fail.
	Check func(size int64) error
	// Done is called once, at the end. Without an error the file is complete, and Done replies.
	// With an error the file is gone, or kept to be resumed, and Done may reply. If it does not and
	// the client still waits, the client gets 204 for ErrIncomplete, 507 if the disk is full, 422
	// for an error of Check, 400 for a body that is not as long as its head says, else 500. If the
	// client caused the error, it has its reply already (413, 400, 408, 409), or its connection is
	// cut.
	//
	// Done may leave the reply for later, for example if another goroutine is to check the file
	// first: use the handle that Head.Later has returned.
	Done func(c *conn.Conn, size int64, err error)
}

// ErrIncomplete is the error of Done if a body is stored and the client has said that more of the
// file follows in another request.
var ErrIncomplete = errors.New("http: save body: stored, and more is to come")

// SaveBody, called in the handler of Head, has the body written to a file as it comes, instead of
// Chunk or Message events. After each read the loop makes one write, of 64 KiB at most if nothing
// was buffered, and does not wait for the disk beyond that: nothing is synced. SaveBody returns
// ErrNoRequest if no Head that waits for a reply is being handled, an error that wraps ErrBadPath,
// and the error of opening the file. After an error nothing has begun, and a File is still the
// caller's.
//
// A request whose Content-Range or Upload-Offset says that its body is not the whole file gets 400
// (RFC 9110 14.5), unless Resume is set. With Resume:
//
//   - A body that breaks off is kept, and so is one that the client calls a part: by a
//     Content-Range that ends before the whole does, or by "Upload-Complete: ?0". Done then gets
//     ErrIncomplete.
//   - HEAD gets the size of what is stored: Content-Length and Upload-Offset, and "Upload-Complete:
//     ?0" unless it is the whole file; 404 if nothing is stored. Done is not called.
//   - PUT, POST or PATCH with "Content-Range: bytes FIRST-LAST/TOTAL", or with Upload-Offset, goes
//     on at that offset, which must be the size of what is stored: else 409, with that size in
//     Upload-Offset. While another request is writing to the file, the reply is 409 too. At offset
//     0 the upload begins again.
//
// A File that is resumed is written at the offset, up to its size, and is kept whatever happens.
//
// Since nothing is synced, a power cut may leave zeros in the file. If that matters, compare a
// digest of the whole file before it is used.
func SaveBody(c *conn.Conn, o SaveOptions) error {
	x, err := waiting(c)
	if err != nil || x.in != inHead || x.sink != nil {
		return ErrNoRequest
	}
	switch {
	case (o.Path == "") == (o.File == nil):
		return errNoFile
	case o.Done == nil:
		return errNoDone
	case o.Resume && o.Hash != nil:
		return errHashPart
	}
	s := &bodySink{c: c, o: o, partFile: partFile{root: o.Root, path: o.Path, f: o.File}, limit: o.MaxSize}
	if s.limit == 0 {
		s.limit = x.srv.opts.MaxBody
	}
	if s.limit < 0 {
		s.limit = math.MaxInt64
	}
	if o.Resume && x.is(isHead) {
		if err = s.tell(); err != nil {
			err = fmt.Errorf("http: save body: %w", err)
		}
		return err
	}
	refusal, err := s.start(x)
	switch {
	case errors.Is(err, ErrBadPath):
		return err
	case err != nil:
		return fmt.Errorf("http: save body: %w", err)
	}
	x.flags |= asStream
	x.maxBody = max(s.limit-s.place.offset, 0)
	if x.f.Chunked && s.place.length >= 0 {
		x.maxBody = min(x.maxBody, s.place.length)
	}
	x.sink = s
	if refusal != 0 {
		Error(c, refusal) // and the sink is dropped when the handler returns
	}
	return nil
}

var (
	errNoFile     = errors.New("http: save body: neither Path nor File, or both")
	errNoDone     = errors.New("http: save body: no Done")
	errHashPart   = errors.New("http: save body: Hash together with Resume")
	errNotRegular = errors.New("not a regular file")
	errPart       = pieceError("the body is a part of a file, and this one cannot be resumed")
	errSaveMethod = pieceError("the method is none that a file is sent with")
	errOffset     = pieceError("the body does not begin where the file ends")
	errAnotherOne = pieceError("another request is writing to the file")
	errBodyLength = pieceError("the body is not as long as its head says")
	errTooLong    = errors.New("http: save body: body too long")
)

// A bodySink takes the body for SaveBody.
type bodySink struct {
	partFile // without a path it is the caller's file

	c     *conn.Conn
	o     SaveOptions
	limit int64 // bytes of the file
	place piece // of the body in the file
	size  int64 // of the file, so far
	cause error // why the request was refused in its head
	over  bool
	whole bool // the file is complete and wrong, so it is not worth keeping
}

// start looks at the head, and opens the file. If it returns a status, the request is refused with
// it, because of s.cause.
func (s *bodySink) start(x *exchange) (refusal int, err error) {
	r, o := &x.head.Request, &s.o
	length := int64(-1)
	if !x.f.Chunked {
		length = x.f.Length
	}
	s.place = piece{length: length, total: length, last: true}
	if o.Resume || r.placed() {
		s.place, s.cause = parsePiece(r, length)
	}
	switch {
	case s.cause != nil:
		return 400, nil
	case !o.Resume && !s.place.isWhole():
		s.cause = errPart
		return 400, nil
	case o.Resume && r.Method != "PUT" && r.Method != "POST" && r.Method != "PATCH":
		s.cause = errSaveMethod
		SetHeader(s.c, "Allow", "HEAD, PATCH, POST, PUT")
		return 405, nil
	case s.place.offset > s.limit:
		s.cause = errTooLong
		return 413, nil
	case length > s.limit-s.place.offset:
		return 0, nil // readHead refuses it, without a file
	case s.place.total > s.limit:
		s.cause = errTooLong
		return 413, nil
	}
	switch s.size = s.place.offset; {
	case o.File != nil:
		return s.startFile()
	case !o.Resume:
		if err = checkPath(o.Root, o.Path); err == nil {
			err = s.create(o.mode())
		}
		return 0, err
	}
	if err = checkPath(o.Root, o.Path); err != nil {
		return 0, err
	}
	there, err := s.resume(o.mode())
	switch {
	case err == errBusy:
		s.f, s.cause = nil, errAnotherOne
		return 409, nil
	case err != nil:
		return 0, err
	case s.size != 0 && s.size != there:
		s.size, s.cause = there, errOffset
		SetHeader(s.c, "Upload-Offset", strconv.FormatInt(there, 10))
		return 409, nil
	case s.size != there:
		err = s.f.Truncate(0)
	}
	if err == nil {
		_, err = s.f.Seek(s.size, io.SeekStart)
	}
	if err != nil {
		s.f.Close()
	}
	return 0, err
}

// startFile prepares the caller's file.
func (s *bodySink) startFile() (refusal int, err error) {
	info, err := s.f.Stat()
	switch {
	case err != nil:
		return 0, err
	case !info.Mode().IsRegular():
		return 0, errNotRegular
	case s.size == 0:
		return 0, nil
	}
	begin, err := s.f.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0, err
	}
	if there := max(info.Size()-begin, 0); s.size > there {
		s.cause = errOffset
		SetHeader(s.c, "Upload-Offset", strconv.FormatInt(there, 10))
		return 409, nil
	}
	_, err = s.f.Seek(s.size, io.SeekCurrent)
	return 0, err
}

func (o *SaveOptions) mode() os.FileMode {
	if o.Mode == 0 {
		return 0o644
	}
	return o.Mode
}

// tell replies to HEAD with the size of what is stored.
func (s *bodySink) tell() error {
	var size int64
	complete := false
	var err error
	if s.f != nil {
		var info os.FileInfo
		var begin int64
		if info, err = s.f.Stat(); err == nil {
			begin, err = s.f.Seek(0, io.SeekCurrent)
		}
		if err == nil {
			size = max(info.Size()-begin, 0)
			s.f.Close()
		}
	} else if err = checkPath(s.root, s.path); err == nil {
		if size, err = s.resumed(); errors.Is(err, os.ErrNotExist) {
			var info os.FileInfo
			if info, err = s.lstat(s.path); err == nil {
				size, complete = info.Size(), true
			}
		}
	}
	switch {
	case errors.Is(err, os.ErrNotExist):
		return Error(s.c, 404)
	case err != nil:
		return err
	}
	s.tellOffset(size, complete)
	SetHeader(s.c, "Cache-Control", "no-store")
	if err := BeginLength(s.c, 200, "", size); err != nil {
		return err
	}
	return End(s.c)
}

// tellOffset adds the size of what is stored to the reply.
func (s *bodySink) tellOffset(size int64, complete bool) {
	SetHeader(s.c, "Upload-Offset", strconv.FormatInt(size, 10))
	if complete {
		SetHeader(s.c, "Upload-Complete", "?1")
	} else {
		SetHeader(s.c, "Upload-Complete", "?0")
	}
}

func (s *bodySink) write(c *conn.Conn, data []byte, last bool) {
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
			s.o.Progress(c, s.size, s.place.total)
		}
	}
	if last {
		s.finish()
	}
}

// finish gives the file its name, if it is complete.
func (s *bodySink) finish() {
	if _, err := waiting(s.c); err != nil || s.c.IsClosed() {
		s.drop(errReplied) // by Progress
		return
	}
	p := &s.place
	switch {
	case p.length >= 0 && s.size != p.offset+p.length, p.last && p.total >= 0 && s.size != p.total:
		s.fail(errBodyLength)
		return
	case !p.last && s.size != p.total:
		s.pause()
		return
	}
	var err error
	if s.o.Check != nil {
		if err = s.o.Check(s.size); err != nil {
			err = &checkError{err}
			s.whole = true
		}
	}
	if err == nil {
		var release func()
		release, err = s.close()
		if err == nil && s.temp != "" {
			err = s.commit()
		}
		release()
	}
	if err != nil {
		s.fail(err)
		return
	}
	s.over = true
	s.o.Done(s.c, s.size, nil)
}

// pause keeps what is stored for a request that goes on.
func (s *bodySink) pause() {
	s.drop(ErrIncomplete)
	if _, err := waiting(s.c); err == nil {
		s.tellOffset(s.size, false)
		ReplyBytes(s.c, 204, "", nil)
	}
}

// A checkError is an error of a Check.
type checkError struct{ err error }

func (e *checkError) Error() string { return e.err.Error() }
func (e *checkError) Unwrap() error { return e.err }

// fail ends an upload that went wrong on this side, and replies unless Done does.
func (s *bodySink) fail(err error) {
	if _, ours := err.(pieceError); !ours {
		err = fmt.Errorf("http: save body: %w", err)
	}
	s.drop(err)
	replySaveError(s.c, err)
}

// replySaveError replies to an upload that failed because of err, if the client still waits.
func replySaveError(c *conn.Conn, err error) {
	if _, none := waiting(c); none != nil {
		return
	}
	_, check := errors.AsType[*checkError](err)
	_, place := errors.AsType[pieceError](err)
	_, path := errors.AsType[*pathError](err)
	form, ofForm := errors.AsType[*FormError](err)
	status := 500
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		status = 507
	case check:
		status = 422
	case ofForm:
		status = form.Status
	case place, path, errors.Is(err, ErrBadPath):
		status = 400
	}
	Error(c, status)
}

// drop ends an upload that is not complete, and gives Done the reason.
func (s *bodySink) drop(err error) {
	if s.over {
		return
	}
	s.over = true
	if s.cause != nil {
		err = s.cause
	}
	if gone := s.discard(); gone != nil {
		err = errors.Join(err, fmt.Errorf("http: save body: %w", gone))
	}
	s.o.Done(s.c, s.size, err)
}

// discard closes the file, and removes it unless it may be resumed.
func (s *bodySink) discard() error {
	switch {
	case s.f == nil:
		return nil
	case s.o.Resume && s.temp == "", s.o.Resume && s.size > 0 && !s.whole:
		s.f.Close()
		return nil
	case s.temp == "":
		s.f.Close()
		return os.Remove(s.f.Name())
	}
	err := s.remove() // before the lock is given up
	s.f.Close()
	return err
}
