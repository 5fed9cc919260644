package http

import (
	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/internal/wire"
)

var (
	errMisdirect = &wire.Refusal{Status: 421, Text: "https target on a connection without TLS"}
	errSlowHead  = &wire.Refusal{Status: 408, Text: "head took too long"}
	errSlowBody  = &wire.Refusal{Status: 408, Text: "body came too slowly"}
	errCutShort  = &wire.Refusal{Status: 400, Text: "ended by the client before it was complete"}
	errNoReply   = &wire.Refusal{Status: 503, Text: "no reply in time"}
)

// readBody waits for the whole body and delivers the request.
func (x *exchange) readBody(c *conn.Conn) result {
	b := c.Recv.Bytes()
	if !x.f.Chunked {
		total := x.n + int(x.f.Length)
		if len(b) < total {
			c.Layer().ExpectInput(total)
			return x.starved(c)
		}
		return x.deliver(c, total, total)
	}
	if !x.dec.Ended() {
		var bad *wire.Refusal
		if x.w, x.r, bad = x.dec.Decode(b, x.w, x.r, x.maxBody); bad != nil {
			return x.refuse(c, bad)
		}
		if !x.dec.Ended() {
			// The whole body has been read, and its data was moved together.
			c.Recv.Truncate(x.w)
			x.r = x.w
			return x.starved(c)
		}
		x.p.ResetTrailers(x.r)
	}
	n, bad := x.readTrailers(b, x.r)
	if bad != nil {
		return x.refuse(c, bad)
	}
	if n == 0 {
		return x.starved(c)
	}
	return x.deliver(c, x.w, n)
}

// readTrailers parses the trailer section, which begins at the offset. It returns where it ends, or
// 0 for more.
func (x *exchange) readTrailers(b []byte, offset int) (int, *wire.Refusal) {
	lim := x.srv.lim
	lim.Head += offset
	n, bad := x.p.Parse(b, &lim)
	if n > 0 {
		bad = wire.CheckTrailers(b, x.p.Fields[x.nhead:])
	}
	return n, bad
}

// starved waits for more of the body, unless the client has finished sending.
func (x *exchange) starved(c *conn.Conn) result {
	if c.Layer().PeerDone() {
		return x.broken(c)
	}
	return wait
}

// broken ends a connection whose client finished sending in the middle of a request. RFC 9112 8:
// the client may still want to know that the request was not carried out. One empty line alone is
// no request.
func (x *exchange) broken(c *conn.Conn) result {
	if x.p.Empty() {
		drain(c)
		return wait
	}
	return x.refuse(c, errCutShort)
}

// received goes on after the handler has seen the complete request.
func (x *exchange) received(c *conn.Conn) result {
	x.in.on(complete)
	return x.next(c)
}

// park takes in no more than holdAt bytes of later requests.
func (x *exchange) park(c *conn.Conn) {
	if c.Recv.Len() >= holdAt {
		x.hold(c)
	}
}

// hold stops the reading of input until the exchange is over.
func (x *exchange) hold(c *conn.Conn) {
	if !x.is(holding) {
		x.flags |= holding
		c.Layer().Hold()
	}
}

// early goes on with a request whose reply came, or began, before its body was complete, and whose
// body is not wanted any more.
func (x *exchange) early(c *conn.Conn) result {
	x.dropSink(errReplied)
	if x.in != inStream {
		n := x.r
		if !x.f.Chunked {
			n, x.left = x.n, x.f.Length
		} else if x.dec.Ended() {
			x.restartTrailers()
		}
		c.Recv.Discard(n)
	}
	switch {
	case !x.f.Chunked && x.left <= int64(c.Recv.Len()):
		c.Recv.Discard(int(x.left))
		return x.received(c)
	case x.is(closing):
		// The rest of the body stays where it is until the reply is complete: it is too much to
		// throw away.
		x.hold(c)
		x.in.on(refuses)
		return x.next(c)
	}
	x.maxBody = x.dec.Announced + maxSkip
	x.in.on(wantsNone)
	x.startClock(c)
	return again
}

// restartTrailers has the trailer section parsed from the beginning of c.Recv.
func (x *exchange) restartTrailers() {
	x.p.Fields = x.p.Fields[:x.nhead]
	x.p.ResetTrailers(0)
}

// skip throws the rest of the body away.
func (x *exchange) skip(c *conn.Conn) result {
	if !x.f.Chunked {
		n := int(min(int64(c.Recv.Len()), x.left))
		c.Recv.Discard(n)
		if x.left -= int64(n); x.left > 0 {
			return x.starved(c)
		}
		return x.received(c)
	}
	if !x.dec.Ended() {
		_, r, bad := x.dec.Decode(c.Recv.Bytes(), 0, 0, x.maxBody)
		if bad != nil {
			return x.refuse(c, bad)
		}
		c.Recv.Discard(r)
		if !x.dec.Ended() {
			return x.starved(c)
		}
		x.restartTrailers()
	}
	n, bad := x.readTrailers(c.Recv.Bytes(), 0)
	if bad != nil {
		return x.refuse(c, bad)
	}
	if n == 0 {
		return x.starved(c)
	}
	c.Recv.Discard(n)
	return x.received(c)
}

// refuse ends the connection because of why: with an event, and with a reply if one is due. Later
// bytes are not read any more.
func (x *exchange) refuse(c *conn.Conn, why *wire.Refusal) result {
	x.flags |= closing
	due := x.out <= outWaiting
	if due {
		x.out.on(givesUp)
	}
	if x.in == inHead && string(x.p.Method.Of(c.Recv.Bytes())) == "HEAD" {
		x.flags |= isHead // even though the rest of the head is not known, or wrong
	}
	bad := &x.srv.bad
	*bad = BadRequest{Status: why.Status, Err: why}
	c.Layer().Emit(bad)
	if !c.IsOpen() {
		return wait
	}
	switch {
	case why == errCutShort: // the reason is that the peer has ended its side
	case why.Status == 408 || why.Status == 503:
		c.Layer().SetReason(conn.DeadlineOver)
	default:
		c.Layer().SetReason(conn.Protocol)
	}
	x.dropSink(why)
	x.in.on(refuses)
	switch {
	case x.out == outBegun:
		x.cut(c)
		return wait
	case x.out == outPumping: // it can still be completed
		return x.next(c)
	case due:
		x.extra = forRefusal(x.extra)
		x.flags &^= upgrades | encoded | varies
		x.writeError(c, why.Status)
	}
	return x.finish(c)
}
