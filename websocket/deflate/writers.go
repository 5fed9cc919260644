package deflate

import (
	"io"
	"math/bits"
	"sync"

	"github.com/klauspost/compress/flate"
)

// This file alone imports github.com/klauspost/compress/flate, which compresses messages.
// compress/flate cannot replace it: its writers have a fixed window and cannot be given the
// messages before, so with takeover each connection would hold a writer of 0.8 to 1.2 MB.
// bench/micro/deflate_test.go compares both.

// A writer compresses one message at a time, and remembers none: it is given the messages before.
// It comes from a pool, by kind.
type writer struct {
	out  []byte        // the compressed message
	w    *flate.Writer // nil for the stateless kind
	kind int
}

// A kind is a level, 1 to 9, or one of these. A writer of a level or a window takes 0.8 to 1.1 MB.
const (
	stateless = 0                        // level 1 for a message by itself: 16 KB
	windowed  = 10 - minWindowBits       // plus the bits of a window, which no match exceeds
	kinds     = windowed + maxWindowBits // the levels have the largest window
)

const (
	// sentLimit is how many bytes of the messages before a writer is given: the library looks at
	// all of them each time.
	sentLimit = 4 << 10
	// tiny is the size from which on a flate.Writer compares a message with those before. Smaller
	// messages gain most by takeover, so the stateless kind compresses them: it compares them, too,
	// but allocates as much as there is to compare.
	tiny = 128
)

var writers [kinds]sync.Pool

// compress appends p to dst, compressed at level. Matches may lie in before and p, as far back as
// the window. The result ends with the tail, as RFC 7692 §7.2.1 wants it before it is stripped off.
func compress(dst, p, before []byte, window, level int) []byte {
	kind := level
	switch {
	case len(p) < tiny && len(before) > 0: // p is less than the smallest window
		kind, before = stateless, before[max(0, len(before)+len(p)-window):]
	case len(before)+len(p) > window && window < 1<<maxWindowBits:
		kind = windowed + bits.Len(uint(window)) - 1
	case level == 1 && len(before) == 0:
		kind = stateless
	}
	z, _ := writers[kind].Get().(*writer)
	if z == nil {
		z = newWriter(kind)
	}
	z.out = dst
	if kind == stateless {
		flate.StatelessDeflate(z, p, false, before) // the only errors are those of Write
	} else {
		z.w.ResetDict(z, before)
		z.w.Write(p)
		z.w.Flush()
	}
	dst, z.out = z.out, nil
	writers[kind].Put(z)
	return dst
}

func newWriter(kind int) *writer {
	z := &writer{kind: kind}
	switch { // errors are for wrong levels and windows
	case kind >= windowed+minWindowBits:
		z.w, _ = flate.NewWriterWindow(z, 1<<(kind-windowed))
	case kind != stateless:
		z.w, _ = flate.NewWriter(z, kind)
	}
	return z
}

var _ io.Writer = (*writer)(nil)

// Write takes a part of the compressed message. It never fails.
func (z *writer) Write(p []byte) (int, error) {
	z.out = append(z.out, p...)
	return len(p), nil
}
