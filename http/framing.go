package http

import (
	"bytes"
	"math"
)

var (
	errNoHost      = &refusal{400, "HTTP/1.1 request without Host"}
	errTwoHosts    = &refusal{400, "more than one Host"}
	errTwoLengths  = &refusal{400, "more than one Content-Length"}
	errLength      = &refusal{400, "malformed Content-Length"}
	errTwoFramings = &refusal{400, "Content-Length together with Transfer-Encoding"}
	errOldCoding   = &refusal{400, "Transfer-Encoding in an HTTP/1.0 request"}
	errCoding      = &refusal{400, "malformed Transfer-Encoding, or chunked not last and once"}
	errOtherCoding = &refusal{501, "unknown transfer coding"}
	errExpectation = &refusal{417, "unknown expectation"}
)

// framing is what the fields say about the connection and the body.
type framing struct {
	length  int64 // of Content-Length, 0 without one
	host    span
	hasHost bool
	hasBody bool // a Content-Length above 0, or chunked
	chunked bool
	expect  bool // wants 100 (Continue)
	close   bool // Connection: close
	keep    bool // Connection: keep-alive
	hasLen  bool
	hasTE   bool // there was a Transfer-Encoding
	unknown bool // it lists a coding that is not chunked
}

// read goes once over the fields. Everything a smuggler could use is refused, never repaired. known is a Host that was found
// well-formed before.
func (f *framing) read(b []byte, p *parser, known []byte) error {
	*f = framing{}
	for i := range p.fields {
		name, value := p.fields[i].name.of(b), p.fields[i].value
		var err error
		switch len(name) {
		case 4:
			if foldEqual(name, "host") {
				err = f.addHost(value)
			}
		case 6:
			if foldEqual(name, "expect") {
				err = f.addExpect(value.of(b))
			}
		case 10:
			if foldEqual(name, "connection") {
				err = f.addConnection(value.of(b))
			}
		case 14:
			if foldEqual(name, "content-length") {
				err = f.addLength(value.of(b))
			}
		case 17:
			if foldEqual(name, "transfer-encoding") {
				err = f.addCoding(value.of(b))
			}
		}
		if err != nil {
			return err
		}
	}
	return f.check(b, p.minor, known)
}

// check decides what the fields mean together (RFC 9112 3.2, 6.1 and 6.3).
func (f *framing) check(b []byte, minor uint8, known []byte) error {
	switch {
	case !f.hasHost && minor > 0:
		return errNoHost
	case f.hasHost && !isKnown(f.host.of(b), known) && checkHost(f.host.of(b), false) != nil:
		return errHost
	case f.hasTE && f.hasLen:
		return errTwoFramings
	case f.hasTE && minor == 0:
		return errOldCoding
	case f.unknown:
		// RFC 9112 6.1: a transfer coding that is not understood gets 501. The connection closes, for the length of the
		// body cannot be known.
		return errOtherCoding
	}
	f.hasBody = f.chunked || f.length > 0
	// RFC 9110 10.1.1: the expectation of an HTTP/1.0 request is ignored.
	f.expect = f.expect && minor > 0
	return nil
}

func isKnown(host, known []byte) bool { return len(host) > 0 && bytes.Equal(host, known) }

func (f *framing) addHost(v span) error {
	if f.hasHost {
		return errTwoHosts
	}
	f.host, f.hasHost = v, true
	return nil
}

// addLength takes 1*DIGIT below 2^63 and nothing else: no sign, no list, not twice (RFC 9110 8.6, RFC 9112 6.3).
func (f *framing) addLength(v []byte) error {
	if f.hasLen {
		return errTwoLengths
	}
	if len(v) == 0 {
		return errLength
	}
	var n int64
	for _, x := range v {
		if !isDigit(x) {
			return errLength
		}
		d := int64(x - '0')
		if n > (math.MaxInt64-d)/10 {
			return errLength
		}
		n = n*10 + d
	}
	f.length, f.hasLen = n, true
	return nil
}

// addCoding takes a list of tokens in which chunked may be there once, at the end (RFC 9112 6.1 and 6.3). Empty elements,
// parameters and quotes are disguises and refused.
func (f *framing) addCoding(v []byte) error {
	f.hasTE = true
	for more := true; more; {
		var coding []byte
		coding, v, more = cutComma(v)
		if len(coding) == 0 || !all(coding, tchar) || f.chunked {
			return errCoding
		}
		if foldEqual(coding, "chunked") {
			f.chunked = true
		} else {
			f.unknown = true
		}
	}
	return nil
}

func (f *framing) addConnection(v []byte) error {
	for more := true; more; {
		var option []byte
		option, v, more = cutComma(v)
		switch {
		case foldEqual(option, "close"):
			f.close = true
		case foldEqual(option, "keep-alive"):
			f.keep = true
		}
	}
	return nil
}

func (f *framing) addExpect(v []byte) error {
	for more := true; more; {
		var x []byte
		x, v, more = cutComma(v)
		switch {
		case foldEqual(x, "100-continue"):
			f.expect = true
		case len(x) > 0:
			return errExpectation
		}
	}
	return nil
}

// cutComma cuts the first element off a comma-separated list. more is false with the last one.
func cutComma(v []byte) (element, rest []byte, more bool) {
	if i := bytes.IndexByte(v, ','); i >= 0 {
		return trim(v[:i]), v[i+1:], true
	}
	return trim(v), nil, false
}
