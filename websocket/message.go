package websocket

import (
	"sync"

	"github.com/seed4930a636/mangusta/conn"
)

// assembly is where the fragments of a message are put together. It grows as bytes come, never by what a header announces.
type assembly struct {
	buf []byte
}

var assemblyPool = sync.Pool{New: func() any { return new(assembly) }}

// keepAssembly is the largest buffer that is worth keeping for the next fragmented message.
const keepAssembly = 64 << 10

// size returns the bytes assembled so far; a is nil outside a fragmented message.
func (a *assembly) size() int {
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
	if cap(a.buf) <= keepAssembly {
		a.buf = a.buf[:0]
		assemblyPool.Put(a)
	}
}
