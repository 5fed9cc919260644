package conn

import (
	"golang.org/x/sys/unix"
)

// Readable reads once and gives what came to the handlers. The loop calls it when the poller says that the descriptor is
// readable. One read each turn keeps a fast sender from starving the others; the poller is level-triggered, so what is
// left in the kernel comes next turn. But where a layer waits for much (ExpectInput), up to readMax are read: the fewer
// messages are half there at the same time, the fewer buffers there are, and the more of them are in the processor's cache.
func (c *Conn) Readable() {
	if c.state == lingering {
		c.readLingering()
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

// readOnce reads up to most bytes. It returns how many came, and whether there was no room for more.
func (c *Conn) readOnce(most int) (n int, full bool) {
	// With redeliver, what is unread comes first, at the end of this turn: reading more would pile it up.
	if c.state != open || c.flags&(eof|paused|held|congested|connecting|redeliver) != 0 {
		return 0, false
	}
	room, own := c.readRoom()
	room = room[:min(len(room), most)]
	n, err := c.recv(room)
	if c.flags&tracing != 0 && n > 0 {
		c.dump("recv", room[:n])
	}
	switch {
	case err == unix.EAGAIN:
		return 0, false
	case err != nil:
		c.Fail(ErrnoReason(err), err)
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
		c.Recv = Buffer{buf: room[:n]}
		c.flags |= lent
	}
	full = n == len(room)
	c.deliver(n)
	return n, full
}

// recv reads into p, and again when a signal came in between.
func (c *Conn) recv(p []byte) (int, error) {
	for {
		n, err := c.tr.Read(int(c.fd), p)
		if err != unix.EINTR {
			return n, err
		}
	}
}

// readRoom returns where the next bytes go: the loop's buffer, or, when there is unread input, behind that.
func (c *Conn) readRoom() (room []byte, own bool) {
	b := &c.Recv
	if b.Len() == 0 {
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

// growRecv moves the unread bytes to the front of a buffer that has as much room again, or what ExpectInput calls for.
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
	bigger := append(c.sh.getBuf(size), b.Bytes()...)
	c.sh.putBuf(b.buf)
	*b = Buffer{buf: bigger}
}

// ExpectInput says that a protocol layer waits until there are n bytes in Recv. The buffer then grows to that in fewer steps,
// but never to more than five times what has come: who only announces much costs nothing.
func (c *Conn) ExpectInput(n int) {
	if n > readSize || c.rare != nil {
		c.rarely().expect = n
	}
}

// sizeFor returns how large a buffer may be in which n bytes are, and those that ExpectInput waits for will be.
func (c *Conn) sizeFor(n int) int { return n + max(min(4*n, c.toCome()), 0) }

// toCome returns how many bytes ExpectInput still waits for, 0 or less when for none.
func (c *Conn) toCome() int {
	if c.rare == nil {
		return 0
	}
	return c.rare.expect - c.Recv.Len()
}

// deliver fires Read and then stores what the handlers left.
func (c *Conn) deliver(n int) {
	if c.rare != nil && c.Recv.Len() >= c.rare.expect {
		c.rare.expect = 0 // it is here: what comes next is another matter
	}
	ev := &c.sh.evRead
	ev.N = n
	c.Fire(ev)
	c.keep()
	if c.Recv.Len() > c.limits.Recv && c.state == open {
		c.Fail(RecvLimit, ErrRecvLimit)
	}
}

// keep copies unread bytes out of the loop's buffer, or gives the connection's own buffer back when all is read.
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
		*b = Buffer{buf: append(c.sh.getBuf(c.sizeFor(len(rest))), rest...)}
	case len(rest) == 0 && b.buf != nil:
		c.sh.putBuf(b.buf)
		*b = Buffer{}
	}
}

// endOfInput handles the peer's FIN.
func (c *Conn) endOfInput() {
	c.flags |= eof
	c.touch()
	c.Fire(EOF{})
	if c.flags&halfOpen == 0 && c.state == open {
		c.Drain()
	}
}

// readLingering throws input away until the peer closes.
func (c *Conn) readLingering() {
	n, err := c.recv(c.sh.read)
	switch {
	case err == unix.EAGAIN:
	case err != nil || n == 0:
		c.end(c.reason)
	default:
		c.sh.Stats.BytesIn += uint64(n)
	}
}

// Pause stops the reading of input: the kernel's buffer fills and the peer has to wait. While paused, the end of the
// stream and a reset by the peer go unnoticed.
func (c *Conn) Pause() { c.check("Pause"); c.stopReading(paused) }

// Resume ends Pause. What is unread in Recv comes again with a Read event.
func (c *Conn) Resume() { c.check("Resume"); c.startReading(paused) }

// Hold is Pause for protocol layers: the two do not undo each other.
func (c *Conn) Hold() { c.check("Hold"); c.stopReading(held) }

// Unhold ends Hold. It does not deliver again what is unread: see Redeliver.
func (c *Conn) Unhold() {
	c.check("Unhold")
	if c.flags&held != 0 {
		c.flags &^= held
		c.touch()
	}
}

// Paused reports whether Pause is in force.
func (c *Conn) Paused() bool { return c.flags&paused != 0 }

// Held reports whether Hold is in force.
func (c *Conn) Held() bool { return c.flags&held != 0 }

func (c *Conn) stopReading(why flags) {
	if c.flags&why == 0 {
		c.flags |= why
		c.touch()
	}
}

func (c *Conn) startReading(why flags) {
	if c.flags&why != 0 {
		c.flags &^= why
		c.Redeliver()
	}
}

// Redeliver asks for a Read event, with N 0, for what is unread in Recv: at the end of this turn, or in the next.
func (c *Conn) Redeliver() {
	c.check("Redeliver")
	c.flags |= redeliver
	c.touch()
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
