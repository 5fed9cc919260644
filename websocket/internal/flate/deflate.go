package flate

import (
	"encoding/binary"
	"math/bits"
	"sync"
)

const (
	hashBits = 13
	// minStretch is the least of a message with history that is taken at a time.
	minStretch = 4 << 10
	// farBase is where positions begin anew, long before they overflow.
	farBase = 1 << 30
)

// A Deflater deflates messages. The zero value is ready. See Footprint for its size.
type Deflater struct {
	table [1 << hashBits]uint32 // by hash: the position where it occurred last
	chain []uint32              // from there on, by position modulo its length: where it occurred before
	base  uint32                // the position of the first byte of src; smaller ones are of messages before
	used  int                   // bytes of the last src

	history []byte // what matches may refer to besides the message itself
}

// blocks are what only a call of Append needs: 45 KB.
var blocks = sync.Pool{New: func() any { return &block{tokens: make([]uint32, 0, maxTokens)} }}

// Footprint returns how many bytes a Deflater holds that keeps a history: 96 KB for level 1 and the largest window.
func Footprint(level, window int) int {
	n := 4<<hashBits + window + max(window, minStretch)
	if level > 1 {
		n += 4 * window
	}
	return n
}

// searches are the bounds of each level: how many earlier places are looked at; how long a match must be to be taken
// without a look at the next byte's; and how long to be taken without a look at other places.
var searches = [10]struct{ depth, lazy, nice int }{
	2: {2, 0, 32}, 3: {4, 0, 32}, 4: {4, 8, 32}, 5: {8, 16, 48}, 6: {16, 32, 96}, 7: {32, 64, 128},
	8: {128, maxMatch, maxMatch}, 9: {1024, maxMatch, maxMatch},
}

// Append deflates the message p and appends it to dst: blocks, none of which is the last, then the header of an empty one, up
// to a byte boundary. Level is 1 (fastest) to 9. No match lies farther back than window bytes, a power of two up to 32768.
//
// With history matches may lie in the messages before, of which Append keeps a copy as far as window reaches, which must always be the same.
func (d *Deflater) Append(dst, p []byte, level, window int, history bool) []byte {
	b := blocks.Get().(*block)
	b.begin(dst)
	if level > 1 && len(d.chain) < window {
		d.chain = make([]uint32, window)
	}
	if !history {
		d.history = nil
		d.next(0)
		d.deflate(b, p, 0, level, window)
	}
	for history && len(p) > 0 {
		start := d.slide(window)
		n := min(len(p), cap(d.history)-start)
		d.history = append(d.history, p[:n]...)
		d.deflate(b, d.history, start, level, window)
		p = p[n:]
	}
	b.put(0, 3) // the header of a stored block that is not the last
	dst = b.end()
	blocks.Put(b)
	return dst
}

// Forget drops the history.
func (d *Deflater) Forget() { d.history = nil }

// next begins a new src, which starts with the last kept bytes of the old one.
func (d *Deflater) next(kept int) {
	d.base += uint32(d.used - kept)
	d.used = kept
	if d.base-1 >= farBase { // also the first time, when it is 0
		clear(d.table[:])
		d.base = 1
	}
}

// slide makes room at the end of the history, and returns its length.
func (d *Deflater) slide(window int) int {
	switch {
	case d.history == nil:
		d.history = make([]byte, 0, window+max(window, minStretch))
		d.next(0)
	case d.base >= farBase: // with its positions all that was known of the history would be lost
		d.history = d.history[:0]
		d.next(0)
	case len(d.history) == cap(d.history):
		kept := min(window, len(d.history))
		copy(d.history, d.history[len(d.history)-kept:])
		d.history = d.history[:kept]
		d.next(kept)
	}
	return len(d.history)
}

// deflate adds src[start:] to the blocks.
func (d *Deflater) deflate(b *block, src []byte, start, level, window int) {
	b.src, b.from, b.at = src, start, start
	if level <= 1 {
		d.quick(b, src, start, window)
	} else {
		d.search(b, src, start, level, window)
	}
	b.literals(len(src))
	b.flush()
	b.src = nil
	d.used = len(src)
}

func hash(v uint32) uint32 { return v * 0x9e3779b1 >> (32 - hashBits) }

func load32(b []byte, i int) uint32 { return binary.LittleEndian.Uint32(b[i:]) }

// quick looks at one place for each hash, and at fewer and fewer of the bytes where nothing matches.
func (d *Deflater) quick(b *block, src []byte, s, window int) {
	for last := len(src) - 8; s < last; {
		v := load32(src, s)
		slot := &d.table[hash(v)]
		at := d.base + uint32(s)
		distance := int(at - *slot)
		*slot = at
		if distance > min(s, window) || load32(src, s-distance) != v {
			s += 1 + (s-b.at)>>6
			continue
		}
		for s > b.at && s > distance && src[s-1] == src[s-1-distance] {
			s--
		}
		b.literals(s)
		for n := maxMatch; n == maxMatch && s < last; { // a run is longer than one match can say
			if n = matchLen(src, s, s-distance); n < minMatch {
				break
			}
			b.match(n, distance)
			s += n
		}
		if s < last {
			d.table[hash(load32(src, s-1))] = d.base + uint32(s-1)
		}
	}
}

// matchLen returns how many bytes at i are the same as at j < i, at most maxMatch.
func matchLen(src []byte, i, j int) int {
	a := src[i:min(i+maxMatch, len(src))]
	b := src[j:][:len(a)]
	n := 0
	for ; n+8 <= len(a); n += 8 {
		if x := binary.LittleEndian.Uint64(a[n:]) ^ binary.LittleEndian.Uint64(b[n:]); x != 0 {
			return n + bits.TrailingZeros64(x)>>3
		}
	}
	for n < len(a) && a[n] == b[n] {
		n++
	}
	return n
}

// search looks at several places for each hash, and from level 4 on whether the next byte starts a longer match.
func (d *Deflater) search(b *block, src []byte, s, level, window int) {
	how := searches[min(level, 9)]
	last := len(src) - minMatch
	waiting, back := 0, 0 // length and distance of the match at s-1, which yields to a longer one at s
	for s <= last {
		n, distance := d.longest(src, s, how.depth, how.nice, min(s, window), waiting)
		d.insert(src, s)
		s++
		switch {
		case waiting > 0 && n <= waiting:
			s = d.accept(b, src, s-2, waiting, back, s)
			waiting = 0
		case n >= minMatch && n < how.lazy:
			waiting, back = n, distance
		case n >= minMatch:
			s = d.accept(b, src, s-1, n, distance, s)
			waiting = 0
		}
	}
	if waiting > 0 {
		d.accept(b, src, s-1, waiting, back, s)
	}
}

// accept takes the match of n bytes at s, and returns its end; up to known it is in the table.
func (d *Deflater) accept(b *block, src []byte, s, n, distance, known int) int {
	b.literals(s)
	b.match(n, distance)
	for i := known; i < s+n; i++ {
		d.insert(src, i)
	}
	return s + n
}

// insert notes where the 4 bytes at s are.
func (d *Deflater) insert(src []byte, s int) {
	if s+minMatch <= len(src) {
		slot := &d.table[hash(load32(src, s))]
		at := d.base + uint32(s)
		d.chain[at&uint32(len(d.chain)-1)] = *slot
		*slot = at
	}
}

// longest returns the longest match at s that is longer than n, if there is one within reach.
func (d *Deflater) longest(src []byte, s, depth, nice, reach, n int) (length, distance int) {
	v := load32(src, s)
	at := d.base + uint32(s)
	n = max(n, minMatch-1)
	for place := d.table[hash(v)]; depth > 0 && s+n < len(src); depth-- {
		back := int(at - place)
		if back > reach {
			break
		}
		if j := s - back; src[j+n] == src[s+n] && load32(src, j) == v {
			if k := matchLen(src, s, j); k > n {
				length, distance, n = k, back, k
				if k >= nice {
					break
				}
			}
		}
		place = d.chain[place&uint32(len(d.chain)-1)]
	}
	return length, distance
}
