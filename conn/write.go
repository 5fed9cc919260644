package conn

import (
	"errors"
	"unsafe"

	"golang.org/x/sys/unix"
)

var (
	// ErrClosed is returned by Write and its like after Close, Drain, CloseWrite and the end.
	ErrClosed = errors.New("conn: the connection is closed or closing")
	// ErrSendLimit is returned by Write and its like when Limits.Send bytes are queued already;
	// with CloseOnFull it is in the Error too.
	ErrSendLimit = errors.New("conn: the send queue is full")
	// ErrRecvLimit is in the Error of a connection whose handlers have left more than Limits.Recv
	// unread.
	ErrRecvLimit = errors.New("conn: more unread input than the receive limit allows")
)

// Write queues a copy of p, to be sent at the end of the turn. It never blocks. It returns
// ErrClosed, or ErrSendLimit when Limits.Send bytes or more are queued already; nothing of p is
// queued then. On a connected datagram socket each Write is one datagram: see SendTo.
func (c *Conn) Write(p []byte) (int, error) {
	q, err := c.room(len(p))
	if q == nil {
		return c.unqueued(p, err)
	}
	c.append(q, p)
	return len(p), nil
}

// WriteThrough is Write for a large message that nothing is going to follow in this turn. When
// nothing keeps it, and it has 8 KiB or more, it goes to the kernel at once, so that it need not be
// copied; its Write event comes at the end of the turn. For a stream that is written in pieces
// Write is better: it gathers them, and the peer gets fewer and larger segments.
func (c *Conn) WriteThrough(p []byte) (int, error) {
	q, err := c.room(len(p))
	if q == nil {
		return c.unqueued(p, err)
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
		return c.unqueued(unsafe.Slice(unsafe.StringData(s), len(s)), err)
	}
	if cap(q.own)-len(q.own) < len(s) {
		c.sh.growOwn(q, len(s))
	}
	q.own = append(q.own, s...)
	c.queued(q, len(s))
	return len(s), nil
}

// WriteShared queues p itself, without a copy: p must never change again. Many connections may
// share one p.
func (c *Conn) WriteShared(p []byte) error { return c.writeShared(p, false) }

// writeShared is WriteShared; cast says that p is a message of a broadcast, which may be dropped.
func (c *Conn) writeShared(p []byte, cast bool) error {
	if err := c.admit(len(p)); err != nil || len(p) == 0 {
		return c.unqueuedShared(p, err)
	}
	if b := c.sh.bundleOf(c.out, p); b != nil {
		c.begun()
		c.out = b
		c.grown(b)
		return nil
	}
	q := c.ownQueue()
	q.place()
	q.parts = append(q.parts, part{p: p, n: len(p), cast: cast})
	c.queued(q, len(p))
	return nil
}

// throughMin is the size from which on a system call costs less than a copy to a buffer that no
// cache holds.
const throughMin = 8 << 10

// throughMax bounds what goes through in one turn. It is more than flushMax: what is left over has
// to be copied, which costs as much as sending it.
const throughMax = 1 << 20

// writeThrough gives the kernel what is queued in q, the connection's own queue, and then p, as far
// as it takes them. It returns how much of p is done with.
func (c *Conn) writeThrough(q *queue, p []byte) int {
	if len(q.parts) > 0 || c.flags&(blocked|connecting|securing|holding|submits) != 0 || q.sent >= throughMax {
		return 0
	}
	if q.size+len(p) >= c.limits.HighWater {
		c.flags |= aboveHigh
	}
	c.begun()
	asked, n, err := c.sendv(append(c.sh.pieces[:0], q.own[q.off:], p))
	switch {
	case err == unix.EINTR:
		return 0
	case err != nil && err != unix.EAGAIN:
		c.broken(err)
		return len(p)
	case n < asked || c.flags&holding != 0:
		c.flags |= blocked
	}
	c.took(n)
	q.sent += n
	own := min(n, q.size)
	q.advance(own)
	return n - own
}

// AvailableBuffer returns an empty buffer to append to and to pass to Write at once, which then
// copies nothing as long as it has not outgrown its capacity.
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

// Pending returns the number of bytes queued and not yet taken by the kernel, without those of
// SendFile. With TLS it counts the ciphertext of those that have been encrypted.
func (c *Conn) Pending() int {
	c.check("Pending")
	return c.pending()
}

func (c *Conn) pending() (n int) {
	if c.out != nil {
		n = c.out.size
	}
	if c.flags&holding != 0 {
		n += c.layerUnsent()
	}
	return n
}

// room returns the queue with room in own for n more bytes, or nil when n bytes cannot be queued
// (or n is 0).
func (c *Conn) room(n int) (*queue, error) {
	if err := c.admit(n); err != nil || n == 0 {
		return nil, err
	}
	return c.ownQueue(), nil
}

// queued accounts for n bytes just put into q, the connection's own queue.
func (c *Conn) queued(q *queue, n int) {
	c.begun()
	q.size += n
	c.grown(q)
}

// grown looks at the marks that q, which has more in it now, may have crossed.
func (c *Conn) grown(q *queue) {
	size := q.size
	if c.flags&holding != 0 {
		size += c.layerUnsent()
	}
	if size >= c.limits.HighWater {
		c.flags |= aboveHigh | congested
	}
	c.touch()
}

// begun is to be called before something is put into the queue: the time for the peer to take bytes
// begins when it was empty.
func (c *Conn) begun() {
	if !c.unsent() {
		c.lastSent = c.sh.Now
		if d := c.limits.Stall; d > 0 {
			c.sh.NextDeadline = min(c.sh.NextDeadline, later(c.lastSent, d))
		}
	}
}

// unsent reports whether something waits to be sent.
func (c *Conn) unsent() bool { return c.out != nil && !c.out.empty() || c.flags&holding != 0 }

// flushMax bounds what one connection sends in one turn, so that a long queue does not keep the
// others waiting.
const flushMax = 256 << 10

// flush sends what is queued, in one system call where it fits, and tells what has been sent. After
// a short write it waits for the poller.
func (c *Conn) flush() {
	if c.flags&(layered|noStream) != 0 {
		c.flushUnusual()
		return
	}
	if c.out == nil {
		return
	}
	if n := c.flushQueue(); n > 0 {
		c.afterWrite(n)
	}
}

// flushUnusual is flush for a connection whose transport is no plain stream.
func (c *Conn) flushUnusual() {
	if c.flags&layered != 0 {
		c.flushLayered()
	} else if c.rare.grams != nil {
		c.rare.grams.paths.flush(c)
	}
}

// flushQueue is flush for the connection's own queue or bundle. It returns how many bytes have been
// sent.
func (c *Conn) flushQueue() (sent int) {
	q := c.out
	if q == nil {
		return 0
	}
	if q.bundle != nil {
		if c.flags&blocked == 0 {
			return c.flushBundle(q)
		}
		return 0
	}
	sent = c.transmit(q, flushMax) + q.sent
	q.sent = 0
	if !q.empty() && c.flags&blocked == 0 {
		c.flags |= blocked // the poller will say writable at once
	}
	if q.empty() {
		c.out = nil
		c.sh.putQueue(q)
	}
	return sent
}

// transmit sends what is in q, the connection's own queue, until it is empty, the kernel takes no
// more, or most bytes have gone out. It returns how many have.
func (c *Conn) transmit(q *queue, most int) (sent int) {
	q.upTo = 0
	for !q.empty() && sent < most && c.flags&blocked == 0 {
		file := q.fileFirst()
		var asked, n int
		var err error
		if file != nil {
			asked, n, err = file.send(c, file)
		} else {
			asked, n, err = c.sendSome(q)
		}
		if err == unix.EINTR {
			continue
		}
		if err == ErrSubmitted {
			c.beginSend(q, asked)
			break
		}
		if err != nil && err != unix.EAGAIN {
			if file == nil {
				c.broken(err)
			} else {
				c.fail(ErrnoReason(err), err) // EBADF may mean the file
			}
			break
		}
		if n > 0 && file != nil {
			q.advanceFile(file, n)
		} else if n > 0 {
			q.advance(n)
		}
		c.took(n)
		sent += n
		if n < asked || c.flags&holding != 0 {
			c.flags |= blocked
		}
	}
	return sent
}

// took notes that the kernel has taken n bytes.
func (c *Conn) took(n int) {
	if n > 0 {
		c.lastSent = c.sh.Now
		c.lastActive = c.sh.Now
		c.sh.Stats.BytesOut += uint64(n)
	}
}

// afterWrite fires Write for n bytes, and Drained where it is due. n is 0 when only ciphertext has
// left.
func (c *Conn) afterWrite(n int) {
	if c.flags&congested != 0 && c.pending() <= c.limits.HighWater/2 {
		c.remove(congested)
	}
	if n > 0 {
		ev := &c.sh.evWrite
		ev.N = n
		c.fire(ev)
	}
	if c.flags&aboveHigh != 0 && !c.unsent() {
		c.flags &^= aboveHigh
		c.fire(&Drained{})
	}
}

// sendSome makes one system call, and returns how many bytes it was asked to send and how many it
// took.
func (c *Conn) sendSome(q *queue) (asked, n int, err error) {
	if q.first == len(q.parts) {
		return c.send(limit(q.own[q.off:]))
	}
	if p := q.parts[q.first].p; p != nil && q.size == len(p) {
		return c.send(limit(p))
	}
	// Small pieces are joined: a copy of a few hundred bytes costs less than one more element of a
	// writev.
	if q.size <= scratchSize && c.flags&submits == 0 {
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
	if c.flags&layered != 0 {
		c.noteHolding()
	}
	if c.flags&tracing != 0 && n > 0 {
		c.dumpAll("send", vec, n)
	}
	clear(vec)
	return asked, max(n, 0), err
}

func (c *Conn) send(p []byte) (asked, n int, err error) {
	n, err = c.tr.Write(int(c.fd), p)
	if c.flags&layered != 0 {
		c.noteHolding()
	}
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
