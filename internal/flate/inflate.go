package flate

import (
	"encoding/binary"
	"errors"
)

var (
	// ErrCorrupt is returned for input that is not DEFLATE.
	ErrCorrupt = errors.New("flate: corrupt data")
	// ErrRoom is returned if the output does not fit.
	ErrRoom = errors.New("flate: no room for the output")
)

// Tail has the bytes that RFC 7692 §7.2.1 strips off the end of a message, and §7.2.2 puts back.
const Tail = "\x00\x00\xff\xff"

// An Inflater inflates a stream that comes in pieces. The zero value is at the start of one. It
// holds 10 KB.
type Inflater struct {
	// Once has the Inflater stop after the last block of the first stream: see Over. It is kept by
	// Reset.
	Once bool

	in   []byte // while Inflate runs
	bits uint64 // the next bits, lowest first; nb of them
	nb   uint

	lit, dist         []entry
	litBits, distBits uint

	length   int // bytes still to be copied
	distance int
	nlit     int
	ndist    int
	nlens    int // code lengths sent for the code length code
	have     int // lengths read
	step     step
	final    bool // the block is the last of its stream
	ended    bool // a stream has ended, and no other has begun

	lens    [numLit + numDist + 32]uint8
	litTab  [litEntries]entry
	distTab [distEntries]entry
}

// step is the meaning of the next bits of the stream.
type step uint8

const (
	atBlock step = iota // the header of a block
	atStored
	inStored
	atDynamic
	inCodeLens // the lengths of the code length code
	inLens     // the lengths of the two codes
	inCodes
	inMatch
)

// Reset prepares d for another stream.
func (d *Inflater) Reset() {
	d.bits, d.nb, d.step, d.final, d.ended = 0, 0, atBlock, false, false
}

// Whole reports whether the stream is between two blocks, at a byte boundary. It must be at the end
// of a message, after its Tail.
func (d *Inflater) Whole() bool { return d.step == atBlock && d.nb == 0 }

// Ended reports whether the block before is marked as the last of its stream. Bytes after it are
// another stream, with the same window (RFC 7692 §7.2.3.4).
func (d *Inflater) Ended() bool { return d.ended && d.Whole() }

// Over reports whether the stream of an Inflater with Once is at its end.
func (d *Inflater) Over() bool { return d.Once && d.ended && d.step == atBlock }

// AppendRest appends the bytes after the end of the stream that Inflate has taken; 8 at most. It is
// for a stream that is Over.
func (d *Inflater) AppendRest(b []byte) []byte {
	for d.nb >= 8 {
		b = append(b, byte(d.take(8)))
	}
	return b
}

// Inflate inflates src and appends the result to dst, as far as dst has capacity: it never grows
// dst. The bytes that dst has already are the window. It returns how many bytes of src it has
// taken: all of them unless the error is ErrCorrupt or ErrRoom, or the stream is Over. After ErrRoom call it again with
// more room and the rest of src, which may be empty.
func (d *Inflater) Inflate(dst, src []byte) ([]byte, int, error) {
	d.in = src
	dst, err := d.run(dst)
	n := len(src) - len(d.in)
	d.in = nil
	return dst, n, err
}

// need makes at least n bits of input available in d.bits, n <= 56.
func (d *Inflater) need(n uint) bool {
	for d.nb < n {
		if len(d.in) == 0 {
			return false
		}
		d.bits |= uint64(d.in[0]) << d.nb
		d.in = d.in[1:]
		d.nb += 8
	}
	return true
}

// take returns the next n bits, which must be available.
func (d *Inflater) take(n uint) int {
	v := int(d.bits & (1<<n - 1))
	d.bits >>= n
	d.nb -= n
	return v
}

func (d *Inflater) run(dst []byte) ([]byte, error) {
	for {
		if d.Over() {
			return dst, nil
		}
		more, err := true, error(nil)
		switch d.step {
		case atBlock:
			more, err = d.block()
		case atStored:
			more, err = d.stored()
		case inStored:
			dst, more, err = d.copyStored(dst)
		case atDynamic:
			more, err = d.dynamic()
		case inCodeLens:
			more, err = d.codeLens()
		case inLens:
			more, err = d.readLens()
		case inCodes:
			dst, more, err = d.codes(dst)
		case inMatch:
			if dst = d.match(dst); d.length > 0 {
				return dst, ErrRoom
			}
		}
		if !more || err != nil {
			return dst, err
		}
	}
}

// block reads the header of a block (§3.2.3). Like all steps it returns false when the input does
// not suffice.
func (d *Inflater) block() (bool, error) {
	if !d.need(3) {
		return false, nil
	}
	made.Do(makeTables)
	d.final = d.take(1) == 1
	d.ended = false
	switch d.take(2) {
	case 0:
		d.take(d.nb & 7) // §3.2.4
		d.step = atStored
	case 1:
		d.lit, d.dist = fixedLit[:], fixedDist[:]
		d.litBits, d.distBits = fixedLitBits, fixedDistBits
		d.step = inCodes
	case 2:
		d.step = atDynamic
	default:
		return false, ErrCorrupt
	}
	return true, nil
}

// endBlock goes on after a block. After a last block the next one begins at a byte boundary.
func (d *Inflater) endBlock() {
	d.step = atBlock
	if d.final {
		d.take(d.nb & 7)
		d.ended = true
	}
}

func (d *Inflater) stored() (bool, error) {
	if !d.need(32) {
		return false, nil
	}
	n, complement := d.take(16), d.take(16)
	if n != complement^0xffff {
		return false, ErrCorrupt
	}
	d.length = n
	d.step = inStored
	return true, nil
}

func (d *Inflater) copyStored(dst []byte) ([]byte, bool, error) {
	for d.length > 0 && d.nb > 0 && len(dst) < cap(dst) { // bytes that were read ahead
		dst = append(dst, byte(d.take(8)))
		d.length--
	}
	if d.nb == 0 {
		n := min(d.length, cap(dst)-len(dst), len(d.in))
		dst = append(dst, d.in[:n]...)
		d.in = d.in[n:]
		d.length -= n
	}
	switch {
	case d.length == 0:
		d.endBlock()
		return dst, true, nil
	case len(dst) == cap(dst) && d.nb+uint(len(d.in)) > 0:
		return dst, false, ErrRoom
	}
	return dst, false, nil
}

// dynamic reads how many code lengths follow (§3.2.7).
func (d *Inflater) dynamic() (bool, error) {
	if !d.need(14) {
		return false, nil
	}
	d.nlit, d.ndist, d.nlens = d.take(5)+257, d.take(5)+1, d.take(4)+4
	if d.nlit > numLit || d.ndist > numDist {
		return false, ErrCorrupt
	}
	d.have = 0
	clear(d.lens[:numCodeLen])
	d.step = inCodeLens
	return true, nil
}

func (d *Inflater) codeLens() (bool, error) {
	for ; d.have < d.nlens; d.have++ {
		if !d.need(3) {
			return false, nil
		}
		d.lens[codeOrder[d.have]] = uint8(d.take(3))
	}
	var ok bool
	d.distBits, ok = build(d.distTab[:], d.lens[:numCodeLen], codeSymbols[:])
	if !ok {
		return false, ErrCorrupt
	}
	d.have = 0
	d.step = inLens
	return true, nil
}

// readLens reads the lengths of the two codes, which are one sequence (§3.2.7).
func (d *Inflater) readLens() (bool, error) {
	total := d.nlit + d.ndist
	for d.have < total {
		d.need(7 + 7) // as far as there is input
		e := d.distTab[d.bits&(1<<d.distBits-1)]
		if e.bits() > d.nb {
			return false, nil
		}
		if e.kind() == kindInvalid {
			return false, ErrCorrupt
		}
		symbol := e.value()
		if symbol < 16 {
			d.take(e.bits())
			d.lens[d.have] = uint8(symbol)
			d.have++
			continue
		}
		var extra uint
		repeat, length := 3, uint8(0)
		switch symbol {
		case 16:
			if d.have == 0 {
				return false, ErrCorrupt
			}
			extra, length = 2, d.lens[d.have-1]
		case 17:
			extra = 3
		case 18:
			extra, repeat = 7, 11
		}
		if e.bits()+extra > d.nb {
			return false, nil
		}
		d.take(e.bits())
		repeat += d.take(extra)
		if d.have+repeat > total {
			return false, ErrCorrupt
		}
		for range repeat {
			d.lens[d.have] = length
			d.have++
		}
	}
	return true, d.buildCodes()
}

func (d *Inflater) buildCodes() error {
	lit, dist := d.lens[:d.nlit], d.lens[d.nlit:d.nlit+d.ndist]
	var ok1, ok2 bool
	d.litBits, ok1 = build(d.litTab[:], lit, litSymbols[:])
	d.distBits, ok2 = build(d.distTab[:], dist, distSymbols[:])
	if !ok1 || !ok2 || lit[endOfBlock] == 0 { // without that symbol the block could not end
		return ErrCorrupt
	}
	d.lit, d.dist = d.litTab[:], d.distTab[:]
	d.step = inCodes
	return nil
}

// find decodes the code at the start of bits. If fewer than e.bits() bits are there, the entry
// means nothing.
func find(t []entry, index uint, bits uint64) entry {
	e := t[bits&(1<<index-1)]
	if e.kind() == kindLink {
		e = t[uint64(e.value())+bits>>primaryBits&(1<<e.extra()-1)]
	}
	return e
}

// codes decodes literals and matches.
func (d *Inflater) codes(dst []byte) ([]byte, bool, error) {
	for {
		if len(d.in) >= 8 && cap(dst)-len(dst) >= slack {
			var err error
			if dst, err = d.fast(dst); err != nil || d.step != inCodes {
				return dst, true, err
			}
		}
		d.need(7 + 48) // as far as there is input; a match has 15+5+15+13 bits at most
		e := find(d.lit, d.litBits, d.bits)
		if e.bits() > d.nb {
			return dst, false, nil
		}
		switch e.kind() {
		case kindLiteral:
			if len(dst) == cap(dst) {
				return dst, false, ErrRoom
			}
			dst = append(dst, byte(e.value()))
			d.take(e.bits())
		case kindBase:
			skip := e.bits() + e.extra()
			f := find(d.dist, d.distBits, d.bits>>skip)
			switch {
			case skip > d.nb || skip+f.bits()+f.extra() > d.nb && (f.kind() == kindBase || skip+f.bits() > d.nb):
				return dst, false, nil
			case f.kind() != kindBase:
				return dst, false, ErrCorrupt
			}
			d.take(e.bits())
			d.length = e.value() + d.take(e.extra())
			d.take(f.bits())
			d.distance = f.value() + d.take(f.extra())
			if d.distance > len(dst) {
				return dst, false, ErrCorrupt
			}
			d.step = inMatch
			if dst = d.match(dst); d.length > 0 {
				return dst, false, ErrRoom
			}
		case kindEnd:
			d.take(e.bits())
			d.endBlock()
			return dst, true, nil
		default:
			return dst, false, ErrCorrupt
		}
	}
}

// match copies as much of a match as there is room for.
func (d *Inflater) match(dst []byte) []byte {
	for d.length > 0 && len(dst) < cap(dst) {
		from := dst[len(dst)-d.distance:]
		n := min(d.length, len(from), cap(dst)-len(dst))
		dst = append(dst, from[:n]...)
		d.length -= n
	}
	if d.length == 0 {
		d.step = inCodes
	}
	return dst
}

// slack is the room that fast needs: two literals, or the longest match and the excess of a copy by
// eights.
const slack = maxMatch + 8

// fast is codes without looking at each bit whether it has come and at each byte whether it fits:
// as long as there are 8 bytes of input and slack bytes of room. It ends early at the end of the
// block. It is one function because its variables then stay in registers.
func (d *Inflater) fast(dst []byte) ([]byte, error) {
	in, bits, nb := d.in, d.bits, d.nb
	lit, dist := d.lit, d.dist
	litMask := uint64(1)<<d.litBits - 1
	out, o := dst[:cap(dst)], len(dst)
	var err error
	for len(in) >= 8 && o <= len(out)-slack {
		// nb is at least 56 now. Bits above nb may be those of bytes that are still in in: they are
		// put there again.
		bits |= binary.LittleEndian.Uint64(in) << nb
		in = in[(63-nb)>>3:]
		nb |= 56
		e := lit[bits&litMask]
		if e.kind() == kindLiteral { // 9 bits at most
			out[o] = byte(e >> 16)
			o++
			bits >>= e.bits()
			nb -= e.bits()
			if e = lit[bits&litMask]; e.kind() == kindLiteral {
				out[o] = byte(e >> 16)
				o++
				bits >>= e.bits()
				nb -= e.bits()
				continue
			}
			if nb < 48 {
				continue
			}
		}
		if e.kind() == kindLink {
			e = lit[uint64(e.value())+bits>>primaryBits&(1<<e.extra()-1)]
		}
		bits >>= e.bits()
		nb -= e.bits()
		if e.kind() == kindLiteral {
			out[o] = byte(e >> 16)
			o++
			continue
		}
		if e.kind() != kindBase {
			if e.kind() == kindInvalid {
				err = ErrCorrupt
			}
			d.step = atBlock
			break
		}
		length := e.value() + int(bits&(1<<e.extra()-1))
		bits >>= e.extra()
		f := find(dist, d.distBits, bits)
		distance := f.value() + int(bits>>f.bits()&(1<<f.extra()-1))
		bits >>= f.bits() + f.extra()
		nb -= e.extra() + f.bits() + f.extra()
		if f.kind() != kindBase || distance > o {
			err = ErrCorrupt
			break
		}
		o = copyMatch(out, o, distance, length)
	}
	d.in, d.bits, d.nb = in, bits&(1<<nb-1), nb
	if d.step == atBlock && err == nil {
		d.endBlock()
	}
	return out[:o], err
}

// copyMatch copies a match to out[o:], by eights where it does not overlap itself more closely, and
// returns its end.
func copyMatch(out []byte, o, distance, length int) int {
	end := o + length
	switch {
	case distance >= 8 && length <= 32:
		for i := o - distance; o < end; i, o = i+8, o+8 {
			binary.LittleEndian.PutUint64(out[o:], binary.LittleEndian.Uint64(out[i:]))
		}
	case distance >= length:
		copy(out[o:end], out[o-distance:])
	default:
		for from := o - distance; o < end; {
			o += copy(out[o:end], out[from:o])
		}
	}
	return end
}
