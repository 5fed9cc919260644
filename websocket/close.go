package websocket

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/seed4930a636/mangusta/conn"
)

var errNoAnswer = errors.New("websocket: the peer did not answer the Close frame in time")

// lingerTime is how long a server waits, after a clean end and when all is sent, for the peer to close its side of TCP. The
// peer owes nothing more, so that there is little to lose by closing (RFC 6455 §7.1.1 has the server close at once).
const lingerTime = time.Second

// CloseWith sends a Close frame and begins the closing handshake (RFC 6455 §7.1.2): nothing can be sent any more, messages
// that still come are dropped, and when the peer has answered, or Options.CloseTimeout has passed, the connection ends.
// The reason is for logs, at most 123 bytes of UTF-8. It returns ErrClosed when our Close frame is out already.
func CloseWith(c *conn.Conn, code Code, reason string) error {
	s := of(c)
	switch {
	case s == nil:
		return ErrNotWebSocket
	case !s.canSend(c):
		return ErrClosed
	case !code.valid():
		return fmt.Errorf("websocket: close: code %d must not be sent", code)
	case len(reason) > maxReason:
		return fmt.Errorf("websocket: close: reason of %d bytes, %d are allowed", len(reason), maxReason)
	case !utf8.ValidString(reason):
		return errors.New("websocket: close: reason is not UTF-8")
	}
	if err := s.sendClose(c, code, reason); err != nil {
		return err
	}
	s.phase = closeSent
	c.SetDeadline(s.opts.closeTimeout())
	return nil
}

// sendClose sends a Close frame; without a body when code is CloseNoStatus.
func (s *session) sendClose(c *conn.Conn, code Code, reason string) error {
	var a [maxControl]byte
	body := a[:0]
	if code != CloseNoStatus {
		body = binary.BigEndian.AppendUint16(body, uint16(code))
		body = append(body, reason...)
	}
	return s.sendFrame(c, finBit|byte(Close), body)
}

// gotClose handles the peer's Close frame: it is answered with the same code unless it is itself an answer (§5.5.1).
func (s *session) gotClose(c *conn.Conn, body []byte) {
	code, reason := CloseNoStatus, ""
	switch {
	case len(body) == 1: // §5.5.1: the body starts with two bytes of code
		s.fail(c, CloseProtocol, "close frame of one byte")
		return
	case len(body) >= 2:
		code = Code(binary.BigEndian.Uint16(body))
		if !code.valid() { // §7.4
			s.fail(c, CloseProtocol, "close code that must not be sent")
			return
		}
		if !utf8.Valid(body[2:]) { // §5.5.1, §8.1
			s.fail(c, CloseInvalidData, "close reason is not UTF-8")
			return
		}
		reason = string(body[2:])
	}
	if s.phase == running {
		s.sendClose(c, code, "")
	}
	s.hangUp(c, true)
	s.end(c, code, reason, true)
}

// fail ends the WebSocket because of what the peer sent (§7.1.7): with a Close frame, unless ours is out already.
func (s *session) fail(c *conn.Conn, code Code, why string) {
	if s.phase == running {
		s.sendClose(c, code, why)
	}
	c.SetReason(conn.Protocol)
	s.hangUp(c, false)
	s.end(c, code, why, false)
}

// hangUp ends TCP once all is sent. The server closes its side first (§7.1.1), so that it is the client which is spared
// the wait for late packets; but the peer may still be sending: to close at once would reset the connection and could cost
// it our Close frame. A client stays as it is until the server has closed: what still comes is thrown away.
func (s *session) hangUp(c *conn.Conn, clean bool) {
	c.Recv.Discard(c.Recv.Len())
	if s.keys != nil {
		c.SetDeadline(s.opts.closeTimeout())
		return
	}
	d := s.opts.closeTimeout()
	if clean {
		d = min(d, lingerTime)
	}
	c.DrainLinger(d)
}

// end tells the user that the WebSocket is over, once.
func (s *session) end(c *conn.Conn, code Code, reason string, clean bool) {
	if s.phase == ended {
		return
	}
	s.phase = ended
	s.dropParts()
	if s.deflation != nil {
		s.deflation.drop()
	}
	// Not Emit, which tells nothing any more inside conn.Close.
	if h := c.Handler(); h != nil {
		c.Shared().Stats.Events++
		h(c, &Control{Op: Close, Code: code, Reason: reason, Clean: clean})
	}
}

// timeout is called when the deadline has passed: of the peer's next sign of life, of its answer to our Close frame, or, for
// a client, of the server's closing of TCP.
func (s *session) timeout(c *conn.Conn) {
	switch s.phase {
	case running:
		s.keepAlive(c)
	case closeSent:
		s.end(c, CloseAbnormal, "", false)
		c.Fail(conn.DeadlineOver, errNoAnswer)
	case ended:
		c.Close()
	}
}

// shutdown tells the peer that the server goes away. When even the Close frame has no room, the peer is not reading: the
// connection drains what it can.
func (s *session) shutdown(c *conn.Conn) {
	if !s.canSend(c) {
		return
	}
	if CloseWith(c, CloseGoingAway, "") != nil {
		c.Drain()
	}
}
