package websocket

import (
	"io"
	"math/bits"
	"sync"

	"github.com/klauspost/compress/flate"
)

// This file alone knows github.com/klauspost/compress/flate, which compresses; what comes in is inflated by internal/flate.
// compress/flate could not do it all: its writers cannot be told the window, nor be given the messages before, so that takeover
// would cost each connection a writer of 0.8 to 1.2 MB. bench/micro/deflate_test.go compares.

// A compressor compresses one message at a time, and remembers none: the messages before are given to it. It comes from a
// pool, by kind.
type compressor struct {
	out  []byte // what the message became
	w    writer // nil for the stateless kind
	kind int
}

// writer is the part of a *flate.Writer that is used, and hides it: see Compression.
type writer interface {
	io.Writer
	Flush() error
	ResetDict(dst io.Writer, dict []byte)
}

// A kind is a level, 1 to 9, or one of these. A compressor of a level or a window takes 0.8 to 1.1 MB.
const (
	stateless = 0                        // level 1 for a message by itself: 16 KB
	windowed  = 10 - minWindowBits       // plus the bits of a window: no match is farther back
	kinds     = windowed + maxWindowBits // the largest window is that of the levels
)

const (
	// sentLimit is how many bytes of the messages before are given: the library looks at all of them each time.
	sentLimit = 4 << 10
	// tiny is the size from which on a Writer compares messages with those before. For smaller ones takeover is worth most: the
	// stateless kind compares them, too, and allocates as much as there is to compare.
	tiny = 128
)

var compressors [kinds]sync.Pool

// compress deflates p, whose matches may lie in before and p, as far back as the window. The result ends as RFC 7692 §7.2.1
// wants the end of a message, and is the compressor's until it is released.
func (d *Deflate) compress(p, before []byte, window int) *compressor {
	level := d.level()
	kind := level
	switch {
	case len(p) < tiny && len(before) > 0: // which is less than the smallest window
		kind, before = stateless, before[max(0, len(before)+len(p)-window):]
	case len(before)+len(p) > window && window < 1<<maxWindowBits:
		kind = windowed + bits.Len(uint(window)) - 1
	case level == 1 && len(before) == 0:
		kind = stateless
	}
	z, _ := compressors[kind].Get().(*compressor)
	if z == nil {
		z = newCompressor(kind)
	}
	z.out = z.out[:0]
	if kind == stateless {
		flate.StatelessDeflate(z, p, false, before) // errors are those of Write
	} else {
		z.w.ResetDict(z, before)
		z.w.Write(p)
		z.w.Flush()
	}
	z.out = z.out[:len(z.out)-len(tailBytes)]
	return z
}

func newCompressor(kind int) *compressor {
	z := &compressor{kind: kind}
	switch { // the errors are for what is no level and no window
	case kind >= windowed+minWindowBits:
		z.w, _ = flate.NewWriterWindow(z, 1<<(kind-windowed))
	case kind != stateless:
		z.w, _ = flate.NewWriter(z, kind)
	}
	return z
}

// Write takes what the library makes of a message.
func (z *compressor) Write(p []byte) (int, error) {
	z.out = append(z.out, p...)
	return len(p), nil
}

// release gives z back.
func (z *compressor) release() {
	if cap(z.out) > keepAssembly {
		z.out = nil
	}
	compressors[z.kind].Put(z)
}
