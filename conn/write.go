package conn

import (
	"errors"

	"golang.org/x/sys/unix"
)

var (
	// ErrClosed is returned by Write and its like behind Close, Drain, CloseWrite and the end.
	ErrClosed = errors.New("conn: the connection is closed or closing")
	// ErrSendLimit is returned by Write and its like when Limits.Send does not allow for more; with CloseOnFull it is in the Error too.
	ErrSendLimit = errors.New("conn: the send queue is full")
	// ErrRecvLimit is in the Error of a connection whose handlers have left more than Limits.Recv unread.
	ErrRecvLimit = errors.New("conn: more unread input than the receive limit allows")
)

// Write queues a copy of p, to be sent at the end of the turn. It never blocks. It returns ErrClosed, or ErrSendLimit
// when the queue would grow past the send limit; nothing of p is queued then.
func (c *Conn) Write(p []byte) (int, error) {
	q, err := c.room(len(p))
	if q == nil {
		return 0, err
	}
	c.append(q, p)
	return len(p), nil
}

// WriteThrough is Write for a large message that nothing is going to follow in this turn. When nothing keeps it, and it has 8 KiB
// or more, it goes to the kernel at once, so that it need not be copied; its Write event comes at the end of the turn. For a
// stream that is written in pieces Write is better: it gathers them, and the peer gets fewer and larger segments.
func (c *Conn) WriteThrough(p []byte) (int, error) {
	q, err := c.room(len(p))
	if q == nil {
		return 0, err
	}
	rest := p
	if len(p) >= throughMin {
		rest = p[c.writeThrough(q, p):]
	}
	c.append(q, rest)
	return len(p), nil
}

// append puts a copy of p into q, the connection's own queue.
func (c *Conn) append(q *queue, p []byte) {
	if cap(q.own)-len(q.own) < len(p) {
		c.sh.growOwn(q, len(p))
	}
	q.own = append(q.own, p...)
	c.queued(q, len(p))
}

// WriteString is Write for a string.
func (c *Conn) WriteString(s string) (int, error) {
	q, err := c.room(len(s))
	if q == nil {
		return 0, err
	}
	if cap(q.own)-len(q.own) < len(s) {
		c.sh.growOwn(q, len(s))
	}
	q.own = append(q.own, s...)
	c.queued(q, len(s))
	return len(s), nil
}

// WriteShared queues p itself, without a copy: p must never change again. Many connections may share one p.
func (c *Conn) WriteShared(p []byte) error {
	if err := c.admit(len(p)); err != nil || len(p) == 0 {
		return err
	}
	if b := c.sh.bundleOf(c.out, p); b != nil {
		c.begun()
		c.out = b
		c.grown(b)
		return nil
	}
	q := c.ownQueue()
	q.place()
	q.parts = append(q.parts, part{p: p, n: len(p)})
	c.queued(q, len(p))
	return nil
}

// throughMin is the size from which on a system call costs less than a copy to a buffer that no cache holds.
const throughMin = 8 << 10

// throughMax bounds what goes through in one turn. It is more than flushMax: what is left over has to be copied, which costs as
// much as sending it.
const throughMax = 1 << 20

// writeThrough gives the kernel what is queued in q, the connection's own queue, and then p, as far as it takes them. It returns
// how much of p is done with.
func (c *Conn) writeThrough(q *queue, p []byte) int {
	if len(q.parts) > 0 || c.flags&(blocked|connecting) != 0 || q.sent >= throughMax {
		return 0
	}
	if q.size+len(p) > c.limits.HighWater {
		c.flags |= aboveHigh
	}
	c.begun()
	asked, n, err := c.sendv(append(c.sh.pieces[:0], q.own[q.off:], p))
	switch {
	case err == unix.EINTR:
		return 0
	case err != nil && err != unix.EAGAIN:
		c.Fail(ErrnoReason(err), err)
		return len(p)
	case n < asked:
		c.flags |= blocked
	}
	c.took(n)
	q.sent += n
	own := min(n, q.size)
	q.advance(own)
	return n - own
}

// AvailableBuffer returns an empty buffer to append to and to pass to Write at once, which then copies nothing as long
// as it has not outgrown its capacity.
func (c *Conn) AvailableBuffer() []byte {
	c.check("AvailableBuffer")
	if c.state != open {
		return nil
	}
	q := c.ownQueue()
	c.touch() // to be taken back if no Write follows
	if cap(q.own)-len(q.own) < minRoom {
		c.sh.growOwn(q, minRoom)
	}
	return q.own[len(q.own):]
}

// Pending returns the number of bytes queued and not yet taken by the kernel, without those of SendFile.
func (c *Conn) Pending() int {
	if c.out == nil {
		return 0
	}
	return c.out.size
}

// Congested reports whether the send queue is above half its limit and has not yet fallen to a quarter. Nothing is
// read from a congested connection; a layer that has buffered input should leave it until a Write or Drained event.
func (c *Conn) Congested() bool { return c.flags&congested != 0 }

// room returns the queue with room in own for n more bytes, or nil when n bytes cannot be queued (or n is 0).
func (c *Conn) room(n int) (*queue, error) {
	if err := c.admit(n); err != nil || n == 0 {
		return nil, err
	}
	return c.ownQueue(), nil
}

// admit says why n bytes cannot be queued.
func (c *Conn) admit(n int) error {
	c.check("Write")
	switch {
	case c.state != open || c.flags&shutWrite != 0:
		return ErrClosed
	case n == 0 || c.Pending()+n <= c.limits.Send:
		return nil
	case c.limits.OnFull == CloseOnFull:
		c.Fail(SendLimit, ErrSendLimit)
	default:
		c.sh.Stats.Rejected++
	}
	return ErrSendLimit
}

// queued accounts for n bytes just put into q, the connection's own queue.
func (c *Conn) queued(q *queue, n int) {
	c.begun()
	q.size += n
	c.grown(q)
}

// grown looks at the marks that q, which has more in it now, may have crossed.
func (c *Conn) grown(q *queue) {
	if q.size > c.limits.HighWater {
		c.flags |= aboveHigh
	}
	if q.size > c.limits.Send/2 {
		c.flags |= congested
	}
	c.touch()
}

// begun is to be called before something is put into the queue: the time for the peer to take bytes begins when it was empty.
func (c *Conn) begun() {
	if !c.unsent() {
		c.lastSent = c.sh.Now
		if d := c.limits.Stall; d > 0 {
			c.sh.NextDeadline = min(c.sh.NextDeadline, later(c.lastSent, d))
		}
	}
}

// unsent reports whether something waits to be sent.
func (c *Conn) unsent() bool { return c.out != nil && !c.out.empty() }

// flushMax bounds what one connection sends in one turn, so that a long queue does not keep the others waiting.
const flushMax = 256 << 10

// flush sends what is queued, in one system call where it fits, and tells what has been sent. After a short write it waits for
// the poller.
func (c *Conn) flush() {
	q := c.out
	if q == nil {
		return
	}
	if q.bundle != nil {
		if c.flags&blocked == 0 {
			c.flushBundle(q)
		}
		return
	}
	through, sent := q.sent, 0
	q.sent = 0
	for !q.empty() && sent < flushMax && c.flags&blocked == 0 {
		file := q.fileFirst()
		var asked, n int
		var err error
		if file != nil {
			asked, n, err = c.sendFile(file)
		} else {
			asked, n, err = c.sendSome(q)
		}
		if err == unix.EINTR {
			continue
		}
		if err != nil && err != unix.EAGAIN {
			c.Fail(ErrnoReason(err), err)
			break
		}
		if n > 0 && file != nil {
			q.advanceFile(file, n)
		} else if n > 0 {
			q.advance(n)
		}
		c.took(n)
		sent += n
		if n < asked {
			c.flags |= blocked
		}
	}
	if !q.empty() && c.flags&blocked == 0 {
		c.flags |= blocked // the poller will say writable at once
	}
	if q.empty() {
		c.out = nil
		c.sh.putQueue(q)
	}
	if n := through + sent; n > 0 {
		c.afterWrite(n)
	}
}

// took notes that the kernel has taken n bytes.
func (c *Conn) took(n int) {
	if n > 0 {
		c.lastSent = c.sh.Now
		c.lastActive = c.sh.Now
		c.sh.Stats.BytesOut += uint64(n)
	}
}

// afterWrite fires Write, and Drained where it is due.
func (c *Conn) afterWrite(n int) {
	if c.flags&congested != 0 && c.Pending() <= c.limits.Send/4 {
		c.flags &^= congested
	}
	ev := &c.sh.evWrite
	ev.N = n
	c.Fire(ev)
	if c.flags&aboveHigh != 0 && !c.unsent() {
		c.flags &^= aboveHigh
		c.Fire(Drained{})
	}
}

// sendSome makes one system call, and returns how many bytes it was asked to send and how many it took.
func (c *Conn) sendSome(q *queue) (asked, n int, err error) {
	if q.first == len(q.parts) {
		return c.send(limit(q.own[q.off:]))
	}
	if p := q.parts[q.first].p; p != nil && q.size == len(p) {
		return c.send(limit(p))
	}
	// Small pieces are joined: a copy of a few hundred bytes costs less than one more element of a writev.
	if q.size <= scratchSize {
		b := c.sh.scratch[:0]
		for p := range q.pieces {
			b = append(b, p...)
		}
		return c.send(b)
	}
	vec := c.sh.pieces[:0]
	for p := range q.pieces {
		vec = append(vec, p)
		asked += len(p)
		if len(vec) == cap(vec) || asked >= flushMax {
			break
		}
	}
	return c.sendv(vec)
}

func (c *Conn) sendv(vec [][]byte) (asked, n int, err error) {
	for _, p := range vec {
		asked += len(p)
	}
	n, err = c.tr.Writev(int(c.fd), vec)
	if c.flags&tracing != 0 && n > 0 {
		c.dumpAll("send", vec, n)
	}
	clear(vec)
	return asked, max(n, 0), err
}

func (c *Conn) send(p []byte) (asked, n int, err error) {
	n, err = c.tr.Write(int(c.fd), p)
	if c.flags&tracing != 0 && n > 0 {
		c.dump("send", p[:n])
	}
	return len(p), max(n, 0), err
}

func limit(p []byte) []byte {
	if len(p) > flushMax {
		return p[:flushMax]
	}
	return p
}
