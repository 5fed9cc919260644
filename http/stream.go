package http

import (
	"errors"
	"math"

	"github.com/seed4930a636/mangusta/conn"
)

// Chunk is a piece of a body that is streamed: see StreamBody. The pieces depend on how the bytes
// arrived, and have no meaning.
type Chunk struct {
	Data []byte // may be empty in the last one only
	Last bool   // the request is complete

	trailers []Field

	x    *exchange
	turn uint64 // exchange.turn of the request
}

// EventName implements conn.Event.
func (*Chunk) EventName() string { return "http.Chunk" }

// Trailers is Message.Trailers for the last Chunk.
func (k *Chunk) Trailers() []Field { return k.trailers }

// StreamBody, called in the handler of Head, asks for the body as it comes: there will be Chunk
// events, one at least, and no Message. The body may have any size: Options.MaxBody does not bound
// it, but SetMaxBody does. It may be called for every request: if there is no body, one Chunk comes
// that is Last and empty.
//
// While the connection is paused no Chunk comes, and the client has to wait: with c.Pause and
// c.Resume a body comes no faster than it is used. Options.BodyTimeout and MinRate do not count
// that time. Chunks also wait while the send queue is long, so a handler that sends back what it
// gets need not pause.
//
// The handler may reply at any time: in the last Chunk, later, or before it, and then no further
// Chunk comes. If *conn.Close comes without a Chunk that was Last, the request broke off and its
// body is incomplete. If the client broke the rules, was too slow or ended its side, BadRequest
// comes before Close.
//
// A client that sent Expect: 100-continue is told to go on after the handler of Head has returned,
// unless it has replied. StreamBody returns ErrNoRequest if no Head that waits for a reply is being
// handled.
func StreamBody(c *conn.Conn) error {
	x, err := waiting(c)
	if err != nil || x.in != inHead {
		return ErrNoRequest
	}
	x.flags |= asStream
	if !x.is(ownLimit) {
		x.maxBody = math.MaxInt64
	}
	return nil
}

var (
	errCut     = errors.New("http: the connection ended before the body did")
	errReplied = errors.New("http: the request was replied to before its body was complete")
)

// A sink takes a streamed body instead of the handler. Its methods run as handlers do, and may
// reply.
type sink interface {
	// write gets the next piece. The last one may be empty.
	write(c *conn.Conn, data []byte, last bool)
	// drop says that the rest will not come, because of err.
	drop(err error)
}

// startStream goes on after a Head whose handler wants the body as it comes.
func (x *exchange) startStream(c *conn.Conn) result {
	x.sendContinue(c)
	c.Recv.Discard(x.n)
	x.left = x.f.Length
	x.in.on(wantsStream)
	x.startClock(c)
	return again
}

// stream hands on the bytes of the body that have arrived, without moving them. c.Recv begins with
// the bytes of the body.
func (x *exchange) stream(c *conn.Conn) result {
	for {
		if c.Layer().Stopped() {
			return wait
		}
		r := again
		if x.f.Chunked {
			r = x.streamChunked(c)
		} else {
			r = x.streamPlain(c)
		}
		if r != again || x.in != inStream {
			return r
		}
	}
}

func (x *exchange) streamPlain(c *conn.Conn) result {
	b := c.Recv.Bytes()
	n := int(min(x.left, int64(len(b))))
	if n == 0 && x.left > 0 {
		return x.starved(c)
	}
	x.left -= int64(n)
	return x.pass(c, Chunk{Data: b[:n:n], Last: x.left == 0}, n)
}

func (x *exchange) streamChunked(c *conn.Conn) result {
	b := c.Recv.Bytes()
	if !x.dec.Ended() {
		start, end, bad := x.dec.Run(b, x.maxBody)
		n := end
		if bad == nil && x.sink != nil {
			// A system call for each chunk would cost more than moving the data together.
			end, n, bad = x.dec.Decode(b, end, end, x.maxBody)
		}
		if bad != nil {
			return x.refuse(c, bad)
		}
		if x.dec.Ended() {
			x.restartTrailers()
		}
		if end > start {
			return x.pass(c, Chunk{Data: b[start:end:end]}, n)
		}
		c.Recv.Discard(n)
		if !x.dec.Ended() {
			return x.starved(c)
		}
		b = c.Recv.Bytes()
	}
	n, bad := x.readTrailers(b, 0)
	if bad != nil {
		return x.refuse(c, bad)
	}
	if n == 0 {
		return x.starved(c)
	}
	x.fields = x.fields[:0]
	for _, f := range x.p.Fields[x.nhead:] {
		x.fields = append(x.fields, Field{f.Name.Of(b), f.Value.Of(b)})
	}
	return x.pass(c, Chunk{Last: true, trailers: x.fields}, n)
}

// pass hands on a piece, for which n bytes have been read.
func (x *exchange) pass(c *conn.Conn, k Chunk, n int) result {
	c.Recv.Discard(n) // the bytes stay where they are until the handler returns
	if k.Last {
		x.in.on(complete)
		x.total = 0
	}
	if !x.hand(c, k) {
		return wait
	}
	switch {
	case k.Last:
		return x.next(c)
	case x.out >= outPumping:
		return x.early(c)
	}
	return again
}

// hand gives a piece to the sink or to the handler. It returns false if the exchange has ended in
// it.
func (x *exchange) hand(c *conn.Conn, k Chunk) bool {
	to := x.sink
	if to == nil {
		k.x, k.turn = x, x.turn
		x.srv.chunk = k
		return x.emit(c, &x.srv.chunk)
	}
	if k.Last {
		x.sink = nil
	}
	x.flags |= busy
	to.write(c, k.Data, k.Last)
	x.flags &^= busy
	if x.out == outHijacked {
		x.recycle()
		return false
	}
	return c.IsOpen()
}
