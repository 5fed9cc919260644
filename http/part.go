package http

import (
	"bytes"
	"strings"
	utf "unicode/utf8"
)

// A Part is one part of a multipart/form-data body. How long it is valid: see Message.Multipart and PartEvent; its
// strings stay.
type Part struct {
	Name string // of the form's field, as sent but for quotes and backslashes: browsers send a quote as "%22"

	// Filename is a name to store the part under: the last element of what was sent, without control characters, and never
	// "." or "..". It is empty when nothing is left, and when the part is no file.
	Filename string
	IsFile   bool // a file name was sent, though it may be empty: a file input with no file chosen

	ContentType []byte // as sent; nil without one, which means text/plain (RFC 7578 4.4)
	Body        []byte // from Message.Multipart: all data of the part

	fields []Field
}

// Header returns the value of the first field of that name in the header of the part, without regard to case; nil when
// there is none.
func (p *Part) Header(name string) []byte {
	r := Request{fields: p.fields}
	return r.Header(name)
}

// Headers returns all fields of the header of the part in the order they were sent.
func (p *Part) Headers() []Field { return p.fields }

// read fills p in from the lines of a header, each ended by CR LF. It returns what is wrong with them.
func (p *Part) read(head []byte) (what string) {
	*p = Part{fields: p.fields[:0]}
	for len(head) > 0 {
		line, rest, _ := bytes.Cut(head, crlf)
		head = rest
		n := tokenLen(line)
		switch {
		case isSpace(line[0]):
			return "folded header line"
		case n == 0 || n == len(line) || line[n] != ':':
			return "field name is not a token followed by a colon"
		}
		value := trim(line[n+1:])
		if !all(value, valueByte) {
			return "control character in a field value"
		}
		p.fields = append(p.fields, Field{line[:n], value})
	}
	return p.interpret()
}

var crlf = []byte("\r\n")

// interpret takes what it needs from the fields.
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
	if n > 1 || n == 1 && !foldEqual(coding, "binary") && !foldEqual(coding, "8bit") && !foldEqual(coding, "7bit") {
		// RFC 7578 4.7: deprecated. To hand out base64 as if it were the data would be wrong without a sign of it.
		return "unknown Content-Transfer-Encoding"
	}
	return p.disposition(disposition)
}

// disposition reads "form-data" and its parameters (RFC 7578 4.2).
func (p *Part) disposition(v []byte) (what string) {
	kind, _, _ := cutOutside(v, ';')
	if !foldEqual(kind, "form-data") {
		return "Content-Disposition is not form-data"
	}
	var hasName, plain, extended bool
	for rest := v[len(kind):]; ; {
		name, value, next, ok := nextParam(rest)
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
		case foldEqual(name, "name"):
			twice, hasName = hasName, true
			p.Name = string(appendUnquoted(nil, value))
		case foldEqual(name, "filename"):
			twice, plain = plain, true
			if !extended {
				p.Filename = string(appendUnquoted(nil, value))
			}
		case foldEqual(name, "filename*"):
			// RFC 7578 4.2 tells clients not to send it, RFC 6266 4.3 servers to prefer it.
			twice, extended = extended, true
			if p.Filename, ok = decodeExtended(value); !ok {
				return "malformed filename*"
			}
		case bytes.IndexByte(name, '*') >= 0:
			// RFC 2231 has name* and name*0, which RFC 7578 4.2 does not allow and some readers take for the name.
			return "encoded or continued parameter in Content-Disposition"
		}
		if twice {
			return "parameter twice in Content-Disposition"
		}
	}
}

// decodeExtended decodes charset "'" [ language ] "'" value-chars (RFC 8187 3.2), where the charset is UTF-8, or
// ISO-8859-1 as in RFC 5987.
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
		case isEscape(rest) && x == '%':
			b = append(b, unhex(rest[1])<<4|unhex(rest[2]))
			rest = rest[3:]
		case x == '%' || x == '*' || x == '\'':
			return "", false // not among attr-char
		default:
			b, rest = append(b, x), rest[1:]
		}
	}
	switch {
	case foldEqual(charset, "UTF-8"):
		return string(b), utf.Valid(b)
	case foldEqual(charset, "ISO-8859-1"):
		runes := make([]rune, len(b))
		for i, x := range b {
			runes[i] = rune(x)
		}
		return string(runes), true
	}
	return "", false
}

// baseName returns the last element of a path of any system without what is no part of a name. Bytes that are not UTF-8
// become U+FFFD.
func baseName(s string) string {
	s = s[strings.LastIndexAny(s, `/\`)+1:]
	s = strings.Map(func(x rune) rune {
		switch {
		case x < ' ', 0x7f <= x && x < 0xa0: // C0, DEL and C1
			return -1
		case 0x200e <= x && x <= 0x200f, 0x2028 <= x && x <= 0x202e, 0x2066 <= x && x <= 0x2069:
			return -1 // line separators, and what shows "exe.txt" for "txt.exe"
		}
		return x
	}, s)
	if s == "." || s == ".." {
		return ""
	}
	return s
}

// parseBoundary returns the boundary of a multipart/form-data Content-Type: 1 to 70 characters out of a set (RFC 2046
// 5.1.1).
func parseBoundary(contentType []byte) ([]byte, error) {
	contentType = trim(contentType)
	kind, _, _ := cutOutside(contentType, ';')
	if !foldEqual(kind, "multipart/form-data") {
		return nil, &FormError{Status: 415, What: "not multipart/form-data"}
	}
	var boundary []byte
	for rest := contentType[len(kind):]; ; {
		name, value, next, ok := nextParam(rest)
		switch {
		case !ok:
			return nil, &FormError{Status: 400, What: "malformed Content-Type"}
		case name == nil && boundary == nil:
			return nil, &FormError{Status: 400, What: "no boundary"}
		case name == nil:
			return boundary, nil
		case foldEqual(name, "boundary"):
			if boundary != nil {
				return nil, &FormError{Status: 400, What: "more than one boundary"}
			}
			if boundary = appendUnquoted([]byte{}, value); !isBoundary(boundary) {
				return nil, &FormError{Status: 400, What: "malformed boundary"}
			}
		}
		rest = next
	}
}

func isBoundary(b []byte) bool {
	if len(b) == 0 || len(b) > 70 || b[len(b)-1] == ' ' {
		return false
	}
	for _, x := range b {
		if y := lower(x); y-'a' >= 26 && !isDigit(x) && strings.IndexByte("'()+_,-./:=? ", x) < 0 {
			return false
		}
	}
	return true
}
