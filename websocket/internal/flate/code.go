package flate

import "slices"

// A code is the bits of a symbol as they are sent, the first lowest, and above them how many there are.
type code uint32

func (c code) bits() uint64 { return uint64(c & 0xffff) }
func (c code) len() uint    { return uint(c >> 16) }

// assign makes the canonical code with the given lengths (§3.2.2).
func assign(codes []code, lens []uint8) {
	var count, next [maxBits + 2]uint16
	for _, n := range lens {
		count[n]++
	}
	count[0] = 0
	for n := 1; n <= maxBits; n++ {
		next[n+1] = (next[n] + count[n]) << 1
	}
	for i, n := range lens {
		codes[i] = 0
		if n > 0 {
			codes[i] = code(reversed(next[n], n)) | code(n)<<16
			next[n]++
		}
	}
}

// An ownCode is a code that is made for one block, and sent with it (§3.2.7).
type ownCode struct {
	lit  [numLit]code
	dist [numDist]code

	lens       [numLit + numDist]uint8 // those of lit, then those of dist, without the zeros at the end of each
	nlit       int
	ndist      int
	runs       []uint16 // lens as they are sent: symbols, and above each the bits that follow it
	runFreq    [numCodeLen]uint32
	runLens    [numCodeLen]uint8
	runCodes   [numCodeLen]code
	nlens      int
	keys, work [numLit]uint32
	parent     [2][numLit]uint16
}

// make makes the code that is best for these frequencies, and returns how many bits it takes with its description.
func (o *ownCode) make(lit, dist []uint32) (n int) {
	lens := o.lens[:numLit]
	o.lengths(lens, lit, maxBits)
	assign(o.lit[:], lens)
	n = cost(lit, lens)
	for o.nlit = numLit; lens[o.nlit-1] == 0; {
		o.nlit--
	}
	lens = o.lens[o.nlit:][:numDist]
	o.lengths(lens, dist, maxBits)
	assign(o.dist[:], lens)
	n += cost(dist, lens)
	for o.ndist = numDist; lens[o.ndist-1] == 0; {
		o.ndist--
	}
	o.describe(o.lens[:o.nlit+o.ndist])
	o.lengths(o.runLens[:], o.runFreq[:], 7)
	assign(o.runCodes[:], o.runLens[:])
	n += cost(o.runFreq[:], o.runLens[:])
	n += int(2*o.runFreq[16] + 3*o.runFreq[17] + 7*o.runFreq[18])
	for o.nlens = numCodeLen; o.runLens[codeOrder[o.nlens-1]] == 0; {
		o.nlens--
	}
	return n + 5 + 5 + 4 + 3*o.nlens
}

// describe puts runs of lengths together.
func (o *ownCode) describe(lens []uint8) {
	o.runs = o.runs[:0]
	clear(o.runFreq[:])
	add := func(symbol, extra int) {
		o.runs = append(o.runs, uint16(extra<<8|symbol))
		o.runFreq[symbol]++
	}
	for len(lens) > 0 {
		x, n := lens[0], 1
		for n < len(lens) && lens[n] == x && n < 138 {
			n++
		}
		switch {
		case x == 0 && n >= 11:
			add(18, n-11)
		case x == 0 && n >= 3:
			add(17, n-3)
		case n >= 4:
			n = min(n, 1+6)
			add(int(x), 0)
			add(16, n-1-3)
		default:
			n = 1
			add(int(x), 0)
		}
		lens = lens[n:]
	}
}

// write writes the description.
func (o *ownCode) write(b *block) {
	b.put(uint32(o.nlit-257), 5)
	b.put(uint32(o.ndist-1), 5)
	b.put(uint32(o.nlens-4), 4)
	for _, i := range codeOrder[:o.nlens] {
		b.put(uint32(o.runLens[i]), 3)
	}
	for _, r := range o.runs {
		c := o.runCodes[r&0xff]
		b.put(uint32(c.bits()), c.len())
		switch r & 0xff {
		case 16:
			b.put(uint32(r>>8), 2)
		case 17:
			b.put(uint32(r>>8), 3)
		case 18:
			b.put(uint32(r>>8), 7)
		}
	}
}

// lengths sets lens to the lengths of the best prefix code for freq whose codes have limit bits at most. The code is of two
// symbols at least, whether they occur or not: decoders differ in what they make of a code of one.
func (o *ownCode) lengths(lens []uint8, freq []uint32, limit int) {
	keys := o.keys[:0] // the symbols in order of frequency
	for i, k := range freq {
		if lens[i] = 0; k > 0 {
			keys = append(keys, k<<9|uint32(i))
		}
	}
	for i := uint32(0); len(keys) < 2; i++ {
		if freq[i] == 0 {
			keys = append(keys, i)
		}
	}
	slices.Sort(keys)
	count := o.depths(keys, limit)
	i := 0
	for n := limit; n > 0; n-- {
		for range count[n] {
			lens[keys[i]&0x1ff] = uint8(n)
			i++
		}
	}
}

// depths returns how many codes of each length the best code has.
func (o *ownCode) depths(keys []uint32, limit int) (count [maxBits + 1]int) {
	// Huffman's tree: the two lightest nodes get a parent, until there is one node left. Leaves are sorted, and parents
	// come about in order of weight, so the lightest is always the next of either.
	weight, of, leafOf := o.work[:len(keys)-1], o.parent[0][:], o.parent[1][:]
	leaf, node := 0, 0
	lightest := func(parent int) uint32 {
		if node == parent || leaf < len(keys) && keys[leaf]>>9 <= weight[node] {
			leafOf[leaf] = uint16(parent)
			leaf++
			return keys[leaf-1] >> 9
		}
		of[node] = uint16(parent)
		node++
		return weight[node-1]
	}
	for i := range weight {
		weight[i] = lightest(i) + lightest(i)
	}
	depth := weight // from the root down, it replaces the weights
	depth[len(depth)-1] = 0
	for i := len(depth) - 2; i >= 0; i-- {
		depth[i] = depth[of[i]] + 1
	}
	taken := 0
	for i := range keys {
		n := min(int(depth[leafOf[i]])+1, limit)
		count[n]++
		taken += 1 << (limit - n)
	}
	// Codes that were cut to limit bits take more than there is. To make room for one, another of fewer bits gets one more
	// bit, and shares the code that it had.
	for ; taken > 1<<limit; taken-- {
		n := limit - 1
		for count[n] == 0 {
			n--
		}
		count[n]--
		count[n+1] += 2
		count[limit]--
	}
	return count
}
