package websocket

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/seed4930a636/mangusta/conn"
)

var errNoClose = errors.New("websocket: the peer's Close frame did not come in time")

// lingerTime is how long a server waits for the peer to close its side of TCP, after a clean end
// and after all is sent. The peer has nothing more to send, so closing loses little (RFC 6455
// §7.1.1 has the server close at once).
const lingerTime = time.Second

// CloseWith sends a Close frame and begins the closing handshake (RFC 6455 §7.1.2). From then on
// nothing can be sent, and messages that still come are dropped. The connection ends when the
// peer's Close frame has come, or after Options.CloseTimeout. The reason is for logs, at most 123
// bytes of UTF-8. CloseWith returns ErrClosed if this side has sent its Close frame already.
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
	c.Layer().SetDeadline(s.opts.closeTimeout())
	return nil
}

// sendClose sends a Close frame, which has no body if code is CloseNoStatus.
func (s *session) sendClose(c *conn.Conn, code Code, reason string) error {
	var a [maxControl]byte
	body := a[:0]
	if code != CloseNoStatus {
		body = binary.BigEndian.AppendUint16(body, uint16(code))
		body = append(body, reason...)
	}
	return s.sendFrame(c, finBit|byte(Close), body)
}

// gotClose handles the peer's Close frame. If this side has not sent one, it sends one with the
// same code (§5.5.1).
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

// fail ends the WebSocket because of a mistake of the peer (§7.1.7). It sends a Close frame, unless
// this side has sent one already.
func (s *session) fail(c *conn.Conn, code Code, why string) {
	if s.phase == running {
		s.sendClose(c, code, why)
	}
	c.Layer().SetReason(conn.Protocol)
	s.hangUp(c, false)
	s.end(c, code, why, false)
}

// hangUp ends TCP after all is sent. A server closes its side first (§7.1.1), so that the client
// need not wait for late packets. But the client may still be sending: if the server closed at
// once, it would reset the connection, and the client could lose the Close frame. A client waits
// until the server has closed, and drops the bytes that still come.
func (s *session) hangUp(c *conn.Conn, clean bool) {
	c.Recv.Discard(c.Recv.Len())
	if s.keys != nil {
		c.Layer().SetDeadline(s.opts.closeTimeout())
		return
	}
	d := s.opts.closeTimeout()
	if clean {
		d = min(d, lingerTime)
	}
	c.Layer().DrainLinger(d)
}

// end tells the user that the WebSocket is over, once.
func (s *session) end(c *conn.Conn, code Code, reason string, clean bool) {
	if s.phase == ended {
		return
	}
	s.phase = ended
	s.dropParts(c)
	c.Layer().Charge(0)
	if s.agreed != nil {
		s.agreed.Codec.Drop()
	}
	// Emit would give the handler nothing here: inside conn.Close it is too late.
	if h := c.Layer().Handler(); h != nil {
		c.Layer().Shared().Stats.Events++
		h(c, &Control{Op: Close, Code: code, Reason: reason, Clean: clean})
	}
}

// timeout handles a deadline that has passed: for the peer's next sign of life, for its Close
// frame, or, on a client, for the server to close TCP.
func (s *session) timeout(c *conn.Conn) {
	switch s.phase {
	case running:
		s.keepAlive(c)
	case closeSent:
		s.end(c, CloseAbnormal, "", false)
		c.Layer().Fail(conn.DeadlineOver, errNoClose)
	case ended:
		c.Close()
	}
}

// shutdown tells the peer that the server goes away. If the queue has no room even for the Close
// frame, the peer is not reading: the connection sends what it can, and ends.
func (s *session) shutdown(c *conn.Conn, restart bool) {
	if !s.canSend(c) {
		return
	}
	code := CloseGoingAway
	if restart {
		code = CloseRestart // the client is to come back
	}
	if CloseWith(c, code, "") != nil {
		c.Drain()
	}
}
