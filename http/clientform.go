package http

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
)

// A MultipartForm is a multipart/form-data body (RFC 7578) of a ClientRequest. Its parts are sent
// one after the other; files are read as the server takes them. The zero value is an empty form.
type MultipartForm struct {
	parts    []formPart
	boundary string
	length   int64
	err      error
}

// A formPart is a head and then data, from memory or from a file.
type formPart struct {
	text string
	file *os.File
	size int64
}

// AddValue adds a field.
func (f *MultipartForm) AddValue(name, value string) {
	f.add(name, "", "", int64(len(value)))
	f.text(value)
}

// AddBytes adds a file whose content is in memory, which must not change until the request has
// ended. contentType may be "".
func (f *MultipartForm) AddBytes(name, filename, contentType string, content []byte) {
	f.add(name, filename, contentType, int64(len(content)))
	f.text(string(content))
}

// AddFile adds a regular file, from its beginning. It stays the caller's, who may close it after the
// request has ended.
func (f *MultipartForm) AddFile(name, filename, contentType string, file *os.File) {
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errLength
	}
	if err != nil {
		f.err = fmt.Errorf("%w: %w", ErrBadRequest, err)
		return
	}
	f.add(name, filename, contentType, info.Size())
	f.parts = append(f.parts, formPart{file: file, size: info.Size()})
	f.length += info.Size()
}

// escapeName encodes what browsers encode in names (RFC 7578 4.2, WHATWG HTML 4.10.21.8).
var escapeName = strings.NewReplacer("\n", "%0A", "\r", "%0D", `"`, "%22")

// add begins a part.
func (f *MultipartForm) add(name, filename, contentType string, size int64) {
	if f.boundary == "" {
		f.boundary = "mangusta-" + strconv.FormatUint(rand.Uint64(), 36) + strconv.FormatUint(rand.Uint64(), 36)
	}
	if !validValue(contentType) || !validValue(escapeName.Replace(name)) || !validValue(escapeName.Replace(filename)) {
		f.err = fmt.Errorf("%w: a part of the form has a control character in its name or type", ErrBadRequest)
	}
	head := "--" + f.boundary + "\r\n"
	if len(f.parts) > 0 {
		head = "\r\n" + head
	}
	head += `Content-Disposition: form-data; name="` + escapeName.Replace(name) + `"`
	if filename != "" {
		head += `; filename="` + escapeName.Replace(filename) + `"`
	}
	head += "\r\n"
	if contentType != "" {
		head += "Content-Type: " + contentType + "\r\n"
	}
	f.text(head + "\r\n")
}

func (f *MultipartForm) text(s string) {
	f.parts = append(f.parts, formPart{text: s})
	f.length += int64(len(s))
}

// SetForm makes f the body of r. Like every Source, it is used up by one attempt to send it.
func (r *ClientRequest) SetForm(f *MultipartForm) error {
	if f.err != nil {
		return f.err
	}
	if f.boundary == "" {
		f.boundary = "mangusta-empty"
	}
	end := "--" + f.boundary + "--\r\n"
	if len(f.parts) > 0 {
		end = "\r\n" + end
	}
	src := &formSource{parts: append(f.parts[:len(f.parts):len(f.parts)], formPart{text: end})}
	r.Body, r.File, r.Source, r.Length = nil, nil, src, f.length+int64(len(end))
	r.ContentType = "multipart/form-data; boundary=" + f.boundary
	return nil
}

// A formSource gives the bytes of a form.
type formSource struct {
	parts []formPart
	off   int64
	room  []byte
}

// Next implements Source. The loop waits for the disk, for one piece.
func (s *formSource) Next(room int, _ func() error) ([]byte, error) {
	for len(s.parts) > 0 {
		p := &s.parts[0]
		if p.file == nil {
			if s.off == int64(len(p.text)) {
				s.parts, s.off = s.parts[1:], 0
				continue
			}
			n := min(int64(room), int64(len(p.text))-s.off)
			s.room = append(s.room[:0], p.text[s.off:s.off+n]...)
			s.off += n
			return s.room, nil
		}
		if s.off == p.size {
			s.parts, s.off = s.parts[1:], 0
			continue
		}
		if cap(s.room) < fileStep {
			s.room = make([]byte, fileStep)
		}
		b := s.room[:min(int64(room), fileStep, p.size-s.off)]
		n, err := p.file.ReadAt(b, s.off)
		if n == 0 {
			if err == nil || err == io.EOF {
				err = errShortFile
			}
			return nil, err
		}
		s.off += int64(n)
		return b[:n], nil
	}
	return nil, io.EOF
}

// Close implements Source.
func (s *formSource) Close() {}
