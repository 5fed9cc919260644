package tlsconn

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
)

// The sizes of a record (RFC 8446 §5.1 and §5.2, RFC 5246 §6.2.3).
const (
	headerLen     = 5
	maxPlaintext  = 16 << 10
	maxCiphertext = maxPlaintext + 2048 // TLS 1.3 allows 256 only; crypto/tls checks that
)

// The content types of records.
const (
	typeChangeCipherSpec = 20
	typeAlert            = 21
	typeHandshake        = 22
	typeData             = 23
)

// ErrRecord is wrapped by the error of a connection whose peer has sent what is no TLS record.
var ErrRecord = errors.New("tlsconn: not a TLS record")

// recordLen returns the length, with its header, of the record that begins b; 0 when b does not
// have the whole header. It returns an error as soon as b cannot be the beginning of a record.
func recordLen(b []byte) (int, error) {
	switch {
	case len(b) > 0 && (b[0] < typeChangeCipherSpec || b[0] > typeData):
		return 0, fmt.Errorf("%w: type %d", ErrRecord, b[0])
	case len(b) > 1 && b[1] != 3:
		return 0, fmt.Errorf("%w: version %d", ErrRecord, b[1])
	case len(b) < headerLen:
		return 0, nil
	}
	n := int(b[3])<<8 | int(b[4])
	if n > maxCiphertext {
		return 0, fmt.Errorf("%w: %d bytes", ErrRecord, n)
	}
	return headerLen + n, nil
}

// readSize is how much is read from the kernel at once. A buffer with that and its bounds fills the
// largest size class of the allocator.
const readSize = 32<<10 - 64

// A buffer holds what has been read, between r and w, and what crypto/tls has not read yet of the
// record that it is being given.
type buffer struct {
	r, w int
	in   []byte
	b    [readSize]byte
}

// buffers are lent to connections that read.
var buffers = sync.Pool{New: func() any { return new(buffer) }}

// A feeder cuts the stream of ciphertext into records. It holds a buffer of the pool while there
// are bytes to be cut, and otherwise the beginning of one record.
type feeder struct {
	part []byte // a record that was not whole when the buffer went back
	buf  *buffer
}

// borrow has the feeder hold a buffer.
func (f *feeder) borrow() *buffer {
	if f.buf == nil {
		f.buf = buffers.Get().(*buffer)
	}
	return f.buf
}

// fill reads with read once, and returns what that returned. It may be called when run has returned
// nothing.
func (f *feeder) fill(read func(p []byte) (int, error)) (int, error) {
	b := f.borrow()
	if b.r > 0 {
		b.w = copy(b.b[:], b.b[b.r:b.w])
		b.r = 0
	}
	n, err := read(b.b[b.w:])
	if n > 0 {
		b.w += n
	}
	return n, err
}

// run takes up to n whole records, which lie one after the other; nil when there is none. They are
// valid until the next call of a method.
func (f *feeder) run(n int) ([]byte, error) {
	if len(f.part) > 0 {
		return f.finishPart()
	}
	b := f.buf
	if b == nil {
		return nil, nil
	}
	start := b.r
	var bad error
	for ; n > 0; n-- {
		size, err := recordLen(f.bytes())
		if err != nil {
			bad = err
			break
		}
		if size == 0 || size > len(f.bytes()) {
			break
		}
		b.r += size
	}
	if b.r > start {
		return b.b[start:b.r], nil // the next call returns the error
	}
	return nil, bad
}

// finishPart moves bytes from the buffer to part until that is a whole record, and takes it.
func (f *feeder) finishPart() ([]byte, error) {
	for {
		size, err := recordLen(f.part)
		if err != nil {
			return nil, err
		}
		if size == len(f.part) && size > 0 {
			rec := f.part
			f.part = nil
			return rec, nil
		}
		if size == 0 {
			size = headerLen
		}
		move := f.bytes()
		move = move[:min(len(move), size-len(f.part))]
		if len(move) == 0 {
			return nil, nil
		}
		f.part = append(f.part, move...)
		f.buf.r += len(move)
	}
}

// bytes returns what is in the buffer.
func (f *feeder) bytes() []byte {
	if f.buf == nil {
		return nil
	}
	return f.buf.b[f.buf.r:f.buf.w]
}

// whole reports whether run would return something, an error included.
func (f *feeder) whole() bool {
	if len(f.part) > 0 {
		n, err := recordLen(f.part)
		if n == 0 && err == nil {
			var head [headerLen]byte
			k := copy(head[:], f.part)
			k += copy(head[k:], f.bytes())
			n, err = recordLen(head[:k])
		}
		return err != nil || n > 0 && len(f.part)+len(f.bytes()) >= n
	}
	n, err := recordLen(f.bytes())
	return err != nil || n > 0 && n <= len(f.bytes())
}

// partial reports whether the stream ends within a record.
func (f *feeder) partial() bool { return len(f.part) > 0 || len(f.bytes()) > 0 }

// skip drops the first n bytes of what bytes returned. part is empty.
func (f *feeder) skip(n int) { f.buf.r += n }

// restore brings what rest has kept back into the buffer, in front of the bytes there, and returns
// all. It is for what is no record; at most so much is kept.
func (f *feeder) restore() []byte {
	if len(f.part) > 0 {
		b := f.borrow()
		all := append(f.part, f.bytes()...)
		f.part = nil
		b.r, b.w = 0, copy(b.b[:], all)
	}
	return f.bytes()
}

// mostCopied is how many bytes of records take copies: more than an honest flight has without
// certificates.
const mostCopied = 4 << 10

// smalls are what take copies to. It is no garbage of the sizes that crypto/tls keeps for each
// connection: that would leave holes among those.
var smalls = sync.Pool{New: func() any { return new([mostCopied]byte) }}

// take returns all whole records, for a worker that may have to wait for a processor. They are
// copied to small, if they fit, so that the buffer can go back.
func (f *feeder) take(small *[mostCopied]byte) ([]byte, error) {
	parted := len(f.part) > 0
	run, err := f.run(readSize)
	if len(run) == 0 {
		return nil, err
	}
	if parted { // run is one record with memory of its own
		more, _ := f.run(readSize) // the next call returns the error
		if len(more) > 0 && len(run)+len(more) > mostCopied {
			f.buf.r -= len(more)
			return run, nil
		}
		run = append(run, more...)
	} else if len(run) > mostCopied {
		return run, nil
	} else {
		run = append(small[:0], run...)
	}
	if f.whole() { // the wrong header of a record: nothing after it will be used
		f.buf.w = min(f.buf.w, f.buf.r+headerLen)
	}
	f.rest()
	return run, nil
}

// putBack puts back what is left of the last take, which is less than that if it was one record.
func (f *feeder) putBack(b []byte) {
	switch n := len(b); {
	case n == 0:
	case f.buf != nil && f.buf.r >= n && &f.buf.b[f.buf.r-n] == &b[0]:
		f.buf.r -= n
	default: // b is a copy, so there is room for it and a part of a record
		f.part = append(bytes.Clone(b), f.part...)
		f.restore()
	}
}

// rest gives the buffer back. What is left in it is kept as the beginning of a record; nothing else
// may be left.
func (f *feeder) rest() {
	if f.buf == nil {
		return
	}
	if b := f.bytes(); len(b) > 0 {
		f.part = append(f.part, b...)
	}
	f.release()
}

// release gives the buffer back and drops what is in it.
func (f *feeder) release() {
	if f.buf != nil {
		f.buf.r, f.buf.w, f.buf.in = 0, 0, nil
		buffers.Put(f.buf)
		f.buf = nil
	}
}
