package http

import (
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"strconv"

	"github.com/seed4930a636/mangusta/conn"
)

// fileStep is how much of a file is read at a time, and up to how much it goes out together with its head.
const fileStep = 64 << 10

// send answers with the regular file f, or with what the conditions of the request say. f is closed in any case.
func (s *fileReply) send(name string, f fs.File, info fs.FileInfo, coding string) error {
	x, size := s.x, info.Size()
	t := transfer{f: f, left: size}
	t.os, _ = f.(*os.File)
	t.at, _ = f.(io.ReaderAt)
	v := x.srv.validators(f, info, coding)
	status, ctype := 200, s.contentType(name)
	var room [4]Range
	ranges := room[:0]
	switch verdict := v.Check(&s.m.Request); verdict {
	case NotModified, PreconditionFailed:
		f.Close()
		return s.conditional(&v, verdict.Status())
	case Proceed:
		var err error
		if t.at == nil {
			break // it can only be read from the beginning
		}
		if ranges, err = s.m.Ranges(ranges, size); err != nil {
			f.Close()
			x.extra = append(removeField(x.extra, "Content-Range"), "Content-Range: "...)
			x.extra = append(AppendUnsatisfied(x.extra, size), "\r\n"...)
			return Error(s.c, 416)
		}
	}
	length := size
	if len(ranges) > 0 {
		status = 206
		t.off, t.left = ranges[0].Start, ranges[0].Length
		length = t.left
	}
	if len(ranges) > 1 {
		ctype, length = t.multipart(ranges, ctype, size)
	}
	var small []byte
	if len(ranges) < 2 && length <= fileStep && !x.is(isHead) {
		var err error
		if small, err = t.readAll(x.srv.fileBuffer()[:length]); err != nil {
			f.Close()
			return s.failFor(name, 500, err)
		}
	}
	s.addFields(&v, coding)
	if t.at != nil {
		x.extra = appendField(removeField(x.extra, "Accept-Ranges"), "Accept-Ranges", "bytes")
	}
	if len(ranges) == 1 {
		x.extra = append(removeField(x.extra, "Content-Range"), "Content-Range: "...)
		x.extra = append(ranges[0].AppendContentRange(x.extra, size), "\r\n"...)
	}
	return s.begin(&t, x.appendHead(s.c, s.c.AvailableBuffer(), status, ctype, length), small)
}

// begin sends head and either small, which is all that is to be sent of the file, or t, as the client takes it.
func (s *fileReply) begin(t *transfer, head, small []byte) error {
	x := s.x
	if _, err := s.c.Write(head); err != nil {
		t.f.Close()
		return err
	}
	if small != nil || x.is(isHead) {
		t.f.Close()
		if _, err := s.c.Write(small); err != nil {
			s.c.Fail(conn.SendLimit, err) // half an answer cannot be made good
			return err
		}
	} else {
		t.throttle(s.opts.BytesPerSecond, s.c.Shared().Now)
		x.file = *t
		x.pump(s.c)
	}
	x.answered(s.c)
	return nil
}

// conditional answers with 304 or 412.
func (s *fileReply) conditional(v *Validators, status int) error {
	if status == 304 && v.ETag != "" {
		// RFC 9110 15.4.5: no metadata but what the 200 has for caches; the tag says all that the time would.
		v = &Validators{ETag: v.ETag}
	}
	s.addFields(v, "")
	if status == 304 {
		return ReplyBytes(s.c, 304, "", nil)
	}
	return Error(s.c, status)
}

// addFields adds what 200, 206 and 304 have in common.
func (s *fileReply) addFields(v *Validators, coding string) {
	x := s.x
	x.extra = v.append(x.extra)
	if coding != "" {
		x.extra = appendField(removeField(x.extra, "Content-Encoding"), "Content-Encoding", coding)
	}
	if cc := s.opts.CacheControl; cc != "" && !hasField(x.extra, "Cache-Control") {
		x.extra = appendField(x.extra, "Cache-Control", cc)
	}
}

// multipart makes t send several ranges, each behind a head of its own (RFC 9110 14.6). It returns the type and the
// length of it all.
func (t *transfer) multipart(ranges []Range, ctype string, size int64) (string, int64) {
	boundary := strconv.FormatUint(rand.Uint64(), 36) + strconv.FormatUint(rand.Uint64(), 36)
	length := int64(0)
	t.parts = make([]filePiece, len(ranges))
	for i, g := range ranges {
		var b []byte
		if i > 0 {
			b = append(b, "\r\n"...)
		}
		b = append(append(append(b, "--"...), boundary...), "\r\nContent-Type: "...)
		b = append(append(b, ctype...), "\r\nContent-Range: "...)
		b = append(g.AppendContentRange(b, size), "\r\n\r\n"...)
		t.parts[i] = filePiece{head: b, Range: g}
		length += int64(len(b)) + g.Length
	}
	t.left = 0 // the first part brings its own
	t.tail = "\r\n--" + boundary + "--\r\n"
	return "multipart/byteranges; boundary=" + boundary, length + int64(len(t.tail))
}

// readAll reads the whole of what is to be sent.
func (t *transfer) readAll(b []byte) ([]byte, error) {
	var n int
	var err error
	if t.at != nil {
		n, err = t.at.ReadAt(b, t.off)
	} else {
		n, err = io.ReadFull(t.f, b)
	}
	switch {
	case n == len(b):
		return b, nil
	case err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return nil, errShortFile
	}
	return nil, err
}
