package websocket

import (
	"math"

	"github.com/seed4930a636/mangusta/conn"
)

const (
	// inflateWindow is how many bytes back a match may refer. With Stream a buffer of twice that
	// size holds the window and the new bytes.
	inflateWindow = 32 << 10
	// firstRoom is the size of the first buffer for an inflated message.
	firstRoom = 4 << 10
	// ratioFree is the size up to which MaxRatio does not count.
	ratioFree = 64 << 10
)

// inflate inflates p, the next bytes of a compressed message; with last they are its end. It
// returns how many bytes it took. stopped is set if the connection stopped reading before all were
// inflated. ok is false if the WebSocket has failed.
func (s *session) inflate(c *conn.Conn, ev *events, p []byte, last bool) (n int, stopped, ok bool) {
	a := s.part
	for {
		before := len(a.buf)
		out, k, more, err := a.decoder.Inflate(s.room(), p[n:], last)
		a.buf = a.buf[:len(out)]
		a.size += int64(len(out) - before)
		n += k
		a.taken += int64(k)
		if s.opts.MaxRatio > 0 && a.size > ratioFree && a.size/int64(s.opts.MaxRatio) > a.taken {
			s.fail(c, CloseTooBig, "compressed too much")
			return n, false, false
		}
		if !s.validate(c, out[before:], false) {
			return n, false, false
		}
		switch {
		case err != nil:
			s.corrupt(c)
			return n, false, false
		case !more:
			return n, false, s.inflated(c, ev, last)
		}
		if !s.makeRoom(c, ev) {
			return n, false, false
		}
		// To go on later needs a byte in c.Recv, or nothing would be delivered again. Without one
		// there is little left: the end of the message.
		if (len(p) > 0 || a.kept) && (c.Layer().Stopped() || s.phase != running || !c.IsOpen()) {
			return n, true, true
		}
	}
}

// corrupt fails the WebSocket. RFC 7692 names no code. 1007 is for data that does not fit its type,
// such as text that is not UTF-8. 1002 would be for frames, and those are in order.
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

// room returns a.buf with the capacity that may be filled, so that no byte past the limit is ever
// inflated.
func (s *session) room() []byte {
	a := s.part
	n := len(a.buf)
	more := min(int64(cap(a.buf)-n), s.sizeLimit()-a.size)
	return a.buf[: n : n+int(more)]
}

// makeRoom makes room for more of the message: with Stream it delivers the buffer, otherwise it
// makes a larger one.
func (s *session) makeRoom(c *conn.Conn, ev *events) bool {
	a := s.part
	limit := s.sizeLimit()
	if a.size == limit {
		s.fail(c, CloseTooBig, "message too big")
		return false
	}
	if !s.opts.Stream {
		n := min(a.start+int(limit), max(2*cap(a.buf), firstRoom))
		if c.Layer().Charge(a.weight() - cap(a.buf) + n); !c.Layer().Affords() {
			s.fail(c, CloseTryLater, "")
			c.Layer().SetReason(conn.MemoryLimit)
			return false
		}
		a.grow(c, n)
		return true
	}
	s.deliverInflated(c, ev, false)
	a.grow(c, 2*inflateWindow)
	if len(a.buf) == cap(a.buf) {
		a.start = copy(a.buf, a.buf[len(a.buf)-inflateWindow:])
		a.buf = a.buf[:a.start]
	}
	return true
}

// inflated goes on after all bytes that have come are inflated.
func (s *session) inflated(c *conn.Conn, ev *events, last bool) bool {
	a := s.part
	if !last {
		if s.opts.Stream {
			s.deliverInflated(c, ev, false)
		}
		return true
	}
	if !s.validate(c, nil, true) {
		return false
	}
	if s.opts.Stream {
		s.deliverInflated(c, ev, true)
	} else {
		s.deliver(c, ev, s.op, a.buf[a.start:])
	}
	return true
}

// deliverInflated fires a Chunk with the inflated bytes that are not delivered yet.
func (s *session) deliverInflated(c *conn.Conn, ev *events, last bool) {
	a := s.part
	p := a.buf[a.start:]
	a.start = len(a.buf)
	if !last { // the handler may change its copy; the rest of the message refers to a.buf
		a.chunk = append(a.chunk[:0], p...)
		p = a.chunk
	}
	if len(p) > 0 || last {
		s.chunk(c, ev, p, last)
	}
}
