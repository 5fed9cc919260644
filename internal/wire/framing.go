package wire

import (
	"bytes"
	"math"
)

var (
	errNoHost      = &Refusal{400, "HTTP/1.1 request without Host"}
	errTwoHosts    = &Refusal{400, "more than one Host"}
	errTwoLengths  = &Refusal{400, "more than one Content-Length"}
	errLength      = &Refusal{400, "malformed Content-Length"}
	errTwoFramings = &Refusal{400, "Content-Length together with Transfer-Encoding"}
	errOldCoding   = &Refusal{400, "Transfer-Encoding in an HTTP/1.0 request"}
	errCoding      = &Refusal{400, "malformed Transfer-Encoding, or chunked not last and once"}
	errOtherCoding = &Refusal{501, "unknown transfer coding"}
	errExpectation = &Refusal{417, "unknown expectation"}
)

// A RequestFraming is what the fields say about the connection and the body.
type RequestFraming struct {
	Length  int64 // of Content-Length, 0 without one
	Host    Span
	HasHost bool
	HasBody bool // a Content-Length above 0, or chunked
	Chunked bool
	Expect  bool // wants 100 (Continue)
	Close   bool // Connection: close
	Keep    bool // Connection: keep-alive
	hasLen  bool
	hasTE   bool // there was a Transfer-Encoding
	unknown bool // it lists a coding that is not chunked
}

// Read goes once over the fields. Everything a smuggler could use is refused, never repaired. known
// is a Host that was found well-formed before.
func (f *RequestFraming) Read(b []byte, p *RequestHead, known []byte) *Refusal {
	const lengths = 1<<4 | 1<<6 | 1<<10 | 1<<14 | 1<<17 // of the names below
	for i := range p.Fields {
		field := &p.Fields[i]
		if n := uint32(field.Name.End - field.Name.Start); n > 17 || lengths>>n&1 == 0 {
			continue
		}
		name, value := field.Name.Of(b), field.Value
		var bad *Refusal
		switch len(name) {
		case 4:
			if FoldEqual(name, "host") {
				bad = f.addHost(value)
			}
		case 6:
			if FoldEqual(name, "expect") {
				bad = f.addExpect(value.Of(b))
			}
		case 10:
			if FoldEqual(name, "connection") {
				addOptions(value.Of(b), &f.Close, &f.Keep)
			}
		case 14:
			if FoldEqual(name, "content-length") {
				bad = f.addLength(value.Of(b))
			}
		case 17:
			if FoldEqual(name, "transfer-encoding") {
				f.hasTE = true
				bad = addCodings(value.Of(b), &f.Chunked, &f.unknown)
			}
		}
		if bad != nil {
			return bad
		}
	}
	return f.check(b, p.Minor, known)
}

// check decides what the fields mean together (RFC 9112 3.2, 6.1 and 6.3).
func (f *RequestFraming) check(b []byte, minor uint8, known []byte) *Refusal {
	switch {
	case !f.HasHost && minor > 0:
		return errNoHost
	case f.HasHost && !isKnown(f.Host.Of(b), known) && CheckHost(f.Host.Of(b), false) != nil:
		return errHost
	case f.hasTE && f.hasLen:
		return errTwoFramings
	case f.hasTE && minor == 0:
		return errOldCoding
	case f.unknown:
		// RFC 9112 6.1: a transfer coding that is not understood gets 501. The connection closes,
		// for the length of the body cannot be known.
		return errOtherCoding
	}
	f.HasBody = f.Chunked || f.Length > 0
	// RFC 9110 10.1.1: the expectation of an HTTP/1.0 request is ignored.
	f.Expect = f.Expect && minor > 0
	return nil
}

func isKnown(host, known []byte) bool { return len(host) > 0 && bytes.Equal(host, known) }

func (f *RequestFraming) addHost(v Span) *Refusal {
	if f.HasHost {
		return errTwoHosts
	}
	f.Host, f.HasHost = v, true
	return nil
}

// addLength takes 1*DIGIT below 2^63 and nothing else: no sign, no list, not twice (RFC 9110 8.6,
// RFC 9112 6.3).
func (f *RequestFraming) addLength(v []byte) *Refusal {
	if f.hasLen {
		return errTwoLengths
	}
	n, ok := parseLength(v)
	if !ok {
		return errLength
	}
	f.Length, f.hasLen = n, true
	return nil
}

func (f *RequestFraming) addExpect(v []byte) *Refusal {
	for more := true; more; {
		var x []byte
		x, v, more = CutComma(v)
		switch {
		case FoldEqual(x, "100-continue"):
			f.Expect = true
		case len(x) > 0:
			return errExpectation
		}
	}
	return nil
}

// parseLength reads 1*DIGIT below 2^63 (RFC 9110 8.6).
func parseLength(v []byte) (n int64, ok bool) {
	for _, x := range v {
		d := int64(x - '0')
		if !IsDigit(x) || n > (math.MaxInt64-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	return n, len(v) > 0
}

// addCodings takes a list of tokens in which chunked may be there once, at the end (RFC 9112 6.1
// and 6.3), and notes whether chunked was there and whether anything else was. Empty elements,
// parameters and quotes are disguises and refused.
func addCodings(v []byte, chunked, unknown *bool) *Refusal {
	for more := true; more; {
		var coding []byte
		coding, v, more = CutComma(v)
		if len(coding) == 0 || !All(coding, TokenByte) || *chunked {
			return errCoding
		}
		if FoldEqual(coding, "chunked") {
			*chunked = true
		} else {
			*unknown = true
		}
	}
	return nil
}

// addOptions notes two options of a Connection field (RFC 9110 7.6.1).
func addOptions(v []byte, close, keep *bool) {
	for more := true; more; {
		var option []byte
		option, v, more = CutComma(v)
		*close = *close || FoldEqual(option, "close")
		*keep = *keep || FoldEqual(option, "keep-alive")
	}
}
