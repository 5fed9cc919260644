package conn

// A Buffer holds received bytes that wait for a handler to take them.
type Buffer struct {
	buf []byte
	off int // buf[:off] has been discarded
}

// Bytes returns the unread bytes, valid until the handler returns or Discard is called. A protocol
// layer may change them in place (unmasking, dechunking).
func (b *Buffer) Bytes() []byte { return b.buf[b.off:] }

// Len returns the number of unread bytes.
func (b *Buffer) Len() int { return len(b.buf) - b.off }

// Discard drops the first n unread bytes, or all when there are fewer.
func (b *Buffer) Discard(n int) {
	if b.off += n; b.off > len(b.buf) {
		b.off = len(b.buf)
	}
}

// Truncate keeps only the first n unread bytes: for a layer that has moved bytes together.
func (b *Buffer) Truncate(n int) {
	if n < b.Len() {
		b.buf = b.buf[:b.off+n]
	}
}
