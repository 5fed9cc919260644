package http

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/internal/wire"
)

var (
	// ErrNoRequest is returned by the functions that reply, if no request of the connection waits
	// for a reply.
	ErrNoRequest = errors.New("http: no request waits for a reply")
	// ErrBadHeader is returned for field names and values that must not be sent.
	ErrBadHeader = errors.New("http: field that must not be sent")
	// ErrBadStatus is returned for a status outside 200 to 999, and, in SendInterim, for one that
	// is not interim.
	ErrBadStatus = errors.New("http: status not allowed in a reply")
)

const textPlain = "text/plain; charset=utf-8"

// waiting returns the exchange whose request waits for its reply, if an event of it is being
// handled.
func waiting(c *conn.Conn) (*exchange, error) {
	if check := c.Layer().Shared().Check; check != nil {
		check("a function of package http that takes a connection")
	}
	x, ok := c.Layer().ProtocolState().(*exchange)
	switch {
	case !ok || x.out != outWaiting:
		return nil, ErrNoRequest
	case !x.inside():
		return nil, ErrOutside
	}
	return x, nil
}

// inside reports whether the functions that take a connection mean this exchange now.
func (x *exchange) inside() bool { return x.flags&(busy|entered) != 0 }

// SetHeader sets a field of the reply to come, and replaces earlier ones of that name.
// Content-Length, Transfer-Encoding, and Connection with any value but "close" and "Upgrade" belong
// to this package: for them, and for malformed names and values, it returns ErrBadHeader. An
// Upgrade field brings its Connection field along. A Date, such as that of the server that a proxy
// stands for, takes the place of this package's. It returns ErrNoRequest if no request waits.
func SetHeader(c *conn.Conn, name, value string) error {
	x, err := waiting(c)
	if err != nil {
		return err
	}
	return x.setHeader(name, value)
}

func (x *exchange) setHeader(name, value string) error {
	if err := checkDate(name, value); err != nil {
		return err
	}
	return x.setDateless(name, value)
}

// setDateless is setHeader for a field that is no Date. Every program has it, because of error
// pages; with a Date it would bring the parser of dates along.
func (x *exchange) setDateless(name, value string) error {
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
	x.flags &^= fileFields
	return nil
}

// AddHeader is SetHeader for a field that may be there several times: earlier ones stay.
func AddHeader(c *conn.Conn, name, value string) error {
	x, err := waiting(c)
	if err != nil {
		return err
	}
	return x.addHeader(name, value)
}

func (x *exchange) addHeader(name, value string) error { return addField(x, name, value) }

func addField[T ~string | ~[]byte](x *exchange, name, value T) error {
	if err := checkDate(name, value); err != nil {
		return err
	}
	if err := checkField(name, value); err != nil {
		return err
	}
	x.extra = appendField(x.extra, name, value)
	x.flags &^= fileFields
	return nil
}

// AddField is AddHeader for a field as a request or a response has it.
func AddField(c *conn.Conn, f Field) error {
	x, err := waiting(c)
	if err != nil {
		return err
	}
	return addField(x, f.Name, f.Value)
}

// Reply replies to the request of c with a body made as by fmt.Sprintf. With an empty contentType
// there is no Content-Type but one given to SetHeader. It returns ErrNoRequest if no request waits,
// ErrBadStatus, ErrBadHeader, and the errors of conn.Conn.Write. After an error the request still
// waits.
func Reply(c *conn.Conn, status int, contentType, format string, args ...any) error {
	x, err := waiting(c)
	if err != nil {
		return err
	}
	return x.replyf(c, status, contentType, format, args)
}

func (x *exchange) replyf(c *conn.Conn, status int, contentType, format string, args []any) error {
	s := x.srv
	s.scratch = fmt.Appendf(s.scratch[:0], format, args...)
	err := x.reply(c, status, contentType, s.scratch)
	if cap(s.scratch) > 64<<10 {
		s.scratch = nil
	}
	return err
}

// ReplyBytes is Reply for a body of bytes, which it copies.
func ReplyBytes(c *conn.Conn, status int, contentType string, body []byte) error {
	x, err := waiting(c)
	if err != nil {
		return err
	}
	return x.reply(c, status, contentType, body)
}

// Error replies with the status and its name as plain text, or with the page that Options.ErrorPage
// makes. A 405 needs an Allow field, which the caller sets before.
func Error(c *conn.Conn, status int) error {
	x, err := waiting(c)
	if err != nil {
		return err
	}
	return x.fail(c, status)
}

// fail replies with an error page.
func (x *exchange) fail(c *conn.Conn, status int) error {
	if err := x.writeError(c, status); err != nil {
		return err
	}
	x.out.on(replies)
	x.goOn(c)
	return nil
}

// writeError queues an error page.
func (x *exchange) writeError(c *conn.Conn, status int) error {
	if make := x.srv.opts.ErrorPage; make != nil {
		page := make(status)
		for _, f := range page.Fields {
			err := ErrBadHeader
			if !isDate(f.Name) {
				err = x.setDateless(string(f.Name), string(f.Value))
			}
			if err != nil && c.Layer().Shared().Log != nil {
				c.Layer().Shared().Log.Error("http: a field of Options.ErrorPage cannot be sent", "name", string(f.Name), "err", err)
			}
		}
		if page.Body != nil && validValue(page.ContentType) {
			return x.write(c, status, page.ContentType, page.Body)
		}
	}
	return x.write(c, status, textPlain, x.srv.statusBody(status))
}

// SendInterim sends an interim reply, such as 103 (Early Hints), with these fields. The request
// goes on waiting for its reply, whose fields are those of SetHeader. HTTP/1.0 clients get nothing
// (RFC 9110 15.2). 100 (Continue) is for HoldContinue: else this package sends it by itself.
func SendInterim(c *conn.Conn, status int, fields ...Field) error {
	x, err := waiting(c)
	if err != nil {
		return err
	}
	return x.sendInterim(c, status, fields)
}

func (x *exchange) sendInterim(c *conn.Conn, status int, fields []Field) error {
	if status < 100 || status > 199 || status == 101 {
		return ErrBadStatus
	}
	for _, f := range fields {
		if err := checkDate(f.Name, f.Value); err != nil {
			return err
		}
		if err := checkField(f.Name, f.Value); err != nil {
			return err
		}
	}
	if status == 100 && x.is(holdsContinue) {
		x.letContinue(c)
		return nil
	}
	if x.p.Minor == 0 {
		return nil
	}
	b := appendStatusLine(c.AvailableBuffer(), status)
	for _, f := range fields {
		b = appendField(b, f.Name, f.Value)
	}
	_, err := c.Write(append(b, "\r\n"...))
	return err
}

// statusBody is the body of an error reply.
func (s *Server) statusBody(status int) []byte {
	s.scratch = strconv.AppendInt(s.scratch[:0], int64(status), 10)
	s.scratch = append(append(s.scratch, ' '), StatusText(status)...)
	s.scratch = append(s.scratch, '\n')
	return s.scratch
}

// reply sends the whole reply.
func (x *exchange) reply(c *conn.Conn, status int, contentType string, body []byte) error {
	if err := x.write(c, status, contentType, body); err != nil {
		return err
	}
	x.out.on(replies)
	x.goOn(c)
	return nil
}

// replyAsIs sends a whole reply without a body, and without the fields of Options.Compress, which
// codes no files.
func (x *exchange) replyAsIs(c *conn.Conn, status int) error {
	if err := x.queue(c, status, "", nil); err != nil {
		return err
	}
	x.out.on(replies)
	x.goOn(c)
	return nil
}

// write queues the reply, whole or not at all.
func (x *exchange) write(c *conn.Conn, status int, contentType string, body []byte) error {
	if status < 200 || status > 999 {
		return ErrBadStatus
	}
	if contentType != x.srv.okType { // most replies have the type of the one before, and the same string
		if !validValue(contentType) {
			return ErrBadHeader
		}
		x.srv.okType = contentType
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

// queue is write after its checks.
func (x *exchange) queue(c *conn.Conn, status int, contentType string, body []byte) error {
	b := x.appendHead(c, c.AvailableBuffer(), status, contentType, int64(len(body)))
	if x.is(isHead) || status == 204 || status == 304 || status == 205 {
		body = nil
	}
	if len(body) <= cap(b)-len(b) || len(body) < 4<<10 {
		_, err := c.Write(append(b, body...))
		return err
	}
	if err := c.Layer().Reserve(len(b) + len(body)); err != nil {
		return err
	}
	_, err := c.Write(b)
	if err == nil {
		_, err = c.WriteThrough(body)
	}
	return err
}

// untold is the length of a body that ends where End is called.
const untold = -1

// appendHead appends the head of a reply whose body has length bytes.
func (x *exchange) appendHead(c *conn.Conn, b []byte, status int, contentType string, length int64) []byte {
	if length == untold && x.p.Minor == 0 {
		x.flags |= closing // RFC 9112 6.3: the end of the connection is the end of the body
	}
	if !(length == untold && x.is(asStream) && !x.f.Expect) && x.mustClose(c) {
		x.flags |= closing
	}
	x.noteReply(status, length)
	now := c.Layer().Shared().Now
	usual := x.usual()
	if start := &x.srv.start; start.isOf(status, contentType, now) && length != untold && usual {
		b = append(b, start.b...)
		b = append(strconv.AppendInt(b, length, 10), "\r\n"...)
	} else {
		from := len(b)
		b = x.appendFields(b, now, status, contentType, length)
		if length != untold && usual && hasLength(status) {
			start.set(b[from:], status, contentType, x.srv.date.until)
		}
	}
	if x.is(closing) {
		b = append(b, "Connection: close\r\n"...)
	} else if x.p.Minor == 0 {
		b = append(b, "Connection: keep-alive\r\n"...)
	}
	if x.flags&(upgrades|encoded|varies) != 0 || !usual {
		b = x.appendRare(b, status)
	}
	b = append(b, x.extra...)
	return append(b, "\r\n"...)
}

// usual reports whether the handler has set no fields, so that none can take the place of one that
// every reply has.
func (x *exchange) usual() bool { return len(x.extra) == 0 || x.is(fileFields) }

// A headStart is the beginning of the last head of a reply that had a length and no fields of its
// own, up to that length. The next one most likely begins in the same way.
type headStart struct {
	status int // 0 when there was none
	ctype  string
	until  int64 // when its Date is over, by the loop's clock
	b      []byte
}

// isOf reports whether the head of such a reply begins with s.
func (s *headStart) isOf(status int, contentType string, now int64) bool {
	return s.status == status && now < s.until && s.ctype == contentType
}

// set takes the beginning of head, which ends with the line of its length.
func (s *headStart) set(head []byte, status int, contentType string, until int64) {
	length := bytes.LastIndexByte(head, ' ') + 1
	*s = headStart{status: status, ctype: contentType, until: until, b: append(s.b[:0], head[:length]...)}
}

// hasLength reports whether the head of a reply tells how long its body is, if that is known.
func hasLength(status int) bool { return status != 204 && status != 205 && status != 304 }

// appendFields appends the status line, and all lines but those about the connection and those that
// the handler has set.
func (x *exchange) appendFields(b []byte, now int64, status int, contentType string, length int64) []byte {
	b = appendStatusLine(b, status)
	if !x.srv.opts.NoDate && !hasField(x.extra, "Date") {
		b = append(b, x.srv.date.at(now)...)
	}
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
		case x.p.Minor > 0 && !x.is(isHead):
			// RFC 9112 6.1 allows it in the reply to a HEAD, but there are clients that wait for
			// the chunks.
			b = append(b, "Transfer-Encoding: chunked\r\n"...)
		}
	}
	return b
}

// mustClose reports whether the connection cannot be used again if the request gets its reply now,
// before its body is complete.
func (x *exchange) mustClose(c *conn.Conn) bool {
	if !x.f.HasBody || x.in > inStream {
		return false
	}
	missing := int64(x.n) + x.f.Length - int64(c.Recv.Len())
	switch {
	case x.f.Chunked:
		missing = 1
	case x.in == inStream:
		missing = x.left - int64(c.Recv.Len())
	}
	// RFC 9110 10.1.1: a client that expects 100 and gets a reply instead may send the body or
	// leave it out, and a body cannot be told from the next request.
	return missing > maxSkip || missing > 0 && x.f.Expect
}

// appendRare appends what goes with the fields that the handler has set.
func (x *exchange) appendRare(b []byte, status int) []byte {
	// RFC 9110 7.8: Upgrade needs the connection option "upgrade" with it.
	if x.is(upgrades) || hasField(x.extra, "Upgrade") {
		b = append(b, "Connection: Upgrade\r\n"...)
	}
	if x.is(encoded) {
		b = appendField(b, "Content-Encoding", x.srv.opts.Compress.Coding())
	}
	if x.is(encoded) || status == 304 && x.is(varies) && x.is(heldWeak) {
		x.extra = weaken(x.extra)
	}
	if x.is(varies) {
		b = append(b, "Vary: Accept-Encoding\r\n"...)
	}
	return b
}

// checkField refuses fields that would break the head, and fields that this package sets itself.
func checkField[T ~string | ~[]byte](name, value T) error {
	if len(name) == 0 || !wire.All(name, wire.TokenByte) || !validValue(value) {
		return ErrBadHeader
	}
	for _, own := range [...]string{"Content-Length", "Transfer-Encoding", "Connection"} {
		if wire.FoldEqual([]byte(name), own) {
			return ErrBadHeader
		}
	}
	return nil
}

func isDate[T ~string | ~[]byte](name T) bool { return wire.FoldEqual([]byte(name), "Date") }

// checkDate refuses a Date that is none.
func checkDate[T ~string | ~[]byte](name, value T) error {
	if isDate(name) {
		if _, ok := ParseTime([]byte(value)); !ok {
			return ErrBadHeader
		}
	}
	return nil
}

func validValue[T ~string | ~[]byte](s T) bool { return wire.All(s, wire.ValueByte) }

func appendField[T ~string | ~[]byte](b []byte, name, value T) []byte {
	b = append(append(b, name...), ": "...)
	return append(append(b, value...), "\r\n"...)
}

// ofContent are the fields that describe the content of a reply, or how long it may be kept.
var ofContent = [...]string{"Content-Type", "Content-Encoding", "Content-Language", "Content-Location", "Content-Range",
	"Content-Disposition", "Accept-Ranges", "ETag", "Last-Modified", "Cache-Control", "Expires", "Location", "Trailer", "Upgrade"}

// forRefusal keeps, of the fields that were set for a reply, those that belong to an error reply
// too, such as those of CORS and of security.
func forRefusal(lines []byte) []byte {
	for _, name := range ofContent {
		lines = removeField(lines, name)
	}
	return lines
}

// hasField looks for a line of that name.
func hasField(lines []byte, name string) bool {
	_, _, found := findField(lines, name)
	return found
}

// removeField removes all lines of that name.
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
		if len(line) > len(name) && line[len(name)] == ':' && wire.FoldEqual(line[:len(name)], name) {
			return start, end, true
		}
		start = end
	}
	return 0, 0, false
}
