package wire

import "encoding/binary"

// maxMethod is longer than any registered method. RFC 9112 3: a method longer than any that is
// implemented gets 501.
const maxMethod = 64

// The steps of a request line.
const (
	stepStart     step = iota // the request line, or one empty line
	stepStartLF               // the LF of that empty line
	stepMethod                // rest of the method, up to SP
	stepTarget                // rest of the target, up to SP
	stepVersion               // rest of HTTP/1.1 CR
	stepVersionLF             // the LF that ends the request line
)

// A RequestHead reads the head of a request, or a trailer section, which is the tail of one. It is
// pure: it keeps offsets only, and what it has looked at it does not look at again. The zero value
// is ready.
type RequestHead struct {
	section
	blank  bool // an empty line went before the request line
	Plain  bool // the target is known to be a path of bytes that stand for themselves, and nothing else
	Minor  uint8
	Method Span
	Target Span
}

// Empty reports whether nothing has come but an empty line in front of a request.
func (p *RequestHead) Empty() bool { return p.step == stepStart || p.step == stepStartLF }

// Reset makes p ready for a request at offset 0.
func (p *RequestHead) Reset() { *p = RequestHead{section: section{Fields: p.Fields[:0]}} }

// Parse looks at the bytes of b that are new since the last call; b begins with the first byte of
// the request. It returns the length of the head once that is complete, 0 when it needs more bytes,
// and a refusal at the first byte that cannot belong to a request.
func (p *RequestHead) Parse(b []byte, lim *Limits) (n int, bad *Refusal) {
	// A head is looked at no further than its limit, however many bytes came at once: so the
	// outcome does not depend on how they were split.
	full := len(b) >= lim.Head
	if full {
		b = b[:lim.Head]
	}
	if p.step < stepLine && (p.pos > 0 || !p.wholeLine(b, lim)) {
		if p.pos, bad = p.requestLine(b, lim); bad != nil {
			return 0, bad
		}
	}
	if p.step >= stepLine {
		if p.pos, bad = p.fieldLines(b, lim); bad != nil {
			return 0, bad
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

// wholeLine reads a request line of the plain kind, if b begins with one and has it to its last
// byte. Else it changes nothing, and requestLine reads it step by step. A target that begins with
// a slash and has nothing but bytes of a path is Plain, so that nobody looks at it again.
func (p *RequestHead) wholeLine(b []byte, lim *Limits) bool {
	n := 0
	for n < len(b) && classes[b[n]]&TokenByte != 0 {
		n++
	}
	if n == 0 || n > maxMethod || n == len(b) || b[n] != ' ' {
		return false
	}
	all := PlainByte
	i := n + 1
	for i < len(b) {
		k := classes[b[i]]
		if k&QueryByte == 0 { // which every byte of a path is
			break
		}
		all &= k
		i++
	}
	const version = ' ' | 'H'<<8 | 'T'<<16 | 'T'<<24 | 'P'<<32 | '/'<<40 | '1'<<48 | '.'<<56
	if i == n+1 || i-n-1 > lim.Target || len(b)-i < 11 || binary.LittleEndian.Uint64(b[i:]) != version ||
		b[i+8]|1 != '1' || b[i+9] != '\r' || b[i+10] != '\n' {
		return false
	}
	p.Plain = all != 0 && b[n+1] == '/'
	p.Minor = b[i+8] - '0'
	p.Method, p.Target = Span{0, int32(n)}, Span{int32(n + 1), int32(i)}
	p.pos, p.step = i+11, stepLine
	p.mark = p.pos
	return true
}

// requestLine reads method SP request-target SP HTTP-version CRLF (RFC 9112 3) and returns how far
// it came: one case for each step.
func (p *RequestHead) requestLine(b []byte, lim *Limits) (i int, bad *Refusal) {
	for i = p.pos; i < len(b); {
		switch p.step {
		case stepStart:
			// RFC 9112 2.2: a server should ignore at least one empty line before the request line.
			// One, no more.
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
			if i, bad = p.readMethod(b, i); p.step == stepMethod {
				return i, bad
			}
		case stepTarget:
			if i, bad = p.readTarget(b, i, lim); p.step == stepTarget {
				return i, bad
			}
		case stepVersion:
			if bad := p.versionByte(b, i); bad != nil {
				return i, bad
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

// readMethod reads the rest of the method from b[i] on, and the space after it. The step stays if
// that space has not come.
func (p *RequestHead) readMethod(b []byte, i int) (int, *Refusal) {
	for i < len(b) && classes[b[i]]&TokenByte != 0 && i-p.mark <= maxMethod {
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
	p.Method = Span{int32(p.mark), int32(i)}
	i++
	p.mark, p.step = i, stepTarget
	return i, nil
}

// readTarget reads the rest of the target from b[i] on, and the space after it. The step stays if
// that space has not come.
func (p *RequestHead) readTarget(b []byte, i int, lim *Limits) (int, *Refusal) {
	end := min(len(b), p.mark+lim.Target+1)
	for i < end && classes[b[i]]&(PathByte|QueryByte) != 0 {
		i++
	}
	switch {
	case i-p.mark > lim.Target:
		return i, errLongTarget
	case i == len(b):
		return i, nil
	case b[i] != ' ':
		return i, errTargetByte
	case i == p.mark:
		return i, errNoTarget
	}
	p.Target = Span{int32(p.mark), int32(i)}
	i++
	p.mark, p.step = i, stepVersion
	return i, nil
}

// versionByte checks b[i], one byte of HTTP-version = "HTTP" "/" DIGIT "." DIGIT, or of the CR
// after it.
func (p *RequestHead) versionByte(b []byte, i int) *Refusal {
	const form = "HTTP/0.0\r"
	at := i - p.mark
	switch x := b[i]; {
	case form[at] == '0' && IsDigit(x):
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
	p.Minor, p.step = minor-'0', stepVersionLF
	return nil
}
