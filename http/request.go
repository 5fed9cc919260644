package http

import (
	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/internal/wire"
)

// A Field is one line of a head, as it was sent: the case of the name is kept, white space around
// the value is not.
type Field struct {
	Name, Value []byte
}

// A Request is the part that Head and Message have in common. Its slices are valid until the
// handler returns.
type Request struct {
	Method string // as sent: methods are case-sensitive
	Target []byte // as sent
	Path   []byte // of the target, percent-decoded: an encoded slash or NUL is a plain one here; "*" for OPTIONS *
	Query  []byte // of the target, after the "?", as sent; nil without one
	Host   []byte // host and port that the request is for: from the target if that has one, else from the Host field
	Minor  int    // the request is HTTP/1.Minor: 0 or 1

	raw    []byte    // the path as sent
	fields []Field   // nil until lines has made them
	from   *exchange // where they come from; nil if they were given

	routing *routing // of the Mux whose handler runs

	x    *exchange // nil if the request came from no connection
	turn uint64    // exchange.turn of the request
}

// requestOf returns the request of a Head or a Message, nil for other events.
func requestOf(ev conn.Event) *Request {
	switch ev := ev.(type) {
	case *Head:
		return &ev.Request
	case *Message:
		return &ev.Request
	}
	return nil
}

// Head says that the head of a request is complete. It comes once for each request, before the
// body. If the handler replies in Head, no Message comes: a handler that does not want the body
// should do so. A handler that wants the body as it comes calls StreamBody or SaveBody.
type Head struct {
	Request
	Length int64 // bytes of the body that comes; 0 if none does, -1 if it is chunked
}

// EventName implements conn.Event.
func (*Head) EventName() string { return "http.Head" }

// Message is a whole request.
type Message struct {
	Request
	Body []byte // with the chunked coding removed; nil without one

	trailers []Field
}

// EventName implements conn.Event.
func (*Message) EventName() string { return "http.Message" }

// BadRequest says that this package refuses a request with Status, because of Err, or that its
// handler did not reply in time (503). The reply follows, unless the request had its reply before
// the error showed. After that the connection closes with reason conn.Protocol or
// conn.DeadlineOver. RequestParser returns it as an error.
type BadRequest struct {
	Status int
	Err    error
}

// EventName implements conn.Event.
func (*BadRequest) EventName() string { return "http.BadRequest" }

func (b *BadRequest) Error() string { return b.Err.Error() }
func (b *BadRequest) Unwrap() error { return b.Err }

// lines returns the fields. They are made when the first of them is asked for: many handlers ask
// for none.
func (r *Request) lines() []Field {
	if r.fields == nil && r.from != nil {
		r.fields, _ = r.from.slice()
	}
	return r.fields
}

// has reports whether there is a field of that name. It does not make the fields.
func (r *Request) has(name string) bool {
	if r.fields == nil && r.from != nil {
		b := r.from.base
		for _, f := range r.from.p.Fields[:r.from.nhead] {
			if int(f.Name.End-f.Name.Start) == len(name) && wire.FoldEqual(f.Name.Of(b), name) {
				return true
			}
		}
		return false
	}
	_, n := r.only(name)
	return n > 0
}

// Header returns the value of the first field of that name, without regard to case; nil if there is
// none.
func (r *Request) Header(name string) []byte {
	for _, f := range r.lines() {
		if wire.FoldEqual(f.Name, name) {
			return f.Value
		}
	}
	return nil
}

// only returns the value of the field of that name, and how many fields of that name there are. RFC
// 9110 5.3: a field that is no list must not be there twice; a choice between two would be a guess.
func (r *Request) only(name string) (value []byte, n int) {
	for _, f := range r.lines() {
		if wire.FoldEqual(f.Name, name) {
			value = f.Value
			n++
		}
	}
	return value, n
}

// Headers returns all fields, in the order in which they were sent.
func (r *Request) Headers() []Field { return r.lines() }

// Trailers returns the fields that were sent after a chunked body. They are never mixed with those
// of the head, and fields that are not allowed there have been refused (RFC 9110 6.5.1).
func (m *Message) Trailers() []Field { return m.trailers }

// HasToken reports whether the comma-separated list in the fields of that name, all lines of it,
// has the token. Neither name nor token is case-sensitive.
func (r *Request) HasToken(name, token string) bool {
	for _, f := range r.lines() {
		if !wire.FoldEqual(f.Name, name) {
			continue
		}
		v, more := f.Value, true
		for more {
			var element []byte
			if element, v, more = wire.CutComma(v); wire.FoldEqual(element, token) {
				return true
			}
		}
	}
	return false
}

// Match reports whether the whole Path matches glob: "?" is any byte, "*" any run of bytes without
// a slash, "#" any run of bytes; all else stands for itself.
func (r *Request) Match(glob string) bool { return match(glob, r.Path) }

// match takes time in proportion to the product of both lengths at worst, whatever a client sends.
// After the literal beginning of glob it goes through s byte by byte, and keeps for each beginning
// of glob whether it matches the bytes so far.
func match(glob string, s []byte) bool {
	for len(glob) > 0 && glob[0] != '*' && glob[0] != '#' {
		if len(s) == 0 || glob[0] != '?' && glob[0] != s[0] {
			return false
		}
		glob, s = glob[1:], s[1:]
	}
	var room [64]bool
	seen := room[:]
	if len(glob) >= len(seen) {
		seen = make([]bool, len(glob)+1)
	}
	seen[0] = true
	for j := 0; j < len(glob) && (glob[j] == '*' || glob[j] == '#'); j++ {
		seen[j+1] = true
	}
	for _, b := range s {
		before := seen[0] // of seen[j], in the row before
		seen[0] = false
		for j := range len(glob) {
			last := seen[j+1]
			switch glob[j] {
			case '#':
				seen[j+1] = last || seen[j]
			case '*':
				seen[j+1] = last && b != '/' || seen[j]
			default:
				seen[j+1] = before && (glob[j] == '?' || glob[j] == b)
			}
			before = last
		}
	}
	return seen[len(glob)]
}
