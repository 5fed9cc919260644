package http

// A RequestParser reads the heads of requests that come from elsewhere than a connection of a Server, by the same rules.
// It is pure: bytes go in, a Request comes out.
type RequestParser struct {
	x    exchange
	over bool // the last call came to an end: the next one begins with another request
}

// NewRequestParser returns a parser with the limits of o on heads.
func NewRequestParser(o Options) *RequestParser {
	return &RequestParser{x: exchange{srv: NewServer(o)}}
}

// Parse reads the head of the request that b begins with. It returns the request, whose slices lie in b or are the
// parser's own and are valid until the next call, and the length of the head. When b ends before the head does, the
// length is 0: call it again with the same bytes and more behind them; what has been looked at is not looked at again.
// What a Server would refuse gives a *BadRequest.
func (p *RequestParser) Parse(b []byte) (r *Request, n int, err error) {
	x := &p.x
	if p.over {
		p.over = false
		x.p.reset()
	}
	n, err = x.p.parse(b, &x.srv.lim)
	if n > 0 {
		err = x.take(b, n)
	}
	if err != nil {
		p.over = true
		return nil, 0, &BadRequest{Status: err.(*refusal).status, Err: err}
	}
	if n == 0 {
		return nil, 0, nil
	}
	p.over = true
	return &x.head.Request, n, nil
}
