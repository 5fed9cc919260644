package http

import "github.com/seed4930a636/mangusta/conn"

// Hijack takes the connection away from HTTP, in the handler of Head or Message, or later while the
// request waits for its reply. The request's own bytes are discarded from c.Recv (in Head: the
// head; a body, if one comes, is left to the caller) but stay valid until the handler returns. The
// bytes after them are delivered again with a Read event. The caller then calls SetProtocol or
// SetHandler, and writes the reply, such as 101, itself. Hijack returns ErrNoRequest if no request
// waits for a reply, and while only a part of a body has been read.
func Hijack(c *conn.Conn) error {
	x, err := waiting(c)
	if err != nil {
		return err
	}
	return x.hijack(c)
}

func (x *exchange) hijack(c *conn.Conn) error {
	switch {
	case x.in == inStream:
		return ErrNoRequest
	case x.is(busy) && x.in == inHead:
		c.Recv.Discard(x.n)
	case x.is(busy):
		c.Recv.Discard(x.total)
	case x.in != inDone:
		return ErrNoRequest // half a body has been decoded: there is nothing to hand over
	}
	if x.is(holding) {
		c.Layer().Unhold()
	}
	c.Layer().SetDeadline(0)
	c.SetHalfOpen(false)
	c.SetProtocol(nil, nil)
	if c.Recv.Len() > 0 {
		c.Layer().Redeliver()
	}
	if x.out.on(hijacks); !x.is(busy) {
		x.recycle()
	}
	return nil
}
