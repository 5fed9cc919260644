package http

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/seed4930a636/mangusta/conn"
)

// ErrBadEvent is returned for an id or a type of an event with CR, LF or NUL in it.
var ErrBadEvent = errors.New("http: line end or NUL in the id or type of an event")

// StartEvents answers with a stream of server-sent events (text/event-stream, as EventSource in browsers reads it),
// with status 200 and Cache-Control: no-store unless the handler has set another. Events follow with SendEvent and
// SendPreparedEvent, until End. When nothing was sent for Options.Heartbeat, a comment goes out, so that a client that
// is gone is noticed. A client that ends its side ends the stream; at Manager.Shutdown it is completed, and later
// events return ErrNotBegun.
//
// A client that reads slowly shows in c.Pending; conn.Limits says what is done when that reaches its limit.
//
// A HEAD request is answered and done with: later events return ErrNotBegun. The errors are those of Begin.
func StartEvents(c *conn.Conn) error {
	x, err := waiting(c)
	if err != nil {
		return err
	}
	if !hasField(x.extra, "Cache-Control") {
		x.extra = appendField(x.extra, "Cache-Control", "no-store")
	}
	x.lastEvent = c.Shared().Now
	x.flags |= events
	if err := x.begin(c, 200, "text/event-stream", untold); err != nil {
		x.flags &^= events
		return err
	}
	if x.is(isHead) {
		return End(c)
	}
	return nil
}

// IsEventStream reports whether StartEvents is in force on c: for a Manager.Broadcast that looks for those.
func IsEventStream(c *conn.Conn) bool {
	_, err := streaming(c)
	return err == nil
}

// streaming returns the exchange whose answer is a stream of events.
func streaming(c *conn.Conn) (*exchange, error) {
	x, err := beginning(c)
	if err != nil || !x.is(events) {
		return nil, ErrNotBegun
	}
	return x, nil
}

// LastEventID returns the id of the last event that the client got before its connection broke; nil when it is new.
func LastEventID(m *Message) []byte { return m.Header("Last-Event-ID") }

// SendEvent sends an event. id becomes the client's Last-Event-ID, event is the type it listens for ("message" when
// empty); an empty one is left out. data may have several lines: CR LF, LF and CR end one, and arrive as LF. It returns
// ErrNotBegun when c is no stream of events, ErrBadEvent, and the errors of conn.Conn.Write.
func SendEvent(c *conn.Conn, id, event, data string) error {
	x, err := streaming(c)
	if err != nil {
		return err
	}
	if !validEvent(id, event) {
		return ErrBadEvent
	}
	s := x.srv
	s.scratch = appendEvent(s.scratch[:0], id, event, data)
	err = x.sendEvent(c, s.scratch)
	if cap(s.scratch) > 64<<10 {
		s.scratch = nil
	}
	return err
}

// SendRetry tells the client to wait for d, to the millisecond, before it connects again after a break. The errors are
// those of SendEvent.
func SendRetry(c *conn.Conn, d time.Duration) error {
	x, err := streaming(c)
	if err != nil {
		return err
	}
	s := x.srv
	s.scratch = strconv.AppendInt(append(s.scratch[:0], "retry: "...), max(d.Milliseconds(), 0), 10)
	s.scratch = append(s.scratch, "\n\n"...)
	return x.sendEvent(c, s.scratch)
}

func (x *exchange) sendEvent(c *conn.Conn, text []byte) error {
	if err := x.sendChunk(c, text); err != nil {
		return err
	}
	x.lastEvent = c.Shared().Now
	return nil
}

// A PreparedEvent is an event made once and sent to many. It is safe for concurrent use.
type PreparedEvent struct {
	chunk []byte // with the chunked coding around it
	text  []byte // in chunk
}

// PrepareEvent makes an event of what SendEvent would send. It is safe for concurrent use. It returns ErrBadEvent.
func PrepareEvent(id, event, data string) (*PreparedEvent, error) {
	if !validEvent(id, event) {
		return nil, ErrBadEvent
	}
	text := appendEvent(nil, id, event, data)
	b := strconv.AppendUint(make([]byte, 0, len(text)+chunkFrame), uint64(len(text)), 16)
	b = append(b, "\r\n"...)
	start := len(b)
	b = append(append(b, text...), "\r\n"...)
	return &PreparedEvent{chunk: b, text: b[start : start+len(text) : start+len(text)]}, nil
}

// Len returns how many bytes are sent of e, at most. Safe for concurrent use.
func (e *PreparedEvent) Len() int { return len(e.chunk) }

// SendPreparedEvent sends e, without a copy however many connections it goes to. The errors are those of SendEvent.
func SendPreparedEvent(c *conn.Conn, e *PreparedEvent) error {
	x, err := streaming(c)
	if err != nil {
		return err
	}
	b := e.chunk
	if !x.chunks() {
		b = e.text
	}
	if err := c.WriteShared(b); err != nil {
		return err
	}
	x.note.size += int64(len(e.text))
	x.lastEvent = c.Shared().Now
	return nil
}

// validEvent refuses what would end the line, and the id that a client would ignore.
func validEvent(id, event string) bool {
	return !strings.ContainsAny(id, "\r\n\x00") && !strings.ContainsAny(event, "\r\n\x00")
}

// appendEvent appends an event in the text/event-stream format (HTML standard 9.2.5).
func appendEvent(b []byte, id, event, data string) []byte {
	if id != "" {
		b = append(append(append(b, "id: "...), id...), '\n')
	}
	if event != "" {
		b = append(append(append(b, "event: "...), event...), '\n')
	}
	for more := true; more; {
		line := data
		i := strings.IndexAny(data, "\r\n")
		if more = i >= 0; more {
			line = data[:i]
			if data[i] == '\r' && i+1 < len(data) && data[i+1] == '\n' {
				i++
			}
			data = data[i+1:]
		}
		b = append(append(append(b, "data: "...), line...), '\n')
	}
	return append(b, '\n')
}

var heartbeat = []byte(":\n\n")

// beat sets the deadline of an answer that has begun: for the next heartbeat of a stream of events, else none.
func (x *exchange) beat(c *conn.Conn) {
	every := x.srv.opts.Heartbeat
	if !x.is(events) || every < 0 {
		c.SetDeadline(0)
		return
	}
	now := c.Shared().Now
	if now-x.lastEvent >= int64(every) {
		// To a client that has not even taken what is queued, nothing is added: the write timeout looks after it.
		if c.Pending() == 0 {
			x.sendChunk(c, heartbeat)
		}
		x.lastEvent = now
	}
	c.SetDeadline(time.Duration(x.lastEvent - now + int64(every)))
}
