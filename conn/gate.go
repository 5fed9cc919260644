package conn

import "time"

// The gate decides whether a connection reads. Each reason not to read is a bit in Conn.flags, and
// nothing is read and nothing unread is delivered while one of them stands:
//
//	paused     the user's handler called Pause
//	held       the protocol layer called Hold
//	congested  HighWater bytes or more wait to be sent, and have not yet fallen to half of that
//	rationed   memory is scarce, and the connection is among those that hold most of it
//
// The reasons do not undo each other. When the last one goes, the gate opens: what is unread in
// Recv comes again with a Read event, and a Resumed event comes before it if the poller had been
// told not to look for input.
const shut = paused | held | congested | rationed

// Pause stops the reading of input: the kernel's buffer fills and the peer has to wait. While
// paused, the end of the stream and a reset by the peer go unnoticed.
func (c *Conn) Pause() { c.check("Pause"); c.shutGate(paused) }

// Resume ends Pause. If nothing else stops the reading, what is unread in Recv comes again with a
// Read event.
func (c *Conn) Resume() { c.check("Resume"); c.openGate(paused) }

// Paused reports whether Pause is in force.
func (c *Conn) Paused() bool { return c.flags&paused != 0 }

// Hold is Pause for layers: the two do not undo each other.
func (l *Layer) Hold() { (*Conn)(l).check("Hold"); (*Conn)(l).shutGate(held) }

// Unhold ends Hold, as Resume ends Pause.
func (l *Layer) Unhold() { (*Conn)(l).check("Unhold"); (*Conn)(l).openGate(held) }

// Held reports whether Hold is in force.
func (l *Layer) Held() bool { return l.flags&held != 0 }

// Congested reports whether Limits.HighWater bytes or more wait to be sent, or did and have not yet
// fallen to half of that.
func (l *Layer) Congested() bool { return l.flags&congested != 0 }

// Stopped reports whether reading has stopped: because of Pause, of Hold, or of a congested send
// queue. A layer that works through buffered input asks before each unit of it, and leaves the rest
// in Recv: it comes again with a Read event when reading goes on.
func (l *Layer) Stopped() bool { return l.flags&shut != 0 }

// Redeliver asks for a Read event, with N 0, for what is unread in Recv: at the end of this turn,
// or in the next, or, if reading has stopped, when it goes on.
func (l *Layer) Redeliver() { (*Conn)(l).check("Redeliver"); (*Conn)(l).redeliver() }

func (c *Conn) shutGate(why flags) {
	if c.flags&why == 0 {
		c.flags |= why
		c.touch()
	}
}

func (c *Conn) openGate(why flags) {
	if c.flags&why == 0 {
		return
	}
	c.remove(why)
	c.touch()
}

// remove takes a reason away. It is openGate for settle, which touches where there is something to
// redeliver.
func (c *Conn) remove(why flags) {
	c.flags &^= why
	if c.flags&(shut|listening) == 0 && (c.flags&stopped != 0 || c.Recv.Len() > 0 || c.rare != nil && c.rare.waits()) {
		c.flags |= redeliver
	}
}

func (c *Conn) redeliver() {
	c.flags |= redeliver
	c.touch()
}

// opened does what waited for the gate to open. Settle calls it if redeliver is set.
func (c *Conn) opened() {
	if c.flags&shut != 0 {
		return
	}
	c.flags &^= redeliver
	if c.state != open {
		return
	}
	if c.flags&stopped != 0 {
		c.flags &^= stopped
		c.sh.evResumed.For = time.Duration(c.sh.Now - c.stoppedAt)
		c.fire(&c.sh.evResumed)
	}
	if c.state != open || c.flags&shut != 0 {
		return
	}
	c.flags &^= redeliver // which Resumed's handler may have asked for again
	n := 0
	if c.rare != nil {
		n, c.rare.given = int(c.rare.given), 0
	}
	if c.Recv.Len() > 0 {
		c.deliver(n, false)
	}
	if c.rare != nil && c.rare.endGiven {
		(*Driver)(c).GivenEnd(nil)
	}
	if c.flags&noStream != 0 && c.rare.grams != nil {
		c.rare.grams.paths.deliverKept(c)
	}
}

// waits reports whether something beside the bytes of Recv waits for the gate to open.
func (r *rare) waits() bool { return r.endGiven || r.grams != nil && len(r.grams.kept) > 0 }
