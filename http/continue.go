package http

import "github.com/seed4930a636/mangusta/conn"

const continueLine = "HTTP/1.1 100 Continue\r\n\r\n"

// sendContinue tells a client that waits for it that the body is wanted, unless the program has
// said that it will do so itself. It is called while c.Recv begins with the head.
func (x *exchange) sendContinue(c *conn.Conn) {
	// RFC 9110 10.1.1: no 100 once the body has begun to arrive.
	if c.Recv.Len() > x.n {
		x.flags &^= holdsContinue
	} else if x.is(holdsContinue) {
		return
	}
	if x.f.Expect && c.Recv.Len() == x.n {
		c.WriteString(continueLine)
	}
	x.f.Expect = false // whether told or not, this client sends the body
}

// HoldContinue, called in the handler of Head, keeps 100 (Continue) from a client that sent Expect:
// 100-continue, until the program sends it with SendInterim: for a program that must ask another
// server first, such as a proxy. Any other reply tells the client not to send the body. Until then
// BodyTimeout does not count, but ReplyTimeout does. It reports whether the client waits for a 100.
// If it does not, HoldContinue does nothing.
func HoldContinue(c *conn.Conn) bool {
	x, err := waiting(c)
	if err != nil || x.in != inHead || !x.f.Expect || !x.f.HasBody || c.Recv.Len() > x.n {
		return false
	}
	x.flags |= holdsContinue
	return true
}

// letContinue ends HoldContinue: by a 100 of the program, or because the client has not waited.
func (x *exchange) letContinue(c *conn.Conn) {
	x.flags &^= holdsContinue
	if x.in == inHead {
		return // the handler of Head is running: sendContinue follows
	}
	if x.in.reading() && x.clock.got == 0 {
		c.WriteString(continueLine)
	}
	x.f.Expect = false
	x.startClock(c)
}
