package gzip

import (
	"encoding/binary"
	"errors"
	"hash/crc32"

	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/internal/flate"
)

// A Decompressor is a http.Decompressor for the content coding gzip. It belongs to one loop.
//
//	http.NewClient(m, http.ClientOptions{Decompress: gzip.NewDecompressor()})
type Decompressor struct {
	free []*decoder
}

// NewDecompressor makes a Decompressor.
func NewDecompressor() *Decompressor { return &Decompressor{} }

var _ http.Decompressor = (*Decompressor)(nil)

// Coding returns "gzip".
func (d *Decompressor) Coding() string { return "gzip" }

// maxSpare bounds the decoders that are kept, of 75 KB each.
const maxSpare = 4

// BeginDecoding begins a body.
func (d *Decompressor) BeginDecoding() http.Decoder {
	if n := len(d.free); n > 0 {
		x := d.free[n-1]
		d.free = d.free[:n-1]
		return x
	}
	x := &decoder{from: d, out: make([]byte, 0, 2*window)}
	x.inflater.Once = true
	return x
}

const window = 32 << 10 // RFC 1951 2: how far back a match may reach

var (
	errHeader   = errors.New("gzip: malformed header")
	errSum      = errors.New("gzip: the checksum or the length is wrong")
	errTrailing = errors.New("gzip: bytes after the end")
	errShort    = errors.New("gzip: the end is missing")
)

// A step is the part of a member that comes next (RFC 1952 2.3).
type step uint8

const (
	atHeader step = iota // 10 bytes
	atExtra              // the 2 bytes of its length
	inExtra
	inName // up to a zero
	inComment
	atHeaderSum // 2 bytes
	inData
	atTrailer // 8 bytes
	atEnd
)

// A decoder decodes one member, which is what HTTP servers send; RFC 1952 2.2 allows more.
type decoder struct {
	from     *Decompressor
	inflater flate.Inflater
	out      []byte // the window, and after it what was inflated
	given    int    // how much of out was given away
	step     step
	flags    byte
	fixed    [10]byte // bytes of a part of fixed length
	got      int
	skip     int
	sum      uint32
	size     uint32
}

// Decode implements http.Decoder.
func (x *decoder) Decode(dst, p []byte) ([]byte, int, error) {
	used := 0
	for {
		if n := min(len(x.out)-x.given, cap(dst)-len(dst)); n > 0 {
			dst = append(dst, x.out[x.given:x.given+n]...)
			x.given += n
		}
		if x.given < len(x.out) {
			return dst, used, nil // dst is full
		}
		n, err := x.take(p[used:])
		used += n
		switch {
		case err != nil:
			return dst, used, err
		case n == 0 && x.given == len(x.out):
			return dst, used, nil
		}
	}
}

// take uses the beginning of p, until there is something to be given away. It returns 0 if it can
// do nothing.
func (x *decoder) take(p []byte) (int, error) {
	switch x.step {
	case inData:
		return x.inflate(p)
	case atEnd:
		if len(p) > 0 {
			return 0, errTrailing
		}
		return 0, nil
	}
	for i, b := range p {
		if err := x.header(b); err != nil {
			return i, err
		}
		if x.step == inData || x.step == atEnd {
			return i + 1, nil
		}
	}
	return len(p), nil
}

// inflate inflates a part of p, as much as the window has room for.
func (x *decoder) inflate(p []byte) (int, error) {
	if len(x.out) == cap(x.out) {
		n := copy(x.out, x.out[len(x.out)-window:])
		x.out = x.out[:n]
	}
	begin := len(x.out)
	out, n, err := x.inflater.Inflate(x.out, p)
	x.out, x.given = out, begin
	x.sum = crc32.Update(x.sum, crc32.IEEETable, out[begin:])
	x.size += uint32(len(out) - begin)
	if errors.Is(err, flate.ErrRoom) {
		return n, nil
	}
	if err != nil {
		return n, err
	}
	if x.inflater.Over() {
		x.step, x.got = atTrailer, 0
		var rest [8]byte
		for _, b := range x.inflater.AppendRest(rest[:0]) {
			if x.step == atEnd {
				return n, errTrailing
			}
			if err := x.header(b); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

// header takes a byte of the header or of the trailer.
func (x *decoder) header(b byte) error {
	switch x.step {
	case atHeader:
		x.fixed[x.got] = b
		if x.got++; x.got < 10 {
			return nil
		}
		x.flags = x.fixed[3]
		if x.fixed[0] != 0x1f || x.fixed[1] != 0x8b || x.fixed[2] != 8 || x.flags&0xe0 != 0 {
			return errHeader
		}
		x.next(atExtra)
	case atExtra:
		x.fixed[x.got] = b
		if x.got++; x.got == 2 {
			if x.skip = int(binary.LittleEndian.Uint16(x.fixed[:])); x.skip == 0 {
				x.next(inName)
				return nil
			}
			x.step = inExtra
		}
	case inExtra:
		if x.skip--; x.skip == 0 {
			x.next(inName)
		}
	case inName, inComment:
		if b == 0 {
			x.next(x.step + 1)
		}
	case atHeaderSum:
		if x.got++; x.got == 2 {
			x.next(inData)
		}
	case atTrailer:
		x.fixed[x.got] = b
		if x.got++; x.got < 8 {
			return nil
		}
		if binary.LittleEndian.Uint32(x.fixed[:]) != x.sum || binary.LittleEndian.Uint32(x.fixed[4:]) != x.size {
			return errSum
		}
		x.step = atEnd
	}
	return nil
}

// next goes on with the first part from s on that the flags say is there.
func (x *decoder) next(s step) {
	const sumFlag, extraFlag, nameFlag, commentFlag = 1 << 1, 1 << 2, 1 << 3, 1 << 4
	for _, part := range [...]struct {
		step step
		flag byte
	}{{atExtra, extraFlag}, {inName, nameFlag}, {inComment, commentFlag}, {atHeaderSum, sumFlag}} {
		if part.step >= s && x.flags&part.flag != 0 {
			x.step, x.got = part.step, 0
			return
		}
	}
	x.step, x.got = inData, 0
}

// End implements http.Decoder.
func (x *decoder) End() error {
	if x.step != atEnd {
		return errShort
	}
	return nil
}

// Drop implements http.Decoder.
func (x *decoder) Drop() {
	x.inflater.Reset()
	*x = decoder{from: x.from, inflater: x.inflater, out: x.out[:0]}
	if len(x.from.free) < maxSpare {
		x.from.free = append(x.from.free, x)
	}
}
