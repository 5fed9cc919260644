package stdhttp

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/seed4930a636/mangusta/http"
)

// A step is one part of a reply: a worker makes it, and the loop sends it.
type step struct {
	kind    stepKind
	status  int
	fields  []field // of the head, or trailers
	length  int64   // stepBegin: what the handler gave as Content-Length, or -1
	data    []byte  // in buf
	buf     *[]byte // of buffers
	hasBody bool    // stepBegin: the status allows one
	late    bool    // stepCut: the client does not read
}

type stepKind uint8

const (
	stepInterim stepKind = iota // a 1xx
	stepWhole                   // a whole reply: status, fields, data
	stepBegin                   // the head of a reply whose data follow
	stepData
	stepEnd
	stepCut // close: the reply must not look complete
)

type field struct{ name, value string }

// bufSize is how many bytes of a reply are gathered before they go to the loop. A reply that is no
// longer gets its Content-Length here.
const bufSize = 16 << 10

var buffers = sync.Pool{New: func() any {
	b := make([]byte, 0, bufSize)
	return &b
}}

// release puts the buffer of s back into buffers.
func (s *step) release() {
	if s.buf != nil {
		*s.buf = (*s.buf)[:0]
		buffers.Put(s.buf)
		s.buf, s.data = nil, nil
	}
}

// pump sends the steps that the connection has room for. The loop calls it when there are new ones,
// and when bytes have gone out.
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
			if n = min(n, x.h.roomOn(x.c)); n <= 0 {
				x.mu.Unlock()
				return
			}
		}
		if n < len(s.data) {
			x.steps[0].data = s.data[n:]
			s.data, s.buf = s.data[:n], nil
		} else {
			x.steps[0] = step{}
			x.steps = x.steps[1:]
		}
		x.unsent -= n
		x.h.hold(-n)
		x.changed.Broadcast()
		x.mu.Unlock()
		err := x.do(&s)
		s.release()
		if err != nil {
			x.fail(&s, err)
		}
	}
}

// fail ends a reply whose step s could not be sent.
func (x *exchange) fail(s *step, err error) {
	if x.later.Gone() {
		err = fmt.Errorf("%w: %w", ErrConnection, err)
	} else if x.c.IsOpen() {
		x.warn("the reply could not be sent", err)
		if s.kind != stepWhole || x.later.Error(500) != nil {
			x.c.Layer().Cut()
			x.c.Close()
		}
	} else {
		err = fmt.Errorf("%w: %w", ErrConnection, err)
	}
	x.uninstall()
	x.end(err)
}

func (x *exchange) warn(msg string, err error) {
	if log := x.c.Layer().Shared().Log; log != nil {
		log.Warn("stdhttp: "+msg, "method", x.request.Method, "target", x.request.RequestURI, "error", err)
	}
}

// do sends one step.
func (x *exchange) do(s *step) error {
	switch s.kind {
	case stepInterim:
		return x.doInterim(s)
	case stepWhole:
		contentType := x.setFields(s.fields)
		x.replying = true
		if err := x.later.ReplyBytes(s.status, contentType, s.data); err != nil {
			return err
		}
		x.letGo()
	case stepBegin:
		return x.doBegin(s)
	case stepData:
		_, err := x.stream.Write(s.data)
		return err
	case stepEnd:
		if err := x.doEnd(s); err != nil {
			return err
		}
		x.letGo()
	case stepCut:
		if !x.later.Gone() { // else the connection carries another request
			x.cut(s.late)
		}
		x.letGo()
	}
	return nil
}

// doBegin sends the head of a reply that is longer than a buffer. RFC 9110 6.4.1: some have no
// body.
func (x *exchange) doBegin(s *step) (err error) {
	contentType := x.setFields(s.fields)
	if !s.hasBody {
		x.replied, x.replying = true, true
		return x.later.ReplyBytes(s.status, contentType, nil)
	}
	x.stream, err = x.later.BeginLength(s.status, contentType, s.length)
	return err
}

// doEnd sends the end of a reply.
func (x *exchange) doEnd(s *step) error {
	x.replying = true
	if x.replied {
		return nil
	}
	trailers := slices.DeleteFunc(fieldsOf(s.fields), func(f http.Field) bool {
		bad := !http.ValidTrailer(f)
		if bad {
			x.warn("trailer "+string(f.Name)+" left out", http.ErrBadHeader)
		}
		return bad
	})
	return x.stream.End(trailers...)
}

// doInterim sends an interim reply. Fields that belong to the reply itself are left out of it.
func (x *exchange) doInterim(s *step) error {
	s.fields = slices.DeleteFunc(s.fields, func(f field) bool {
		return f.name == "Connection" || f.name == "Date" || f.name == "Content-Length" || f.name == "Transfer-Encoding"
	})
	err := x.later.SendInterim(s.status, fieldsOf(s.fields)...)
	if err == http.ErrBadHeader {
		x.warn("interim reply left out", err)
		return nil
	}
	return err
}

func fieldsOf(fields []field) []http.Field {
	out := make([]http.Field, 0, len(fields))
	for _, f := range fields {
		out = append(out, http.Field{Name: []byte(f.name), Value: []byte(oneLine.Replace(f.value))})
	}
	return out
}

// lingerTime is how long a connection whose reply was cut waits for its client to read it.
const lingerTime = 2 * time.Second

// cut closes the connection. The bytes that were sent still get to the client. The exception is
// HTTP/1.0, where the end of the connection would be the end of the body: only a reset shows that
// the body is incomplete, and a reset destroys what the client has not read.
func (x *exchange) cut(late bool) {
	x.c.Layer().Cut()
	if x.stream == nil || late || x.request.ProtoMinor == 0 {
		if x.stream == nil || x.stream.Abort() != nil {
			x.c.Close()
		}
		return
	}
	x.c.Layer().DrainLinger(lingerTime)
}

// letGo takes x off the connection after the reply is complete.
func (x *exchange) letGo() {
	x.uninstall()
	x.end(errFinished)
}

// setFields gives the fields of a head to package http. Line breaks in values become spaces, as in
// net/http. Fields that are malformed otherwise, and those that the loop sets, are left out. It
// returns the Content-Type, which goes with the reply itself.
func (x *exchange) setFields(fields []field) (contentType string) {
	seen := make(map[string]bool, len(fields))
	for _, f := range fields {
		value := oneLine.Replace(f.value)
		var err error
		switch {
		case f.name == "Connection":
			if hasClose(value) {
				err = x.later.SetHeader("Connection", "close")
			}
		case f.name == "Content-Type" && contentType == "":
			contentType = value
		case f.name == "Content-Type" || f.name == "Date" || f.name == "Content-Length" || f.name == "Transfer-Encoding":
		case seen[f.name]:
			err = x.later.AddHeader(f.name, value)
		default:
			seen[f.name] = true
			err = x.later.SetHeader(f.name, value)
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
