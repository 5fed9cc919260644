package http

import (
	"encoding/binary"
	"math/bits"
)

// A refusal is an error that carries the status to answer with.
type refusal struct {
	status int
	text   string
}

func (e *refusal) Error() string { return "http: request: " + e.text }

// What a head is refused for. They are made once: a flood of bad requests allocates nothing.
var (
	errBlankLines  = &refusal{400, "more than one empty line before the request line"}
	errBareLF      = &refusal{400, "LF without CR"}
	errBareCR      = &refusal{400, "CR without LF"}
	errMethod      = &refusal{400, "method is not a token"}
	errLongMethod  = &refusal{501, "method too long"}
	errTargetByte  = &refusal{400, "byte not allowed in the target"}
	errNoTarget    = &refusal{400, "empty target"}
	errLongTarget  = &refusal{414, "target too long"}
	errVersion     = &refusal{400, "malformed HTTP version"}
	errOtherHTTP   = &refusal{505, "neither HTTP/1.0 nor HTTP/1.1"}
	errFold        = &refusal{400, "line begins with white space"}
	errNoName      = &refusal{400, "empty field name"}
	errNameByte    = &refusal{400, "field name is not a token followed by a colon"}
	errValueByte   = &refusal{400, "control character in a field value"}
	errLongHead    = &refusal{431, "head too long"}
	errManyHeaders = &refusal{431, "too many header fields"}
)

// maxMethod is longer than any registered method. RFC 9112 3: a method longer than any that is implemented gets 501.
const maxMethod = 64

// A span is a piece of the request, as offsets from its first byte: unlike a slice it survives a move of the buffer.
type span struct{ start, end int32 }

func (s span) of(b []byte) []byte { return b[s.start:s.end:s.end] }

type fieldSpan struct{ name, value span }

// A step is what the parser expects at its position.
type step uint8

const (
	stepStart     step = iota // the request line, or one empty line
	stepStartLF               // the LF of that empty line
	stepMethod                // rest of the method, up to SP
	stepTarget                // rest of the target, up to SP
	stepVersion               // rest of HTTP/1.1 CR
	stepVersionLF             // the LF that ends the request line
	stepLine                  // a field name, or the CR of the empty line that ends the section
	stepName                  // rest of a field name, up to the colon
	stepBefore                // white space before a value
	stepValue                 // rest of a value, up to CR
	stepValueLF               // the LF that ends a field line
	stepEndLF                 // the last LF
	stepDone                  // nothing: the section is complete
)

// A parser reads the head of a request, or a trailer section, which is the tail of one. It is pure: it keeps offsets
// only, and what it has looked at it does not look at again.
type parser struct {
	step   step
	blank  bool // an empty line went before the request line
	minor  uint8
	pos    int // offset of the next byte to look at
	mark   int // where the element being read began
	method span
	target span
	fields []fieldSpan
}

// reset makes p ready for a request at offset 0.
func (p *parser) reset() { *p = parser{fields: p.fields[:0]} }

// resetTrailers makes p ready for a trailer section at the offset. The fields of the head stay.
func (p *parser) resetTrailers(offset int) { p.step, p.pos, p.mark = stepLine, offset, offset }

// limits bound one head.
type limits struct {
	target  int // bytes of the target
	head    int // bytes of the section, both line ends of the last line included
	headers int // field lines
}

// parse looks at the bytes of b that are new since the last call; b begins with the first byte of the request.
// It returns the length of the head once that is complete, 0 when it needs more bytes, and a *refusal
// at the first byte that cannot belong to a request.
func (p *parser) parse(b []byte, lim *limits) (n int, err error) {
	// A head is looked at no further than its limit, however many bytes came at once: so the outcome does not depend
	// on how they were split.
	full := len(b) >= lim.head
	if full {
		b = b[:lim.head]
	}
	if p.step < stepLine {
		if p.pos, err = p.requestLine(b, lim); err != nil {
			return 0, err
		}
	}
	if p.step >= stepLine {
		if p.pos, err = p.fieldLines(b, lim); err != nil {
			return 0, err
		}
	}
	switch {
	case p.step == stepDone:
		return p.pos, nil
	case !full:
		return 0, nil
	case p.step == stepTarget:
		return 0, errLongTarget
	}
	return 0, errLongHead
}

// requestLine reads method SP request-target SP HTTP-version CRLF (RFC 9112 3) and returns how far it came.
// It is long because it is a table: one case for each step.
func (p *parser) requestLine(b []byte, lim *limits) (int, error) {
	i := p.pos
	for i < len(b) {
		switch p.step {
		case stepStart:
			// RFC 9112 2.2: a server should ignore at least one empty line before the request line. One, no more.
			if b[i] == '\r' && !p.blank {
				i++
				p.blank, p.step = true, stepStartLF
				continue
			}
			if b[i] == '\r' {
				return i, errBlankLines
			}
			p.mark, p.step = i, stepMethod
		case stepStartLF:
			if b[i] != '\n' {
				return i, errBareCR
			}
			i++
			p.step = stepStart
		case stepMethod:
			for i < len(b) && classes[b[i]]&tchar != 0 && i-p.mark <= maxMethod {
				i++
			}
			switch {
			case i-p.mark > maxMethod:
				return i, errLongMethod
			case i == len(b):
				return i, nil
			case b[i] == '\n':
				return i, errBareLF
			case b[i] != ' ' || i == p.mark:
				return i, errMethod
			}
			p.method = span{int32(p.mark), int32(i)}
			i++
			p.mark, p.step = i, stepTarget
		case stepTarget:
			end := min(len(b), p.mark+lim.target+1)
			for i < end && classes[b[i]]&(pathByte|queryByte) != 0 {
				i++
			}
			switch {
			case i-p.mark > lim.target:
				return i, errLongTarget
			case i == len(b):
				return i, nil
			case b[i] != ' ':
				return i, errTargetByte
			case i == p.mark:
				return i, errNoTarget
			}
			p.target = span{int32(p.mark), int32(i)}
			i++
			p.mark, p.step = i, stepVersion
		case stepVersion:
			if i == p.mark && len(b)-i >= 10 && string(b[i:i+7]) == "HTTP/1." && b[i+7]|1 == '1' &&
				b[i+8] == '\r' && b[i+9] == '\n' {
				p.minor = b[i+7] - '0'
				i += 10
				p.mark, p.step = i, stepLine
				return i, nil
			}
			if err := p.versionByte(b, i); err != nil {
				return i, err
			}
			i++
		case stepVersionLF:
			if b[i] != '\n' {
				return i, errBareCR
			}
			i++
			p.mark, p.step = i, stepLine
			return i, nil
		}
	}
	return i, nil
}

// versionByte checks b[i], one byte of HTTP-version = "HTTP" "/" DIGIT "." DIGIT or the CR behind it.
func (p *parser) versionByte(b []byte, i int) error {
	const form = "HTTP/0.0\r"
	at := i - p.mark
	switch x := b[i]; {
	case form[at] == '0' && isDigit(x):
	case form[at] == '0' || x != form[at]:
		if x == '\n' {
			return errBareLF
		}
		return errVersion
	}
	if at < len(form)-1 {
		return nil
	}
	major, minor := b[i-3], b[i-1]
	if major != '1' || minor > '1' {
		return errOtherHTTP
	}
	p.minor, p.step = minor-'0', stepVersionLF
	return nil
}

// fieldLines reads *( field-name ":" OWS field-value OWS CRLF ) CRLF (RFC 9112 5) and returns how far it came.
// It is long because it is a table, in which one case falls through to the next where the bytes are there.
func (p *parser) fieldLines(b []byte, lim *limits) (int, error) {
	i := p.pos
	for i < len(b) {
		switch p.step {
		case stepLine:
			if b[i] == '\r' {
				i++
				p.step = stepEndLF
				continue
			}
			if len(p.fields) >= lim.headers {
				return i, errManyHeaders
			}
			p.mark, p.step = i, stepName
			fallthrough
		case stepName:
			for i < len(b) && classes[b[i]]&tchar != 0 {
				i++
			}
			if i == len(b) {
				return i, nil
			}
			if b[i] != ':' || i == p.mark {
				return i, nameError(b[i], i == p.mark)
			}
			p.fields = append(p.fields, fieldSpan{name: span{int32(p.mark), int32(i)}})
			i++
			p.step = stepBefore
			fallthrough
		case stepBefore:
			for i < len(b) && isSpace(b[i]) {
				i++
			}
			if i == len(b) {
				return i, nil
			}
			p.mark, p.step = i, stepValue
			fallthrough
		case stepValue:
			i = skipValue(b, i)
			if i == len(b) {
				return i, nil
			}
			if b[i] != '\r' {
				if b[i] == '\n' {
					return i, errBareLF
				}
				return i, errValueByte
			}
			end := i
			for end > p.mark && isSpace(b[end-1]) {
				end--
			}
			p.fields[len(p.fields)-1].value = span{int32(p.mark), int32(end)}
			p.step = stepValueLF
			if i++; i == len(b) {
				return i, nil
			}
			fallthrough
		case stepValueLF:
			if b[i] != '\n' {
				return i, errBareCR
			}
			i++
			p.step = stepLine
		case stepEndLF:
			if b[i] != '\n' {
				return i, errBareCR
			}
			p.step = stepDone
			return i + 1, nil
		}
	}
	return i, nil
}

// nameError tells what is wrong with byte x, found where a colon was due; empty when no name went before it.
func nameError(x byte, empty bool) error {
	switch {
	case x == '\n':
		return errBareLF
	case empty && isSpace(x):
		// RFC 9112 5.2 and 2.2: obs-fold, and white space before the first field line.
		return errFold
	case empty && x == ':':
		return errNoName
	}
	// RFC 9112 5.1: white space between name and colon must be refused.
	return errNameByte
}

// skipValue returns the offset of the first byte at or behind i that is no byte of a field value, or len(b).
// It looks at eight bytes at a time: values are the bulk of a head.
func skipValue(b []byte, i int) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	for {
		for ; len(b)-i >= 8; i += 8 {
			x := binary.LittleEndian.Uint64(b[i:])
			del := x ^ ones*0x7f
			// A top bit is set for each byte below 0x20 and for each 0x7f. Borrows spoil only what lies above a hit.
			if hit := ((x-ones*0x20) & ^x | (del-ones) & ^del) & tops; hit != 0 {
				i += bits.TrailingZeros64(hit) / 8
				break
			}
		}
		for i < len(b) && classes[b[i]]&valueByte != 0 {
			i++
			// Behind a tab go on by eights.
			if b[i-1] == '\t' && len(b)-i >= 8 {
				break
			}
		}
		if i == len(b) || classes[b[i]]&valueByte == 0 {
			return i
		}
	}
}
