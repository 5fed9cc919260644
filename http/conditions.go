package http

import (
	"bytes"
	"time"

	"github.com/seed4930a636/mangusta/internal/wire"
)

// Validators describe the current state of a resource: the conditions of a request are compared
// with them.
type Validators struct {
	ETag     string    // quotes included, `"v1"` or `W/"v1"`; empty if there is none
	Modified time.Time // zero when unknown
	Missing  bool      // the resource does not exist

	// Now, when not zero, is the time of the reply. A Modified less than a second before it may
	// stand for two versions, and is then not good enough for If-Range (RFC 9110 8.8.2.2).
	Now time.Time
}

// A Verdict is the result of the conditions of a request.
type Verdict uint8

const (
	Proceed            Verdict = iota // as without conditions; a Range counts
	ProceedWhole                      // as without conditions; a Range must be ignored
	NotModified                       // reply 304, with the same validators
	PreconditionFailed                // reply 412
)

// Status returns 200, 304 or 412.
func (v Verdict) Status() int {
	switch v {
	case NotModified:
		return 304
	case PreconditionFailed:
		return 412
	}
	return 200
}

// Check evaluates the conditions of r in the order of RFC 9110 13.2.2. It is for requests that
// would get 2xx otherwise (13.2.1). A date that is malformed, or that is there twice, is ignored. A
// malformed list of tags matches nothing in If-Match, and anything in the If-None-Match of a method
// that changes something.
func (v *Validators) Check(r *Request) Verdict {
	if r.Method == "CONNECT" || r.Method == "OPTIONS" || r.Method == "TRACE" {
		return Proceed // RFC 9110 13.2.1: these select no representation
	}
	reads := r.Method == "GET" || r.Method == "HEAD"
	// RFC 9110 13.2.2, steps 1 and 2
	if _, n := r.only("If-Match"); n > 0 {
		if found, _ := v.find(r, "If-Match", true); !found {
			return PreconditionFailed
		}
	} else if t, ok := r.date("If-Unmodified-Since"); ok && v.dated() && v.second().After(t) {
		return PreconditionFailed
	}
	// Steps 3 and 4
	if _, n := r.only("If-None-Match"); n > 0 {
		found, wellFormed := v.find(r, "If-None-Match", false)
		switch {
		case found && reads:
			return NotModified
		case found || !wellFormed && !reads:
			// A client that sends a condition with a change does not want the change without it.
			return PreconditionFailed
		}
	} else if t, ok := r.date("If-Modified-Since"); ok && reads && v.dated() && !v.second().After(t) {
		return NotModified
	}
	// Step 5
	if _, n := r.only("Range"); n > 0 && (r.Method != "GET" || !v.rangeHolds(r)) {
		return ProceedWhole
	}
	return Proceed
}

// mayCheck reports whether r can have a field that Check or Ranges looks at. It goes by the lengths
// of the names and their first letters, so it may be wrong when it says yes, never when it says no.
func (r *Request) mayCheck() bool {
	if r.fields != nil || r.from == nil {
		return true
	}
	const lengths = 1<<len("Range") | 1<<len("If-Match") | 1<<len("If-None-Match") | 1<<len("If-Modified-Since") | 1<<len("If-Unmodified-Since")
	b := r.from.base
	for _, f := range r.from.p.Fields[:r.from.nhead] {
		if n := f.Name.End - f.Name.Start; n < 32 && lengths>>n&1 != 0 {
			if first := b[f.Name.Start] | 0x20; first == 'i' || first == 'r' {
				return true
			}
		}
	}
	return false
}

// dated reports whether there is a modification date to compare with.
func (v *Validators) dated() bool { return !v.Modified.IsZero() && !v.Missing }

// second returns the modification date to the second, as an HTTP-date has it.
func (v *Validators) second() time.Time { return v.Modified.Truncate(time.Second) }

// rangeHolds evaluates If-Range (RFC 9110 13.1.5): a tag that is the same by the strong comparison,
// or the very date of Last-Modified.
func (v *Validators) rangeHolds(r *Request) bool {
	value, n := r.only("If-Range")
	if n != 1 {
		return n == 0
	}
	if tag, rest := cutTag(value); tag != nil {
		return len(rest) == 0 && sameTag(tag, v.ETag, true)
	}
	t, ok := ParseTime(value)
	if !ok || !v.dated() || !v.second().Equal(t) {
		return false
	}
	return v.Now.IsZero() || v.Now.Truncate(time.Second).Sub(v.second()) >= time.Second
}

// date returns the date in the field of that name.
func (r *Request) date(name string) (t time.Time, ok bool) {
	if value, n := r.only(name); n == 1 {
		return ParseTime(value)
	}
	return t, false
}

// find looks for the tag of v in all fields of that name. Each is a list of entity tags, or "*",
// which matches anything that exists.
func (v *Validators) find(r *Request, name string, strong bool) (found, wellFormed bool) {
	wellFormed = true
	for _, f := range r.lines() {
		if !wire.FoldEqual(f.Name, name) {
			continue
		}
		list := wire.Trim(f.Value)
		if string(list) == "*" {
			found = found || !v.Missing
			continue
		}
		// A comma inside a tag is part of it, so the list is not cut at commas.
		for len(list) > 0 {
			if list[0] == ',' {
				list = wire.Trim(list[1:])
				continue
			}
			tag, rest := cutTag(list)
			if rest = wire.Trim(rest); tag == nil || len(rest) > 0 && rest[0] != ',' {
				wellFormed = false
				break
			}
			found = found || !v.Missing && sameTag(tag, v.ETag, strong)
			list = rest
		}
	}
	return found, wellFormed
}

// namesWeakTag reports whether If-None-Match has a weak tag.
func (r *Request) namesWeakTag() bool {
	for _, f := range r.lines() {
		if !wire.FoldEqual(f.Name, "If-None-Match") {
			continue
		}
		for list := wire.Trim(f.Value); len(list) > 0; {
			tag, rest := cutTag(list)
			if tag == nil {
				list = list[1:] // a comma, white space, or a byte that begins no tag
				continue
			}
			if tag[0] == 'W' {
				return true
			}
			list = rest
		}
	}
	return false
}

var weakMark = []byte("W/")

// cutTag cuts [ "W/" ] DQUOTE *etagc DQUOTE off b (RFC 9110 8.8.3); tag is nil if b begins with
// something else.
func cutTag(b []byte) (tag, rest []byte) {
	n := 0
	if bytes.HasPrefix(b, weakMark) {
		n = 2
	}
	if n == len(b) || b[n] != '"' {
		return nil, b
	}
	for n++; n < len(b); n++ {
		switch x := b[n]; {
		case x == '"':
			return b[:n+1], b[n+1:]
		case x <= ' ' || x == 0x7f:
			return nil, b
		}
	}
	return nil, b
}

// sameTag compares by RFC 9110 8.8.3.2. In the strong comparison both tags must be strong; in the
// weak one only the quoted parts count.
func sameTag(tag []byte, etag string, strong bool) bool {
	if etag == "" {
		return false
	}
	weak := false
	if tag[0] == 'W' {
		tag, weak = tag[2:], true
	}
	if len(etag) > 2 && etag[0] == 'W' {
		etag, weak = etag[2:], true
	}
	return string(tag) == etag && !(weak && strong)
}
