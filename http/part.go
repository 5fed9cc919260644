package http

import (
	"bytes"
	"strings"
	utf "unicode/utf8"

	"github.com/seed4930a636/mangusta/internal/wire"
)

// A Part is one part of a multipart/form-data body. Message.Multipart and PartEvent say how long it
// is valid; its strings stay valid.
type Part struct {
	Name string // of the form's field, with quotes and backslashes resolved; browsers send a quote as "%22"

	// Filename is a name to store the part under: the last element of what was sent, without
	// control characters, and never "." or "..". It is empty if nothing is left, and if the part is
	// no file.
	Filename string
	IsFile   bool // a file name was sent, though it may be empty: a file input with no file chosen

	ContentType []byte // as sent; nil without one, which means text/plain (RFC 7578 4.4)
	Body        []byte // from Message.Multipart: all data of the part

	fields []Field
}

// Header returns the value of the first field of that name in the header of the part, without
// regard to case; nil if there is none.
func (p *Part) Header(name string) []byte {
	r := Request{fields: p.fields}
	return r.Header(name)
}

// Headers returns all fields of the header of the part, in the order in which they were sent.
func (p *Part) Headers() []Field { return p.fields }

// read fills p in from the lines of a header, each ended by CR LF. what says what is wrong with
// them.
func (p *Part) read(head []byte) (what string) {
	*p = Part{fields: p.fields[:0]}
	for len(head) > 0 {
		line, rest, _ := bytes.Cut(head, crlf)
		head = rest
		n := wire.TokenLen(line)
		switch {
		case wire.IsSpace(line[0]):
			return "folded header line"
		case n == 0 || n == len(line) || line[n] != ':':
			return "field name is not a token followed by a colon"
		}
		value := wire.Trim(line[n+1:])
		if !wire.All(value, wire.ValueByte) {
			return "control character in a field value"
		}
		p.fields = append(p.fields, Field{line[:n], value})
	}
	return p.interpret()
}

var crlf = []byte("\r\n")

// interpret fills in Name, Filename and ContentType from the fields.
func (p *Part) interpret() (what string) {
	r := Request{fields: p.fields}
	disposition, n := r.only("Content-Disposition")
	switch {
	case n == 0:
		return "no Content-Disposition" // RFC 7578 4.2: each part must have one
	case n > 1:
		return "more than one Content-Disposition"
	}
	if p.ContentType, n = r.only("Content-Type"); n > 1 {
		return "more than one Content-Type"
	}
	coding, n := r.only("Content-Transfer-Encoding")
	if n > 1 || n == 1 && !wire.FoldEqual(coding, "binary") && !wire.FoldEqual(coding, "8bit") && !wire.FoldEqual(coding, "7bit") {
		// RFC 7578 4.7: deprecated. To return base64 as if it were the data would be a silent
		// error.
		return "unknown Content-Transfer-Encoding"
	}
	return p.disposition(disposition)
}

// disposition reads "form-data" and its parameters (RFC 7578 4.2).
func (p *Part) disposition(v []byte) (what string) {
	kind, _, _ := wire.CutOutside(v, ';')
	if !wire.FoldEqual(kind, "form-data") {
		return "Content-Disposition is not form-data"
	}
	var hasName, plain, extended bool
	for rest := v[len(kind):]; ; {
		name, value, next, ok := wire.NextParam(rest)
		rest = next
		twice := false
		switch {
		case !ok:
			return "malformed Content-Disposition"
		case name == nil && !hasName:
			return "no name"
		case name == nil:
			p.Filename, p.IsFile = baseName(p.Filename), plain || extended
			return ""
		case wire.FoldEqual(name, "name"):
			twice, hasName = hasName, true
			p.Name = string(wire.AppendUnquoted(nil, value))
		case wire.FoldEqual(name, "filename"):
			twice, plain = plain, true
			if !extended {
				p.Filename = string(wire.AppendUnquoted(nil, value))
			}
		case wire.FoldEqual(name, "filename*"):
			// RFC 7578 4.2 tells clients not to send it, RFC 6266 4.3 servers to prefer it.
			twice, extended = extended, true
			if p.Filename, ok = decodeExtended(value); !ok {
				return "malformed filename*"
			}
		case bytes.IndexByte(name, '*') >= 0:
			// RFC 2231 has name* and name*0, which RFC 7578 4.2 does not allow and some readers
			// take for the name.
			return "encoded or continued parameter in Content-Disposition"
		}
		if twice {
			return "parameter twice in Content-Disposition"
		}
	}
}

// decodeExtended decodes charset "'" [ language ] "'" value-chars (RFC 8187 3.2), where the charset
// is UTF-8, or ISO-8859-1 as in RFC 5987.
func decodeExtended(v []byte) (s string, ok bool) {
	charset, rest, ok := bytes.Cut(v, []byte("'"))
	if !ok || v[0] == '"' {
		return "", false
	}
	_, rest, ok = bytes.Cut(rest, []byte("'"))
	if !ok {
		return "", false
	}
	var b []byte
	for len(rest) > 0 {
		switch x := rest[0]; {
		case wire.IsEscape(rest) && x == '%':
			b = append(b, wire.Unhex(rest[1])<<4|wire.Unhex(rest[2]))
			rest = rest[3:]
		case x == '%' || x == '*' || x == '\'':
			return "", false // not among attr-char
		default:
			b, rest = append(b, x), rest[1:]
		}
	}
	switch {
	case wire.FoldEqual(charset, "UTF-8"):
		return string(b), utf.Valid(b)
	case wire.FoldEqual(charset, "ISO-8859-1"):
		runes := make([]rune, len(b))
		for i, x := range b {
			runes[i] = rune(x)
		}
		return string(runes), true
	}
	return "", false
}

// baseName returns the last element of a path of any system, without the characters that no name
// should have. Bytes that are not UTF-8 become U+FFFD.
func baseName(s string) string {
	s = s[strings.LastIndexAny(s, `/\`)+1:]
	s = strings.Map(func(x rune) rune {
		switch {
		case x < ' ', 0x7f <= x && x < 0xa0: // C0, DEL and C1
			return -1
		case 0x200e <= x && x <= 0x200f, 0x2028 <= x && x <= 0x202e, 0x2066 <= x && x <= 0x2069:
			return -1 // line separators, and characters that show "exe.txt" for "txt.exe"
		}
		return x
	}, s)
	if s == "." || s == ".." {
		return ""
	}
	return s
}

// parseBoundary returns the boundary of a multipart/form-data Content-Type.
func parseBoundary(contentType []byte) ([]byte, error) {
	contentType = wire.Trim(contentType)
	kind, _, _ := wire.CutOutside(contentType, ';')
	if !wire.FoldEqual(kind, "multipart/form-data") {
		return nil, &FormError{Status: 415, What: "not multipart/form-data"}
	}
	var boundary []byte
	for rest := contentType[len(kind):]; ; {
		name, value, next, ok := nextBoundary(rest)
		switch {
		case !ok:
			return nil, &FormError{Status: 400, What: "malformed Content-Type"}
		case name == nil && boundary == nil:
			return nil, &FormError{Status: 400, What: "no boundary"}
		case name == nil:
			return boundary, nil
		case wire.FoldEqual(name, "boundary"):
			if boundary != nil {
				return nil, &FormError{Status: 400, What: "more than one boundary"}
			}
			if boundary = wire.AppendUnquoted([]byte{}, value); !isBoundary(boundary) {
				return nil, &FormError{Status: 400, What: "malformed boundary"}
			}
		}
		rest = next
	}
}

// nextBoundary is wire.NextParam, but a boundary without quotes need not be a token: many senders
// do not quote "=", "/" or ":". It ends at white space or ";".
func nextBoundary(v []byte) (name, value, rest []byte, ok bool) {
	if name, rest, _ = wire.NextName(v); name == nil || !wire.FoldEqual(name, "boundary") || len(rest) > 0 && rest[0] == '"' {
		return wire.NextParam(v)
	}
	n := bytes.IndexAny(rest, "; \t\",")
	if n < 0 {
		n = len(rest)
	}
	return name, rest[:n], rest[n:], n > 0
}

// maxBoundary bounds a boundary, in bytes. RFC 2046 5.1.1 allows 70, but longer ones are sent.
const maxBoundary = 256

// isBoundary wants a boundary that every reader finds at the same places. RFC 2046 5.1.1 gives the
// senders of mail a smaller set of characters; the senders of forms use others too. A backslash is
// refused: some readers take it for an escape. So is a space at the end, which would be the padding
// of the delimiter line.
func isBoundary(b []byte) bool {
	if len(b) == 0 || len(b) > maxBoundary || b[len(b)-1] == ' ' {
		return false
	}
	for _, x := range b {
		if x < ' ' || x >= 0x7f || x == '"' || x == '\\' {
			return false
		}
	}
	return true
}
