package websocket

import (
	"errors"
	"math"
	"sync"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/websocket/internal/flate"
)

const (
	// inflateWindow is how far back a match may lie. With Stream a buffer of twice that holds the window and what is new.
	inflateWindow = 32 << 10
	// firstRoom is what is allocated first for an inflated message.
	firstRoom = 4 << 10
)

var tailBytes = []byte(flate.Tail)

// inflater is the part of a *flate.Inflater that a message needs, and hides it: see Compression.
type inflater interface {
	Inflate(dst, src []byte) ([]byte, int, error)
	Ended() bool
	Whole() bool
}

var inflaters sync.Pool // without New, which would be linked with what gives inflaters back

// inflater returns an inflater at the start of a message, from the pool.
func (d *Deflate) inflater() inflater {
	i, _ := inflaters.Get().(*flate.Inflater)
	if i == nil {
		i = new(flate.Inflater)
	}
	i.Reset()
	return i
}

// wantsTail reports whether the Tail has to be inflated before the message ends (RFC 7692 §7.2.2). One that ends with a last
// block needs none, although §7.2.3.4 has a byte follow for it.
func (a *assembly) wantsTail() bool {
	return a.tail < len(tailBytes) && (a.tail > 0 || !a.inflater.Ended())
}

// inflate inflates p, the next bytes of a compressed message, and, with last, its end. It returns how many of them it took;
// stopped when the user does not want what more there is now; and false when the WebSocket has failed.
func (s *session) inflate(c *conn.Conn, ev *events, p []byte, last bool) (n int, stopped, ok bool) {
	a := s.part
	for drained := a.tail > 0; ; {
		src := p[n:]
		inTail := drained && a.wantsTail()
		if inTail {
			src = tailBytes[a.tail:]
		}
		before := len(a.buf)
		out, k, err := a.inflater.Inflate(s.room(), src)
		a.buf = a.buf[:len(out)]
		a.size += int64(len(out) - before)
		if inTail {
			a.tail += k
		} else {
			n += k
		}
		if !s.validate(c, out[before:], false) {
			return n, false, false
		}
		switch {
		case errors.Is(err, flate.ErrRoom):
			if !s.makeRoom(c, ev) {
				return n, false, false
			}
			// Without a byte in c.Recv nothing would be delivered again; but there is not much more then, out of the Tail.
			if len(p) > 0 || a.kept {
				if c.Paused() || c.Congested() || s.phase != running || !c.IsOpen() {
					return n, true, true
				}
			}
		case err != nil:
			s.corrupt(c)
			return n, false, false
		case !inTail && last && a.wantsTail():
			drained = true // now there is nothing more without the Tail: the last block has not ended the stream
		default:
			return n, false, s.inflated(c, ev, last)
		}
	}
}

// corrupt fails the WebSocket. RFC 7692 leaves the code open. 1007 is for data that is not what its type promises, as text
// that is not UTF-8; the frames themselves are as they should be, so it is not 1002.
func (s *session) corrupt(c *conn.Conn) { s.fail(c, CloseInvalidData, "compressed data is corrupt") }

// sizeLimit returns how many bytes a compressed message may become.
func (s *session) sizeLimit() int64 {
	switch limit := s.opts.MaxMessage; {
	case !s.opts.Stream:
		return int64(s.opts.maxMessage())
	case limit > 0:
		return int64(limit)
	}
	return math.MaxInt64
}

// room returns a.buf with the capacity that may be filled: no byte past the limit is ever inflated.
func (s *session) room() []byte {
	a := s.part
	n := len(a.buf)
	more := min(int64(cap(a.buf)-n), s.sizeLimit()-a.size)
	return a.buf[: n : n+int(more)]
}

// makeRoom makes room for more of the message: by delivering what there is, or with a larger buffer.
func (s *session) makeRoom(c *conn.Conn, ev *events) bool {
	a := s.part
	limit := s.sizeLimit()
	if a.size == limit {
		s.fail(c, CloseTooBig, "message too big")
		return false
	}
	if !s.opts.Stream {
		a.grow(min(a.start+int(limit), max(2*cap(a.buf), firstRoom)))
		return true
	}
	s.deliverInflated(c, ev, false)
	a.grow(2 * inflateWindow)
	if len(a.buf) == cap(a.buf) {
		a.start = copy(a.buf, a.buf[len(a.buf)-inflateWindow:])
		a.buf = a.buf[:a.start]
	}
	return true
}

// grow makes room for n bytes in all.
func (a *assembly) grow(n int) {
	if cap(a.buf) < n {
		a.buf = append(make([]byte, 0, n), a.buf...)
	}
}

// inflated is called when all that has come is inflated.
func (s *session) inflated(c *conn.Conn, ev *events, last bool) bool {
	a := s.part
	if !last {
		if s.opts.Stream {
			s.deliverInflated(c, ev, false)
		}
		return true
	}
	if !a.inflater.Whole() {
		s.corrupt(c)
		return false
	}
	if !s.validate(c, nil, true) {
		return false
	}
	if x := s.deflation; x.inKeeps {
		x.keep(a.buf[max(0, len(a.buf)-x.inWindow):])
	}
	if s.opts.Stream {
		s.deliverInflated(c, ev, true)
	} else {
		s.deliver(c, ev, s.op, a.buf[a.start:])
	}
	return true
}

// deliverInflated fires a Chunk of what is inflated and not yet delivered.
func (s *session) deliverInflated(c *conn.Conn, ev *events, last bool) {
	a := s.part
	p := a.buf[a.start:]
	a.start = len(a.buf)
	if !last { // the handler may change its copy, the rest of the message refers to this one
		a.chunk = append(a.chunk[:0], p...)
		p = a.chunk
	}
	if len(p) > 0 || last {
		s.chunk(c, ev, p, last)
	}
}
