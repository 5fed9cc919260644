package http

import (
	"bytes"
	"errors"
	"math"
	"strconv"

	"github.com/seed4930a636/mangusta/internal/wire"
)

// A Range is a run of bytes of a representation.
type Range struct {
	Start, Length int64 // Length is above 0
}

// ErrUnsatisfiable says that a representation has none of the requested ranges. Reply with 416, and
// with a Content-Range made by AppendUnsatisfied.
var ErrUnsatisfiable = errors.New("http: range: not satisfiable")

// maxRanges is how many ranges one request may ask for (RFC 9110 17.15). With more the Range is
// ignored, and the whole is sent.
const maxRanges = 32

// Ranges returns the ranges that r asks for, of a representation of size bytes: ParseRange of its
// Range field. They are for GET only (RFC 9110 14.2). See Validators.Check for If-Range, which
// comes first.
func (r *Request) Ranges(dst []Range, size int64) ([]Range, error) {
	if v, n := r.only("Range"); n == 1 && r.Method == "GET" {
		return ParseRange(dst, v, size)
	}
	return dst[:0], nil
}

// ParseRange reads the value of a Range field (RFC 9110 14.1 and 14.2) for a representation of size
// bytes, into dst[:0]. Ranges that overlap or touch become one, in the place of the first;
// otherwise their order stays. No ranges and no error means that the whole is to be sent: the value
// is malformed, has another unit than bytes, or has more than 32 ranges, and must or may be
// ignored.
func ParseRange(dst []Range, value []byte, size int64) ([]Range, error) {
	dst = dst[:0]
	n := wire.TokenLen(value)
	if n == len(value) || value[n] != '=' || !wire.FoldEqual(value[:n], "bytes") {
		return dst, nil
	}
	value = value[n+1:]
	specs, whole, more := 0, false, true
	for more {
		var spec []byte
		if spec, value, more = wire.CutComma(value); len(spec) == 0 {
			continue // RFC 9110 5.6.1.2: empty elements of a list count for nothing
		}
		first, last, ok := parseSpec(spec)
		if specs++; !ok || specs > maxRanges {
			return dst[:0], nil
		}
		switch {
		case first < 0 && last > 0 && size == 0:
			// RFC 9110 14.1.2: a suffix of nothing is satisfiable, but no Content-Range can say so.
			whole = true
		case first < 0 && last > 0:
			last = min(last, size)
			dst = addRange(dst, Range{size - last, last})
		case first >= 0 && first < size:
			dst = addRange(dst, Range{first, min(last, size-1) - first + 1})
		}
	}
	if len(dst) == 0 && specs > 0 && !whole {
		return dst, ErrUnsatisfiable
	}
	return dst, nil
}

// parseSpec reads first "-" [ last ], or "-" suffix-length: then first is -1. If last is missing,
// it is the largest number.
func parseSpec(spec []byte) (first, last int64, ok bool) {
	first, rest := parsePos(spec)
	if len(rest) == 0 || rest[0] != '-' {
		return 0, 0, false
	}
	last, end := parsePos(rest[1:])
	switch {
	case len(end) > 0 || len(spec) == 1:
		return 0, 0, false
	case len(rest) == len(spec):
		return -1, last, true
	case len(rest) == 1:
		return first, math.MaxInt64, true
	}
	// RFC 9110 14.1.1: an int-range whose last-pos is below its first-pos is invalid, however large
	// they are.
	digits := bytes.TrimLeft(spec[:len(spec)-len(rest)], "0")
	digits2 := bytes.TrimLeft(rest[1:], "0")
	ok = len(digits) < len(digits2) || len(digits) == len(digits2) && bytes.Compare(digits, digits2) <= 0
	return first, last, ok
}

// parsePos reads digits. A number that is too large becomes the largest, which is after the end of
// anything.
func parsePos(b []byte) (n int64, rest []byte) {
	for len(b) > 0 && wire.IsDigit(b[0]) {
		d := int64(b[0] - '0')
		if n > (math.MaxInt64-d)/10 {
			n = math.MaxInt64
		} else {
			n = n*10 + d
		}
		b = b[1:]
	}
	return n, b
}

// addRange adds r, together with those of ranges that it overlaps or touches. As no two of ranges
// touch each other, what r has grown by cannot touch one that r itself does not.
func addRange(ranges []Range, r Range) []Range {
	place, kept := -1, 0
	for _, x := range ranges {
		if r.Start <= x.Start+x.Length && x.Start <= r.Start+r.Length {
			start := min(r.Start, x.Start)
			r = Range{start, max(r.Start+r.Length, x.Start+x.Length) - start}
			if place < 0 {
				place, kept = kept, kept+1
			}
			continue
		}
		ranges[kept] = x
		kept++
	}
	if place < 0 {
		return append(ranges, r)
	}
	ranges[place] = r
	return ranges[:kept]
}

// AppendContentRange appends the value of the Content-Range field of a 206, or of a part of one,
// for this range of size bytes.
func (g Range) AppendContentRange(dst []byte, size int64) []byte {
	dst = strconv.AppendInt(append(dst, "bytes "...), g.Start, 10)
	dst = strconv.AppendInt(append(dst, '-'), g.Start+g.Length-1, 10)
	return strconv.AppendInt(append(dst, '/'), size, 10)
}

// AppendUnsatisfied appends the value of the Content-Range field of a 416.
func AppendUnsatisfied(dst []byte, size int64) []byte {
	return strconv.AppendInt(append(dst, "bytes */"...), size, 10)
}
