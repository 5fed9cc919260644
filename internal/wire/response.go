package wire

var (
	errStatusLine = &Refusal{400, "malformed status line"}
	errStatus     = &Refusal{400, "status below 100"}
	errReason     = &Refusal{400, "control character in a reason phrase"}
)

// OfResponse returns e as a client has it, without the status.
func (e *Refusal) OfResponse() *Refusal { return &Refusal{Text: e.Text} }

// The steps of a status line.
const (
	stepStatus   step = iota // rest of HTTP/1.1 SP 3DIGIT
	stepReason               // the SP before the reason phrase, or the CR where both are missing
	stepPhrase               // rest of the reason phrase, up to CR
	stepStatusLF             // the LF that ends the status line
)

// A ResponseHead reads the head of a response, or a trailer section, which is the tail of one. It
// is pure, as RequestHead is. The zero value is ready.
//
// It is as strict as RequestHead, though RFC 9112 lets a client be lenient with line ends (2.2) and
// has it take obs-fold (5.2): no server that is in use sends these, and what is read loosely may be
// read otherwise elsewhere. There is one exception: the SP after the status code may be missing
// where there is no reason phrase (4), because that is common.
type ResponseHead struct {
	section
	Minor  uint8
	Status int  // 100 to 999, 0 until the status line is complete
	Reason Span // may be empty
}

// Reset makes p ready for a response at offset 0.
func (p *ResponseHead) Reset() { *p = ResponseHead{section: section{Fields: p.Fields[:0]}} }

// Looked returns how many bytes have been looked at: after a refusal, what went before the byte
// that is refused.
func (p *ResponseHead) Looked() int { return p.pos }

// Parse looks at the bytes of b that are new since the last call; b begins with the first byte of
// the response. It returns the length of the head once that is complete, 0 when it needs more
// bytes, and a refusal at the first byte that cannot belong to a response.
func (p *ResponseHead) Parse(b []byte, lim *Limits) (n int, bad *Refusal) {
	full := len(b) >= lim.Head
	if full {
		b = b[:lim.Head]
	}
	if p.step < stepLine {
		p.pos, bad = p.statusLine(b)
	}
	if bad == nil && p.step >= stepLine {
		p.pos, bad = p.fieldLines(b, lim)
	}
	switch {
	case bad != nil:
		return 0, bad.OfResponse()
	case p.step == stepDone:
		return p.pos, nil
	case full:
		return 0, errLongHead.OfResponse()
	}
	return 0, nil
}

// statusLine reads HTTP-version SP status-code SP [ reason-phrase ] CRLF (RFC 9112 4) and returns
// how far it came.
func (p *ResponseHead) statusLine(b []byte) (int, *Refusal) {
	i := p.pos
	for i < len(b) {
		switch p.step {
		case stepStatus:
			if bad := p.statusByte(b[i], i); bad != nil {
				return i, bad
			}
			i++
		case stepReason:
			p.mark = i
			switch b[i] {
			case ' ':
				p.mark, p.step = i+1, stepPhrase
			case '\r':
				p.step = stepStatusLF
			case '\n':
				return i, errBareLF
			default:
				return i, errStatusLine
			}
			i++
		case stepPhrase:
			if i = skipValue(b, i); i == len(b) {
				return i, nil
			}
			switch b[i] {
			case '\r':
				p.Reason = Span{int32(p.mark), int32(i)}
				p.step = stepStatusLF
			case '\n':
				return i, errBareLF
			default:
				return i, errReason
			}
			i++
		case stepStatusLF:
			if b[i] != '\n' {
				return i, errBareCR
			}
			for _, x := range b[len("HTTP/1.1 "):len("HTTP/1.1 200")] {
				p.Status = p.Status*10 + int(x-'0')
			}
			i++
			p.mark, p.step = i, stepLine
			return i, nil
		}
	}
	return i, nil
}

// statusByte takes x, byte i of HTTP-version SP status-code.
func (p *ResponseHead) statusByte(x byte, i int) *Refusal {
	const form = "HTTP/0.0 000"
	const major, minor, hundreds = len("HTTP/"), len("HTTP/0."), len("HTTP/0.0 ")
	switch {
	case form[i] == '0' && IsDigit(x):
	case form[i] == '0' || x != form[i]:
		if x == '\n' {
			return errBareLF
		}
		return errStatusLine
	}
	switch {
	case i == major && x != '1', i == minor && x > '1':
		return errOtherHTTP
	case i == minor:
		p.Minor = x - '0'
	case i == hundreds && x == '0':
		return errStatus
	case i == len(form)-1:
		p.step = stepReason
	}
	return nil
}
