package http

import "github.com/seed4930a636/mangusta/internal/wire"

// A Compressor makes replies smaller; package http/gzip has one. It is safe for concurrent use.
type Compressor interface {
	// Coding is the name of the content coding, such as "gzip".
	Coding() string
	// Wants reports whether bodies of that type and size, in bytes, are worth compressing. The size
	// is -1 when it is not known yet.
	Wants(contentType string, size int) bool
	// Begin begins a body. It returns nil if too many are under way; the reply is then sent
	// uncompressed.
	Begin() Encoder
}

// An Encoder codes one body.
type Encoder interface {
	// Append appends to dst all that the client needs to decode p, and with the last piece the end
	// of the coding. After the last piece the Encoder must not be used any more.
	Append(dst, p []byte, last bool) []byte
	// Most returns how many bytes Append may append for a piece of n bytes, the end included.
	Most(n int) int
	// Drop is called instead of the last Append if a body breaks off.
	Drop()
}

// negotiate decides about the coding of a reply and sets the flags encoded and varies.
func (x *exchange) negotiate(status int, contentType string, size int) {
	switch status {
	case 204, 205, 206, 416:
		return // no body, or part of one that has been coded already or not
	}
	if contentType == "" {
		contentType = fieldValue(x.extra, "Content-Type")
	}
	if status == 304 {
		x.negotiateUnmodified(contentType)
		return
	}
	if !x.srv.opts.Compress.Wants(contentType, size) || hasField(x.extra, "Content-Encoding") ||
		// RFC 9111 5.2.2.6
		listed(x.extra, "Cache-Control", "no-transform") {
		return
	}
	x.flags |= varies
	if x.is(accepts) {
		x.flags |= encoded
	}
}

// negotiateUnmodified gives a 304 the Vary and, together with appendRare, the ETag of the 200 that
// the client has (RFC 9110 15.4.5). The handler need not give the content type of that 200. The
// client's If-None-Match shows its coding: only a coded reply has a weak tag where the handler gave
// a strong one.
func (x *exchange) negotiateUnmodified(contentType string) {
	if contentType != "" && !x.srv.opts.Compress.Wants(contentType, untold) || hasField(x.extra, "Content-Encoding") ||
		listed(x.extra, "Cache-Control", "no-transform") || listed(x.extra, "Vary", "Accept-Encoding") {
		return
	}
	x.flags |= varies
}

// compress returns the body as it is to be sent, valid until the next call.
func (x *exchange) compress(status int, contentType string, body []byte) []byte {
	x.negotiate(status, contentType, len(body))
	if !x.is(encoded) {
		return body
	}
	s := x.srv
	if enc := s.opts.Compress.Begin(); enc != nil {
		coded := enc.Append(s.coded[:0], body, true)
		if s.coded = coded; cap(coded) > 64<<10 {
			s.coded = nil
		}
		if len(coded) < len(body) {
			return coded
		}
	}
	x.flags &^= encoded
	return body
}

// fieldValue returns the value of the first line of that name, "" if there is none.
func fieldValue(lines []byte, name string) string {
	start, end, found := findField(lines, name)
	if !found {
		return ""
	}
	return string(wire.Trim(lines[start+len(name)+1 : end-2]))
}

// weaken makes an entity tag weak: the coded bytes are not those that the tag was made for (RFC
// 9110 8.8.3.3).
func weaken(lines []byte) []byte {
	start, end, found := findField(lines, "ETag")
	at := start + len("ETag: ")
	if !found || at >= end || lines[at] != '"' {
		return lines
	}
	lines = append(lines, "W/"...)
	copy(lines[at+2:], lines[at:])
	copy(lines[at:], "W/")
	return lines
}
