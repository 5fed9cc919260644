package websocket

import "github.com/seed4930a636/mangusta/conn"

// Compressed messages, and all with Options.Stream, are taken piece by piece: what has come of a frame is unmasked, inflated,
// validated and discarded, and of its header a copy is kept. So a bad byte is found when it comes, and a large frame is
// never held as a whole.

// Chunk is a piece of a message, with Options.Stream. The first piece has First set, the last one Last; a small message is
// one piece. The last may be empty, others are not.
type Chunk struct {
	Op          Op // Text or Binary, in every piece
	First, Last bool
	Data        []byte // valid until the handler returns, which may change it; it may end inside a character
}

// inPieces reports whether the data frame h has to be taken piece by piece.
func (s *session) inPieces(h *header) bool {
	return h.rsv1 || s.opts.Stream || s.part != nil && s.part.inflater != nil
}

// beginPieces begins a data frame of a message of type op. It returns false when the frame is too big.
func (s *session) beginPieces(c *conn.Conn, h *header, op Op) bool {
	if s.part == nil {
		s.part = assemblyPool.Get().(*assembly)
	}
	a := s.part
	if h.rsv1 {
		a.inflater = s.deflation.coder.inflater()
		a.buf = append(a.buf[:0], s.deflation.history...)
		a.start = len(a.buf)
	}
	if a.inflater == nil {
		if limit := s.opts.MaxMessage; limit > 0 && h.length > int64(limit)-a.size {
			s.fail(c, CloseTooBig, "message too big")
			return false
		}
		a.size += h.length
	}
	s.op = op
	a.frame, a.pos, a.inFrame = *h, 0, true
	h.length = 0 // for the caller, who discards the header
	return true
}

// pieces takes what is in c.Recv of the frame that is coming in. It returns false when more has to come first, or nothing
// will.
func (s *session) pieces(c *conn.Conn, ev *events) bool {
	a := s.part
	p := c.Recv.Bytes()
	if a.kept {
		p = p[1:]
	}
	p = p[:min(int64(len(p)), a.frame.length)]
	p = p[:len(p):len(p)]
	a.frame.unmask(p[s.done:], a.pos+s.done)
	s.done = len(p)
	whole := int64(len(p)) == a.frame.length
	last := whole && a.frame.fin

	n, stopped, ok := len(p), false, true
	switch {
	case s.phase != running: // nothing is delivered any more
	case a.inflater != nil:
		n, stopped, ok = s.inflate(c, ev, p, last)
	default:
		if ok = s.validate(c, p, last); ok && (n > 0 || last) {
			s.chunk(c, ev, p, last)
		}
	}
	if !ok {
		return false
	}
	s.take(c, n, stopped)
	if stopped {
		return true // the caller finds out why
	}
	if a.inFrame = !whole; last {
		s.op = 0
		s.dropParts()
	}
	return whole
}

// take drops n bytes of the frame's payload from c.Recv. When there is more to be done the last one stays, so that there is
// something to deliver again when reading goes on.
func (s *session) take(c *conn.Conn, n int, more bool) {
	a := s.part
	s.done -= n
	a.pos += n
	a.frame.length -= int64(n)
	if a.kept {
		n++
	}
	if a.kept = more && n > 0; a.kept {
		n--
	}
	c.Recv.Discard(n)
}

// validate checks what comes next of a text (RFC 6455 §8.1).
func (s *session) validate(c *conn.Conn, p []byte, last bool) bool {
	if s.op == Text && (!s.text.push(p) || last && !s.text.complete()) {
		s.fail(c, CloseInvalidData, "text is not UTF-8")
		return false
	}
	return true
}

// chunk gives a piece to the user, unless our Close frame is out.
func (s *session) chunk(c *conn.Conn, ev *events, p []byte, last bool) {
	if s.phase == running {
		ev.chunk = Chunk{Op: s.op, First: !s.part.begun, Last: last, Data: p}
		s.part.begun = true
		c.Emit(&ev.chunk)
	}
}
