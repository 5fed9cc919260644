package http

import "io/fs"

// codings are what a file may lie beside itself in, best first.
var codings = [...]struct{ name, suffix string }{{"br", ".br"}, {"gzip", ".gz"}}

// neighbour returns, instead of f, the file in the coding that the client prefers, where there is one. f may be nil,
// when there is no plain file. It closes what it does not return. A status that is not 0 is what to answer with.
func (s *fileReply) neighbour(name string, f fs.File, info fs.FileInfo) (fs.File, fs.FileInfo, string, int) {
	// RFC 9110 12.5.5: also where the plain file is sent, for a cache must not give it to everyone, or the other.
	if !listed(s.x.extra, "Vary", "Accept-Encoding") {
		s.x.extra = appendField(s.x.extra, "Vary", "Accept-Encoding")
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
		return nil, nil
	}
	if !info.Mode().IsRegular() {
		f.Close()
		return nil, nil
	}
	return f, info
}

// preferred returns the coding not yet tried that the client prefers, or -1 when it accepts none of them, or would
// rather have the plain file that there is.
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
			if x, v, more = cutComma(v); foldEqual(x, element) || string(x) == "*" {
				return true
			}
		}
		lines = lines[end:]
	}
}
