package http

import (
	"hash/fnv"
	"io"
	"io/fs"
	"reflect"
	"strconv"
	"time"

	"github.com/seed4930a636/mangusta/internal/wire"
)

// clockless is a time before which no clock has set the time of a file. Builds give all their files
// a fixed time, such as 0 or 1 s, or the first day of a zip archive, so that two versions of a file
// have the same.
var clockless = time.Date(1981, 1, 1, 0, 0, 0, 0, time.UTC)

// validators returns the validators of a file, as far as they are certain.
func (s *Server) validators(f fs.File, info fs.FileInfo, coding string) Validators {
	v := Validators{Now: time.Now()}
	tag := ""
	if mod := info.ModTime(); mod.After(clockless) {
		v.Modified = mod
		if mod.After(v.Now) {
			v.Modified = v.Now // RFC 9110 8.8.2.1: never later than the reply
		}
		tag = strconv.FormatInt(mod.UnixNano(), 36)
	} else if isEmbedded(info) {
		tag = s.contentTag(f, info)
	}
	if tag == "" {
		return v
	}
	if coding != "" {
		coding = "-" + coding // RFC 9110 8.8.3.3: each coding of a file is a representation of its own
	}
	v.ETag = `"` + tag + "-" + strconv.FormatInt(info.Size(), 36) + coding + `"`
	return v
}

// isEmbedded reports whether info is of a file of an embed.FS, whatever wrappers the FS has. Such
// files are constant, and so is their FileInfo, a pointer.
func isEmbedded(info fs.FileInfo) bool {
	t := reflect.TypeOf(info)
	return t.Kind() == reflect.Pointer && t.Elem().PkgPath() == "embed"
}

// An etagKey is the FileInfo of an embedded file.
type etagKey = fs.FileInfo

// contentTag returns a hash of an embedded file, made once; "" if the file cannot be read.
func (s *Server) contentTag(f fs.File, info fs.FileInfo) string {
	if tag, ok := s.etags[info]; ok {
		return tag
	}
	at, ok := f.(io.ReaderAt)
	if !ok {
		return ""
	}
	h := fnv.New64a()
	if n, err := io.CopyBuffer(h, io.NewSectionReader(at, 0, info.Size()), s.fileBuffer()); err != nil || n != info.Size() {
		return ""
	}
	tag := strconv.FormatUint(h.Sum64(), 36)
	if s.etags == nil {
		s.etags = make(map[etagKey]string)
	}
	s.etags[info] = tag
	return tag
}

// fileBuffer returns the room for one step of a file.
func (s *Server) fileBuffer() []byte {
	if s.file == nil {
		s.file = make([]byte, fileStep)
	}
	return s.file
}

// append appends the fields for v.
func (v *Validators) append(b []byte) []byte {
	if v.ETag != "" {
		b = appendField(removeField(b, "ETag"), "ETag", v.ETag)
	}
	if !v.Modified.IsZero() {
		b = append(removeField(b, "Last-Modified"), "Last-Modified: "...)
		b = append(v.Modified.UTC().AppendFormat(b, wire.TimeFormat), "\r\n"...)
	}
	return b
}
