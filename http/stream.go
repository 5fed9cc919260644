package http

import (
	"errors"
	"math"

	"github.com/seed4930a636/mangusta/conn"
)

// Chunk is a piece of a body that is streamed: see Stream. How a body is cut into pieces follows from how it arrived,
// and means nothing.
type Chunk struct {
	Data []byte // may be empty in the last one only
	Last bool   // the request is complete

	trailers []Field
}

// Trailers returns what Message.Trailers does, in the last Chunk.
func (k *Chunk) Trailers() []Field { return k.trailers }

// Stream, called in the handler of Head, asks for the body as it comes: there will be Chunk events, one at least, and
// no Message. The body may have any size: Options.MaxBody does not bound it, but SetMaxBody does. It may be called for
// every request: where there is no body, one Chunk comes that is Last and empty.
//
// While the connection is paused no Chunk comes, and the client has to wait: c.Pause and c.Resume let a body come no
// faster than it is used. Options.BodyTimeout and MinRate do not count that time. Chunks wait as well while
// c.Congested, so a handler that sends back what it gets need not care.
//
// The request may be answered at any time: before its last Chunk, and then no further one comes; in it; or later. A
// request that breaks off gets no last Chunk: *conn.Close, which comes always, without a Chunk that was Last means that
// the body is incomplete. Where the client broke the rules, was too slow or ended its side, BadRequest goes before it.
//
// A client that sent Expect: 100-continue is told to go on when the Head handler returns, unless it has answered.
// Stream returns ErrNoRequest when no Head that waits for an answer is being handled.
func Stream(c *conn.Conn) error {
	x, err := waiting(c)
	if err != nil || x.phase != phaseHead {
		return ErrNoRequest
	}
	x.flags |= streamed
	if !x.is(ownLimit) {
		x.maxBody = math.MaxInt64
	}
	return nil
}

var (
	errCut      = errors.New("http: the connection ended before the body did")
	errAnswered = errors.New("http: the request was answered before its body was complete")
)

// A sink takes a streamed body instead of the handler. Its methods run as handlers do, and may answer.
type sink interface {
	// take gets the next piece; it may be empty when last is set, and then nothing comes any more.
	take(c *conn.Conn, data []byte, last bool)
	// drop says that the rest will not come, because of err.
	drop(err error)
}

func (x *exchange) dropSink(err error) {
	if k := x.sink; k != nil {
		x.sink = nil
		k.drop(err)
	}
}

// beginStream goes on behind a Head whose handler wants the body as it comes.
func (x *exchange) beginStream(c *conn.Conn) result {
	x.sendContinue(c)
	c.Recv.Discard(x.n)
	x.left = x.f.length
	x.phase = phaseStream
	x.startClock(c)
	return again
}

// stream hands on what has arrived of the body, without moving it. c.Recv begins with the bytes of the body.
func (x *exchange) stream(c *conn.Conn) result {
	for {
		if x.notePause(c) || c.Congested() {
			return wait
		}
		r := again
		if x.f.chunked {
			r = x.streamChunked(c)
		} else {
			r = x.streamPlain(c)
		}
		if r != again || x.phase != phaseStream {
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
	if x.dec.step != chunkTrailers {
		start, end, err := x.dec.run(b, x.maxBody)
		n := end
		if err == nil && x.sink != nil {
			// A system call for each chunk would cost more than moving the data together.
			end, n, err = x.dec.decode(b, end, end, x.maxBody)
		}
		if err != nil {
			return x.refuse(c, err)
		}
		if x.dec.step == chunkTrailers {
			x.restartTrailers()
		}
		if end > start {
			return x.pass(c, Chunk{Data: b[start:end:end]}, n)
		}
		c.Recv.Discard(n)
		if x.dec.step != chunkTrailers {
			return x.starved(c)
		}
		b = c.Recv.Bytes()
	}
	n, err := x.readTrailers(b, 0)
	if err != nil {
		return x.refuse(c, err)
	}
	if n == 0 {
		return x.starved(c)
	}
	x.fields = x.fields[:0]
	for _, f := range x.p.fields[x.nhead:] {
		x.fields = append(x.fields, Field{f.name.of(b), f.value.of(b)})
	}
	return x.pass(c, Chunk{Last: true, trailers: x.fields}, n)
}

// pass hands on a piece, for which n bytes have been read.
func (x *exchange) pass(c *conn.Conn, k Chunk, n int) result {
	c.Recv.Discard(n) // the bytes stay where they are until the handler returns
	if k.Last {
		x.phase, x.total = phaseAnswer, 0
	}
	if !x.hand(c, k) {
		return wait
	}
	switch {
	case k.Last:
		return x.received(c)
	case x.is(hasAnswer):
		return x.early(c)
	}
	return again
}

// hand gives a piece to the sink or to the handler. It returns false when the exchange has come to an end there.
func (x *exchange) hand(c *conn.Conn, k Chunk) bool {
	to := x.sink
	if to == nil {
		x.srv.chunk = k
		return x.emit(c, &x.srv.chunk)
	}
	if k.Last {
		x.sink = nil
	}
	x.flags |= busy
	to.take(c, k.Data, k.Last)
	x.flags &^= busy
	if x.phase == phaseOver {
		x.recycle()
		return false
	}
	return c.IsOpen()
}
