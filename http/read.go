package http

import (
	"time"

	"github.com/seed4930a636/mangusta/conn"
)

var (
	errSlowHead = &refusal{408, "head took too long"}
	errSlowBody = &refusal{408, "body came too slowly"}
	errCutShort = &refusal{400, "ended by the client before it was complete"}
	errNoAnswer = &refusal{503, "not answered in time"}
)

const continueLine = "HTTP/1.1 100 Continue\r\n\r\n"

// readHead parses the head and emits Head.
func (x *exchange) readHead(c *conn.Conn) result {
	b := c.Recv.Bytes()
	fresh := x.p.pos == 0
	n, err := x.p.parse(b, &x.srv.lim)
	if n > 0 {
		err = x.take(b, n)
	}
	if err != nil {
		return x.refuse(c, err)
	}
	if n == 0 {
		if c.PeerDone() {
			return x.broken(c)
		}
		if fresh {
			c.SetDeadline(x.srv.opts.HeadTimeout)
		}
		return wait
	}
	x.flags |= live
	switch {
	case !x.emit(c, &x.head):
		return wait
	case x.is(hasAnswer), x.is(begun) && !x.is(streamed):
		return x.early(c)
	case x.f.length > x.maxBody:
		return x.refuse(c, errLongBody)
	case x.is(streamed):
		return x.beginStream(c)
	case !x.f.hasBody:
		return x.deliver(c, n, n)
	}
	x.maxBody = min(x.maxBody, mostBody)
	x.sendContinue(c)
	x.phase = phaseBody
	x.startClock(c)
	return again
}

// sendContinue tells a client that waits for it that the body is wanted.
func (x *exchange) sendContinue(c *conn.Conn) {
	// RFC 9110 10.1.1: no 100 once the body has begun to arrive.
	if x.f.expect && c.Recv.Len() == x.n {
		c.WriteString(continueLine)
	}
	x.f.expect = false // whether told or not, this client sends the body
}

// emit gives ev to the user. It returns false when the exchange has come to an end there: c was hijacked or closed.
func (x *exchange) emit(c *conn.Conn, ev conn.Event) bool {
	x.flags |= busy
	c.Emit(ev)
	x.flags &^= busy
	if x.phase == phaseOver {
		x.recycle()
		return false
	}
	return c.IsOpen()
}

// readBody waits for the whole body and delivers the request.
func (x *exchange) readBody(c *conn.Conn) result {
	b := c.Recv.Bytes()
	if !x.f.chunked {
		total := x.n + int(x.f.length)
		if len(b) < total {
			c.ExpectInput(total)
			return x.starved(c)
		}
		return x.deliver(c, total, total)
	}
	var err error
	if x.dec.step != chunkTrailers {
		if x.w, x.r, err = x.dec.decode(b, x.w, x.r, x.maxBody); err != nil {
			return x.refuse(c, err)
		}
		if x.dec.step != chunkTrailers {
			// All has been read, and the data moved together.
			c.Recv.Truncate(x.w)
			x.r = x.w
			return x.starved(c)
		}
		x.p.resetTrailers(x.r)
	}
	n, err := x.readTrailers(b, x.r)
	if err != nil {
		return x.refuse(c, err)
	}
	if n == 0 {
		return x.starved(c)
	}
	return x.deliver(c, x.w, n)
}

// readTrailers parses the trailer section, which begins at the offset. It returns where it ends, or 0 for more.
func (x *exchange) readTrailers(b []byte, offset int) (int, error) {
	lim := x.srv.lim
	lim.head += offset
	n, err := x.p.parse(b, &lim)
	if n > 0 {
		err = checkTrailers(b, x.p.fields[x.nhead:])
	}
	return n, err
}

// starved waits for more of the body, unless there is none to come.
func (x *exchange) starved(c *conn.Conn) result {
	if c.PeerDone() {
		return x.broken(c)
	}
	return wait
}

// broken ends a connection whose client finished sending in the middle of a request. RFC 9112 8: it may still want to
// know that the request was not carried out. Behind one empty line there is no request.
func (x *exchange) broken(c *conn.Conn) result {
	if x.p.step == stepStart || x.p.step == stepStartLF {
		drain(c)
		return wait
	}
	return x.refuse(c, errCutShort)
}

// deliver emits the Message. Its body ends at the offset end, and what was sent of the request at total.
func (x *exchange) deliver(c *conn.Conn, end, total int) result {
	x.complete(c.Recv.Bytes(), end)
	x.total = total
	x.phase = phaseAnswer
	if !x.emit(c, &x.msg) {
		return wait
	}
	c.Recv.Discard(total)
	return x.received(c)
}

// received goes on with a request that is complete and that the handler has seen.
func (x *exchange) received(c *conn.Conn) result {
	x.phase = phaseAnswer
	switch {
	case x.file.f != nil:
		x.phase = phaseFile
		c.SetDeadline(0)
	case x.is(hasAnswer):
		return x.finish(c)
	case x.is(begun):
		x.beat(c)
	default:
		c.SetDeadline(x.srv.opts.AnswerTimeout)
	}
	x.park(c)
	return wait
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
		c.Hold()
	}
}

// finish ends an exchange whose answer is queued.
func (x *exchange) finish(c *conn.Conn) result {
	if x.is(closing) {
		linger(c)
	}
	if x.is(holding) {
		c.Unhold()
	}
	x.release(c)
	return done
}

// early goes on with a request whose answer, or the beginning of it, came before its body was complete, and whose body
// nobody wants any more.
func (x *exchange) early(c *conn.Conn) result {
	x.dropSink(errAnswered)
	if x.phase != phaseStream {
		n := x.r
		if !x.f.chunked {
			n, x.left = x.n, x.f.length
		} else if x.dec.step == chunkTrailers {
			x.restartTrailers()
		}
		c.Recv.Discard(n)
	}
	switch {
	case !x.f.chunked && x.left <= int64(c.Recv.Len()):
		c.Recv.Discard(int(x.left))
		return x.received(c)
	case x.is(closing) && x.is(hasAnswer):
		return x.finish(c)
	case x.is(closing):
		// The rest of the body stays where it is until the reply is complete: it is too much to throw away.
		x.hold(c)
		x.phase = phaseAnswer
		x.beat(c)
		return wait
	}
	x.maxBody = x.dec.total + maxSkip
	x.phase = phaseSkip
	x.startClock(c)
	return again
}

// restartTrailers has the trailer section parsed from the beginning of c.Recv.
func (x *exchange) restartTrailers() {
	x.p.fields = x.p.fields[:x.nhead]
	x.p.resetTrailers(0)
}

// skip throws the rest of the body away.
func (x *exchange) skip(c *conn.Conn) result {
	if !x.f.chunked {
		n := int(min(int64(c.Recv.Len()), x.left))
		c.Recv.Discard(n)
		if x.left -= int64(n); x.left > 0 {
			return x.starved(c)
		}
		return x.received(c)
	}
	if x.dec.step != chunkTrailers {
		_, r, err := x.dec.decode(c.Recv.Bytes(), 0, 0, x.maxBody)
		if err != nil {
			return x.refuse(c, err)
		}
		c.Recv.Discard(r)
		if x.dec.step != chunkTrailers {
			return x.starved(c)
		}
		x.restartTrailers()
	}
	n, err := x.readTrailers(c.Recv.Bytes(), 0)
	if err != nil {
		return x.refuse(c, err)
	}
	if n == 0 {
		return x.starved(c)
	}
	c.Recv.Discard(n)
	return x.received(c)
}

// refuse ends the connection because of err, a *refusal: with an event, and a reply where one is due. Nothing that comes
// behind is read any more.
func (x *exchange) refuse(c *conn.Conn, err error) result {
	e := err.(*refusal)
	x.flags = x.flags&^live | closing
	if x.phase == phaseHead && string(x.p.method.of(c.Recv.Bytes())) == "HEAD" {
		x.flags |= isHead // though the rest of the head is not known, or wrong
	}
	bad := &x.srv.bad
	*bad = BadRequest{Status: e.status, Err: e}
	c.Emit(bad)
	if !c.IsOpen() {
		return wait
	}
	switch {
	case e == errCutShort: // the reason is the end that the peer has made
	case e.status == 408 || e.status == 503:
		c.SetReason(conn.DeadlineOver)
	default:
		c.SetReason(conn.Protocol)
	}
	x.dropSink(e)
	if x.is(begun) {
		x.cut(c)
		return wait
	}
	if !x.is(hasAnswer) {
		x.extra = x.extra[:0]
		x.writeError(c, e.status)
	}
	linger(c)
	if x.is(holding) {
		c.Unhold()
	}
	x.release(c)
	return done
}

// startClock begins to measure how fast a body comes.
func (x *exchange) startClock(c *conn.Conn) {
	now := c.Shared().Now
	x.got, x.windowGot, x.pausedAt = 0, 0, 0
	x.lastArrive, x.windowEnd = now, now+int64(x.srv.opts.BodyTimeout)
	c.SetDeadline(x.srv.opts.BodyTimeout)
}

// pauseStep is how often a paused body is looked at: whether it still is paused.
const pauseStep = 200 * time.Millisecond

// notePause stops the clock of a body while the user has paused the connection, and lets it go on behind that. It reports
// whether the connection is paused. Resume tells nobody, so the connection is asked every pauseStep.
func (x *exchange) notePause(c *conn.Conn) bool {
	now := c.Shared().Now
	switch {
	case !c.Paused() && x.pausedAt != 0:
		x.lastArrive += now - x.pausedAt
		x.windowEnd += now - x.pausedAt
		x.pausedAt = 0
		x.setBodyDeadline(c)
	case c.Paused() && x.pausedAt == 0:
		x.pausedAt = now
		c.SetDeadline(pauseStep)
	}
	return x.pausedAt != 0
}

func (x *exchange) setBodyDeadline(c *conn.Conn) {
	at := min(x.windowEnd, x.lastArrive+int64(x.srv.opts.BodyTimeout))
	c.SetDeadline(max(time.Duration(at-c.Shared().Now), time.Millisecond))
}

// slow reports whether a body comes too slowly at the time now, and begins the next window for the minimum rate.
func (x *exchange) slow(now int64) bool {
	o := &x.srv.opts
	if now-x.lastArrive >= int64(o.BodyTimeout) {
		return true
	}
	if now < x.windowEnd {
		return false
	}
	least := int64(o.BodyTimeout) / int64(time.Millisecond) * int64(o.MinRate) / 1000
	if x.got-x.windowGot < least {
		return true
	}
	x.windowGot, x.windowEnd = x.got, now+int64(o.BodyTimeout)
	return false
}

// deadline acts on the time limit of the phase.
func (s *Server) deadline(c *conn.Conn, x *exchange) {
	if !c.IsOpen() {
		return
	}
	if x == nil {
		if c.Pending() > 0 || c.Recv.Len() > 0 {
			c.SetDeadline(s.opts.IdleTimeout)
			return
		}
		c.SetReason(conn.Idle)
		c.Close()
		return
	}
	switch x.phase {
	case phaseHead:
		if c.Paused() {
			c.SetDeadline(s.opts.HeadTimeout)
			return
		}
		x.refuse(c, errSlowHead)
	case phaseBody, phaseStream, phaseSkip:
		if c.Paused() && x.pausedAt == 0 {
			x.startClock(c) // there is no telling for how long it has been paused
		}
		switch {
		case x.notePause(c):
			c.SetDeadline(pauseStep)
		case x.slow(c.Shared().Now):
			x.refuse(c, errSlowBody)
		default:
			x.setBodyDeadline(c)
		}
	case phaseAnswer:
		if x.is(begun) {
			x.beat(c)
		} else {
			x.refuse(c, errNoAnswer)
		}
	case phaseFile:
		x.sendFile(c)
	}
}
