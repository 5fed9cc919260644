package http

import "github.com/seed4930a636/mangusta/conn"

// A Field is one line of a head, as it was sent: the case of the name is kept, white space around the value is not.
type Field struct {
	Name, Value []byte
}

// A Request is what Head and Message have in common. Its slices are valid until the handler returns.
type Request struct {
	Method string // as sent: methods are case-sensitive
	Target []byte // as sent
	Path   []byte // of the target, percent-decoded: an encoded slash or NUL is a plain one here; "*" for OPTIONS *
	Query  []byte // of the target, behind the "?", as sent; nil without one
	Host   []byte // host and port that the request is for: of the target if that names one, else of the Host field
	Minor  int    // the request is HTTP/1.Minor: 0 or 1

	raw    []byte // the path as sent
	fields []Field

	routing *routing // of the Mux whose handler runs
}

// requestOf returns the request that ev tells of, nil for other events.
func requestOf(ev conn.Event) *Request {
	switch ev := ev.(type) {
	case *Head:
		return &ev.Request
	case *Message:
		return &ev.Request
	}
	return nil
}

// Head says that the head of a request is complete, once for each request and before anything of the body is waited for.
// A handler that answers it gets no Message; one that wants none of the body should do so here. One that wants the body as it
// comes calls Stream or SaveBody.
type Head struct {
	Request
}

// Message is a whole request.
type Message struct {
	Request
	Body []byte // with the chunked coding taken off; nil without one

	trailers []Field
}

// BadRequest says that this package refuses a request with Status, because of Err, or that the request was not answered in
// time (503). The reply follows, unless the request was answered before the error showed, and then the connection closes
// with reason conn.Protocol or conn.DeadlineOver. RequestParser returns it as an error.
type BadRequest struct {
	Status int
	Err    error
}

func (b *BadRequest) Error() string { return b.Err.Error() }
func (b *BadRequest) Unwrap() error { return b.Err }

// Header returns the value of the first field of that name, without regard to case; nil when there is none.
func (r *Request) Header(name string) []byte {
	for i := range r.fields {
		if foldEqual(r.fields[i].Name, name) {
			return r.fields[i].Value
		}
	}
	return nil
}

// Headers returns all fields in the order they were sent.
func (r *Request) Headers() []Field { return r.fields }

// Trailers returns the fields that were sent behind a chunked body. They are never mixed with those of the head, and
// fields that must not be there have been refused (RFC 9110 6.5.1).
func (m *Message) Trailers() []Field { return m.trailers }

// HasToken reports whether the comma-separated list in the fields of that name, all lines of it, has the token. Neither
// name nor token is case-sensitive.
func (r *Request) HasToken(name, token string) bool {
	for i := range r.fields {
		if !foldEqual(r.fields[i].Name, name) {
			continue
		}
		v, more := r.fields[i].Value, true
		for more {
			var element []byte
			if element, v, more = cutComma(v); foldEqual(element, token) {
				return true
			}
		}
	}
	return false
}

// Match reports whether the whole Path matches glob: "?" is any byte, "*" any run of bytes without a slash, "#" any run of
// bytes; all else is itself.
func (r *Request) Match(glob string) bool { return match(glob, r.Path) }

// match takes time in proportion to the product of both lengths at worst, whatever a client sends. Behind the literal
// beginning of glob it goes byte by byte through s, and keeps for each beginning of glob whether that matches what it has
// seen.
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

// internMethod returns the method without an allocation when it is a common one.
func internMethod(b []byte) string {
	switch string(b) {
	case "GET":
		return "GET"
	case "HEAD":
		return "HEAD"
	case "POST":
		return "POST"
	case "PUT":
		return "PUT"
	case "DELETE":
		return "DELETE"
	case "OPTIONS":
		return "OPTIONS"
	case "PATCH":
		return "PATCH"
	case "CONNECT":
		return "CONNECT"
	case "TRACE":
		return "TRACE"
	case "PROPFIND":
		return "PROPFIND"
	}
	return string(b)
}
