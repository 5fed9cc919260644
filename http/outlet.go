package http

import "github.com/seed4930a636/mangusta/conn"

// An outlet is how far the reply to a request has come. It knows nothing of how much of the request
// is there: that is the intake.
type outlet uint8

const (
	outUnasked  outlet = iota // the handler does not know of the request yet
	outWaiting                // the handler knows of it, and has not replied
	outBegun                  // the head of the reply is queued; the program sends its body, and ends it
	outPumping                // the head of the reply is queued; a source has its body
	outReplied                // the whole reply is queued, or none will be
	outHijacked               // the connection belongs to the program
)

// An outEvent is what moves an outlet.
type outEvent uint8

const (
	asked   outEvent = iota // the handler is about to see the request
	replies                 // a whole reply is queued
	opens                   // the head of a reply is queued, for the program to go on
	pumps                   // the head of a reply is queued, for a source to go on
	ends                    // the last byte of a begun reply is queued
	givesUp                 // there will be no reply of the handler
	hijacks                 // the program takes the connection
)

// outlets has the next state for each state and event. No event leads to outUnasked, so outUnasked
// in the table marks an event that cannot happen.
var outlets = [...][hijacks + 1]outlet{
	outUnasked:  {asked: outWaiting, givesUp: outReplied},
	outWaiting:  {replies: outReplied, opens: outBegun, pumps: outPumping, givesUp: outReplied, hijacks: outHijacked},
	outBegun:    {ends: outReplied},
	outPumping:  {ends: outReplied},
	outReplied:  {},
	outHijacked: {},
}

// on moves the outlet.
func (out *outlet) on(ev outEvent) {
	next := outlets[*out][ev]
	if next == outUnasked {
		panic("http: a reply was made in an impossible order")
	}
	*out = next
}

// next decides from intake and outlet how to go on, after a handler has returned or a reply was
// made outside of one:
//
//	intake           outlet            then
//	any              waiting           the body is read on; when it is complete, ReplyTimeout runs
//	body             begun or later    the rest of the body is not wanted
//	stream           begun             both go on side by side, unless the client still waits for a 100
//	stream           pumping, replied  the rest of the body is not wanted
//	skip             any               the body is read on; when the connection closes after the reply, that is the end
//	done or refused  begun, pumping    the reply goes on
//	done or refused  replied           the end
func (x *exchange) next(c *conn.Conn) result {
	switch {
	case x.in == inBody && x.out >= outBegun, x.in == inStream && (x.out >= outPumping || x.out == outBegun && x.f.Expect):
		return x.early(c)
	case x.out == outReplied && (x.in >= inDone || x.is(closing)):
		return x.finish(c)
	case x.in >= inDone:
		if x.out == outWaiting {
			x.dueAt(c.Layer().Shared().Now)
		}
		x.arm(c)
		x.park(c)
		return wait
	}
	x.arm(c)
	return wait
}

// dueAt has ReplyTimeout run from now on.
func (x *exchange) dueAt(now int64) {
	x.due = 0
	if t := x.srv.opts.ReplyTimeout; t > 0 {
		x.due = now + int64(t)
	}
}

// goOn is next for a reply that was made outside of a handler. Inside of one the caller of the
// handler calls next.
func (x *exchange) goOn(c *conn.Conn) {
	if x.is(busy) {
		return
	}
	switch x.next(c) {
	case again:
		c.Layer().Redeliver()
	case done:
		x.srv.resume(c)
	}
}

// resume serves the next request of a connection whose exchange ended outside of serve.
func (s *Server) resume(c *conn.Conn) {
	switch {
	case !c.IsOpen():
	case c.Recv.Len() > 0:
		c.Layer().Redeliver()
	default:
		s.rest(c)
	}
}

// finish ends an exchange whose reply is queued.
func (x *exchange) finish(c *conn.Conn) result {
	if x.is(closing) {
		linger(c)
	}
	if x.is(holding) {
		c.Layer().Unhold()
	}
	x.release(c)
	return done
}
