package http

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/seed4930a636/mangusta/conn"
)

var (
	// ErrNoRequest is returned by the functions that answer when no request of the connection waits for an answer.
	ErrNoRequest = errors.New("http: no request waits for an answer")
	// ErrBadHeader is returned for field names and values that must not be sent.
	ErrBadHeader = errors.New("http: field not allowed in a reply")
	// ErrBadStatus is returned for a status outside 200 to 999, and, in SendInterim, for one that is not interim.
	ErrBadStatus = errors.New("http: status not allowed in a reply")
)

const textPlain = "text/plain; charset=utf-8"

// waiting returns the exchange whose request waits for its answer.
func waiting(c *conn.Conn) (*exchange, error) {
	if x, ok := c.ProtocolState().(*exchange); ok && x.is(live) {
		return x, nil
	}
	return nil, ErrNoRequest
}

// SetHeader sets a field of the answer to come, instead of earlier ones of that name. Content-Length,
// Transfer-Encoding, Date, and Connection with any value but "close" and "Upgrade" belong to this package: they and
// malformed names and values give ErrBadHeader. An Upgrade field brings its Connection field along. It returns
// ErrNoRequest when no request waits.
func SetHeader(c *conn.Conn, name, value string) error {
	x, err := waiting(c)
	if err != nil {
		return err
	}
	if strings.EqualFold(name, "Connection") {
		switch {
		case strings.EqualFold(value, "close"):
			x.flags |= closing
			return nil
		case strings.EqualFold(value, "Upgrade"):
			x.flags |= upgrades
			return nil
		}
	}
	if err := checkField(name, value); err != nil {
		return err
	}
	x.extra = appendField(removeField(x.extra, name), name, value)
	return nil
}

// AddHeader is SetHeader for a field that may be there several times: earlier ones stay.
func AddHeader(c *conn.Conn, name, value string) error {
	x, err := waiting(c)
	if err != nil {
		return err
	}
	if err := checkField(name, value); err != nil {
		return err
	}
	x.extra = appendField(x.extra, name, value)
	return nil
}

// Reply answers the request of c with a body made as by fmt.Sprintf. An empty contentType sends no Content-Type but one
// given to SetHeader. It returns ErrNoRequest when no request waits, ErrBadStatus, ErrBadHeader, and the errors of
// conn.Conn.Write; the request still waits then.
func Reply(c *conn.Conn, status int, contentType, format string, args ...any) error {
	x, err := waiting(c)
	if err != nil {
		return err
	}
	s := x.srv
	s.scratch = fmt.Appendf(s.scratch[:0], format, args...)
	err = x.answer(c, status, contentType, s.scratch)
	if cap(s.scratch) > 64<<10 {
		s.scratch = nil
	}
	return err
}

// ReplyBytes is Reply for a body that is there already. The body is copied.
func ReplyBytes(c *conn.Conn, status int, contentType string, body []byte) error {
	x, err := waiting(c)
	if err != nil {
		return err
	}
	return x.answer(c, status, contentType, body)
}

// Error answers with the status and its name as plain text, or the page that Options.ErrorPage makes. A 405 needs an
// Allow field, which the caller sets before.
func Error(c *conn.Conn, status int) error {
	x, err := waiting(c)
	if err != nil {
		return err
	}
	if err := x.writeError(c, status); err != nil {
		return err
	}
	x.answered(c)
	return nil
}

// writeError queues an error page.
func (x *exchange) writeError(c *conn.Conn, status int) error {
	if page := x.srv.opts.ErrorPage; page != nil {
		contentType, body := page(status)
		if body != nil && validValue(contentType) {
			return x.write(c, status, contentType, body)
		}
	}
	return x.write(c, status, textPlain, x.srv.statusBody(status))
}

// SendInterim sends an interim answer, such as 103 (Early Hints), with these fields. The request goes on waiting for its
// answer, whose fields are those of SetHeader. HTTP/1.0 clients are sent nothing (RFC 9110 15.2).
func SendInterim(c *conn.Conn, status int, fields ...Field) error {
	x, err := waiting(c)
	if err != nil {
		return err
	}
	if status < 100 || status > 199 || status == 101 {
		return ErrBadStatus
	}
	for _, f := range fields {
		if err := checkField(string(f.Name), string(f.Value)); err != nil {
			return err
		}
	}
	if x.p.minor == 0 {
		return nil
	}
	b := appendStatusLine(c.AvailableBuffer(), status)
	for _, f := range fields {
		b = appendField(b, string(f.Name), string(f.Value))
	}
	_, err = c.Write(append(b, "\r\n"...))
	return err
}

// statusBody is the body of an error reply.
func (s *Server) statusBody(status int) []byte {
	s.scratch = strconv.AppendInt(s.scratch[:0], int64(status), 10)
	s.scratch = append(append(s.scratch, ' '), StatusText(status)...)
	s.scratch = append(s.scratch, '\n')
	return s.scratch
}

// answer sends the whole answer.
func (x *exchange) answer(c *conn.Conn, status int, contentType string, body []byte) error {
	if err := x.write(c, status, contentType, body); err != nil {
		return err
	}
	x.answered(c)
	return nil
}

// answered goes on with an exchange whose answer, or its head when a file follows, is queued. In a handler of the
// exchange that has to wait until the handler returns.
func (x *exchange) answered(c *conn.Conn) {
	x.flags = x.flags&^live | hasAnswer
	switch {
	case x.is(busy):
		return
	case x.file.f != nil:
		x.phase = phaseFile
		c.SetDeadline(0)
		return
	case x.phase == phaseBody || x.phase == phaseStream:
		if x.early(c) == again {
			c.Redeliver()
			return
		}
	case x.phase == phaseSkip && !x.is(closing):
		return // the body is still being thrown away
	default:
		x.finish(c)
	}
	x.srv.resume(c)
}

// resume serves the next request of a connection whose exchange ended outside of serve.
func (s *Server) resume(c *conn.Conn) {
	switch {
	case !c.IsOpen():
	case c.Recv.Len() > 0:
		c.Redeliver()
	default:
		s.rest(c)
	}
}

// write queues the answer, whole or not at all.
func (x *exchange) write(c *conn.Conn, status int, contentType string, body []byte) error {
	if status < 200 || status > 999 {
		return ErrBadStatus
	}
	if !validValue(contentType) {
		return ErrBadHeader
	}
	if x.srv.opts.Compress != nil {
		body = x.compress(status, contentType, body)
	}
	err := x.queue(c, status, contentType, body)
	if err != nil {
		x.flags &^= encoded | varies
	}
	return err
}

// queue is write behind the checks.
func (x *exchange) queue(c *conn.Conn, status int, contentType string, body []byte) error {
	b := x.appendHead(c, c.AvailableBuffer(), status, contentType, int64(len(body)))
	if x.is(isHead) || status == 204 || status == 304 || status == 205 {
		body = nil
	}
	if len(body) <= cap(b)-len(b) || len(body) < 4<<10 {
		_, err := c.Write(append(b, body...))
		return err
	}
	if err := reserve(c, len(b)+len(body)); err != nil {
		return err
	}
	_, err := c.Write(b)
	if err == nil {
		_, err = c.WriteThrough(body)
	}
	return err
}

// reserve returns nil when n more bytes can be queued. When they cannot, it does what a Write of them would do.
func reserve(c *conn.Conn, n int) error {
	if !c.IsOpen() {
		return conn.ErrClosed
	}
	l := c.Limits()
	if c.Pending()+n <= l.Send {
		return nil
	}
	if l.OnFull == conn.CloseOnFull {
		c.Fail(conn.SendLimit, conn.ErrSendLimit)
	} else {
		c.Shared().Stats.Rejected++
	}
	return conn.ErrSendLimit
}

// untold is the length of a body that ends where End is called.
const untold = -1

// appendHead appends the head of an answer whose body has length bytes.
func (x *exchange) appendHead(c *conn.Conn, b []byte, status int, contentType string, length int64) []byte {
	if length == untold && x.p.minor == 0 {
		x.flags |= closing // RFC 9112 6.3: the end of the connection is the end of the body
	}
	if !(length == untold && x.is(streamed)) && x.mustClose(c) {
		x.flags |= closing
	}
	x.noteAnswer(status, length)
	b = appendStatusLine(b, status)
	// RFC 9110 6.6.1: an origin server with a clock sends Date.
	b = append(b, x.srv.date.at(c.Shared().Now)...)
	if len(x.extra) > 0 {
		if contentType != "" {
			x.extra = removeField(x.extra, "Content-Type")
		}
	}
	if x.srv.server != "" && !hasField(x.extra, "Server") {
		b = append(b, x.srv.server...)
	}
	switch status {
	case 204, 304:
		// RFC 9110 8.6: no Content-Length in a 204; in a 304 it would be that of the 200.
	case 205:
		// RFC 9110 15.3.6: a 205 has no content.
		b = append(b, "Content-Length: 0\r\n"...)
	default:
		if contentType != "" {
			b = append(append(append(b, "Content-Type: "...), contentType...), "\r\n"...)
		}
		switch {
		case length != untold:
			b = append(b, "Content-Length: "...)
			b = append(strconv.AppendInt(b, length, 10), "\r\n"...)
		case x.p.minor > 0:
			b = append(b, "Transfer-Encoding: chunked\r\n"...)
		}
	}
	if x.is(closing) {
		b = append(b, "Connection: close\r\n"...)
	} else if x.p.minor == 0 {
		b = append(b, "Connection: keep-alive\r\n"...)
	}
	if x.flags&(upgrades|encoded|varies) != 0 || len(x.extra) > 0 {
		b = x.appendRare(b)
	}
	b = append(b, x.extra...)
	return append(b, "\r\n"...)
}

// appendRare appends what goes with the fields that the handler has set.
func (x *exchange) appendRare(b []byte) []byte {
	// RFC 9110 7.8: who sends Upgrade must send the connection option "upgrade" with it.
	if x.is(upgrades) || hasField(x.extra, "Upgrade") {
		b = append(b, "Connection: Upgrade\r\n"...)
	}
	if x.is(encoded) {
		b = appendField(b, "Content-Encoding", x.srv.opts.Compress.Coding())
		x.extra = weaken(x.extra)
	}
	if x.is(varies) {
		b = append(b, "Vary: Accept-Encoding\r\n"...)
	}
	return b
}

// mustClose reports whether a request that is answered now, before its body is complete, leaves a connection that
// cannot be used again.
func (x *exchange) mustClose(c *conn.Conn) bool {
	if !x.f.hasBody || x.phase > phaseStream {
		return false
	}
	missing := int64(x.n) + x.f.length - int64(c.Recv.Len())
	switch {
	case x.f.chunked:
		missing = 1
	case x.phase == phaseStream:
		missing = x.left - int64(c.Recv.Len())
	}
	// RFC 9110 10.1.1: a client that expects 100 and gets an answer instead may send the body or leave it out, and
	// there is no telling one from the next request.
	return missing > maxSkip || missing > 0 && x.f.expect
}

// checkField refuses what would break the head or what this package decides itself.
func checkField(name, value string) error {
	if name == "" || !validValue(value) {
		return ErrBadHeader
	}
	for i := range len(name) {
		if classes[name[i]]&tchar == 0 {
			return ErrBadHeader
		}
	}
	for _, own := range [...]string{"Content-Length", "Transfer-Encoding", "Connection", "Date"} {
		if foldEqual([]byte(name), own) {
			return ErrBadHeader
		}
	}
	return nil
}

func validValue(s string) bool {
	for i := range len(s) {
		if classes[s[i]]&valueByte == 0 {
			return false
		}
	}
	return true
}

func appendField(b []byte, name, value string) []byte {
	b = append(append(b, name...), ": "...)
	return append(append(b, value...), "\r\n"...)
}

// hasField looks for a line of that name.
func hasField(lines []byte, name string) bool {
	_, _, found := findField(lines, name)
	return found
}

// removeField cuts all lines of that name out.
func removeField(lines []byte, name string) []byte {
	for {
		start, end, found := findField(lines, name)
		if !found {
			return lines
		}
		lines = append(lines[:start], lines[end:]...)
	}
}

// findField returns where the first line of that name begins and ends.
func findField(lines []byte, name string) (start, end int, found bool) {
	for start < len(lines) {
		end = start + bytes.IndexByte(lines[start:], '\n') + 1
		line := lines[start:end]
		if len(line) > len(name) && line[len(name)] == ':' && foldEqual(line[:len(name)], name) {
			return start, end, true
		}
		start = end
	}
	return 0, 0, false
}
