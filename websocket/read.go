package websocket

import (
	"sync"

	"github.com/seed4930a636/mangusta/conn"
)

// session is the WebSocket side of a connection.
//
// A frame that has not come whole stays in c.Recv. Its header is looked at again with each read, which costs less than to
// keep it; its payload is unmasked and validated as it comes, each byte once: done says how far. Frames that are taken in
// pieces are the exception: see pieces.go.
type session struct {
	opts      *Options
	keys      func() [4]byte // makes the key that masks a frame; nil for a server, which masks nothing
	part      *assembly      // what there is of a message that did not come in one plain frame
	deflation *deflation     // permessage-deflate as it was agreed on, or nil
	done      int            // payload bytes of the frame at the start of c.Recv that are unmasked and validated

	heard   int64 // when bytes came last, on the loop's clock
	asked   uint8 // how far the wait for the pong to our ping is; see keepAlive
	phase   phase
	op      Op   // of the message that is coming in and has begun in an earlier frame or piece, 0 outside one
	writing bool // a Writer has begun a message and not ended it
	text    utf8Check
}

// phase is how far the closing handshake is (RFC 6455 §7.1).
type phase uint8

const (
	running   phase = iota
	closeSent       // our Close frame is out, the peer's has not come
	ended           // the Control event of the end has been fired
)

type (
	// Open says that the connection is a WebSocket now.
	Open struct {
		Protocol string // the subprotocol chosen, or ""
	}

	// Message is a whole message.
	Message struct {
		Op   Op     // Text, which is valid UTF-8, or Binary
		Data []byte // valid until the handler returns, which may change it
	}

	// Control is a ping, a pong, or the end of the WebSocket. A ping has been answered already.
	Control struct {
		Op     Op     // Ping, Pong or Close
		Data   []byte // of a Ping or Pong, at most 125 bytes; valid until the handler returns
		Code   Code   // of a Close: see the package documentation
		Reason string // of a Close
		Clean  bool   // of a Close: both sides have sent a Close frame
	}
)

// events are the events of one read, reused: the pool is asked once for all the frames that a read brings.
type events struct {
	message Message
	chunk   Chunk
	control Control
}

var eventPool = sync.Pool{New: func() any { return new(events) }}

// handle is the protocol handler of a WebSocket connection.
func handle(c *conn.Conn, ev conn.Event) {
	s := c.ProtocolState().(*session)
	switch ev := ev.(type) {
	case *conn.Read:
		if ev.N > 0 {
			s.hear(c)
		}
		s.read(c)
	case conn.EOF:
		s.end(c, CloseAbnormal, "", false)
	case conn.Deadline:
		s.timeout(c)
	case conn.Shutdown:
		s.shutdown(c)
	case *conn.Close:
		s.end(c, CloseAbnormal, "", false)
	}
}

// read handles all frames that are in c.Recv.
func (s *session) read(c *conn.Conn) {
	c.Unhold()
	if s.phase == ended { // a client that waits for the server to close TCP
		c.Recv.Discard(c.Recv.Len())
		return
	}
	ev := eventPool.Get().(*events)
	for s.phase != ended && c.IsOpen() && !c.Paused() {
		if c.Congested() && c.Recv.Len() > 0 {
			c.Redeliver() // comes when the queue has fallen,
			c.Hold()      // and before anything more is read
			break
		}
		if s.part != nil && s.part.inFrame {
			if !s.pieces(c, ev) {
				break
			}
			continue
		}
		b := c.Recv.Bytes()
		h := header{bare: s.keys != nil, deflate: s.deflation != nil}
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
	*ev = events{}
	eventPool.Put(ev)
}

// control handles a control frame. rest is what is in c.Recv behind its header. It returns false when the frame is not
// whole yet, or was the last.
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
		return true // after our Close frame nothing is sent and nothing delivered
	}
	if h.op == Ping {
		// §5.5.2. There is room: the queue is not congested, so it is at most half full.
		if err := s.sendFrame(c, finBit|byte(Pong), p); err != nil {
			c.Fail(conn.SendLimit, err) // only with a send limit below that of begin
			return false
		}
	}
	ev.control = Control{Op: h.op, Data: p}
	c.Emit(&ev.control)
	return true
}

// data handles what has come of a data frame. rest is what is in c.Recv behind its header. It returns false when the frame is
// not whole yet, or was the last.
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
		return false
	}
	s.done = 0
	if h.fin && s.op == 0 {
		s.deliver(c, ev, op, rest)
		return true
	}
	s.fragment(c, ev, op, h.fin, rest)
	return true
}

// deliver gives a whole message to the user, unless our Close frame is out.
func (s *session) deliver(c *conn.Conn, ev *events, op Op, p []byte) {
	if s.phase == running {
		ev.message = Message{Op: op, Data: p}
		c.Emit(&ev.message)
	}
}
