package http

// A RequestParser reads the heads of requests that do not come from a connection of a Server, by
// the same rules. It is pure: bytes go in, a Request comes out.
type RequestParser struct {
	x    exchange
	over bool // the last call has returned a request: the next one begins another
}

// NewRequestParser returns a parser with the limits of o on heads.
func NewRequestParser(o Options) *RequestParser {
	return &RequestParser{x: exchange{srv: NewServer(o)}}
}

// Parse reads the head of the request that b begins with. It returns the request, whose slices lie
// in b or are the parser's own and are valid until the next call, and the length of the head. If b
// ends before the head does, the length is 0: call it again with the same bytes and more after
// them; the parser does not look at the same bytes twice. If a Server would refuse the request, the
// error is a *BadRequest.
func (p *RequestParser) Parse(b []byte) (r *Request, n int, err error) {
	x := &p.x
	if p.over {
		p.over = false
		x.p.Reset()
		x.round = round{}
	}
	n, why := x.p.Parse(b, &x.srv.lim)
	if n > 0 {
		why = x.adopt(b, n)
	}
	if why != nil {
		p.over = true
		return nil, 0, &BadRequest{Status: why.Status, Err: why}
	}
	if n == 0 {
		return nil, 0, nil
	}
	p.over = true
	return &x.head.Request, n, nil
}
