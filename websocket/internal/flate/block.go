package flate

import "encoding/binary"

const (
	maxTokens = 8 << 10 // of a block
	// fewTokens do not make up for a code of their own, which takes some 40 bytes to send and time to make.
	fewTokens = 64
)

// A block collects literals and matches, and writes them in the form that is shortest.
type block struct {
	out  []byte // what has been written; bits holds what follows it, nb < 48
	bits uint64
	nb   uint

	src      []byte // what is deflated
	from, at int    // where in src the block begins, and how far it goes

	// A token is a literal, or tokenMatch with the length and the distance, each less the least there is.
	tokens []uint32
	lit    [numLit]uint32 // how often each occurs
	dist   [numDist]uint32
	own    ownCode
}

const tokenMatch = 1 << 31

var (
	fixedLitLens                 [288]uint8
	fixedDistLens                [32]uint8
	fixedLitCodes, fixedDstCodes [288]code
)

func initDeflate() {
	for i := range fixedLitLens {
		fixedLitLens[i] = fixedLength(i)
	}
	for i := range fixedDistLens {
		fixedDistLens[i] = 5
	}
	assign(fixedLitCodes[:], fixedLitLens[:])
	assign(fixedDstCodes[:], fixedDistLens[:])
}

// begin begins the blocks of a message.
func (b *block) begin(dst []byte) {
	b.out, b.bits, b.nb = dst, 0, 0
}

// end pads to a byte boundary and returns all that was written.
func (b *block) end() []byte {
	for ; b.nb > 0; b.nb -= min(b.nb, 8) {
		b.out = append(b.out, byte(b.bits))
		b.bits >>= 8
	}
	out := b.out
	b.out = nil
	return out
}

// put writes n bits, at most 16.
func (b *block) put(v uint32, n uint) {
	b.bits |= uint64(v) << b.nb
	if b.nb += n; b.nb >= 48 {
		b.out = binary.LittleEndian.AppendUint64(b.out, b.bits)
		b.out = b.out[:len(b.out)-2]
		b.bits >>= 48
		b.nb -= 48
	}
}

// literals adds the literals up to src[end].
func (b *block) literals(end int) {
	for b.at < end {
		if len(b.tokens) == maxTokens {
			b.flush()
		}
		n := min(end-b.at, maxTokens-len(b.tokens))
		for _, x := range b.src[b.at : b.at+n] {
			b.tokens = append(b.tokens, uint32(x))
			b.lit[x]++
		}
		b.at += n
	}
}

func (b *block) match(n, distance int) {
	if len(b.tokens) == maxTokens {
		b.flush()
	}
	b.tokens = append(b.tokens, tokenMatch|uint32(n-3)<<16|uint32(distance-1))
	b.lit[endOfBlock+1+int(lengthCode[n])]++
	b.dist[distanceCode(uint32(distance-1))]++
	b.at += n
}

// distanceCode returns the code of the distance d+1.
func distanceCode(d uint32) uint8 {
	if d < 256 {
		return distCode[d]
	}
	return distCode[256+d>>7]
}

// flush writes the block and begins the next.
func (b *block) flush() {
	if len(b.tokens) == 0 {
		return
	}
	b.lit[endOfBlock] = 1
	extra := b.extraBits()
	fixed := extra + cost(b.lit[:], fixedLitLens[:]) + cost(b.dist[:], fixedDistLens[:])
	raw := b.src[b.from:b.at]
	stored := 8*len(raw) + (7+32)*(1+len(raw)/maxStored)
	dynamic := stored
	if len(b.tokens) >= fewTokens {
		dynamic = extra + b.own.make(b.lit[:], b.dist[:])
	}
	switch {
	case dynamic < min(fixed, stored):
		b.put(2<<1, 3)
		b.own.write(b)
		b.codes(b.own.lit[:], b.own.dist[:])
	case fixed < stored:
		b.put(1<<1, 3)
		b.codes(fixedLitCodes[:], fixedDstCodes[:])
	default:
		b.stored(raw)
	}
	b.from = b.at
	b.tokens = b.tokens[:0]
	clear(b.lit[:])
	clear(b.dist[:])
}

// extraBits returns how many bits follow the codes of the matches.
func (b *block) extraBits() (n int) {
	for i, k := range b.lit[endOfBlock+1:] {
		n += int(k) * int(lengthExtra[i])
	}
	for i, k := range b.dist {
		n += int(k) * int(distExtra[i])
	}
	return n
}

// cost returns how many bits the codes take.
func cost(freq []uint32, lens []uint8) (n int) {
	for i, k := range freq {
		n += int(k) * int(lens[i])
	}
	return n
}

const maxStored = 0xffff

// stored writes stored blocks (RFC 1951 §3.2.4).
func (b *block) stored(raw []byte) {
	for len(raw) > 0 {
		n := min(len(raw), maxStored)
		b.put(0, 3)
		b.put(0, -b.nb&7)
		b.put(uint32(n), 16)
		b.put(uint32(n)^maxStored, 16)
		for b.nb > 0 {
			b.out = append(b.out, byte(b.bits))
			b.bits >>= 8
			b.nb -= 8
		}
		b.out = append(b.out, raw[:n]...)
		raw = raw[n:]
	}
}

// codes writes the tokens and the end of the block.
func (b *block) codes(lit, dist []code) {
	lit, dist = lit[:numLit], dist[:numDist]
	out, bits, nb := b.out, b.bits, b.nb // nb < 48
	for _, t := range b.tokens {
		if nb >= 48 {
			out = binary.LittleEndian.AppendUint64(out, bits)
			out = out[:len(out)-2]
			bits >>= 48
			nb -= 48
		}
		if t < 256 {
			c := lit[t]
			bits |= c.bits() << nb
			nb += c.len()
			continue
		}
		if nb >= 32 { // 20 bits follow
			out = binary.LittleEndian.AppendUint32(out, uint32(bits))
			bits >>= 32
			nb -= 32
		}
		n, d := t>>16&0xff, t&0xffff
		k := lengthCode[n+3]
		c := lit[endOfBlock+1+uint(k)]
		bits |= c.bits() << nb
		nb += c.len()
		bits |= uint64(n+3-uint32(lengthBase[k])) << nb
		nb += uint(lengthExtra[k])
		if nb >= 32 { // 28 bits follow
			out = binary.LittleEndian.AppendUint32(out, uint32(bits))
			bits >>= 32
			nb -= 32
		}
		k = distanceCode(d)
		c = dist[k]
		bits |= c.bits() << nb
		nb += c.len()
		bits |= uint64(d+1-uint32(distBase[k])) << nb
		nb += uint(distExtra[k])
	}
	b.out, b.bits, b.nb = out, bits, nb
	b.put(0, 0)
	c := lit[endOfBlock]
	b.put(uint32(c.bits()), c.len())
}
