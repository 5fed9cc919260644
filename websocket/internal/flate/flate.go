// Package flate deflates and inflates messages (RFC 1951), in the form that RFC 7692 gives them on a WebSocket.
//
// It is not compress/flate, for two reasons. That package's reader pulls its input and cannot stop in the middle of it, so a
// loop could only wait for whole messages before it looks at them; an Inflater is given what has come and stops at any
// bit, and its output is its window, so that nothing is copied. And its writers hold 0.8 to 1.2 MB each, and clear most of that for each
// message from level 2 on; a Deflater holds 32 KB and forgets the last message by moving a number. BenchmarkDeflate,
// BenchmarkInflate and BenchmarkCompressFlate compare the two.
package flate

const (
	maxBits   = 15    // of a code
	maxWindow = 32768 // the farthest that a match may lie back
	minMatch  = 4     // 3 is allowed, but rarely worth its two codes
	maxMatch  = 258

	endOfBlock = 256
	numLit     = 286 // literals, end of block, lengths
	numDist    = 30
	numCodeLen = 19
)

// codeOrder is the order in which the lengths of the code length code are sent (§3.2.7).
var codeOrder = [numCodeLen]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// §3.2.5: the first length that a length code stands for, and how many bits follow it to say which.
var (
	lengthBase  [29]uint16
	lengthExtra [29]uint8
	distBase    [numDist]uint16
	distExtra   [numDist]uint8
	lengthCode  [maxMatch + 1]uint8 // by length
	distCode    [512]uint8          // by distance-1 below 256, behind that by (distance-1)>>7
)

func init() {
	n := 3
	for code := range lengthBase {
		extra := max(0, code/4-1)
		lengthBase[code], lengthExtra[code] = uint16(n), uint8(extra)
		for range 1 << extra {
			if n <= maxMatch {
				lengthCode[n] = uint8(code)
			}
			n++
		}
	}
	lengthBase[28], lengthExtra[28], lengthCode[maxMatch] = maxMatch, 0, 28 // a code of its own, for runs
	n = 1
	for code := range distBase {
		extra := max(0, code/2-1)
		distBase[code], distExtra[code] = uint16(n), uint8(extra)
		for d := n - 1; d < n-1+1<<extra; d++ {
			if d < 256 {
				distCode[d] = uint8(code)
			} else {
				distCode[256+d>>7] = uint8(code)
			}
		}
		n += 1 << extra
	}
	initInflate()
	initDeflate()
}
