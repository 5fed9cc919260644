package websocket

import "github.com/seed4930a636/mangusta/conn"

// Compressed messages are taken piece by piece, and with Options.Stream all messages are. The bytes
// of a frame are unmasked, inflated, validated and discarded as they come; a copy of its header is
// kept. So a bad byte is found when it comes, and a large frame is never held whole. The large
// frames of a fragmented message go piece by piece into its assembly: see collect.

// Chunk is a piece of a message, with Options.Stream. First is set in the first piece, Last in the
// last; a small message is one piece with both. Only the last piece may be empty.
type Chunk struct {
	Op          Op // Text or Binary, in every piece
	First, Last bool
	Data        []byte // valid until the handler returns; the handler may change it; it may end inside a character
}

// EventName implements conn.Event.
func (*Chunk) EventName() string { return "websocket.Chunk" }

// inPieces reports whether the data frame h has to be taken piece by piece.
func (s *session) inPieces(h *header) bool {
	return h.rsv1 || s.opts.Stream || s.part != nil && s.part.decoder != nil
}

// assembles reports whether pieces go to the assembly as they are.
func (s *session) assembles() bool { return s.part.decoder == nil && !s.opts.Stream }

// beginPieces begins a data frame of a message of kind op. It returns false if the frame is too
// big.
func (s *session) beginPieces(c *conn.Conn, h *header, op Op) bool {
	if s.part == nil {
		s.part = assemblyPool.Get().(*assembly)
	}
	a := s.part
	if h.rsv1 {
		a.buf, a.decoder = s.agreed.Codec.Begin(a.buf[:0])
		a.start = len(a.buf)
	}
	if a.decoder == nil {
		if limit := s.opts.MaxMessage; limit > 0 && h.length > int64(limit)-a.size {
			s.fail(c, CloseTooBig, "message too big")
			return false
		}
		a.size += h.length
	}
	s.op = op
	a.begin(h)
	return true
}

// begin keeps the header of a frame that is taken piece by piece. The caller discards it from
// c.Recv, and nothing after it.
func (a *assembly) begin(h *header) {
	a.frame, a.pos, a.inFrame = *h, 0, true
	h.length = 0
}

// pieces takes the bytes of the current frame that are in c.Recv. It returns false if the frame is
// not whole yet, or if the WebSocket has failed.
func (s *session) pieces(c *conn.Conn, ev *events) bool {
	a := s.part
	p := c.Recv.Bytes()
	if a.kept {
		p = p[1:]
	}
	p = p[:min(int64(len(p)), a.frame.length)]
	p = p[:len(p):len(p)]
	fresh := p[s.done:]
	a.frame.unmask(fresh, a.pos+s.done)
	s.done = len(p)
	whole := int64(len(p)) == a.frame.length
	last := whole && a.frame.fin

	n, stopped, ok := len(p), false, true
	switch {
	case s.assembles():
		s.assemble(c, p, int(a.frame.length), a.frame.fin)
		ok = s.validate(c, fresh, last)
	case s.phase != running: // nothing is delivered any more
	case a.decoder != nil:
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
		return true // the caller asks why
	}
	a.inFrame = !whole
	switch {
	case !whole:
		if s.assembles() {
			c.Layer().ExpectInput(int(a.frame.length))
		}
	case !last:
	case s.assembles():
		s.deliverAssembled(c, ev)
	default:
		s.op = 0
		s.dropParts(c)
	}
	return whole
}

// take drops n bytes of the frame's payload from c.Recv. With more it leaves the last one there, so
// that c.Recv has something to deliver when reading goes on.
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

// validate checks the next bytes of a text (RFC 6455 §8.1).
func (s *session) validate(c *conn.Conn, p []byte, last bool) bool {
	if s.op == Text && (!s.text.push(p) || last && !s.text.complete()) {
		s.fail(c, CloseInvalidData, "text is not UTF-8")
		return false
	}
	return true
}

// chunk gives a piece to the handler, unless this side has sent its Close frame.
func (s *session) chunk(c *conn.Conn, ev *events, p []byte, last bool) {
	if s.phase == running {
		ev.chunk = Chunk{Op: s.op, First: !s.part.begun, Last: last, Data: p}
		s.part.begun = true
		c.Layer().Emit(&ev.chunk)
	}
}
