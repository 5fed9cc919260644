package websocket

import (
	"sync"

	"github.com/seed4930a636/mangusta/conn"
)

// session is the WebSocket side of a connection.
//
// A frame that has not come whole stays in c.Recv. Its header is decoded again with each read,
// which costs less than to keep it. Its payload is unmasked and validated as it comes, each byte
// once; done counts these bytes. Frames that are taken in pieces are different: see pieces.go.
type session struct {
	opts   *Options
	keys   func() [4]byte // makes the key that masks a frame; nil for a server, which masks nothing
	part   *assembly      // the part that has come of a message that is not one plain frame
	agreed *Agreement     // on permessage-deflate, or nil
	done   int            // payload bytes of the frame at the start of c.Recv that are unmasked and validated

	heard    int64 // when bytes came last, on the loop's clock
	asked    uint8 // the phase of the wait for a pong; see keepAlive
	phase    phase
	op       Op    // of a message that has begun in an earlier frame or piece; 0 outside one
	protocol uint8 // 1 + the place of the subprotocol in opts.Protocols; 0 is none
	writing  bool  // a Writer has begun a message and not ended it
	text     utf8Check
}

// phase is the state of the closing handshake (RFC 6455 §7.1).
type phase uint8

const (
	running   phase = iota
	closeSent       // this side has sent its Close frame, the peer's has not come
	ended           // the Control event of the end has been fired
)

type (
	// Open says that the connection is a WebSocket now.
	Open struct {
		Protocol string // the subprotocol chosen, or ""
		Moved    bool   // it was opened in another process: see Restore
	}

	// Message is a whole message.
	Message struct {
		Op   Op     // Text, which is valid UTF-8, or Binary
		Data []byte // valid until the handler returns; the handler may change it
	}

	// Control is a ping, a pong, or the end of the WebSocket. The pong to a ping is queued before
	// the event.
	Control struct {
		Op     Op     // Ping, Pong or Close
		Data   []byte // of a Ping or Pong, at most 125 bytes; valid until the handler returns
		Code   Code   // of a Close: see the package documentation
		Reason string // of a Close
		Clean  bool   // of a Close: both sides have sent a Close frame
	}
)

// EventName implements conn.Event.
func (*Open) EventName() string { return "websocket.Open" }

// EventName implements conn.Event.
func (*Message) EventName() string { return "websocket.Message" }

// EventName implements conn.Event.
func (*Control) EventName() string { return "websocket.Control" }

// events are the events of one read. They are reused: all frames of a read take one from the pool.
type events struct {
	message Message
	chunk   Chunk
	control Control
}

var eventPool = sync.Pool{New: func() any { return new(events) }}

// handle is the protocol handler of a WebSocket connection.
func handle(c *conn.Conn, ev conn.Event) {
	s := c.Layer().ProtocolState().(*session)
	switch ev := ev.(type) {
	case *conn.Read:
		if ev.N > 0 {
			s.hear(c)
		}
		s.read(c)
	case *conn.Resumed:
		if s.phase == running {
			s.listen(c)
		}
	case *conn.EOF:
		s.end(c, CloseAbnormal, "", false)
	case *conn.Deadline:
		s.timeout(c)
	case *conn.Shutdown:
		s.shutdown(c, ev.Restart)
	case *conn.Close:
		s.end(c, CloseAbnormal, "", false)
	}
}

// read handles all frames that are in c.Recv.
func (s *session) read(c *conn.Conn) {
	if s.phase == ended { // a client that waits for the server to close TCP
		c.Recv.Discard(c.Recv.Len())
		return
	}
	parts := s.part != nil
	ev := eventPool.Get().(*events)
	for s.phase != ended && c.IsOpen() && !c.Layer().Stopped() {
		if s.part != nil && s.part.inFrame {
			if !s.pieces(c, ev) {
				break
			}
			continue
		}
		b := c.Recv.Bytes()
		h := header{bare: s.keys != nil, deflate: s.agreed != nil}
		ok, why := h.decode(b)
		if !ok {
			if why != "" {
				s.fail(c, CloseProtocol, why)
			}
			break
		}
		if h.op.isControl() {
			ok = s.control(c, ev, &h, b[h.size:])
		} else {
			ok = s.data(c, ev, &h, b[h.size:])
		}
		if !ok {
			break
		}
		c.Recv.Discard(h.size + int(h.length))
	}
	if parts || s.part != nil {
		c.Layer().Charge(s.part.weight())
	}
	*ev = events{}
	eventPool.Put(ev)
}

// control handles a control frame. rest is the part of c.Recv after its header. It returns false if
// the frame is not whole yet, or was the last.
func (s *session) control(c *conn.Conn, ev *events, h *header, rest []byte) bool {
	if int64(len(rest)) < h.length {
		return false
	}
	p := rest[:h.length:h.length]
	h.unmask(p, 0)
	if h.op == Close {
		s.gotClose(c, p)
		return false
	}
	if s.phase != running {
		return true // after its Close frame this side sends nothing and delivers nothing
	}
	if h.op == Ping {
		// §5.5.2. There is room: the queue is not congested, so it is below its high-water mark.
		if err := s.sendFrame(c, finBit|byte(Pong), p); err != nil {
			c.Layer().Fail(conn.SendLimit, err)
			return false
		}
	}
	ev.control = Control{Op: h.op, Data: p}
	c.Layer().Emit(&ev.control)
	return true
}

// data handles the part of a data frame that has come. rest is the part of c.Recv after its header.
// It returns false if the frame is not whole yet, or was the last.
func (s *session) data(c *conn.Conn, ev *events, h *header, rest []byte) bool {
	op := h.op
	switch {
	case op == Continuation && s.op == 0: // §5.4
		s.fail(c, CloseProtocol, "continuation of nothing")
		return false
	case op == Continuation:
		op = s.op
	case s.op != 0: // §5.4
		s.fail(c, CloseProtocol, "new message inside a fragmented one")
		return false
	}
	if s.inPieces(h) {
		return s.beginPieces(c, h, op)
	}
	if h.length > int64(s.opts.maxMessage()-s.part.assembled()) {
		s.fail(c, CloseTooBig, "message too big")
		return false
	}
	whole := int64(len(rest)) >= h.length
	if whole {
		rest = rest[:h.length:h.length] // an append by the handler must not reach the next frame
	}
	fresh := rest[s.done:]
	h.unmask(fresh, s.done)
	if op == Text && (!s.text.push(fresh) || whole && h.fin && !s.text.complete()) { // §8.1
		s.fail(c, CloseInvalidData, "text is not UTF-8")
		return false
	}
	if !whole {
		s.done = len(rest)
		if h.fin && s.op == 0 {
			c.Layer().ExpectInput(h.size + int(h.length))
			return false
		}
		if len(rest) < collectMin {
			return false
		}
		s.collect(c, h, op)
		return true
	}
	s.done = 0
	if h.fin && s.op == 0 {
		s.deliver(c, ev, op, rest)
		return true
	}
	s.fragment(c, ev, op, h.fin, rest)
	return true
}

// deliver gives a whole message to the handler, unless this side has sent its Close frame.
func (s *session) deliver(c *conn.Conn, ev *events, op Op, p []byte) {
	if s.phase == running {
		ev.message = Message{Op: op, Data: p}
		c.Layer().Emit(&ev.message)
	}
}
