package flate

import "math/bits"

// A table decodes a prefix code: it is indexed with the next bits of the stream, as many as the
// longest code has but at most primary; longer codes go on in a second table. An entry is
//
//	bits 0-4    bits of the code
//	bits 5-8    bits that follow the code; of a link, index bits of the second table
//	bits 9-11   kind
//	bits 16-31  literal, first length, first distance, or index of the second table
type entry uint32

const (
	kindLiteral entry = iota << 9
	kindBase          // a length or a distance
	kindEnd
	kindLink
	kindInvalid
	kindMask = 7 << 9
)

func (e entry) bits() uint  { return uint(e) & 31 }
func (e entry) extra() uint { return uint(e) >> 5 & 15 }
func (e entry) kind() entry { return e & kindMask }
func (e entry) value() int  { return int(e >> 16) }

const (
	primaryBits = 9
	// A complete code of 286 symbols and 15 bits needs 852 entries at most with a first table of 9
	// bits; one of 30 symbols needs 592 at most with 6 bits or more. The code checks the bounds,
	// too.
	litEntries  = 1 << 10
	distEntries = 1 << 10
)

var (
	litSymbols  [288]entry // without the bits of the code
	distSymbols [32]entry
	codeSymbols [numCodeLen]entry

	fixedLit, fixedDist         [1 << primaryBits]entry
	fixedLitBits, fixedDistBits uint
)

func makeSymbols() {
	for i := range litSymbols {
		switch {
		case i < endOfBlock:
			litSymbols[i] = kindLiteral | entry(i)<<16
		case i == endOfBlock:
			litSymbols[i] = kindEnd
		case i < numLit:
			k := i - endOfBlock - 1
			litSymbols[i] = kindBase | entry(lengthBase[k])<<16 | entry(lengthExtra[k])<<5
		default: // §3.2.6: 286 and 287 take part in the fixed code, and never occur
			litSymbols[i] = kindInvalid
		}
	}
	for i := range distSymbols {
		if distSymbols[i] = kindInvalid; i < numDist { // 30 and 31, likewise
			distSymbols[i] = kindBase | entry(distBase[i])<<16 | entry(distExtra[i])<<5
		}
	}
	for i := range codeSymbols {
		codeSymbols[i] = entry(i) << 16
	}
	var lens [288]uint8
	for i := range lens {
		lens[i] = fixedLength(i)
	}
	fixedLitBits, _ = build(fixedLit[:], lens[:], litSymbols[:])
	for i := range lens[:32] {
		lens[i] = 5
	}
	fixedDistBits, _ = build(fixedDist[:], lens[:32], distSymbols[:])
}

// fixedLength returns the bits of a literal or length in the fixed code (§3.2.6).
func fixedLength(symbol int) uint8 {
	switch {
	case symbol < 144:
		return 8
	case symbol < 256:
		return 9
	case symbol < 280:
		return 7
	}
	return 8
}

// build fills t for the canonical code with the given lengths (§3.2.2) and returns the index bits
// of its first table. It returns false if the lengths are no prefix code, or if codes are left
// without a meaning. Only a code without symbols, and a code of one symbol in one bit, may be
// incomplete.
func build(t []entry, lens []uint8, symbols []entry) (index uint, ok bool) {
	var count, next [maxBits + 2]uint16
	for _, n := range lens {
		count[n&15]++
	}
	count[0] = 0
	left, longest := 1, uint(0)
	for n := uint(1); n <= maxBits; n++ {
		if count[n] > 0 {
			longest = n
		}
		left = left<<1 - int(count[n])
		if left < 0 {
			return 0, false
		}
		next[n+1] = (next[n] + count[n]) << 1
	}
	if longest <= 1 && count[1] < 2 {
		t[0], t[1] = kindInvalid|1, kindInvalid|1
	} else if left > 0 {
		return 0, false
	}
	index = min(max(longest, 1), primaryBits)
	if longest > primaryBits && !link(t, lens, next) {
		return 0, false
	}
	size := 1 << index
	for i, n := range lens {
		if n == 0 {
			continue
		}
		code := reversed(next[n], n)
		next[n]++
		e := symbols[i] | entry(n)
		if uint(n) <= index {
			for k := int(code); k < size; k += 1 << n {
				t[k] = e
			}
			continue
		}
		l := t[code&(1<<primaryBits-1)]
		second := t[l.value():][:1<<l.extra()]
		for k := int(code) >> primaryBits; k < len(second); k += 1 << (n - primaryBits) {
			second[k] = e
		}
	}
	return index, true
}

// link places the second tables after the first, each large enough for the longest code that begins
// with its index.
func link(t []entry, lens []uint8, next [maxBits + 2]uint16) bool {
	var longest [1 << primaryBits]uint8
	for _, n := range lens {
		if n > 0 {
			first := reversed(next[n], n) & (1<<primaryBits - 1)
			next[n]++
			longest[first] = max(longest[first], n)
		}
	}
	end := 1 << primaryBits
	for i, n := range longest {
		if n > primaryBits {
			t[i] = kindLink | (primaryBits + 1) | entry(n-primaryBits)<<5 | entry(end)<<16
			if end += 1 << (n - primaryBits); end > len(t) {
				return false
			}
		}
	}
	return true
}

// reversed returns the n bits of code in the order in which they are sent, the first lowest
// (§3.1.1).
func reversed(code uint16, n uint8) uint16 { return bits.Reverse16(code) >> (16 - n) }
