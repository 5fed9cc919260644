package http

import (
	"time"

	"github.com/seed4930a636/mangusta/conn"
)

// Panicked is for the loop, after a handler of the connection has panicked. A request that waits
// gets 500, since nothing of its reply is sent yet. It returns how long to linger for the client to
// read that; 0 if no request waited.
func (x *exchange) Panicked(c *conn.Conn) time.Duration {
	x.flags &^= busy | entered // the panic has unwound the functions that would clear them
	if x.out != outWaiting {
		return 0
	}
	return x.lastWord(c, 500)
}

// Overfull is for the loop, which ends the connection because it holds too much memory. A request
// that has no reply yet, even one whose head is not complete, gets 503. It returns how long to
// linger; 0 if there was no such request.
func (x *exchange) Overfull(c *conn.Conn) time.Duration {
	if x.out > outWaiting {
		return 0
	}
	if x.out == outUnasked {
		if x.in == inHead && string(x.p.Method.Of(c.Recv.Bytes())) == "HEAD" {
			x.flags |= isHead
		}
		x.out.on(asked)
	}
	return x.lastWord(c, 503)
}

// lastWord replies to the request with an error page, and reads no more of it.
func (x *exchange) lastWord(c *conn.Conn, status int) time.Duration {
	x.flags |= closing
	x.flags &^= upgrades | encoded | varies
	x.extra = forRefusal(x.extra)
	if x.writeError(c, status) != nil {
		return 0
	}
	x.out.on(replies)
	x.in.on(refuses)
	x.dropSink(errCut)
	return lingerTime
}
