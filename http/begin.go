package http

import (
	"errors"
	"fmt"
	"math/bits"
	"strconv"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/internal/wire"
)

var (
	// ErrNotBegun is returned if no reply of the connection has begun, or if another kind of reply
	// has.
	ErrNotBegun = errors.New("http: no such reply has begun")
	// ErrLength is returned if a body is longer or shorter than BeginLength was told.
	ErrLength = errors.New("http: body longer or shorter than its Content-Length")
)

// Begin begins a reply whose length nobody knows yet. Its body follows with WriteChunk, in as many
// pieces as needed and over as much time; End completes it. The client gets a chunked body, one
// that ends with the connection if it speaks HTTP/1.0, and none for HEAD. Nothing limits the time
// between Begin and End but the client's patience.
//
// c.Pending tells how many bytes are still to go out. conn.Drained comes when all are out: a
// handler that has a lot to send waits for it. Abort gives up a reply that cannot be completed.
//
// A body of the request that has not come yet is thrown away, unless StreamBody was called: then
// both go on side by side. Begin returns ErrNoRequest if no request waits, ErrBadHeader,
// ErrBadStatus (also for 204, 205 and 304, which have no body), and the errors of conn.Conn.Write.
// After an error the request still waits.
func Begin(c *conn.Conn, status int, contentType string) error {
	return BeginLength(c, status, contentType, untold)
}

// BeginLength is Begin for a body of length bytes: the client gets a Content-Length. WriteChunk
// returns ErrLength for bytes beyond that, and End if bytes are missing. With a negative length it
// is Begin.
func BeginLength(c *conn.Conn, status int, contentType string, length int64) error {
	x, err := waiting(c)
	if err != nil {
		return err
	}
	return x.beginLength(c, status, contentType, length, opens)
}

func (x *exchange) beginLength(c *conn.Conn, status int, contentType string, length int64, how outEvent) error {
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
	return x.beginReply(c, status, contentType, length, how)
}

// beginReply queues the head of a reply whose body follows: from the program, or, with how pumps,
// from a source.
func (x *exchange) beginReply(c *conn.Conn, status int, contentType string, length int64, how outEvent) error {
	if x.in == inHead && x.is(asStream) {
		x.sendContinue(c) // it must not come after the head of the reply
	}
	if x.is(holdsContinue) {
		x.flags &^= holdsContinue // Expect stays: see mustClose
		x.arm(c)
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
	x.out.on(how)
	x.owed = length
	x.note.size = 0 // counted as it comes
	if how == opens {
		x.goOn(c)
	}
	return nil
}

// beginning returns the exchange whose reply has begun, if an event of its request is being
// handled.
func beginning(c *conn.Conn) (*exchange, error) {
	x, ok := c.Layer().ProtocolState().(*exchange)
	switch {
	case !ok || x.out != outBegun:
		return nil, ErrNotBegun
	case !x.inside():
		return nil, ErrOutside
	}
	return x, nil
}

// WriteChunk sends a copy of p as the next piece of the reply begun with Begin. It goes out at the
// end of the turn of the loop, with what else was written in that turn. An empty p does nothing.
// WriteChunk returns ErrNotBegun, ErrLength, and the errors of conn.Conn.Write; after an error
// nothing of p is sent.
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
	// The coder cannot take bytes back, so there must be room for its output before.
	if err := c.Layer().Reserve(x.enc.Most(len(p)) + chunkFrame); err != nil {
		return err
	}
	return x.sendCoded(c, p, false)
}

// sendCoded sends the output of the coder for p.
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

// chunkFrame is more bytes than a chunk has around its data, and more than the end of a body
// without trailers has.
const chunkFrame = 32

// sendChunk queues one chunk, whole or not at all.
func (x *exchange) sendChunk(c *conn.Conn, p []byte) error {
	if x.owed >= 0 && int64(len(p)) > x.owed {
		return ErrLength
	}
	if err := c.Layer().Reserve(len(p) + hexLen(len(p)) + 4); err != nil {
		return err
	}
	x.note.size += int64(len(p))
	if !x.chunks() {
		if x.owed >= 0 {
			x.owed -= int64(len(p))
		}
		return writeLarge(c, p)
	}
	b := strconv.AppendUint(c.AvailableBuffer(), uint64(len(p)), 16)
	b = append(b, "\r\n"...)
	if len(p)+2 <= cap(b)-len(b) {
		_, err := c.Write(append(append(b, p...), "\r\n"...))
		return err
	}
	_, err := c.Write(b)
	if err == nil {
		err = writeLarge(c, p)
	}
	if err == nil {
		_, err = c.WriteString("\r\n")
	}
	return err
}

// largePiece is how long a piece of a body is that goes to the kernel at once, if nothing keeps it:
// a copy of it would cost more than the system call that it saves to gather it with others.
const largePiece = 32 << 10

// writeLarge queues p, or sends it.
func writeLarge(c *conn.Conn, p []byte) (err error) {
	if len(p) < largePiece {
		_, err = c.Write(p)
	} else {
		_, err = c.WriteThrough(p)
	}
	return err
}

// chunks reports whether the reply that has begun is in the chunked coding.
func (x *exchange) chunks() bool { return x.p.Minor > 0 && x.owed == untold }

func hexLen(n int) int { return (bits.Len(uint(n)) + 3) / 4 }

// End completes the reply begun with Begin. The trailers follow a chunked body; other bodies, those
// of HTTP/1.0 and of BeginLength, have no place for them. End returns ErrNotBegun, ErrLength,
// ErrBadHeader for a trailer that is malformed or not allowed there (RFC 9110 6.5.1), and the
// errors of conn.Conn.Write. After an error the reply still goes on.
func End(c *conn.Conn, trailers ...Field) error {
	x, err := beginning(c)
	if err != nil {
		return err
	}
	return x.end(c, trailers)
}

func (x *exchange) end(c *conn.Conn, trailers []Field) error {
	if x.owed > 0 && !x.is(isHead) {
		return ErrLength
	}
	size, err := trailerSize(trailers)
	if err != nil {
		return err
	}
	if err := x.writeEnd(c, size, trailers); err != nil {
		return err
	}
	if x.mustClose(c) {
		x.flags |= closing
	}
	x.flags &^= events
	x.out.on(ends)
	x.goOn(c)
	return nil
}

// trailerSize returns at most how many bytes the end of a chunked body with these trailers has.
func trailerSize(trailers []Field) (int, error) {
	size := chunkFrame
	for _, t := range trailers {
		if !validTrailer(t) {
			return 0, ErrBadHeader
		}
		size += len(t.Name) + len(t.Value) + 4
	}
	return size, nil
}

// appendLastChunk appends the end of a chunked body (RFC 9112 7.1, 7.1.2).
func appendLastChunk(b []byte, trailers []Field) ([]byte, error) {
	if _, err := trailerSize(trailers); err != nil {
		return nil, err
	}
	b = append(b, "0\r\n"...)
	for _, t := range trailers {
		b = appendField(b, t.Name, t.Value)
	}
	return append(b, "\r\n"...), nil
}

// writeEnd queues the end of the body: size bytes at most, and what the coder still holds.
func (x *exchange) writeEnd(c *conn.Conn, size int, trailers []Field) error {
	if x.is(isHead) {
		return nil
	}
	if x.enc != nil {
		if err := c.Layer().Reserve(x.enc.Most(0) + chunkFrame + size); err != nil {
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
	b, err := appendLastChunk(c.AvailableBuffer(), trailers)
	if err == nil {
		_, err = c.Write(b)
	}
	return err
}

// ValidTrailer reports whether End takes t: it is well-formed, and no field that must not be in a
// trailer section.
func ValidTrailer(t Field) bool { return validTrailer(t) }

func validTrailer(t Field) bool {
	return len(t.Name) > 0 && wire.All(t.Name, wire.TokenByte) && wire.All(t.Value, wire.ValueByte) && wire.InTrailers(t.Name)
}

// Abort gives up the reply begun with Begin. Queued bytes are dropped and the connection is cut, so
// that the client can tell that the reply is incomplete. It returns ErrNotBegun.
func Abort(c *conn.Conn) error {
	x, err := beginning(c)
	if err != nil {
		return err
	}
	x.cut(c)
	return nil
}

// cut closes a connection in the middle of a reply.
func (x *exchange) cut(c *conn.Conn) {
	x.showCut(c)
	c.Close()
}

// showCut has the client see that the reply is incomplete. The connection is going to be closed.
func (x *exchange) showCut(c *conn.Conn) {
	if (x.out == outBegun || x.out == outPumping) && x.p.Minor == 0 && x.owed == untold {
		// Such a body ends where the stream ends: only a reset shows that it is incomplete. A unix
		// socket has no reset.
		c.Kernel().SetLinger(conn.Linger{On: true})
	}
	c.Layer().Cut()
}
