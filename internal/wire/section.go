package wire

import (
	"encoding/binary"
	"math/bits"
)

// A Span is a piece of a head, as offsets from the first byte of the message: unlike a slice it
// survives a move of the buffer.
type Span struct{ Start, End int32 }

// Of returns the piece of b, which begins with the first byte of the message.
func (s Span) Of(b []byte) []byte { return b[s.Start:s.End:s.End] }

// A FieldSpan is one field line: its name, and its value without the white space around it.
type FieldSpan struct{ Name, Value Span }

// Limits bound one head.
type Limits struct {
	Target int // bytes of the target; responses have none
	Head   int // bytes of the section, both line ends of the last line included
	Fields int // field lines
}

// A step is what a parser expects at its position. The steps of start lines come first: request.go
// and response.go have them.
type step uint8

const (
	stepLine    step = 16 + iota // a field name, or the CR of the empty line that ends the section
	stepName                     // rest of a field name, up to the colon
	stepBefore                   // white space before a value
	stepValue                    // rest of a value, up to CR
	stepValueLF                  // the LF that ends a field line
	stepEndLF                    // the last LF
	stepDone                     // nothing: the section is complete
)

// A section reads field lines: of a head, after its start line, or of a trailer section.
type section struct {
	step   step
	pos    int // offset of the next byte to look at
	mark   int // where the element being read began
	Fields []FieldSpan
}

// Fresh reports whether nothing has been looked at.
func (p *section) Fresh() bool { return p.pos == 0 }

// ResetTrailers makes p ready for a trailer section at the offset. The fields of the head stay.
func (p *section) ResetTrailers(offset int) { p.step, p.pos, p.mark = stepLine, offset, offset }

// fieldLines reads *( field-name ":" OWS field-value OWS CRLF ) CRLF (RFC 9112 5) and returns how
// far it came. It is long because it is a table, in which one case falls through to the next where
// the bytes are there. Split into a function for each element, it took 15 % longer for lines that
// wholeLines leaves.
func (p *section) fieldLines(b []byte, lim *Limits) (int, *Refusal) {
	i := p.pos
	for i < len(b) {
		switch p.step {
		case stepLine:
			if i = p.wholeLines(b, i, lim); i == len(b) {
				return i, nil
			}
			if b[i] == '\r' {
				if i+1 < len(b) && b[i+1] == '\n' {
					p.step = stepDone
					return i + 2, nil
				}
				i++
				p.step = stepEndLF
				continue
			}
			if len(p.Fields) >= lim.Fields {
				return i, errManyFields
			}
			p.mark, p.step = i, stepName
			fallthrough
		case stepName:
			for i < len(b) && classes[b[i]]&TokenByte != 0 {
				i++
			}
			if i == len(b) {
				return i, nil
			}
			if b[i] != ':' || i == p.mark {
				return i, nameError(b[i], i == p.mark)
			}
			p.Fields = append(p.Fields, FieldSpan{Name: Span{int32(p.mark), int32(i)}})
			i++
			p.step = stepBefore
			fallthrough
		case stepBefore:
			for i < len(b) && IsSpace(b[i]) {
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
			for end > p.mark && IsSpace(b[end-1]) {
				end--
			}
			p.Fields[len(p.Fields)-1].Value = Span{int32(p.mark), int32(end)}
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

// wholeLines reads field lines of the plain kind, "name: value" CRLF, that are there to their last
// byte. It returns the offset of the first line that is not, which fieldLines reads step by step.
func (p *section) wholeLines(b []byte, i int, lim *Limits) int {
	const colon, crlf = ':' | ' '<<8, '\r' | '\n'<<8
	fields := p.Fields
	for len(fields) < lim.Fields {
		if i < len(b) && b[i] == '\r' {
			break
		}
		name := skipToken(b, i)
		if name == i || len(b)-name < 2 || binary.LittleEndian.Uint16(b[name:]) != colon {
			break
		}
		value := name + 2
		end := skipValue(b, value)
		if len(b)-end < 2 || binary.LittleEndian.Uint16(b[end:]) != crlf {
			break
		}
		if end > value && (IsSpace(b[value]) || IsSpace(b[end-1])) {
			break
		}
		fields = append(fields, FieldSpan{Span{int32(i), int32(name)}, Span{int32(value), int32(end)}})
		i = end + 2
	}
	p.Fields = fields
	return i
}

const ones, tops = 0x0101010101010101, 0x8080808080808080

// notValue returns a word in which the lowest top bit that is set is that of the first byte of x
// that is below 0x20 or 0x7f. Borrows spoil only what lies above it.
func notValue(x uint64) uint64 {
	del := x ^ ones*0x7f
	return ((x-ones*0x20)&^x | (del-ones)&^del) & tops
}

// nameError tells what is wrong with byte x, found where a colon was due; empty when no name went
// before it.
func nameError(x byte, empty bool) *Refusal {
	switch {
	case x == '\n':
		return errBareLF
	case empty && IsSpace(x):
		// RFC 9112 5.2 and 2.2: obs-fold, and white space before the first field line.
		return errFold
	case empty && x == ':':
		return errNoName
	}
	// RFC 9112 5.1: white space between name and colon must be refused.
	return errNameByte
}

// skipToken returns the offset of the first byte from i on that is no byte of a token, or
// len(b). Like skipValue it is a function of its own, so that its loop has the registers for itself.
//
//go:noinline
func skipToken(b []byte, i int) int {
	for i < len(b) && classes[b[i]]&TokenByte != 0 {
		i++
	}
	return i
}

// skipValue returns the offset of the first byte from i on that is no byte of a field value, or
// len(b). It looks at eight bytes at a time: values are the bulk of a head.
func skipValue(b []byte, i int) int {
	for {
		for ; len(b)-i >= 8; i += 8 {
			if hit := notValue(binary.LittleEndian.Uint64(b[i:])); hit != 0 {
				i += bits.TrailingZeros64(hit) / 8
				break
			}
		}
		for i < len(b) && classes[b[i]]&ValueByte != 0 {
			i++
			// After a tab go on by eights.
			if b[i-1] == '\t' && len(b)-i >= 8 {
				break
			}
		}
		if i == len(b) || classes[b[i]]&ValueByte == 0 {
			return i
		}
	}
}
