package http

import (
	"github.com/seed4930a636/mangusta/internal/wire"
)

// ResponseHead says that the head of a response is complete. It comes once for each request, before
// the body. A handler that wants the body as it comes calls StreamResponse; else *Response follows,
// with the whole body.
//
// A ResponseHead, and all its slices, are valid until the handler returns.
type ResponseHead struct {
	Status  int
	Reason  []byte // the words after the status; may be empty
	Minor   int    // the response is HTTP/1.Minor: 0 or 1
	URL     string // that the response comes from: after redirects another one than that of the request
	Length  int64  // bytes of the body as it is sent; -1 if that is not known
	Decoded bool   // ClientOptions.Decompress takes the coding off; Content-Encoding and Content-Length are those of the bytes that were sent

	b      []byte // begins with the head
	size   int    // bytes of the head in b
	spans  []wire.FieldSpan
	fields []Field // of Headers
}

// EventName implements conn.Event.
func (*ResponseHead) EventName() string { return "http.ResponseHead" }

// Interim is the head of an interim response (RFC 9110 15.2), other than 100 for a request with
// Expect: the response is still to come.
type Interim struct{ ResponseHead }

// EventName implements conn.Event.
func (*Interim) EventName() string { return "http.Interim" }

// Response is a whole response. It is valid until the handler returns.
type Response struct {
	ResponseHead
	Body []byte // without the chunked coding and that of ClientOptions.Decompress; nil if it was streamed

	trailers []Field
}

// EventName implements conn.Event.
func (*Response) EventName() string { return "http.Response" }

// Header returns the value of the first field of that name, without regard to case; nil if there is
// none.
func (r *ResponseHead) Header(name string) []byte {
	for i := range r.spans {
		if s := &r.spans[i]; int(s.Name.End-s.Name.Start) == len(name) && wire.FoldEqual(s.Name.Of(r.b), name) {
			return s.Value.Of(r.b)
		}
	}
	return nil
}

// Raw returns the head as it came, from the status line to the empty line.
func (r *ResponseHead) Raw() []byte { return r.b[:r.size:r.size] }

// Headers returns all fields, in the order in which they were sent.
func (r *ResponseHead) Headers() []Field {
	if len(r.fields) == 0 {
		r.fields = appendFields(r.fields[:0], r.b, r.spans)
	}
	return r.fields
}

func appendFields(to []Field, b []byte, spans []wire.FieldSpan) []Field {
	for _, s := range spans {
		to = append(to, Field{s.Name.Of(b), s.Value.Of(b)})
	}
	return to
}

// HasToken reports whether the comma-separated list in the fields of that name, all lines of it,
// has the token. Neither name nor token is case-sensitive.
func (r *ResponseHead) HasToken(name, token string) bool {
	for _, s := range r.spans {
		if !wire.FoldEqual(s.Name.Of(r.b), name) {
			continue
		}
		v, more := s.Value.Of(r.b), true
		for more {
			var element []byte
			if element, v, more = wire.CutComma(v); wire.FoldEqual(element, token) {
				return true
			}
		}
	}
	return false
}

// Trailers returns the fields that were sent after a chunked body. They are never mixed with those
// of the head; a response with a field that is not allowed there is refused (RFC 9110 6.5.1).
func (r *Response) Trailers() []Field { return r.trailers }

// only returns the value of the field of that name, and how many fields of that name there are.
func (r *ResponseHead) only(name string) (value []byte, n int) {
	for _, s := range r.spans {
		if wire.FoldEqual(s.Name.Of(r.b), name) {
			value = s.Value.Of(r.b)
			n++
		}
	}
	return value, n
}
