package http

import "github.com/seed4930a636/mangusta/conn"

// Hijack takes the connection away from HTTP, in the handler of Head or Message, or later while the request is
// unanswered. The request's own bytes are discarded from c.Recv (in Head: the head; the body, if one comes, is the
// caller's) but stay valid until the handler returns. What came behind is delivered again with a Read event. The caller
// then calls SetProtocol, and writes the answer, such as 101, itself. It returns ErrNoRequest when no request waits for an
// answer, and while half a body has been read.
func Hijack(c *conn.Conn) error {
	x, err := waiting(c)
	if err != nil {
		return err
	}
	switch {
	case x.phase == phaseStream:
		return ErrNoRequest
	case x.is(busy) && x.phase == phaseHead:
		c.Recv.Discard(x.n)
	case x.is(busy):
		c.Recv.Discard(x.total)
	case x.phase != phaseAnswer:
		return ErrNoRequest // half a body has been decoded: there is nothing to hand over
	}
	if x.is(holding) {
		c.Unhold()
	}
	c.SetDeadline(0)
	c.SetHalfOpen(false)
	c.SetProtocol(nil, nil)
	if c.Recv.Len() > 0 {
		c.Redeliver()
	}
	if x.phase = phaseOver; !x.is(busy) {
		x.recycle()
	}
	return nil
}
