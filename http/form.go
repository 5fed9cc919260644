package http

import (
	"bytes"
	"fmt"
	"iter"
)

// A FormError says what is wrong with a form. Status is the one to answer with: 400 for what is malformed, 413 for what
// is over a limit, 415 for another media type.
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

// A Pair is a variable of a query or a form, decoded: the bytes may be any, NUL and broken UTF-8 too.
type Pair struct {
	Name, Value []byte
}

const formType = "application/x-www-form-urlencoded"

// Var returns the first variable of that name in the body, when that is application/x-www-form-urlencoded, else in the
// query. It is false when there is none, or when its value is malformed; Vars tells those apart. Parts of
// multipart/form-data are not looked at: see Multipart.
func (m *Message) Var(name string) (string, bool) {
	var room [128]byte
	b, ok := m.AppendVar(room[:0], name)
	return string(b), ok
}

// AppendVar is Var without an allocation: the value is appended to dst.
func (m *Message) AppendVar(dst []byte, name string) ([]byte, bool) {
	// The body goes first: the query is in the hands of whoever made the link.
	if value, found := findPair(m.form(), name); found {
		return appendDecoded(dst, value)
	}
	return m.AppendQueryVar(dst, name)
}

// Vars yields the variables of the body, when that is application/x-www-form-urlencoded, and then those of the query,
// as they were sent. A malformed one yields a *FormError instead, and the next ones follow. A Pair is valid until the
// next one.
func (m *Message) Vars() iter.Seq2[Pair, error] {
	return func(yield func(Pair, error) bool) {
		if room, more := eachPair(nil, m.form(), yield); more {
			eachPair(room, m.Query, yield)
		}
	}
}

// QueryVar returns the first variable of that name in the query. It is false when there is none, or when its value is
// malformed.
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

// form returns the body when it is a form, nil when it is not or when there are two opinions about it.
func (m *Message) form() []byte {
	if v, n := m.only("Content-Type"); n == 1 && isMedia(v, formType) {
		return m.Body
	}
	return nil
}

// eachPair yields the variables of b, decoded into room, which it returns grown. more is false when yield wants no more.
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

// nextPair cuts one pair off b, still encoded, by the rules of the WHATWG URL standard (5.1): "&" separates and nothing
// else does, empty sequences are no pairs, and a name without "=" has an empty value.
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

// decoded returns the byte that b, which is not empty, begins with, and how many bytes stand for it; 0 when they are
// malformed.
func decoded(b []byte) (x byte, n int) {
	switch {
	case b[0] == '+':
		return ' ', 1
	case b[0] != '%':
		return b[0], 1
	case !isEscape(b):
		return 0, 0
	}
	return unhex(b[1])<<4 | unhex(b[2]), 3
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

// appendDecoded appends b decoded, or nothing when b is malformed.
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
