package http

import (
	"errors"
	"fmt"
	"math/bits"
	"strconv"

	"github.com/seed4930a636/mangusta/conn"
)

var (
	// ErrNotBegun is returned when no reply of the connection has begun, or none that the function belongs to.
	ErrNotBegun = errors.New("http: no such reply has begun")
	// ErrLength is returned when a body is not as long as BeginLength was told.
	ErrLength = errors.New("http: body longer or shorter than its Content-Length")
)

// Begin begins an answer whose length nobody knows yet. Its body follows with WriteChunk, in as many pieces as needed
// and over as much time; End completes it. The client gets a chunked body, one that ends with the connection if it
// speaks HTTP/1.0, and none for HEAD. Nothing limits the time between Begin and End but the client's patience.
//
// c.Pending tells how much of it is still to go out, and conn.Drained when all has: a handler that has a lot to send
// waits for that. An answer that cannot be completed is given up with Abort.
//
// Where the body of the request has not come yet, it is thrown away, unless Stream was called: then both go on side by
// side. Begin returns ErrNoRequest when no request waits, ErrBadHeader, and ErrBadStatus, also for 204, 205 and 304,
// which have no body; and the errors of conn.Conn.Write. The request still waits then.
func Begin(c *conn.Conn, status int, contentType string) error {
	return BeginLength(c, status, contentType, untold)
}

// BeginLength is Begin for a body of length bytes, which the client is told. WriteChunk returns ErrLength for what
// would be more, and End for less. A negative length is Begin.
func BeginLength(c *conn.Conn, status int, contentType string, length int64) error {
	x, err := waiting(c)
	if err != nil {
		return err
	}
	if status < 200 || status > 999 || status == 204 || status == 205 || status == 304 {
		return ErrBadStatus
	}
	if !validValue(contentType) {
		return ErrBadHeader
	}
	if length < 0 {
		length = untold
		if x.srv.opts.Compress != nil {
			x.negotiate(status, contentType, untold)
		}
	}
	return x.begin(c, status, contentType, length)
}

func (x *exchange) begin(c *conn.Conn, status int, contentType string, length int64) error {
	if x.phase == phaseHead && x.is(streamed) {
		x.sendContinue(c) // it must not come behind the head of the answer
	}
	if x.is(encoded) && !x.is(isHead) {
		if x.enc = x.srv.opts.Compress.Begin(); x.enc == nil {
			x.flags &^= encoded
		}
	}
	b := x.appendHead(c, c.AvailableBuffer(), status, contentType, length)
	if _, err := c.Write(b); err != nil {
		x.flags &^= encoded | varies
		x.dropEncoder()
		return err
	}
	x.flags = x.flags&^live | begun
	x.owed = length
	x.note.size = 0 // counted as it comes
	if x.phase == phaseAnswer && !x.is(busy) {
		x.beat(c)
	}
	if x.phase == phaseBody && !x.is(busy) && x.early(c) == again {
		c.Redeliver()
	}
	return nil
}

func (x *exchange) dropEncoder() {
	if x.enc != nil {
		x.enc.Drop()
		x.enc = nil
	}
}

// beginning returns the exchange whose answer has begun.
func beginning(c *conn.Conn) (*exchange, error) {
	if x, ok := c.ProtocolState().(*exchange); ok && x.is(begun) {
		return x, nil
	}
	return nil, ErrNotBegun
}

// WriteChunk sends a copy of p as the next piece of the answer begun with Begin, at once: it is not held back to be
// joined with others, but for what is written in the same turn of the loop. An empty p does nothing. It returns
// ErrNotBegun and the errors of conn.Conn.Write; nothing of p is sent then.
func WriteChunk(c *conn.Conn, p []byte) error {
	x, err := beginning(c)
	if err != nil {
		return err
	}
	return x.writeChunk(c, p)
}

// WriteChunkf is WriteChunk for text made as by fmt.Sprintf.
func WriteChunkf(c *conn.Conn, format string, args ...any) error {
	x, err := beginning(c)
	if err != nil {
		return err
	}
	s := x.srv
	s.scratch = fmt.Appendf(s.scratch[:0], format, args...)
	err = x.writeChunk(c, s.scratch)
	if cap(s.scratch) > 64<<10 {
		s.scratch = nil
	}
	return err
}

func (x *exchange) writeChunk(c *conn.Conn, p []byte) error {
	if len(p) == 0 || x.is(isHead) {
		return nil
	}
	if x.enc == nil {
		return x.sendChunk(c, p)
	}
	// What has gone through the coder cannot be taken back, so there must be room for it before.
	if err := reserve(c, x.enc.Most(len(p))+chunkFrame); err != nil {
		return err
	}
	return x.sendCoded(c, p, false)
}

// sendCoded sends what the coder makes of p.
func (x *exchange) sendCoded(c *conn.Conn, p []byte, last bool) error {
	s := x.srv
	s.coded = x.enc.Append(s.coded[:0], p, last)
	var err error
	if len(s.coded) > 0 {
		err = x.sendChunk(c, s.coded)
	}
	if cap(s.coded) > 64<<10 {
		s.coded = nil
	}
	return err
}

// chunkFrame is more than a chunk has around its data, and more than what ends a body without trailers.
const chunkFrame = 32

// sendChunk queues one chunk, whole or not at all.
func (x *exchange) sendChunk(c *conn.Conn, p []byte) error {
	if x.owed >= 0 && int64(len(p)) > x.owed {
		return ErrLength
	}
	if err := reserve(c, len(p)+hexLen(len(p))+4); err != nil {
		return err
	}
	x.note.size += int64(len(p))
	if !x.chunks() {
		if x.owed >= 0 {
			x.owed -= int64(len(p))
		}
		_, err := c.Write(p)
		return err
	}
	b := strconv.AppendUint(c.AvailableBuffer(), uint64(len(p)), 16)
	b = append(b, "\r\n"...)
	if len(p)+2 <= cap(b)-len(b) {
		_, err := c.Write(append(append(b, p...), "\r\n"...))
		return err
	}
	_, err := c.Write(b)
	if err == nil {
		_, err = c.Write(p)
	}
	if err == nil {
		_, err = c.WriteString("\r\n")
	}
	return err
}

// chunks reports whether the answer that has begun is in the chunked coding.
func (x *exchange) chunks() bool { return x.p.minor > 0 && x.owed == untold }

func hexLen(n int) int { return (bits.Len(uint(n)) + 3) / 4 }

// End completes the answer begun with Begin. The trailers go behind a chunked body; others, those of HTTP/1.0 and
// BeginLength, have no place for them. It returns ErrNotBegun, ErrLength, ErrBadHeader for a trailer that is malformed
// or must not be there (RFC 9110 6.5.1), and the errors of conn.Conn.Write; the answer still goes on then.
func End(c *conn.Conn, trailers ...Field) error {
	x, err := beginning(c)
	if err != nil {
		return err
	}
	if x.owed > 0 && !x.is(isHead) {
		return ErrLength
	}
	size := chunkFrame
	for _, t := range trailers {
		if !validTrailer(t) {
			return ErrBadHeader
		}
		size += len(t.Name) + len(t.Value) + 4
	}
	if err := x.writeEnd(c, size, trailers); err != nil {
		return err
	}
	if x.phase <= phaseStream && x.mustClose(c) {
		x.flags |= closing
	}
	x.flags &^= begun | events
	x.answered(c)
	return nil
}

// writeEnd queues what ends the body: no more than size bytes beside what the coder still holds.
func (x *exchange) writeEnd(c *conn.Conn, size int, trailers []Field) error {
	if x.is(isHead) {
		return nil
	}
	if x.enc != nil {
		if err := reserve(c, x.enc.Most(0)+chunkFrame+size); err != nil {
			return err
		}
		if err := x.sendCoded(c, nil, true); err != nil {
			return err
		}
		x.enc = nil
	}
	if !x.chunks() {
		return nil
	}
	b := append(c.AvailableBuffer(), "0\r\n"...)
	for _, t := range trailers {
		b = append(append(b, t.Name...), ": "...)
		b = append(append(b, t.Value...), "\r\n"...)
	}
	_, err := c.Write(append(b, "\r\n"...))
	return err
}

func validTrailer(t Field) bool {
	if len(t.Name) == 0 || !all(t.Name, tchar) || !all(t.Value, valueByte) {
		return false
	}
	for _, name := range notInTrailers {
		if foldEqual(t.Name, name) {
			return false
		}
	}
	return true
}

// Abort gives up the answer begun with Begin: what is queued is dropped and the connection cut, so that the client
// cannot take what it got for the whole. It returns ErrNotBegun.
func Abort(c *conn.Conn) error {
	x, err := beginning(c)
	if err != nil {
		return err
	}
	x.cut(c)
	return nil
}

// cut closes a connection in the middle of an answer.
func (x *exchange) cut(c *conn.Conn) {
	if x.is(begun) && x.p.minor == 0 && x.owed == untold {
		// Such a body ends where the stream does: only a reset tells that it is not whole. A unix socket has none.
		c.SetLinger(conn.Linger{On: true})
	}
	c.Close()
}
