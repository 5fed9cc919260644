package wire

var (
	errUnequalLengths = &Refusal{400, "Content-Length with several values"}
	errOldResponse    = &Refusal{400, "Transfer-Encoding in an HTTP/1.0 response"}
)

// A BodyEnd is what ends the body of a response (RFC 9112 6.3).
type BodyEnd uint8

const (
	NoBody     BodyEnd = iota // there is none, whatever the fields say
	ByLength                  // its Content-Length
	ByChunks                  // its last chunk
	UntilClose                // the end of the stream, so nobody can tell whether it is whole
)

// A ResponseFraming is what the fields of a response say about the connection and the body.
type ResponseFraming struct {
	End    BodyEnd
	Length int64 // with ByLength
	Close  bool  // the connection must not be used for another request
	// Ambiguous says that both Content-Length and Transfer-Encoding were there (RFC 9112 6.3 item
	// 3: it ought to be handled as an error).
	Ambiguous bool

	hasLen  bool
	hasTE   bool // there was a Transfer-Encoding
	chunked bool
	unknown bool // it lists a coding that is not chunked
	close   bool // Connection: close
	keep    bool // Connection: keep-alive
}

// Read goes once over the fields of the response to a request with the method. A refusal means that
// nobody can tell where the body ends; the client must close the connection then, and discard the
// response.
func (f *ResponseFraming) Read(b []byte, p *ResponseHead, method string) *Refusal {
	for i := range p.Fields {
		name, value := p.Fields[i].Name.Of(b), p.Fields[i].Value.Of(b)
		var bad *Refusal
		switch len(name) {
		case 10:
			if FoldEqual(name, "connection") {
				addOptions(value, &f.close, &f.keep)
			}
		case 14:
			if FoldEqual(name, "content-length") {
				bad = f.addLengths(value)
			}
		case 17:
			if FoldEqual(name, "transfer-encoding") {
				f.hasTE = true
				bad = addCodings(value, &f.chunked, &f.unknown)
			}
		}
		if bad != nil {
			return bad.OfResponse()
		}
	}
	if bad := f.decide(p, method); bad != nil {
		return bad.OfResponse()
	}
	f.Ambiguous = f.hasTE && f.hasLen
	// RFC 9112 9.3: persistence. 6.1: after both fields the connection is closed, for one of them
	// may be somebody else's.
	f.Close = f.close || p.Minor == 0 && !f.keep || f.End == UntilClose || f.Ambiguous
	return nil
}

// decide goes through the list of RFC 9112 6.3.
func (f *ResponseFraming) decide(p *ResponseHead, method string) *Refusal {
	switch {
	case method == "HEAD", p.Status < 200, p.Status == 204, p.Status == 304: // item 1
	case method == "CONNECT" && p.Status < 300: // item 2: what follows is the tunnel
	case f.hasTE && p.Minor == 0:
		return errOldResponse // RFC 9112 6.1: the framing is faulty
	case f.unknown: // no request of ours has a TE field, so no other coding may be there (RFC 9112 7.4)
		return errOtherCoding
	case f.hasTE: // items 3 and 4: it overrides Content-Length
		f.End = ByChunks
	case f.hasLen: // item 6
		f.End = ByLength
	default: // item 8
		f.End = UntilClose
	}
	return nil
}

// addLengths takes a list of equal numbers: RFC 9112 6.3 item 5 lets a client take the same length
// several times, on one
// line or more. Each is 1*DIGIT below 2^63 (RFC 9110 8.6).
func (f *ResponseFraming) addLengths(v []byte) *Refusal {
	for more := true; more; {
		var length []byte
		length, v, more = CutComma(v)
		n, ok := parseLength(length)
		switch {
		case !ok:
			return errLength
		case f.hasLen && n != f.Length:
			return errUnequalLengths
		}
		f.Length, f.hasLen = n, true
	}
	return nil
}
