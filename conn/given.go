package conn

import "errors"

// A loop over completions (io_uring) reads and writes by itself: it hands in the bytes that have
// come, and it tells when a write that it has begun is over. These are the calls for that. The Conn
// then has no use of Transport.Read.

// Given hands in bytes that the loop has read. p is the loop's again when Given returns; what the
// handlers leave is copied. Bytes may still come after the connection has stopped reading (Settle
// no longer wants In): they are kept, and delivered when it reads again. So the loop bounds how
// many are under way. It is not for a connection over a Layered transport, which reads from the
// Transport below it.
func (d *Driver) Given(p []byte) {
	c := (*Conn)(d)
	if len(p) == 0 || c.state > lingering {
		return
	}
	c.sh.Stats.BytesIn += uint64(len(p))
	if c.state != open || c.flags&eof != 0 {
		return // thrown away, as when it lingers
	}
	c.lastActive = c.sh.Now
	if c.flags&tracing != 0 {
		c.dump("recv", p)
	}
	if c.flags&(shut|redeliver) != 0 {
		c.stash(p)
		c.rarely().given += int32(len(p)) // less than Limits.Recv and one buffer
		return
	}
	if c.Recv.Len() > 0 {
		c.stash(p)
	} else {
		if c.Recv.buf != nil {
			c.dropInput()
		}
		c.Recv = Buffer{buf: p}
		c.flags |= lent
	}
	c.deliver(len(p), true) // of the completions that are to come nothing is known
}

// stash appends p to the unread bytes.
func (c *Conn) stash(p []byte) {
	b := &c.Recv
	if cap(b.buf)-len(b.buf) < len(p) {
		bigger := append(c.sh.hold(max(2*b.Len(), b.Len()+len(p))), b.Bytes()...)
		if b.buf != nil {
			c.sh.unhold(b.buf)
		}
		*b = Buffer{buf: bigger}
	}
	b.buf = append(b.buf, p...)
}

// GivenEnd hands in the end of the stream, or, if err is not nil, the error with which reading has
// ended. The end comes after what Given has handed in; it waits while the connection does not read.
func (d *Driver) GivenEnd(err error) {
	c := (*Conn)(d)
	switch {
	case c.state > lingering:
	case err != nil:
		c.broken(err)
	case c.state == lingering:
		c.end(c.reason) // the peer is gone, and all was sent
	case c.state != open || c.flags&eof != 0:
	case c.flags&(shut|redeliver) != 0:
		c.rarely().endGiven = true
	default:
		if c.rare != nil {
			c.rare.endGiven = false
		}
		c.endOfInput()
	}
}

// Received fires ev, an event that carries n bytes beside the stream: a *Datagram of a loop that
// reads by itself, or an *Ancillary before the bytes that it came with are Given. The loop reads
// such a descriptor itself, with recvmsg or its like, while Settle wants In. It reports whether ev
// was fired: a connection that does not read, or that ends, takes none, and cannot keep it.
func (d *Driver) Received(ev Event, n int) bool {
	c := (*Conn)(d)
	if c.state != open || c.flags&(shut|connecting) != 0 {
		return false
	}
	c.lastActive = c.sh.Now
	c.sh.Stats.BytesIn += uint64(n)
	c.fire(ev)
	return true
}

// ErrSubmitted is what Write and Writev of a Transport return after Driver.Submits, when they have
// begun to send all that they were given.
var ErrSubmitted = errors.New("conn: the write is under way")

// Submits says, before Begin, that the writes of the connection complete later. Its Transport
// returns ErrSubmitted from Write and Writev: the bytes do not change, and stay where they are,
// until the loop calls Sent, and there is no other write before that. (The slice of slices that
// Writev is given is not kept.) When Settle says Done while a write is under way, the loop ends
// that, and calls Sent, before it calls Finish. A Layered transport needs a Transport below it
// whose writes do not complete later.
func (d *Driver) Submits() { d.flags |= submits }

// Sent says that a write which was submitted has taken n bytes, or has failed with err. It may have
// taken fewer than it was given.
func (d *Driver) Sent(n int, err error) {
	c := (*Conn)(d)
	if c.flags&submitted == 0 {
		return
	}
	c.flags &^= blocked | submitted
	if n > 0 {
		c.took(n)
		q := c.ownQueue()
		if file := q.fileFirst(); file != nil {
			q.advanceFile(file, n)
		} else {
			q.advance(n)
		}
		q.sent += n
	}
	if q := c.out; q != nil && q.bundle == nil {
		q.pinned = false
		if q.kept != nil {
			c.sh.putBuf(q.kept)
			q.kept = nil
		}
	}
	if err != nil && c.state < closing {
		c.broken(err)
	}
	if c.state < closing {
		c.touch() // a Write event is due, and the next write
	}
}

// beginSend notes that n bytes of q, the connection's own queue, have been submitted.
func (c *Conn) beginSend(q *queue, n int) {
	c.flags |= blocked | submitted
	q.pinned = true
	for i := q.first; i < len(q.parts) && n > 0; i++ {
		q.parts[i].cast = false // it has been begun
		n -= q.parts[i].n
	}
}
