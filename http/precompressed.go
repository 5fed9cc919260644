package http

import (
	"errors"
	"io/fs"

	"github.com/seed4930a636/mangusta/internal/wire"
)

// codings are those of the precompressed neighbours of a file, best first.
var codings = [...]struct{ name, suffix string }{{"br", ".br"}, {"gzip", ".gz"}}

// neighbour returns, instead of f, the file in the coding that the client prefers, if there is one.
// f is nil if there is no plain file. It closes the files that it does not return. If the status is
// not 0, it is that of the reply.
func (s *fileReply) neighbour(name string, f fs.File, info fs.FileInfo) (fs.File, fs.FileInfo, string, int) {
	// RFC 9110 12.5.5: also if the plain file is sent, since a cache must give neither to all
	// clients.
	switch x := s.x; {
	case len(x.extra) == 0:
		x.extra = append(x.extra, "Vary: Accept-Encoding\r\n"...)
		x.flags |= fileFields
	case !listed(x.extra, "Vary", "Accept-Encoding"):
		x.extra = appendField(x.extra, "Vary", "Accept-Encoding")
	}
	if f != nil && !s.m.has("Accept-Encoding") {
		return f, info, "", 0
	}
	var tried [len(codings)]bool
	for range codings {
		best := s.preferred(&tried, f != nil)
		if best < 0 {
			break
		}
		tried[best] = true
		g, ginfo := s.openRegular(name + codings[best].suffix)
		if g == nil {
			continue
		}
		if f != nil {
			f.Close()
		}
		return g, ginfo, codings[best].name, 0
	}
	if f != nil {
		return f, info, "", 0
	}
	for i := range codings {
		if tried[i] {
			continue
		}
		if g, _ := s.openRegular(name + codings[i].suffix); g != nil {
			g.Close()
			return nil, nil, "", 406
		}
	}
	return nil, nil, "", 404
}

// openRegular opens a regular file, or returns nil.
func (s *fileReply) openRegular(name string) (fs.File, fs.FileInfo) {
	f, info, err := s.open(name)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			s.x.srv.files.keepMissing(s.place, name, s.now())
		}
		return nil, nil
	}
	if !info.Mode().IsRegular() {
		f.Close()
		return nil, nil
	}
	return f, info
}

// preferred returns the coding that the client prefers, of those not yet tried. It is -1 if the
// client accepts none of them, or prefers the plain file and there is one.
func (s *fileReply) preferred(tried *[len(codings)]bool, plain bool) int {
	best, bestQ := -1, 0
	if plain {
		bestQ = s.m.codingQuality("identity") - 1
	}
	for i := range codings {
		if q := s.m.codingQuality(codings[i].name); !tried[i] && q > max(bestQ, 0) {
			best, bestQ = i, q
		}
	}
	return best
}

// listed reports whether the comma-separated lists in the lines of that name have the element.
func listed(lines []byte, name, element string) bool {
	for {
		start, end, found := findField(lines, name)
		if !found {
			return false
		}
		v, more := lines[start+len(name)+1:end-2], true
		for more {
			var x []byte
			if x, v, more = wire.CutComma(v); wire.FoldEqual(x, element) || string(x) == "*" {
				return true
			}
		}
		lines = lines[end:]
	}
}
