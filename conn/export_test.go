package conn

import (
	"fmt"
	"testing"
)

// This file is what the tests of package conn_test see of the inside.

const (
	BundleMax   = bundleMax
	FileMax     = fileMax
	FlushMax    = flushMax
	MinRoom     = minRoom
	ReadMax     = readMax
	ReadSize    = readSize
	ScratchSize = scratchSize
)

var TempFile = tempFile

// EachWay runs f over each Transport with a pair of descriptors: in reads what out writes.
func EachWay(t *testing.T, f func(name string, tr Transport, in, out int)) {
	for _, way := range ways {
		in, out := way.pair(t)
		f(way.name, way.tr, in, out)
	}
}

// Cap returns how large the buffer is that the bytes are in.
func (b *Buffer) Cap() int { return cap(b.buf) }

// HasQueue reports whether c has a queue, or a part in a bundle.
func HasQueue(c *Conn) bool { return c.out != nil }

// SameQueue reports whether a and b share a bundle.
func SameQueue(a, b *Conn) bool { return a.out == b.out && a.out.bundle != nil }

// HasBundles reports whether connections that queue something now may share a bundle made before.
func HasBundles(s *Shared) bool { return s.bundles != [bundleRoots]*queue{} }

// OwnBytes returns what is queued of the bytes that were given to Write.
func OwnBytes(c *Conn) []byte { return c.out.own[c.out.off:] }

// QueueCaps returns the room in the queue of c: for bytes given to Write, and for parts.
func QueueCaps(c *Conn) (own, parts int) {
	if c.out == nil {
		return 0, 0
	}
	return cap(c.out.own), cap(c.out.parts)
}

// QueueSize returns how many bytes are in the queue of c, and how many it says there are.
func QueueSize(c *Conn) (sum, size int) {
	if c.out == nil || c.out.bundle != nil {
		return 0, 0
	}
	for p := range c.out.pieces {
		sum += len(p)
	}
	return sum, c.out.size
}

// CountedOwn returns how much of what is counted for the queue of c is no shared buffer.
func CountedOwn(c *Conn) int {
	if c.out == nil {
		return 0
	}
	return c.out.counted
}

// SharedBuffers returns how many buffers of WriteShared are counted.
func SharedBuffers(s *Shared) int { return len(s.sharings.bufs) }

// CheckHeld compares what is counted with what the queues of all connections of a loop hold.
func CheckHeld(all []*Conn) error {
	sh := all[0].sh
	want, refers := 0, 0
	seen := map[*byte]bool{}
	for _, c := range all {
		if c.out == nil {
			continue
		}
		want += cap(c.out.own) + cap(c.out.parts)*partSize
		refers += c.out.refers
		for _, p := range c.out.parts[c.out.first:] {
			if p.p == nil {
				continue
			}
			last := &p.p[len(p.p)-1]
			if !seen[last] {
				seen[last] = true
				want += sh.sharings.bufs[last].n
			}
		}
	}
	if sh.Held() != want || len(sh.sharings.bufs) != len(seen) || sh.sharings.refers != refers {
		return fmt.Errorf("%d bytes are held, want %d; %d buffers, want %d; %d and %d referred to", sh.Held(), want,
			len(sh.sharings.bufs), len(seen), sh.sharings.refers, refers)
	}
	return nil
}

// Pooled returns how many buffers the pools keep.
func Pooled(s *Shared) int {
	n := len(s.large)
	for _, class := range s.bufs {
		n += len(class)
	}
	return n
}

// GetBuf takes a buffer from the pools.
func GetBuf(s *Shared, n int) []byte { return s.getBuf(n) }

// PutBuf gives one back.
func PutBuf(s *Shared, b []byte) { s.putBuf(b) }
