package http

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/seed4930a636/mangusta/conn"
)

// ErrBadEvent is returned if the id or the type of an event contains CR, LF or NUL.
var ErrBadEvent = errors.New("http: line end or NUL in the id or type of an event")

// StartEvents begins a stream of server-sent events as the reply (text/event-stream, which
// EventSource in browsers reads), with status 200. Unless the handler has set others,
// Cache-Control: no-store goes with it, and X-Accel-Buffering: no, without which nginx holds events
// back until they fill a buffer. Events follow with SendEvent and SendPreparedEvent, until End. If
// nothing was sent for Options.Heartbeat, a comment goes out, so that a client that is gone is
// noticed. If the client ends its side, the stream ends. Manager.Shutdown completes the stream, and
// later events return ErrNotBegun.
//
// c.Pending shows whether a client reads slowly; conn.Limits says what happens at its limit.
//
// A HEAD request has its whole reply then: later events return ErrNotBegun. The errors are those of
// Begin.
func StartEvents(c *conn.Conn) error {
	x, err := waiting(c)
	if err != nil {
		return err
	}
	return x.startEvents(c)
}

func (x *exchange) startEvents(c *conn.Conn) error {
	if !hasField(x.extra, "Cache-Control") {
		x.extra = appendField(x.extra, "Cache-Control", "no-store")
	}
	if !hasField(x.extra, "X-Accel-Buffering") {
		x.extra = appendField(x.extra, "X-Accel-Buffering", "no")
	}
	x.lastEvent = c.Layer().Shared().Now
	x.flags |= events
	if err := x.beginReply(c, 200, "text/event-stream", untold, opens); err != nil {
		x.flags &^= events
		return err
	}
	if x.is(isHead) {
		return x.end(c, nil)
	}
	return nil
}

// IsEventStream reports whether c sends a stream of events now: see EventStream.
func IsEventStream(c *conn.Conn) bool { return EventStream(c) != nil }

// sendingEvents returns the exchange whose reply is a stream of events.
func sendingEvents(c *conn.Conn) (*exchange, error) {
	x, err := beginning(c)
	if err == nil && !x.is(events) {
		err = ErrNotBegun
	}
	return x, err
}

// LastEventID returns the id of the last event that the client got before its connection broke; nil
// for a new client.
func LastEventID(m *Message) []byte { return m.Header("Last-Event-ID") }

// SendEvent sends an event. id becomes the client's Last-Event-ID, event is the type it listens for
// ("message" if empty); empty ones are left out. data may have several lines: CR LF, LF and CR end
// one, and arrive as LF. It returns ErrNotBegun if c sends no stream of events, ErrBadEvent, and
// the errors of conn.Conn.Write.
func SendEvent(c *conn.Conn, id, event, data string) error {
	x, err := sendingEvents(c)
	if err != nil {
		return err
	}
	return x.sendFields(c, id, event, data)
}

// sendFields sends an event.
func (x *exchange) sendFields(c *conn.Conn, id, event, data string) error {
	if !validEvent(id, event) {
		return ErrBadEvent
	}
	s := x.srv
	s.scratch = appendEvent(s.scratch[:0], id, event, data)
	err := x.sendEvent(c, s.scratch)
	if cap(s.scratch) > 64<<10 {
		s.scratch = nil
	}
	return err
}

// SendRetry tells the client to wait for d, to the millisecond, before it connects again after a
// break. The errors are those of SendEvent.
func SendRetry(c *conn.Conn, d time.Duration) error {
	x, err := sendingEvents(c)
	if err != nil {
		return err
	}
	return x.sendRetry(c, d)
}

func (x *exchange) sendRetry(c *conn.Conn, d time.Duration) error {
	s := x.srv
	s.scratch = strconv.AppendInt(append(s.scratch[:0], "retry: "...), max(d.Milliseconds(), 0), 10)
	s.scratch = append(s.scratch, "\n\n"...)
	return x.sendEvent(c, s.scratch)
}

func (x *exchange) sendEvent(c *conn.Conn, text []byte) error {
	if err := x.sendChunk(c, text); err != nil {
		return err
	}
	x.lastEvent = c.Layer().Shared().Now
	return nil
}

// A PreparedEvent is an event made once and sent to many. It is safe for concurrent use.
type PreparedEvent struct {
	chunk []byte // with the chunked coding around it
	text  []byte // in chunk
}

// PrepareEvent makes an event of what SendEvent would send. It is safe for concurrent use. It
// returns ErrBadEvent.
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

// SendPreparedEvent sends e without copying it for each connection. If the client lags as far as
// conn.Limits.Backlog allows, it does not get the event, or loses older ones, or its stream ends,
// as the Policy says. The errors are those of SendEvent, and conn.ErrBacklog.
func SendPreparedEvent(c *conn.Conn, e *PreparedEvent) error {
	x, err := sendingEvents(c)
	if err != nil {
		return err
	}
	return x.sendPrepared(c, e)
}

func (x *exchange) sendPrepared(c *conn.Conn, e *PreparedEvent) error {
	b := e.chunk
	if !x.chunks() {
		b = e.text
	}
	if err := c.Layer().WriteBroadcast(b); err != nil {
		if err == conn.ErrBacklog && c.Limits().Backlog.Policy == conn.Disconnect && x.end(c, nil) != nil {
			x.cut(c) // there is no room even for the end
		}
		return err
	}
	x.note.size += int64(len(e.text))
	x.lastEvent = c.Layer().Shared().Now
	return nil
}

// validEvent refuses an id or a type that would end its line, and an id that clients would ignore.
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

// beat sends a heartbeat when one is due.
func (x *exchange) beat(c *conn.Conn) {
	every := x.srv.opts.Heartbeat
	if !x.is(events) || every < 0 {
		return
	}
	now := c.Layer().Shared().Now
	if now-x.lastEvent >= int64(every) {
		// A client that has not taken the queued bytes gets no more: the write timeout ends it.
		if c.Pending() == 0 {
			x.sendChunk(c, heartbeat)
		}
		x.lastEvent = now
	}
}
