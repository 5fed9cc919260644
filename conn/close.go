package conn

import (
	"fmt"
	"os"
	"syscall"
	"time"
)

// Close ends the connection at the end of the turn. What is queued is dropped; see Drain.
func (c *Conn) Close() {
	c.check("Close")
	c.end(Local)
}

// Drain sends what is queued, then closes. Nothing is read any more and no further Write is taken.
func (c *Conn) Drain() {
	c.check("Drain")
	if c.state == open {
		c.state = draining
		c.touch()
	}
}

// DrainLinger is Drain for a peer that may still be sending: when all is sent it ends the stream towards the peer and
// throws input away until the peer closes too, for d at most; how long the sending takes is up to the write timeout. Closing
// with unread input would reset the connection and could destroy the last reply before the peer has read it
// (RFC 9112 §9.6).
func (c *Conn) DrainLinger(d time.Duration) {
	c.check("DrainLinger")
	if d <= 0 || c.flags&connecting != 0 {
		c.Drain()
		return
	}
	if c.state == open {
		c.state = draining
		c.flags |= lingerAfter
		c.deadline = int64(d) // counted from when all is sent: see flushed
		c.touch()
	}
}

// CloseWrite ends the stream towards the peer when what is queued is sent; reading goes on. Later Writes return ErrClosed.
func (c *Conn) CloseWrite() {
	c.check("CloseWrite")
	if c.state == open && c.flags&shutWrite == 0 {
		c.flags |= shutWrite
		c.touch()
	}
}

// Fail ends the connection at the end of the turn with an Error event, then Close. err may be nil when r says it all. A second
// call changes nothing.
func (c *Conn) Fail(r Reason, err error) {
	c.check("Fail")
	if c.state >= closing {
		return
	}
	if errno, ok := err.(syscall.Errno); ok {
		err = os.NewSyscallError("io", errno)
	}
	if err == nil {
		c.rarely().err = fmt.Errorf("conn: %s", r)
	} else {
		c.rarely().err = fmt.Errorf("conn: %s: %w", r, err)
	}
	// That a shutdown has asked the connection to end is no reason why it failed, and no other hides a fault of the program.
	if c.reason == ShuttingDown || r == Panicked {
		c.reason = r
	}
	c.end(r)
}

// SetReason says why a connection that is going to drain or close does so, for protocol layers. On one that is closing it
// changes nothing: the Error event may have told the reason.
func (c *Conn) SetReason(r Reason) {
	c.check("SetReason")
	if c.state < closing {
		c.reason = r
	}
}

// end moves to closing. A reason other than Local stands once it is given; a peer that finished first is one.
func (c *Conn) end(r Reason) {
	if c.state >= closing {
		return
	}
	c.state = closing
	if c.reason == Local {
		c.reason = r
	}
	if c.reason == Local && c.flags&eof != 0 {
		c.reason = PeerClosed
	}
	c.touch()
}

// Next is what a settled connection wants of the loop.
type Next struct {
	Was, Want Interest // what the poller watches, and what it should watch
	Done      bool     // it is over: call Finish
}

// Settle brings the connection to rest at the end of a turn: unread input is delivered again where that was asked for,
// the queue is flushed, and the phases of closing advance. The loop calls it once for each Touch.
func (c *Conn) Settle() Next {
	c.flags &^= touched
	if c.state == closed { // touched again by its last events, and by now the descriptor may be another's
		return Next{}
	}
	if c.flags&redeliver != 0 && c.flags&(paused|congested) == 0 {
		c.flags &^= redeliver
		if c.state == open && c.Recv.Len() > 0 {
			c.deliver(0)
		}
	}
	if c.state <= draining {
		c.flush()
	}
	if c.out != nil && c.out.empty() && c.out.sent == 0 { // AvailableBuffer was not followed by Write
		c.sh.putQueue(c.out)
		c.out = nil
	}
	if c.state <= draining && c.out == nil && c.flags&connecting == 0 {
		c.flushed()
	}
	if c.flags&redeliver != 0 && c.flags&(paused|congested) == 0 {
		c.touch() // the flush ended the congestion
	}
	if c.state == closing {
		return Next{Was: c.want, Done: true}
	}
	n := Next{Was: c.want, Want: c.interest()}
	c.want = n.Want
	return n
}

// flushed does what waited for the queue to be empty.
func (c *Conn) flushed() {
	if c.flags&wroteAll == 0 && (c.flags&shutWrite != 0 || c.state == draining && c.flags&lingerAfter != 0) {
		c.flags |= wroteAll
		if err := c.tr.CloseWrite(int(c.fd)); err != nil {
			if c.state == draining {
				c.end(c.reason) // the peer is gone already, and all is sent
			} else {
				c.Fail(ErrnoReason(err), err)
			}
			return
		}
	}
	if c.state != draining {
		return
	}
	if c.flags&lingerAfter != 0 && c.flags&eof == 0 {
		c.state = lingering
		c.deadline = later(c.sh.Now, time.Duration(c.deadline))
		c.noteDeadline()
		c.dropInput()
		return
	}
	c.end(c.reason)
}

// interest says what to watch for. Nothing at all takes the descriptor off the poller, or a reset by the peer, which epoll
// reports whether asked or not, would wake the loop again and again for a connection that does not want to read.
func (c *Conn) interest() Interest {
	var i Interest
	switch {
	case c.flags&listening != 0:
		if c.flags&(paused|held) == 0 {
			return In
		}
		return 0
	case c.state == lingering:
		return In
	case c.state == open && c.flags&(eof|paused|held|congested|connecting) == 0:
		i = In
	}
	if c.flags&blocked != 0 {
		i |= Out
	}
	return i
}

// Writable says that the poller found room in the kernel's buffer.
func (c *Conn) Writable() {
	c.flags &^= blocked
	c.touch()
	if c.flags&connecting != 0 {
		c.connected()
	}
}

// Watched says that the poller could not change what it watches: it is i still.
func (c *Conn) Watched(i Interest) { c.want = i }

// Finish fires the last events and gives everything back. The loop calls it when Settle said Done, again when a handler
// panicked in the Error event, and then closes the descriptor with CloseFD.
func (c *Conn) Finish() {
	c.dropInput()
	if q := c.out; q != nil {
		c.out = nil
		q.closeFiles()
		c.sh.putQueue(q)
	}
	if c.flags&polls != 0 {
		c.flags &^= polls
		c.sh.Loop.SetPoll(c, false)
	}
	if c.rare != nil && c.rare.err != nil {
		err := c.rare.err
		c.rare.err = nil // once, even when the handler panics and Finish is called again
		c.sh.evError = Error{Reason: c.reason, Err: err}
		c.always(&c.sh.evError)
		c.sh.evError.Err = nil
	}
	c.state = closed
	if c.flags&listening == 0 {
		c.sh.Stats.Closed[c.reason]++
	}
	c.sh.evClose = Close{Reason: c.reason}
	c.always(&c.sh.evClose)
	c.proto, c.pstate = nil, nil
}

// always fires ev, although the connection is closing.
func (c *Conn) always(ev Event) {
	c.sh.Stats.Events++
	if c.flags&watched != 0 {
		defer c.pass(ev) // a watcher that panics keeps the end from nobody: the layer has files to close
		c.rare.watcher.Watch(c, ev)
		return
	}
	c.pass(ev)
}

// pass gives ev to the protocol layer and to the user's handler.
func (c *Conn) pass(ev Event) {
	if c.proto != nil {
		c.proto(c, ev)
	}
	if c.handler != nil {
		c.handler(c, ev)
	}
}

// CloseFD closes the descriptor, for the loop.
func (c *Conn) CloseFD() {
	c.tr.Close(int(c.fd))
}

func (c *Conn) dropInput() {
	if c.flags&lent == 0 && c.Recv.buf != nil {
		c.sh.putBuf(c.Recv.buf)
	}
	c.flags &^= lent
	c.Recv = Buffer{}
}
