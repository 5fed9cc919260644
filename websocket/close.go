package websocket

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/seed4930a636/mangusta/conn"
)

var errNoAnswer = errors.New("websocket: the peer did not answer the Close frame in time")

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

// gotClose handles the peer's Close frame: it is answered with the same code unless it is itself an answer (§5.5.1), and
// the server ends the TCP connection (§7.1.1).
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
	s.hangUp(c)
	s.end(c, code, reason, true)
}

// fail ends the WebSocket because of what the peer sent (§7.1.7): with a Close frame, unless ours is out already.
func (s *session) fail(c *conn.Conn, code Code, why string) {
	if s.phase == running {
		s.sendClose(c, code, why)
	}
	c.SetReason(conn.Protocol)
	s.hangUp(c)
	s.end(c, code, why, false)
}

// hangUp closes the connection once all is sent. The peer may still be sending: to close at once would reset the connection
// and could cost it our Close frame.
func (s *session) hangUp(c *conn.Conn) {
	c.Recv.Discard(c.Recv.Len())
	c.DrainLinger(s.opts.closeTimeout())
}

// end tells the user that the WebSocket is over, once.
func (s *session) end(c *conn.Conn, code Code, reason string, clean bool) {
	if s.phase == ended {
		return
	}
	s.phase = ended
	s.dropParts()
	// Not Emit, which tells nothing any more inside conn.Close.
	if h := c.Handler(); h != nil {
		c.Shared().Stats.Events++
		h(c, &Control{Op: Close, Code: code, Reason: reason, Clean: clean})
	}
}

// timeout gives up on a peer that has not answered our Close frame.
func (s *session) timeout(c *conn.Conn) {
	if s.phase == closeSent {
		s.end(c, CloseAbnormal, "", false)
		c.Fail(conn.DeadlineOver, errNoAnswer)
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
