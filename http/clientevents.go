package http

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/internal/wire"
)

// A ServerEvent is one server-sent event. It is valid until the function that gets it returns.
type ServerEvent struct {
	Type string // "message" if the server gives none
	Data []byte
	ID   string // the last one that the server gave, perhaps with an earlier event
}

// EventSourceOptions are the settings of an EventSource. OnEvent is needed; all else may be left
// out.
type EventSourceOptions struct {
	OnEvent func(ev *ServerEvent)
	// OnState tells of each change; err says why a stream has ended, or could not begin.
	OnState func(s EventSourceState, err error)

	LastEventID string        // where to go on
	Retry       time.Duration // before a new attempt, until the server says otherwise; default 3 s
	MaxRetry    time.Duration // the time doubles with each attempt in a row that fails, up to this; default 1 min
	MaxEvent    int           // bytes of the data of one event, and of one line; default 1 MiB
}

// EventSourceState is what an EventSource does.
type EventSourceState uint8

const (
	EventSourceConnecting EventSourceState = iota // the request is under way, or waits for the next attempt
	EventSourceOpen                               // events may come
	EventSourceClosed                             // for good
)

func (s EventSourceState) String() string { return [...]string{"connecting", "open", "closed"}[s] }

// An EventSource gets server-sent events, as EventSource does in a browser: when the stream ends,
// it asks for it again, and says with Last-Event-ID where to go on. It belongs to the loop of its
// client.
//
// It ends for good if the server responds with 204, or with another status or type than a stream
// has; after 429, 500, 502, 503 and 504 it tries again, and also after every other failure.
type EventSource struct {
	client *Client
	opts   EventSourceOptions
	r      ClientRequest // as the program gave it
	now    ClientRequest // with Last-Event-ID
	state  EventSourceState
	call   Call
	parser eventParser
	retry  time.Duration
	failed int // attempts in a row
	turn   int // counts the attempts
}

var (
	errNotEvents = errors.New("http: event source: the response is no stream of events")
	errLongEvent = errors.New("http: event source: an event is too long")
)

// NewEventSource asks for the stream of events at r.URL. r is copied; its Timeout and its Events
// are not used. It returns the errors of Client.Do.
func NewEventSource(c *Client, r *ClientRequest, o EventSourceOptions) (*EventSource, error) {
	def(&o.Retry, 3*time.Second)
	def(&o.MaxRetry, time.Minute)
	def(&o.MaxEvent, 1<<20)
	s := &EventSource{client: c, opts: o, r: *r, retry: o.Retry}
	s.r.lines = bytes.Clone(r.lines)
	s.parser = eventParser{max: o.MaxEvent, id: o.LastEventID, source: s}
	if err := s.connect(); err != nil {
		s.state = EventSourceClosed
		return nil, err
	}
	return s, nil
}

// State returns what the source does now.
func (s *EventSource) State() EventSourceState { return s.state }

// LastEventID returns the id of the last event that came.
func (s *EventSource) LastEventID() string { return s.parser.id }

// Close ends the source. Neither OnEvent nor OnState is called any more.
func (s *EventSource) Close() {
	s.state = EventSourceClosed
	s.turn++
	s.call.Cancel()
}

// connect sends the request.
func (s *EventSource) connect() error {
	s.turn++
	turn := s.turn
	s.now = s.r
	s.now.lines = bytes.Clone(s.r.lines)
	s.now.Timeout = -1
	if !hasField(s.now.lines, "Accept") {
		s.now.lines = appendField(s.now.lines, "Accept", "text/event-stream")
	}
	s.now.lines = appendField(removeField(s.now.lines, "Cache-Control"), "Cache-Control", "no-store")
	if id := s.parser.id; id != "" && validValue(id) {
		s.now.lines = appendField(removeField(s.now.lines, "Last-Event-ID"), "Last-Event-ID", id)
	}
	s.now.Events = func(c *conn.Conn, ev conn.Event) {
		if s.turn == turn {
			s.event(c, ev)
		}
	}
	s.parser.reset()
	var err error
	s.call, err = s.client.Do(&s.now, func(_ *Response, err error) {
		if s.turn == turn {
			s.over(err)
		}
	})
	return err
}

// event is what comes of a response.
func (s *EventSource) event(c *conn.Conn, ev conn.Event) {
	switch ev := ev.(type) {
	case *ResponseHead:
		if ev.Status == 200 && wire.IsMedia(ev.Header("Content-Type"), "text/event-stream") {
			StreamResponse(c)
			s.failed = 0
			s.set(EventSourceOpen, nil)
			return
		}
		s.call.Cancel() // its body may be long, or never end
		err := fmt.Errorf("%w: %d %s", errNotEvents, ev.Status, StatusText(ev.Status))
		switch ev.Status {
		case 429, 500, 502, 503, 504:
			s.again(err)
		default:
			s.close(err)
		}
	case *Chunk:
		if !s.parser.write(ev.Data) && s.state != EventSourceClosed {
			s.call.Cancel()
			s.again(errLongEvent)
		}
	}
}

// over is the end of a stream, or of an attempt.
func (s *EventSource) over(err error) {
	if errors.Is(err, ErrBadRequest) || errors.Is(err, ErrClientClosed) {
		s.close(err)
		return
	}
	s.again(err)
}

func (s *EventSource) close(err error) {
	s.turn++
	s.set(EventSourceClosed, err)
}

// again tries again after a while.
func (s *EventSource) again(err error) {
	wait := min(s.retry<<min(s.failed, 16), max(s.opts.MaxRetry, s.retry))
	s.failed++
	wait += time.Duration(rand.Int64N(int64(wait)/4 + 1)) // so that not all clients of a server come back at once
	s.turn++
	turn := s.turn
	s.client.m.AfterFunc(wait, func() {
		if s.turn != turn {
			return
		}
		if err := s.connect(); errors.Is(err, ErrQueueFull) {
			s.again(err)
		} else if err != nil {
			s.close(err)
		}
	})
	s.set(EventSourceConnecting, err)
}

func (s *EventSource) set(state EventSourceState, err error) {
	if s.state == EventSourceClosed {
		return
	}
	s.state = state
	if s.opts.OnState != nil {
		s.opts.OnState(state, err)
	}
}

// An eventParser reads a stream of events, in pieces (WHATWG HTML 9.2.6).
type eventParser struct {
	source *EventSource
	max    int
	id     string // of the last event that was dispatched
	newID  string // of the stream so far
	kind   string
	line   []byte
	data   []byte
	any    bool // there was a data field
	cr     bool // the last byte was a CR, which has ended a line
	begun  bool // the first line is over
	ev     ServerEvent
}

// reset prepares for another stream.
func (p *eventParser) reset() {
	*p = eventParser{source: p.source, max: p.max, id: p.id, newID: p.id, line: p.line[:0], data: p.data[:0]}
}

// write reads b. It returns false if an event is too long, or the source has been closed.
func (p *eventParser) write(b []byte) bool {
	for len(b) > 0 {
		if p.cr {
			if p.cr = false; b[0] == '\n' {
				b = b[1:]
				continue
			}
		}
		n := bytes.IndexAny(b, "\r\n")
		piece := b
		if n >= 0 {
			piece = b[:n]
		}
		if len(p.line)+len(piece) > p.max {
			return false
		}
		p.line = append(p.line, piece...)
		if n < 0 {
			return true
		}
		p.cr = b[n] == '\r'
		b = b[n+1:]
		turn := p.source.turn
		ok := p.take(p.line)
		p.line = p.line[:0]
		if !ok || p.source.turn != turn {
			return false
		}
	}
	return true
}

// take takes one line.
func (p *eventParser) take(line []byte) bool {
	if !p.begun {
		p.begun = true
		line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf"))
	}
	if len(line) == 0 {
		p.dispatch()
		return true
	}
	name, value, _ := bytes.Cut(line, []byte(":"))
	value = bytes.TrimPrefix(value, []byte(" "))
	switch string(name) {
	case "event":
		p.kind = string(value)
	case "data":
		if len(p.data)+len(value)+1 > p.max {
			return false
		}
		p.data = append(append(p.data, value...), '\n')
		p.any = true
	case "id":
		if bytes.IndexByte(value, 0) < 0 {
			p.newID = string(value)
		}
	case "retry":
		if wire.All(value, wire.HexByte) && bytes.IndexFunc(value, func(r rune) bool { return r > '9' }) < 0 {
			if ms, err := strconv.ParseInt(string(value), 10, 32); err == nil {
				p.source.retry = max(time.Duration(ms)*time.Millisecond, time.Millisecond)
			}
		}
	}
	return true
}

// dispatch gives the event to the program.
func (p *eventParser) dispatch() {
	p.id = p.newID
	kind, data, any := p.kind, p.data, p.any
	p.kind, p.data, p.any = "", p.data[:0], false
	if !any {
		return
	}
	if kind == "" {
		kind = "message"
	}
	p.ev = ServerEvent{Type: kind, Data: data[:len(data)-1], ID: p.id}
	p.source.opts.OnEvent(&p.ev)
}
