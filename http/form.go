package http

import (
	"bytes"
	"fmt"
	"iter"

	"github.com/seed4930a636/mangusta/internal/wire"
)

// A FormError says what is wrong with a form. Status is the one to reply with: 400 if it is
// malformed, 413 if it is over a limit, 415 for another media type.
type FormError struct {
	Status int
	Part   int // of multipart/form-data: which part, from 1 on; 0 when it is none of them
	What   string
}

func (e *FormError) Error() string {
	if e.Part > 0 {
		return fmt.Sprintf("http: form: part %d: %s", e.Part, e.What)
	}
	return "http: form: " + e.What
}

var errFormEscape = &FormError{Status: 400, What: "malformed percent-encoding"}

// A Pair is a variable of a query or a form, decoded. It may have any bytes, even NUL and broken
// UTF-8.
type Pair struct {
	Name, Value []byte
}

const formType = "application/x-www-form-urlencoded"

// Var returns the first variable of that name: in the body, if that is
// application/x-www-form-urlencoded and has it, else in the query. ok is false if there is none, or
// if its value is malformed; Vars tells the two apart. Parts of multipart/form-data are not looked
// at: see Multipart.
func (m *Message) Var(name string) (string, bool) {
	var room [128]byte
	b, ok := m.AppendVar(room[:0], name)
	return string(b), ok
}

// AppendVar is Var without an allocation: the value is appended to dst.
func (m *Message) AppendVar(dst []byte, name string) ([]byte, bool) {
	// The body goes first: anyone who makes a link can set the query.
	if value, found := findPair(m.form(), name); found {
		return appendDecoded(dst, value)
	}
	return m.AppendQueryVar(dst, name)
}

// Vars yields the variables of the body, if that is application/x-www-form-urlencoded, and then
// those of the query, in the order in which they were sent. A malformed one yields a *FormError
// instead, and the next ones follow. A Pair is valid until the next one.
func (m *Message) Vars() iter.Seq2[Pair, error] {
	return func(yield func(Pair, error) bool) {
		if room, more := eachPair(nil, m.form(), yield); more {
			eachPair(room, m.Query, yield)
		}
	}
}

// QueryVar returns the first variable of that name in the query. It is false if there is none, or
// if its value is malformed.
func (r *Request) QueryVar(name string) (string, bool) {
	var room [128]byte
	b, ok := r.AppendQueryVar(room[:0], name)
	return string(b), ok
}

// AppendQueryVar is QueryVar without an allocation: the value is appended to dst.
func (r *Request) AppendQueryVar(dst []byte, name string) ([]byte, bool) {
	if value, found := findPair(r.Query, name); found {
		return appendDecoded(dst, value)
	}
	return dst, false
}

// QueryVars is Vars for the query alone.
func (r *Request) QueryVars() iter.Seq2[Pair, error] {
	return func(yield func(Pair, error) bool) { eachPair(nil, r.Query, yield) }
}

// form returns the body if it is a form. It returns nil if it is none, or if there are two
// Content-Types.
func (m *Message) form() []byte {
	if v, n := m.only("Content-Type"); n == 1 && wire.IsMedia(v, formType) {
		return m.Body
	}
	return nil
}

// eachPair yields the variables of b, decoded into room, which it returns grown. more is false if
// yield wants no more.
func eachPair(room, b []byte, yield func(Pair, error) bool) (grown []byte, more bool) {
	for {
		name, value, rest, found := nextPair(b)
		if !found {
			return room, true
		}
		b = rest
		var ok, ok2 bool
		room, ok = appendDecoded(room[:0], name)
		n := len(room)
		room, ok2 = appendDecoded(room, value)
		if ok && ok2 {
			more = yield(Pair{room[:n:n], room[n:]}, nil)
		} else {
			more = yield(Pair{}, errFormEscape)
		}
		if !more {
			return room, false
		}
	}
}

// nextPair cuts one pair off b, still encoded, by the rules of the WHATWG URL standard (5.1): only
// "&" separates, empty sequences are no pairs, and a name without "=" has an empty value.
func nextPair(b []byte) (name, value, rest []byte, found bool) {
	for len(b) > 0 {
		pair, rest := b, []byte(nil)
		if i := bytes.IndexByte(b, '&'); i >= 0 {
			pair, rest = b[:i], b[i+1:]
		}
		if len(pair) == 0 {
			b = rest
			continue
		}
		if i := bytes.IndexByte(pair, '='); i >= 0 {
			return pair[:i], pair[i+1:], rest, true
		}
		return pair, nil, rest, true
	}
	return nil, nil, nil, false
}

// findPair returns the value, still encoded, of the first pair of that name.
func findPair(b []byte, name string) (value []byte, found bool) {
	for {
		encoded, value, rest, found := nextPair(b)
		if !found || decodesTo(encoded, name) {
			return value, found
		}
		b = rest
	}
}

// decoded returns the byte that b, which is not empty, begins with, and how many bytes stand for
// it; 0 when they are malformed.
func decoded(b []byte) (x byte, n int) {
	switch {
	case b[0] == '+':
		return ' ', 1
	case b[0] != '%':
		return b[0], 1
	case !wire.IsEscape(b):
		return 0, 0
	}
	return wire.Unhex(b[1])<<4 | wire.Unhex(b[2]), 3
}

func decodesTo(b []byte, name string) bool {
	for len(b) > 0 && len(name) > 0 {
		x, n := decoded(b)
		if n == 0 || x != name[0] {
			return false
		}
		b, name = b[n:], name[1:]
	}
	return len(b) == 0 && name == ""
}

// appendDecoded appends b decoded, or nothing if b is malformed.
func appendDecoded(dst, b []byte) ([]byte, bool) {
	was := len(dst)
	for len(b) > 0 {
		x, n := decoded(b)
		if n == 0 {
			return dst[:was], false
		}
		dst, b = append(dst, x), b[n:]
	}
	return dst, true
}
