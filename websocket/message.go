package websocket

import (
	"sync"

	"github.com/seed4930a636/mangusta/conn"
)

// assembly puts a message together that does not come in one plain frame. It grows with the bytes
// that come, not with the length that a header announces.
type assembly struct {
	buf []byte // the message so far; if it is inflated, after the bytes that it may refer to

	// For frames that are taken piece by piece: see pieces.go.
	frame   header // the current frame; its length is the rest of its payload
	inFrame bool
	kept    bool // the byte at the start of c.Recv has been taken already
	begun   bool // a Chunk has been fired
	pos     int  // bytes of the frame's payload that have been taken
	start   int  // where the bytes begin in buf that are to be delivered
	size    int64
	taken   int64   // bytes of compressed payload that were inflated to size
	decoder Decoder // nil unless the message is compressed
	chunk   []byte
}

var assemblyPool = sync.Pool{New: func() any { return new(assembly) }}

// keepAssembly is the size in bytes of the largest buffer that stays with an assembly for the next
// message. Larger ones go back to the loop.
const keepAssembly = 64 << 10

// assembled returns the bytes assembled so far; a is nil outside a fragmented message.
func (a *assembly) assembled() int {
	if a == nil {
		return 0
	}
	return len(a.buf)
}

// decoderSize is about how many bytes a Decoder holds.
const decoderSize = 10 << 10

// weight returns how many bytes the assembly holds; a is nil outside a fragmented message.
func (a *assembly) weight() int {
	if a == nil {
		return 0
	}
	n := cap(a.buf) + cap(a.chunk)
	if a.decoder != nil {
		n += decoderSize
	}
	return n
}

// fragment adds p, the payload of a whole frame, to the fragmented message, and delivers the
// message when it is complete.
func (s *session) fragment(c *conn.Conn, ev *events, op Op, fin bool, p []byte) {
	s.op = op
	if s.part == nil {
		s.part = assemblyPool.Get().(*assembly)
	}
	s.assemble(c, p, len(p), fin)
	if fin {
		s.deliverAssembled(c, ev)
	}
}

// collect begins to take a frame of a fragmented message piece by piece, of which so much has come
// that it is better copied to the assembly at once than to the connection's buffer first.
func (s *session) collect(c *conn.Conn, h *header, op Op) {
	if s.part == nil {
		s.part = assemblyPool.Get().(*assembly)
	}
	s.op = op
	s.part.begin(h)
}

// collectMin is how many bytes of a frame have to be there for collect.
const collectMin = 4 << 10

// assemble adds p to the message. p are the next of the length bytes that are left of the frame.
// fin says that the frame is the last. After this side's Close frame nothing is delivered any more,
// so nothing is kept.
func (s *session) assemble(c *conn.Conn, p []byte, length int, fin bool) {
	a := s.part
	if s.phase != running {
		c.Layer().GiveBack(a.buf)
		a.buf = nil
		return
	}
	if n := len(a.buf) + len(p); n > cap(a.buf) {
		size := conn.SizeFor(n, len(a.buf)+length)
		if !fin { // more frames follow, of which we know nothing
			size = max(size, cap(a.buf)/2*3) // not double: room that is held counts
		}
		a.grow(c, size)
	}
	if len(p) > 0 && &p[0] == &a.buf[:cap(a.buf)][len(a.buf)] { // it was read there: see InputPlace
		a.buf = a.buf[:len(a.buf)+len(p)]
		return
	}
	a.buf = append(a.buf, p...)
}

// InputPlace implements conn.InputPlacer: the bytes of a large frame of a fragmented message are
// read to the end of the assembly.
func (s *session) InputPlace() []byte {
	a := s.part
	if a == nil || !a.inFrame || !s.assembles() || s.phase != running {
		return nil
	}
	room := a.buf[len(a.buf):cap(a.buf)]
	return room[:min(int64(len(room)), a.frame.length)]
}

// deliverAssembled gives the message, which is complete, to the handler.
func (s *session) deliverAssembled(c *conn.Conn, ev *events) {
	op := s.op
	s.op = 0
	s.deliver(c, ev, op, s.part.buf)
	s.dropParts(c)
}

// grow makes room for n bytes in all.
func (a *assembly) grow(c *conn.Conn, n int) {
	if cap(a.buf) < n {
		bigger := append(c.Layer().Buffer(n), a.buf...)
		c.Layer().GiveBack(a.buf)
		a.buf = bigger
	}
}

// dropParts gives the assembly back.
func (s *session) dropParts(c *conn.Conn) {
	a := s.part
	if a == nil {
		return
	}
	s.part = nil
	if a.decoder != nil {
		a.decoder.Drop()
	}
	if cap(a.buf) > keepAssembly {
		c.Layer().GiveBack(a.buf)
		a.buf = nil
	}
	*a = assembly{buf: a.buf[:0], chunk: a.chunk[:0]}
	assemblyPool.Put(a)
}
