package websocket

import "bytes"

// This file reads the grammar of Sec-WebSocket-Extensions (RFC 6455 §9.1): a list of extensions,
// each a token with parameters.

// permessageDeflate is the only extension that this package knows. The Compressor reads its
// parameters.
const permessageDeflate = "permessage-deflate"

// Parameters are the parameters of an extension, as they came.
type Parameters []byte

// Next takes the first parameter off p. value is nil if the parameter has none. ok is false if no
// parameter is left.
func (p *Parameters) Next() (name, value []byte, ok bool) {
	name, value, *p, ok = cutParameter(*p)
	return name, value, ok
}

// cutParameter takes the parameter that b begins with. ok is false if b begins with none, or breaks
// the grammar.
func cutParameter(b []byte) (name, value, rest []byte, ok bool) {
	if !next(&b, ';') {
		return nil, nil, b, false
	}
	name, b = cutToken(b)
	ok = len(name) > 0
	if next(&b, '=') {
		value, b = cutValue(b)
		ok = ok && len(value) > 0
	}
	return name, value, b, ok
}

// elements walks over the elements of one line.
type elements struct {
	rest      []byte // what is left of the line
	name      []byte
	params    Parameters
	malformed bool // the line breaks the grammar
}

// next goes to the next element. It returns false at the end of the line, and where the line breaks
// the grammar.
func (e *elements) next() bool {
	b := bytes.TrimLeft(e.rest, " \t,")
	if len(b) == 0 || e.malformed {
		return false
	}
	e.name, b = cutToken(b)
	e.params = b
	ok := len(e.name) > 0
	for p := b; ok && next(&p, ';'); p = b {
		_, _, b, ok = cutParameter(b)
	}
	e.params = e.params[:len(e.params)-len(b)]
	e.rest = bytes.TrimLeft(b, " \t")
	e.malformed = !ok || len(e.rest) > 0 && e.rest[0] != ','
	return !e.malformed
}

// wellFormed reports whether a line follows the grammar.
func wellFormed(line []byte) bool {
	e := elements{rest: line}
	for e.next() {
	}
	return !e.malformed
}

// extensions sums up all lines of a server's Sec-WebSocket-Extensions.
type extensions struct {
	deflate   Parameters // a copy of the parameters of permessage-deflate
	found     bool       // permessage-deflate is present
	others    bool       // other extensions are present, or permessage-deflate twice
	malformed bool       // a line breaks the grammar
}

// line takes the value of one line.
func (x *extensions) line(b []byte) {
	e := elements{rest: b}
	for e.next() {
		if x.found || !is(e.name, permessageDeflate) {
			x.others = true
			continue
		}
		x.found, x.deflate = true, append(Parameters(nil), e.params...)
	}
	x.malformed = x.malformed || e.malformed
}

// next skips c and the white space around it. It returns false if c does not come next.
func next(b *[]byte, c byte) bool {
	t := bytes.TrimLeft(*b, " \t")
	if len(t) == 0 || t[0] != c {
		return false
	}
	*b = bytes.TrimLeft(t[1:], " \t")
	return true
}

// cutToken splits b after the token that it begins with.
func cutToken(b []byte) (token, rest []byte) {
	n := 0
	for n < len(b) && isToken(b[n]) {
		n++
	}
	return b[:n], b[n:]
}

// cutValue is cutToken for a token that may be quoted. The content of the quotes has to be a token,
// too.
func cutValue(b []byte) (value, rest []byte) {
	if len(b) == 0 || b[0] != '"' {
		return cutToken(b)
	}
	for i := 1; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			return value, b[i+1:]
		case c == '\\' && i+1 < len(b):
			i++
		}
		if !isToken(b[i]) {
			break
		}
		value = append(value, b[i])
	}
	return nil, nil
}
