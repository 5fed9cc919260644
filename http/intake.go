package http

import "github.com/seed4930a636/mangusta/conn"

// An intake is how far a request has been received. It knows nothing of the reply: that is the
// outlet.
type intake uint8

const (
	inHead    intake = iota // the head is being read
	inBody                  // the body is being read, for one Message
	inStream                // the body is being read, and handed on as it comes
	inSkip                  // the rest of the body is being read and thrown away, since the reply came first
	inDone                  // the request is complete
	inRefused               // nothing more is read of it: it is malformed or too slow, or its rest is too much to throw away
)

// An inEvent is what moves an intake.
type inEvent uint8

const (
	wantsWhole  inEvent = iota // the head is there, and the body is wanted whole
	wantsStream                // the head is there, and the body is wanted as it comes
	wantsNone                  // the rest of the body is not wanted
	complete                   // the last byte of the request has been read
	refuses                    // no more of it will be read
)

// intakes has the next state for each state and event. No event leads to inHead, so inHead in the
// table marks an event that cannot happen.
var intakes = [...][refuses + 1]intake{
	inHead:    {wantsWhole: inBody, wantsStream: inStream, wantsNone: inSkip, complete: inDone, refuses: inRefused},
	inBody:    {wantsNone: inSkip, complete: inDone, refuses: inRefused},
	inStream:  {wantsNone: inSkip, complete: inDone, refuses: inRefused},
	inSkip:    {complete: inDone, refuses: inRefused},
	inDone:    {complete: inDone, refuses: inRefused},
	inRefused: {refuses: inRefused},
}

// on moves the intake.
func (in *intake) on(ev inEvent) {
	next := intakes[*in][ev]
	if next == inHead {
		panic("http: a request was received in an impossible order")
	}
	*in = next
}

// reading reports whether bytes of a body are waited for.
func (in intake) reading() bool { return inBody <= in && in <= inSkip }

// advance reads from c.Recv what the state of the intake asks for.
func (x *exchange) advance(c *conn.Conn) result {
	switch x.in {
	case inHead:
		return x.readHead(c)
	case inBody:
		return x.readBody(c)
	case inStream:
		return x.stream(c)
	case inSkip:
		return x.skip(c)
	}
	x.park(c)
	return wait
}
