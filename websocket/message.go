package websocket

import (
	"sync"

	"github.com/seed4930a636/mangusta/conn"
)

// assembly is where a message is put together that does not come in one plain frame. It grows as bytes come, never by what a
// header announces.
type assembly struct {
	buf []byte // what there is of the message; when it is inflated, behind what came before it

	// Of messages that are taken piece by piece: see pieces.go.
	frame    header // that is coming in; its length is what is left of its payload
	inFrame  bool
	kept     bool // the byte at the start of c.Recv has been taken already
	begun    bool // a Chunk has been fired
	pos      int  // bytes of the frame's payload that have been taken
	start    int  // of what is to be delivered, in buf
	size     int64
	inflater inflater // nil unless the message is compressed
	tail     int      // bytes of flate.Tail that have been inflated
	chunk    []byte
}

var assemblyPool = sync.Pool{New: func() any { return new(assembly) }}

// keepAssembly is the largest buffer that is worth keeping for the next message.
const keepAssembly = 64 << 10

// assembled returns the bytes assembled so far; a is nil outside a fragmented message.
func (a *assembly) assembled() int {
	if a == nil {
		return 0
	}
	return len(a.buf)
}

// fragment adds the payload p of a whole frame to the fragmented message, and delivers that when it is complete.
func (s *session) fragment(c *conn.Conn, ev *events, op Op, fin bool, p []byte) {
	s.op = op
	if s.part == nil {
		s.part = assemblyPool.Get().(*assembly)
	}
	if s.phase == running {
		s.part.buf = append(s.part.buf, p...)
	}
	if fin {
		s.op = 0
		s.deliver(c, ev, op, s.part.buf)
		s.dropParts()
	}
}

// dropParts gives the assembly back.
func (s *session) dropParts() {
	a := s.part
	if a == nil {
		return
	}
	s.part = nil
	if a.inflater != nil {
		inflaters.Put(a.inflater)
	}
	if cap(a.buf) <= keepAssembly {
		*a = assembly{buf: a.buf[:0], chunk: a.chunk[:0]}
		assemblyPool.Put(a)
	}
}
