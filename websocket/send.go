package websocket

import (
	"errors"
	"fmt"

	"github.com/seed4930a636/mangusta/conn"
)

var (
	// ErrClosed is returned if this side has sent its Close frame, and on a connection that is
	// closing.
	ErrClosed = errors.New("websocket: closed or closing")
	// ErrNotWebSocket is returned for a connection that has not been upgraded.
	ErrNotWebSocket = errors.New("websocket: the connection is not a WebSocket")
	// ErrBusy is returned while a Writer has begun another message: the frames of two messages must
	// not mix.
	ErrBusy = errors.New("websocket: a Writer has begun a message")
)

// Is reports whether c is a WebSocket. It is one from *Open to *conn.Close.
func Is(c *conn.Conn) bool { return of(c) != nil }

func of(c *conn.Conn) *session {
	s, _ := c.Layer().ProtocolState().(*session)
	return s
}

func (s *session) canSend(c *conn.Conn) bool { return s.phase == running && c.IsOpen() }

// Send queues a copy of p as a Text or Binary message, or as a Ping or Pong of at most 125 bytes.
// The caller vouches that a text is UTF-8: Send does not check it. The errors are ErrClosed,
// ErrBusy, ErrNotWebSocket and conn.ErrSendLimit; with an error nothing is queued.
func Send(c *conn.Conn, op Op, p []byte) error {
	s := of(c)
	if s == nil {
		return ErrNotWebSocket
	}
	if err := s.maySend(c, op, len(p)); err != nil {
		return err
	}
	if !op.isControl() && s.agreed.wants(len(p)) {
		return s.sendDeflated(c, finBit|rsv1|byte(op), p)
	}
	return s.sendFrame(c, finBit|byte(op), p)
}

// maySend says why a message of n bytes cannot be sent now.
func (s *session) maySend(c *conn.Conn, op Op, n int) error {
	if !s.canSend(c) {
		return ErrClosed
	}
	if err := checkOp(op, n); err != nil {
		return err
	}
	if s.writing && !op.isControl() {
		return ErrBusy
	}
	return nil
}

func checkOp(op Op, n int) error {
	switch {
	case op == Text || op == Binary:
		return nil
	case op != Ping && op != Pong:
		return fmt.Errorf("websocket: send: %s (%d) is not a message", op, op)
	case n > maxControl:
		return fmt.Errorf("websocket: send: %s of %d bytes, %d are allowed", op, n, maxControl)
	}
	return nil
}

// sendFrame queues a frame. first is the opcode, with finBit unless more fragments follow.
func (s *session) sendFrame(c *conn.Conn, first byte, p []byte) error {
	if s.keys != nil {
		return s.sendMasked(c, first, p)
	}
	b := appendHeader(c.AvailableBuffer(), first, len(p))
	if len(b)+len(p) <= cap(b) {
		_, err := c.Write(append(b, p...))
		return err
	}
	// If the queue took the header and then refused the payload, the stream would be broken.
	if err := c.Layer().Reserve(len(b) + len(p)); err != nil {
		return err
	}
	if _, err := c.Write(b); err != nil {
		return err
	}
	var err error
	if first&finBit != 0 {
		_, err = c.WriteThrough(p)
	} else {
		_, err = c.Write(p) // more fragments follow
	}
	return err
}

// MessageWriter sends one message in fragments.
type MessageWriter struct {
	c        *conn.Conn
	op       Op
	begun    bool // the first fragment is queued
	ended    bool // the last one is
	deflated bool // the message is compressed
}

// Writer begins a Text or Binary message that is sent as it is written: each Write is a fragment,
// and Close ends the message. Until then other messages on c get ErrBusy. If the Writes are small,
// wrap it in a bufio.Writer. A Writer is for one message.
func Writer(c *conn.Conn, op Op) *MessageWriter { return &MessageWriter{c: c, op: op} }

// Write queues a copy of p as a fragment. The errors are those of Send.
func (w *MessageWriter) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if err := w.send(0, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Close ends the message, which may be empty. A second Close returns an error.
func (w *MessageWriter) Close() error { return w.send(finBit, nil) }

func (w *MessageWriter) send(fin byte, p []byte) error {
	s := of(w.c)
	switch {
	case s == nil:
		return ErrNotWebSocket
	case !s.canSend(w.c):
		return ErrClosed
	case w.ended:
		return errors.New("websocket: write: the message has ended")
	case w.op != Text && w.op != Binary: // §5.5: control frames are never fragmented
		return fmt.Errorf("websocket: write: %s (%d) is not a message", w.op, w.op)
	case !w.begun && s.writing:
		return ErrBusy
	}
	op := w.op
	if w.begun {
		op = Continuation
	}
	first := fin | byte(op)
	if !w.begun && fin == 0 && s.agreed.wants(len(p)) {
		w.deflated = true
		first |= rsv1
	}
	var err error
	if w.deflated {
		err = s.sendDeflated(w.c, first, p)
	} else {
		err = s.sendFrame(w.c, first, p)
	}
	if err != nil {
		return err
	}
	w.begun, w.ended = true, fin != 0
	s.writing = !w.ended
	return nil
}
