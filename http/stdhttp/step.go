package stdhttp

import (
	"fmt"
	"strings"
	"sync"

	"github.com/seed4930a636/mangusta/http"
)

// A step is one thing to do for an answer, on the loop.
type step struct {
	kind    stepKind
	status  int
	fields  []field // of the head, or trailers
	length  int64   // stepBegin: what the handler gave as Content-Length, or -1
	data    []byte  // in room
	room    *[]byte // of buffers
	hasBody bool    // stepBegin: the status allows one
}

type stepKind uint8

const (
	stepInterim stepKind = iota // a 1xx
	stepWhole                   // a whole answer: status, fields, data
	stepBegin                   // the head of an answer whose data follow
	stepData
	stepEnd
	stepCut // close, and drop what is not sent: the answer must not look complete
)

type field struct{ name, value string }

// bufSize is how much of an answer is gathered before it goes to the loop, and how long one may be to get a Content-Length
// by itself.
const bufSize = 16 << 10

var buffers = sync.Pool{New: func() any {
	b := make([]byte, 0, bufSize)
	return &b
}}

// release gives the buffer of s back.
func (s *step) release() {
	if s.room != nil {
		*s.room = (*s.room)[:0]
		buffers.Put(s.room)
		s.room, s.data = nil, nil
	}
}

// pump takes the steps that the connection has room for. The loop calls it when there are new ones, and when bytes have gone
// out.
func (x *exchange) pump() {
	for x.installed {
		x.mu.Lock()
		if len(x.steps) == 0 {
			x.mu.Unlock()
			return
		}
		s := x.steps[0]
		n := len(s.data)
		if s.kind == stepData {
			if n = min(n, x.room()); n <= 0 {
				x.mu.Unlock()
				return
			}
		}
		if n < len(s.data) {
			x.steps[0].data = s.data[n:]
			s.data, s.room = s.data[:n], nil
		} else {
			x.steps[0] = step{}
			x.steps = x.steps[1:]
		}
		x.unsent -= n
		x.changed.Broadcast()
		x.mu.Unlock()
		err := x.do(&s)
		s.release()
		if err != nil {
			x.fail(&s, err)
		}
	}
}

// room is how many bytes of data may be queued on the connection now.
func (x *exchange) room() int {
	return min(x.h.opts.Buffer, x.c.Limits().Send/2) - x.c.Pending()
}

// fail ends an answer that could not be given.
func (x *exchange) fail(s *step, err error) {
	if x.c.IsOpen() {
		x.warn("the answer could not be sent", err)
		if s.kind != stepWhole || http.Error(x.c, 500) != nil {
			x.c.Close()
		}
	} else {
		err = fmt.Errorf("%w: %w", ErrConnection, err)
	}
	x.uninstall()
	x.end(err)
}

func (x *exchange) warn(msg string, err error) {
	if log := x.c.Shared().Log; log != nil {
		log.Warn("stdhttp: "+msg, "method", x.request.Method, "target", x.request.RequestURI, "error", err)
	}
}

// do does one step.
func (x *exchange) do(s *step) error {
	c := x.c
	switch s.kind {
	case stepInterim:
		return x.interim(s)
	case stepWhole:
		contentType := x.setFields(s.fields)
		if err := http.ReplyBytes(c, s.status, contentType, s.data); err != nil {
			return err
		}
		x.over()
	case stepBegin:
		return x.begin(s)
	case stepData:
		return http.WriteChunk(c, s.data)
	case stepEnd:
		if err := x.finish(s); err != nil {
			return err
		}
		x.over()
	case stepCut:
		c.Close()
		x.over()
	}
	return nil
}

// over lets go of the connection, whose answer is complete.
func (x *exchange) over() {
	x.uninstall()
	x.end(errFinished)
}

// setFields gives the fields of a head to package http. Line breaks in values become spaces, as in net/http; what is
// malformed otherwise, or is the loop's to decide, is left out. It returns the Content-Type, which goes with the answer itself.
func (x *exchange) setFields(fields []field) (contentType string) {
	seen := make(map[string]bool, len(fields))
	for _, f := range fields {
		value := oneLine.Replace(f.value)
		var err error
		switch {
		case f.name == "Connection":
			if hasClose(value) {
				err = http.SetHeader(x.c, "Connection", "close")
			}
		case f.name == "Content-Type" && contentType == "":
			contentType = value
		case f.name == "Content-Type" || f.name == "Date" || f.name == "Content-Length" || f.name == "Transfer-Encoding":
		case seen[f.name]:
			err = http.AddHeader(x.c, f.name, value)
		default:
			seen[f.name] = true
			err = http.SetHeader(x.c, f.name, value)
		}
		if err != nil {
			x.warn("field "+f.name+" left out", err)
		}
	}
	return contentType
}

var oneLine = strings.NewReplacer("\r", " ", "\n", " ")

// hasClose looks for the option close in a Connection field.
func hasClose(value string) bool {
	for option := range strings.SplitSeq(value, ",") {
		if strings.EqualFold(strings.TrimSpace(option), "close") {
			return true
		}
	}
	return false
}
