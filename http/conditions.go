package http

import (
	"bytes"
	"time"
)

// Validators are what the conditions of a request are held against: the state of what it is for.
type Validators struct {
	ETag     string    // quotes included, `"v1"` or `W/"v1"`; empty when there is none
	Modified time.Time // zero when unknown
	Missing  bool      // there is nothing at that path yet

	// Now, when not zero, is the time of the answer. A Modified less than a second before it may be that of two
	// versions, and is then not good enough for If-Range (RFC 9110 8.8.2.2).
	Now time.Time
}

// A Verdict is what the conditions of a request come to.
type Verdict uint8

const (
	Proceed            Verdict = iota // as without conditions; a Range counts
	ProceedWhole                      // as without conditions; a Range must be ignored
	NotModified                       // answer 304, with the same validators
	PreconditionFailed                // answer 412
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

// Check evaluates the conditions of r in the order of RFC 9110 13.2.2. It is for requests that would be answered with
// 2xx otherwise (13.2.1). A date that is malformed or there twice is ignored; a malformed list of tags matches nothing
// in If-Match, and anything in the If-None-Match of a method that changes something.
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
			// Who sends a condition with a change does not want it without.
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

// dated reports whether there is a modification date to compare with.
func (v *Validators) dated() bool { return !v.Modified.IsZero() && !v.Missing }

// second returns the modification date as precisely as an HTTP-date can tell it.
func (v *Validators) second() time.Time { return v.Modified.Truncate(time.Second) }

// rangeHolds evaluates If-Range (RFC 9110 13.1.5): a tag that is the same by the strong comparison, or the very date of
// Last-Modified.
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

// find looks for the tag of v in all fields of that name: each a list of entity tags, or "*", which stands for whatever
// there is.
func (v *Validators) find(r *Request, name string, strong bool) (found, wellFormed bool) {
	wellFormed = true
	for i := range r.fields {
		if !foldEqual(r.fields[i].Name, name) {
			continue
		}
		list := trim(r.fields[i].Value)
		if string(list) == "*" {
			found = found || !v.Missing
			continue
		}
		// A comma inside a tag is part of it, so the list is not cut at commas.
		for len(list) > 0 {
			if list[0] == ',' {
				list = trim(list[1:])
				continue
			}
			tag, rest := cutTag(list)
			if rest = trim(rest); tag == nil || len(rest) > 0 && rest[0] != ',' {
				wellFormed = false
				break
			}
			found = found || !v.Missing && sameTag(tag, v.ETag, strong)
			list = rest
		}
	}
	return found, wellFormed
}

var weakMark = []byte("W/")

// cutTag cuts [ "W/" ] DQUOTE *etagc DQUOTE off b (RFC 9110 8.8.3); tag is nil when b begins with something else.
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

// sameTag compares by RFC 9110 8.8.3.2: strongly, both must be strong; weakly, only what is in quotes counts.
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
