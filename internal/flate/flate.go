// Package flate inflates streams (RFC 1951) that come in pieces: the messages of a WebSocket, in the
// form of RFC 7692, and bodies with the coding gzip.
//
// The readers of compress/flate and of github.com/klauspost/compress/flate pull their input. A
// reader that finds none in the middle of a block cannot go on later, so a loop that must not wait
// could inflate whole messages only: it could neither stream nor find a bad byte before the message
// has ended. An Inflater is given its input in pieces and stops at any bit. Its output is its
// window, so nothing is copied, and no byte past a limit is ever inflated. It holds 10 KB; those
// readers hold 40 KB. bench/micro/deflate_test.go compares the three.
package flate

import "sync"

const (
	maxBits  = 15 // of a code
	maxMatch = 258

	endOfBlock = 256
	numLit     = 286 // literals, end of block, lengths
	numDist    = 30
	numCodeLen = 19
)

// codeOrder is the order in which the lengths of the code length code are sent (§3.2.7).
var codeOrder = [numCodeLen]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// §3.2.5: the first length or distance that a code stands for, and how many bits follow it to say
// which.
var (
	lengthBase  [29]uint16
	lengthExtra [29]uint8
	distBase    [numDist]uint16
	distExtra   [numDist]uint8
)

// made guards all tables. They are made for the first block that is inflated.
var made sync.Once

func makeTables() {
	n := 3
	for code := range lengthBase {
		extra := max(0, code/4-1)
		lengthBase[code], lengthExtra[code] = uint16(n), uint8(extra)
		n += 1 << extra
	}
	lengthBase[28], lengthExtra[28] = maxMatch, 0 // a code of its own, for runs
	n = 1
	for code := range distBase {
		extra := max(0, code/2-1)
		distBase[code], distExtra[code] = uint16(n), uint8(extra)
		n += 1 << extra
	}
	makeSymbols()
}
