package http

import (
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"strconv"
	"time"

	"github.com/seed4930a636/mangusta/conn"
)

// fileStep is how many bytes of a file are read at a time. A file that is no larger goes out
// together with its head.
const fileStep = 64 << 10

// send replies with the regular file f, or as the conditions of the request say. f is closed in any
// case.
func (s *fileReply) send(name string, f fs.File, info fs.FileInfo, coding string) error {
	x, size := s.x, info.Size()
	t := transfer{f: f, left: size}
	t.os, _ = f.(*os.File)
	t.at, _ = f.(io.ReaderAt)
	var v Validators
	var made []byte // the fields of v
	kept, _ := f.(*cachedFile)
	if kept != nil {
		v, made = kept.validators(x.srv, name, coding)
	} else {
		v = x.srv.validators(f, info, coding)
	}
	status, ctype := 200, s.contentType(name, kept)
	var room [4]Range
	ranges := room[:0]
	verdict, checks := Proceed, s.m.mayCheck()
	if checks {
		v.Now = time.Now()
		verdict = v.Check(&s.m.Request)
	}
	switch verdict {
	case NotModified, PreconditionFailed:
		f.Close()
		return s.conditional(&v, verdict.Status())
	case Proceed:
		var err error
		if t.at == nil || !checks {
			break // it can only be read from the beginning, or no part is asked for
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
		if kept != nil {
			small = kept.body[t.off : t.off+length]
		} else if small, err = t.readAll(x.srv.fileBuffer()[:length]); err != nil {
			f.Close()
			return s.failFor(name, 500, err)
		}
	}
	s.addFields(&v, made, coding, t.at != nil)
	if len(ranges) == 1 {
		x.extra = append(removeField(x.extra, "Content-Range"), "Content-Range: "...)
		x.extra = append(ranges[0].AppendContentRange(x.extra, size), "\r\n"...)
	}
	return s.start(&t, x.appendHead(s.c, s.c.AvailableBuffer(), status, ctype, length), small)
}

// start sends head, and either small, if that is all of the file to be sent, or t, as the client
// takes it.
func (s *fileReply) start(t *transfer, head, small []byte) error {
	x := s.x
	if _, err := s.c.Write(head); err != nil {
		t.f.Close()
		return err
	}
	if small != nil || x.is(isHead) {
		t.f.Close()
		if _, err := s.c.Write(small); err != nil {
			s.c.Layer().Fail(conn.SendLimit, err) // half a reply cannot be made good
			return err
		}
		x.out.on(replies)
	} else {
		t.throttle(s.opts.BytesPerSecond, s.c.Layer().Shared().Now)
		whole := *t // t itself stays off the heap
		x.src = &whole
		x.out.on(pumps)
		x.pump(s.c)
	}
	x.goOn(s.c)
	return nil
}

// conditional replies with 304 or 412.
func (s *fileReply) conditional(v *Validators, status int) error {
	if status == 304 && v.ETag != "" {
		// RFC 9110 15.4.5: only the metadata that caches need; with a tag they need no time.
		v = &Validators{ETag: v.ETag}
	}
	s.addFields(v, nil, "", false)
	if status == 304 {
		return s.x.replyAsIs(s.c, 304)
	}
	return Error(s.c, status)
}

// addFields adds the fields that 200, 206 and 304 have in common, and Accept-Ranges if ranges is
// set. made are the fields of v and Accept-Ranges, if they are made already.
func (s *fileReply) addFields(v *Validators, made []byte, coding string, ranges bool) {
	x := s.x
	if made != nil && x.usual() {
		x.extra = append(x.extra, made...)
		x.flags |= fileFields
	} else {
		x.extra = v.append(x.extra)
		if ranges {
			x.extra = appendField(removeField(x.extra, "Accept-Ranges"), "Accept-Ranges", "bytes")
		}
	}
	if coding != "" {
		x.extra = appendField(removeField(x.extra, "Content-Encoding"), "Content-Encoding", coding)
	}
	if cc := s.opts.CacheControl; cc != "" && !hasField(x.extra, "Cache-Control") {
		x.extra = appendField(x.extra, "Cache-Control", cc)
	}
}

// multipart makes t send several ranges, each after a head of its own (RFC 9110 14.6). It returns
// the content type and the length of the whole body.
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

// readAll reads all of the file that is to be sent.
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
