package http

import (
	"bytes"
	"iter"

	"github.com/seed4930a636/mangusta/internal/wire"
)

// MultipartLimits bound a multipart/form-data body. Zero fields mean the defaults.
type MultipartLimits struct {
	Parts  int   // default 100
	Header int   // bytes of the header of one part, its empty line included, and of the preamble; default 4 KiB
	Size   int64 // bytes of the data of one part; default 32 MiB, negative is no limit
}

func (l MultipartLimits) withDefaults() MultipartLimits {
	def(&l.Parts, 100)
	def(&l.Header, 4<<10)
	def(&l.Size, 32<<20)
	return l
}

// Multipart yields the parts of a multipart/form-data body (RFC 7578). The Body of a part is a
// piece of m.Body, not a copy; the rest of the Part is valid until the next one. If the body is
// malformed or over a limit, the last item is a *FormError: the form as a whole is then bad,
// although the parts before it were good.
func (m *Message) Multipart(limits MultipartLimits) iter.Seq2[*Part, error] {
	return func(yield func(*Part, error) bool) {
		r, err := m.MultipartReader(limits)
		if err != nil {
			yield(nil, err)
			return
		}
		r.whole(m.Body, yield)
	}
}

// whole yields the parts of a complete body. Next then gives the data of a part in one piece.
func (r *MultipartReader) whole(b []byte, yield func(*Part, error) bool) {
	for {
		ev, n, err := r.Next(b)
		b = b[n:]
		if err == nil && ev.Kind == PartNone {
			if err = r.End(); err == nil {
				return
			}
		}
		if err != nil {
			yield(nil, err)
			return
		}
		switch ev.Kind {
		case PartData:
			ev.Part.Body = ev.Data
		case PartEnd:
			if !yield(ev.Part, nil) {
				return
			}
		}
	}
}

// MultipartReader returns a reader for the body of r, which may come piece by piece. If the body is
// not multipart/form-data, it returns a *FormError with Status 415.
func (r *Request) MultipartReader(limits MultipartLimits) (*MultipartReader, error) {
	v, n := r.only("Content-Type")
	if n > 1 {
		return nil, &FormError{Status: 400, What: "more than one Content-Type"}
	}
	return NewMultipartReader(v, limits)
}

// PartKind is the kind of a PartEvent.
type PartKind uint8

const (
	PartNone  PartKind = iota // nothing: all bytes are used up
	PartBegin                 // the header of a part is complete
	PartData                  // a piece of its data, not empty
	PartEnd                   // its data is complete
)

// A PartEvent is one step through a multipart body.
type PartEvent struct {
	Kind PartKind
	Part *Part  // valid until the Next after its PartEnd; its Body is nil
	Data []byte // of PartData: lies in the bytes given to Next, or is the reader's own; valid until the next Next, read-only
}

// A MultipartReader reads a multipart/form-data body as it comes. It is pure: bytes go in, events
// come out, and it keeps only the header of one part.
type MultipartReader struct {
	limits MultipartLimits
	delim  []byte // CR LF "--" boundary
	step   multipartStep
	held   int  // bytes of delim that the input so far ends with; they are data if the rest does not follow
	own    int  // how many bytes of held are no data: they belong to the line before, or were returned already
	last   byte // byte of the preamble
	inPart bool
	final  bool // the closing delimiter has come
	parts  int
	size   int64 // bytes of the data of this part
	head   []byte
	line   int // where the current line of head begins
	part   Part
	err    error
}

type multipartStep uint8

const (
	mpData     multipartStep = iota // data of a part, or the preamble, up to a delimiter
	mpBehind                        // the byte after the boundary
	mpDash                          // the second "-" of the closing delimiter
	mpPadding                       // white space, CR
	mpLF                            // the LF of the delimiter line
	mpHead                          // the header of a part
	mpEpilogue                      // after the closing delimiter; ignored
)

// NewMultipartReader returns a reader for a body with that Content-Type; see
// Request.MultipartReader.
func NewMultipartReader(contentType []byte, limits MultipartLimits) (*MultipartReader, error) {
	boundary, err := parseBoundary(contentType)
	if err != nil {
		return nil, err
	}
	r := &MultipartReader{limits: limits.withDefaults(), delim: append([]byte("\r\n--"), boundary...)}
	// RFC 2046 5.1.1: the first delimiter may be at the very beginning, with no line end before it.
	r.held, r.own = 2, 2
	return r, nil
}

// Next reads b up to the next event, and returns how many bytes of it are used. Call it again with
// the rest until the event is PartNone: then all are used. Its errors are *FormErrors; after one,
// it returns the same again.
func (r *MultipartReader) Next(b []byte) (ev PartEvent, n int, err error) {
	for n < len(b) && r.err == nil && ev.Kind == PartNone {
		used := len(b) - n
		switch r.step {
		case mpData:
			ev, used, r.err = r.data(b[n:])
		case mpHead:
			ev, used, r.err = r.header(b[n:])
		case mpEpilogue:
		default:
			used = 1
			ev, r.err = r.delimiter(b[n])
		}
		n += used
	}
	return ev, n, r.err
}

// End says that no bytes will follow. It returns a *FormError if the closing delimiter has not
// come.
func (r *MultipartReader) End() error {
	if r.err == nil && (!r.final || r.step == mpLF) {
		r.err = r.fail(400, "the body ends before the closing delimiter")
	}
	return r.err
}

func (r *MultipartReader) fail(status int, what string) error {
	e := &FormError{Status: status, What: what}
	if r.inPart || r.step == mpHead {
		e.Part = r.parts
	}
	return e
}

// data looks for the delimiter. CR is in it once, as its first byte, so a delimiter that breaks off
// can begin again only with the byte that broke it.
func (r *MultipartReader) data(b []byte) (ev PartEvent, used int, err error) {
	if r.held > 0 {
		n := commonPrefix(b, r.delim[r.held:])
		if r.held+n == len(r.delim) {
			r.held, r.own, r.step = 0, 0, mpBehind
			return ev, n, nil
		}
		if n == len(b) {
			r.held += n
			return ev, n, nil
		}
		piece, err := r.admit(r.delim[r.own:r.held])
		if r.own += len(piece); r.own == r.held {
			r.held, r.own = 0, 0
		}
		return r.piece(piece), 0, err
	}
	end := bytes.Index(b, r.delim)
	found := end >= 0
	if !found {
		end = len(b)
		if i := bytes.LastIndexByte(b[max(0, end-len(r.delim)):], '\r'); i >= 0 {
			i += max(0, end-len(r.delim))
			if bytes.HasPrefix(r.delim, b[i:]) {
				end = i
			}
		}
	}
	piece, err := r.admit(b[:end])
	switch {
	case err != nil || len(piece) < end:
		return r.piece(piece), len(piece), err
	case found:
		r.step = mpBehind
		return r.piece(piece), end + len(r.delim), nil
	}
	r.held = len(b) - end
	return r.piece(piece), len(b), nil
}

func (r *MultipartReader) piece(b []byte) PartEvent {
	if len(b) == 0 || !r.inPart {
		return PartEvent{}
	}
	return PartEvent{PartData, &r.part, b}
}

// admit counts data, and returns as much of it as the limit allows. At the limit it returns an
// error.
func (r *MultipartReader) admit(b []byte) ([]byte, error) {
	if !r.inPart {
		return b, r.preamble(b)
	}
	if limit := r.limits.Size; limit >= 0 && int64(len(b)) > limit-r.size {
		if r.size == limit {
			return nil, r.fail(413, "data too long")
		}
		b = b[:limit-r.size]
	}
	r.size += int64(len(b))
	return b, nil
}

// preamble ignores the bytes before the first part (RFC 2046 5.1.1), within the limit of a header.
func (r *MultipartReader) preamble(b []byte) error {
	for _, x := range b {
		if r.size++; r.size > int64(r.limits.Header) {
			return r.fail(413, "too much before the first part")
		}
		// Readers differ on whether LF alone ends a line, and so on where the first part begins.
		if x == '\n' && r.last != '\r' {
			return r.fail(400, "LF without CR before the first part")
		}
		r.last = x
	}
	return nil
}

// delimiter takes a byte after the boundary: "--" for the last one, white space, CR LF (RFC 2046
// 5.1.1). Anything else would be a delimiter to some readers and data to others; here it is an
// error.
func (r *MultipartReader) delimiter(x byte) (ev PartEvent, err error) {
	switch {
	case x == '-' && r.step == mpBehind:
		r.step = mpDash
	case x == '-' && r.step == mpDash:
		r.final, r.step = true, mpPadding
		return r.endPart(), nil
	case wire.IsSpace(x) && (r.step == mpBehind || r.step == mpPadding):
		r.step = mpPadding
	case x == '\r' && (r.step == mpBehind || r.step == mpPadding):
		r.step = mpLF
	case x == '\n' && r.step == mpLF && r.final:
		r.step = mpEpilogue
	case x == '\n' && r.step == mpLF:
		ev = r.endPart()
		r.step = mpHead
		r.head, r.line = r.head[:0], 0
		r.parts++
		return ev, nil
	default:
		return ev, r.fail(400, "malformed delimiter line, or the boundary is in the data")
	}
	return ev, nil
}

func (r *MultipartReader) endPart() (ev PartEvent) {
	if r.inPart {
		r.inPart = false
		ev = PartEvent{Kind: PartEnd, Part: &r.part}
	}
	return ev
}

// header collects the header of a part, line by line up to the empty one.
func (r *MultipartReader) header(b []byte) (ev PartEvent, used int, err error) {
	if r.parts > r.limits.Parts {
		return ev, 0, r.fail(413, "too many parts")
	}
	i := bytes.IndexByte(b, '\n')
	if used = i + 1; i < 0 {
		used = len(b)
	}
	if len(r.head)+used > r.limits.Header {
		return ev, 0, r.fail(413, "header too long")
	}
	r.head = append(r.head, b[:used]...)
	if i < 0 {
		return ev, used, nil
	}
	line := r.head[r.line:]
	if len(line) < 2 || line[len(line)-2] != '\r' {
		return ev, used, r.fail(400, "LF without CR in the header")
	}
	if r.line = len(r.head); len(line) > 2 {
		return ev, used, nil
	}
	if what := r.part.read(r.head[:len(r.head)-2]); what != "" {
		return ev, used, r.fail(400, what)
	}
	r.inPart, r.size, r.step = true, 0, mpData
	// RFC 2046 5.1.1: the line end of the empty line may be that of a delimiter, if there is no
	// data.
	r.held, r.own = 2, 2
	return PartEvent{Kind: PartBegin, Part: &r.part}, used, nil
}

func commonPrefix(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}
