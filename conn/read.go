package conn

import (
	"golang.org/x/sys/unix"
)

// readable reads once and gives what came to the handlers. The loop calls it when the poller says
// that the descriptor is readable. One read each turn keeps a fast sender from starving the others;
// the poller is level-triggered, so what is left in the kernel comes next turn. But where a layer
// waits for much (ExpectInput), up to readMax are read: the fewer messages are half there at the
// same time, the fewer buffers there are, and the more of them are in the processor's cache.
func (c *Conn) readable() {
	switch {
	case c.state == lingering:
		c.readLingering()
		return
	case c.flags&layered != 0:
		c.readableLayered()
		return
	}
	for got := 0; got < readMax; {
		n, full := c.readOnce(readMax - got)
		if got += n; !full || c.toCome() <= 0 {
			return
		}
	}
}

// readMax bounds what one connection reads in one turn, which takes a fraction of a millisecond.
const readMax = largeMax

// readOnce reads up to most bytes. It returns how many came, and whether there was no room for
// more.
func (c *Conn) readOnce(most int) (n int, full bool) {
	// With redeliver, what is unread comes first, at the end of this turn: reading more would pile
	// it up.
	if c.state != open || c.flags&(eof|shut|connecting|redeliver) != 0 {
		return 0, false
	}
	room, own := c.readRoom()
	room = room[:min(len(room), most)]
	n, err := c.recv(room)
	if c.flags&(tracing|beside) != 0 && n >= 0 && err == nil {
		c.received(room[:n])
	}
	switch {
	case err == unix.EAGAIN:
		return 0, false
	case err != nil:
		c.broken(err)
		return 0, false
	case n == 0:
		c.endOfInput()
		return 0, false
	}
	c.lastActive = c.sh.Now
	c.sh.Stats.BytesIn += uint64(n)
	if own {
		c.Recv.buf = c.Recv.buf[:len(c.Recv.buf)+n]
	} else {
		if c.Recv.buf != nil {
			c.dropInput() // outside of a Read a handler has discarded all that was unread
		}
		c.Recv = Buffer{buf: room[:n]}
		c.flags |= lent
	}
	full = n == len(room) && c.flags&beside == 0
	c.deliver(n, full)
	return n, full
}

// recv reads into p, and again when a signal came in between.
func (c *Conn) recv(p []byte) (int, error) {
	if c.flags&(layered|beside) != 0 {
		return c.recvUnusual(p)
	}
	for {
		n, err := c.tr.Read(int(c.fd), p)
		if err != unix.EINTR {
			return n, err
		}
	}
}

func (c *Conn) recvUnusual(p []byte) (n int, err error) {
	if c.flags&layered != 0 {
		return c.recvLayered(p)
	}
	for err = unix.EINTR; err == unix.EINTR; {
		n, err = c.rare.aside.recv(c, p)
	}
	return n, err
}

// received does what the Read event of p, bytes just received, comes after.
func (c *Conn) received(p []byte) {
	if c.flags&tracing != 0 && len(p) > 0 {
		c.dump("recv", p)
	}
	if c.flags&beside != 0 {
		c.rare.aside.tell(c, len(p))
	}
}

// readRoom returns where the next bytes go: after what is unread, or, when all is read, to the
// loop's buffer. own says that the room is part of the connection's own buffer.
func (c *Conn) readRoom() (room []byte, own bool) {
	b := &c.Recv
	if b.Len() == 0 {
		if c.toCome() > readSize {
			if p, ok := c.pstate.(InputPlacer); ok {
				if room := p.InputPlace(); len(room) >= readSize {
					return room, false
				}
			}
		}
		return c.sh.read, false
	}
	need := max(minRoom, b.Len()/4)
	if n := c.toCome(); n > 0 {
		need = min(need, n)
	}
	if cap(b.buf)-len(b.buf) < need {
		c.growRecv()
	}
	return b.buf[len(b.buf):cap(b.buf)], true
}

// minRoom is the least room worth a read.
const minRoom = 2048

// growRecv moves the unread bytes to the front of a buffer that has as much room again, or what
// ExpectInput calls for.
func (c *Conn) growRecv() {
	b := &c.Recv
	if b.off > cap(b.buf)/2 {
		n := copy(b.buf, b.buf[b.off:])
		b.buf, b.off = b.buf[:n], 0
		return
	}
	size := 2*b.Len() + minRoom
	if c.toCome() > 0 {
		size = c.sizeFor(b.Len())
	}
	bigger := append(c.sh.hold(size), b.Bytes()...)
	c.sh.unhold(b.buf)
	*b = Buffer{buf: bigger}
}

// sizeFor returns how large a buffer shall be in which the n unread bytes are, and those that
// ExpectInput waits for will be.
func (c *Conn) sizeFor(n int) int { return SizeFor(n, n+max(c.toCome(), 0)) }

// SizeFor returns how large a buffer shall be of which n bytes have come and all are announced, all
// being n at least. It is five times n at most, so a peer that merely announces much cannot make us
// allocate for it. The sizes are such that the last step, which copies most, comes out at all. A
// step that would leave no room worth a read is not taken: a peer that sends slowly would have all
// bytes copied again for each read.
func SizeFor(n, all int) int {
	size := all
	for size > growth*n {
		size = (size + growth - 1) / growth
	}
	if size < all && size-n < max(minRoom, n/4) {
		return growth * n
	}
	return size
}

const growth = 5

// toCome returns how many bytes ExpectInput still waits for, 0 or less when for none.
func (c *Conn) toCome() int {
	if c.rare == nil {
		return 0
	}
	return c.rare.expect - c.Recv.Len()
}

// deliver fires Read and then stores what the handlers left.
func (c *Conn) deliver(n int, full bool) {
	if c.rare != nil && c.Recv.Len() >= c.rare.expect {
		c.rare.expect = 0 // it is here: what comes next is another matter
	}
	ev := &c.sh.evRead
	ev.N, ev.Full = n, full
	c.fire(ev)
	c.keep()
	if c.Recv.Len() > c.limits.Recv && c.state == open {
		c.fail(RecvLimit, ErrRecvLimit)
	}
}

// keep copies unread bytes out of the loop's buffer, or gives the connection's own buffer back when
// all is read.
func (c *Conn) keep() {
	b := &c.Recv
	rest := b.Bytes()
	switch {
	case c.flags&lent != 0:
		c.flags &^= lent
		if len(rest) == 0 {
			*b = Buffer{}
			return
		}
		*b = Buffer{buf: append(c.sh.hold(c.sizeFor(len(rest))), rest...)}
	case len(rest) == 0 && b.buf != nil:
		c.sh.unhold(b.buf)
		*b = Buffer{}
	}
}

// endOfInput handles the peer's FIN.
func (c *Conn) endOfInput() {
	c.flags |= eof
	c.touch()
	c.fire(&EOF{})
	if c.flags&halfOpen == 0 && c.state == open {
		c.Drain()
	}
}

// readLingering throws input away until the peer closes.
func (c *Conn) readLingering() {
	n, err := c.below().Read(int(c.fd), c.sh.read)
	for err == unix.EINTR {
		n, err = c.below().Read(int(c.fd), c.sh.read)
	}
	switch {
	case err == unix.EAGAIN:
	case err != nil && ErrnoReason(err) == IOError && err != unix.ENOTCONN:
		c.broken(err)
	case err != nil || n == 0: // the peer is gone, and all was sent
		c.end(c.reason)
	default:
		c.sh.Stats.BytesIn += uint64(n)
	}
}

// SetHalfOpen keeps the connection open for writing when the peer has finished sending.
func (c *Conn) SetHalfOpen(on bool) {
	c.check("SetHalfOpen")
	if on {
		c.flags |= halfOpen
	} else {
		c.flags &^= halfOpen
	}
}
