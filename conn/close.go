package conn

import (
	"fmt"
	"os"
	"syscall"
	"time"
)

// Close ends the connection at the end of the turn. The send queue is dropped; see Drain.
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

// drainLinger is Drain for a peer that may still be sending: when all is sent it ends the stream
// towards the peer and throws input away until the peer closes too, for d at most; how long the
// sending takes is up to the write timeout. Closing with unread input would reset the connection
// and could destroy the last reply before the peer has read it (RFC 9112 §9.6).
func (c *Conn) drainLinger(d time.Duration) {
	c.check("DrainLinger")
	if d <= 0 || c.flags&(connecting|noStream) != 0 {
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

// CloseWrite ends the stream towards the peer when what is queued is sent; reading goes on. Later
// Writes return ErrClosed. On a datagram socket, which has no end, it does nothing.
func (c *Conn) CloseWrite() {
	c.check("CloseWrite")
	if c.state == open && c.flags&shutWrite == 0 {
		c.flags |= shutWrite
		c.touch()
	}
}

// fail ends the connection at the end of the turn with an Error event, then Close. err may be nil
// when r says it all. A second call changes nothing.
func (c *Conn) fail(r Reason, err error) {
	c.check("Fail")
	if c.state >= closing {
		return
	}
	c.blame(r, err)
	// A shutdown that asked the connection to end does not explain why it failed; and no other
	// reason may hide a panic.
	if c.reason == ShuttingDown || r == Panicked {
		c.reason = r
	}
	c.end(r)
}

// blame says what the Error event will tell. The first cause stands: see Driver.FailAfter.
func (c *Conn) blame(r Reason, err error) {
	if c.rare != nil && c.rare.err != nil {
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
}

var errLost = fmt.Errorf("somebody else has closed the descriptor: %w", os.NewSyscallError("io", syscall.EBADF))

// broken ends the connection because a system call on its descriptor has failed with err. After
// EBADF the descriptor is not closed: its number may be another file's by then, even one that the
// handler of the Error event opens.
func (c *Conn) broken(err error) {
	if err == syscall.EBADF {
		(*Driver)(c).Lose()
		return
	}
	if c.flags&layered != 0 {
		if _, ok := err.(syscall.Errno); !ok {
			c.layerFailed(err)
			return
		}
	}
	c.fail(ErrnoReason(err), err)
}

// end moves to closing. A reason other than Local stands once it is given; a peer that finished
// first is one.
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

// settle brings the connection to rest at the end of a turn: unread input is delivered again where
// that was asked for, the queue is flushed, and the phases of closing advance. The loop calls it
// once for each Touch.
func (c *Conn) settle() Next {
	c.flags &^= touched
	if c.state == closed { // touched again by its last events, and by now the descriptor may be another's
		return Next{}
	}
	if c.flags&redeliver != 0 {
		c.opened()
	}
	if c.flags&layered != 0 {
		c.settleLayered()
	}
	if c.state <= draining && c.flags&connecting == 0 {
		c.flush()
	}
	if c.out != nil && c.out.empty() && c.out.sent == 0 { // AvailableBuffer was not followed by Write
		c.sh.putQueue(c.out)
		c.out = nil
	}
	if c.out != nil && c.state < closing {
		c.sh.count(c.ownQueue()) // a bundle that stays would be counted for nobody
	}
	if c.state <= draining && c.out == nil {
		c.flushed()
	}
	if c.flags&(redeliver|layered) != 0 && (c.flags&(redeliver|shut) == redeliver || c.holdsInput()) {
		c.touch() // the flush opened the gate, or the transport has more
	}
	if c.state == closing {
		return Next{Was: c.want, Done: true}
	}
	was, want := c.want, In
	if c.state != open || c.flags&unusual != 0 {
		want = c.interest()
	}
	c.want = want
	return Next{Was: was, Want: want}
}

// unusual are the flags without which an open connection is watched for input alone.
const unusual = listening | noStream | shut | eof | connecting | securing | blocked | beside

// flushed does what waited for the queue to be empty.
func (c *Conn) flushed() {
	if c.flags&(connecting|layered|noStream) != 0 && c.notYetFlushed() {
		return
	}
	// A Layered transport that drains has its own end to send, for which there may be no room:
	// close_notify.
	if c.flags&wroteAll == 0 && (c.flags&shutWrite != 0 || c.state == draining && c.flags&(lingerAfter|layered) != 0) {
		c.flags |= wroteAll
		err := c.tr.CloseWrite(int(c.fd))
		if c.flags&layered != 0 {
			c.noteHolding()
		}
		if err == syscall.EAGAIN {
			c.flags &^= wroteAll
			c.flags |= blocked // and once more when the poller says writable
			return
		} else if err != nil {
			_, hard := err.(syscall.Errno)
			if c.state == draining && (!hard || ErrnoReason(err) != IOError || err == syscall.ENOTCONN) {
				c.end(c.reason) // the peer is gone already, and all is sent; or the stream has no such end
			} else {
				c.broken(err)
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

// notYetFlushed reports whether the connection does not stand yet, or its transport has something
// to send. If it drains before it stands, it ends here.
func (c *Conn) notYetFlushed() bool {
	if c.flags&(securing|connecting) == 0 {
		return c.flags&(blocked|holding) != 0 // until the poller says writable
	}
	if c.state == draining && c.flags&(noStream|holding) != noStream|holding {
		c.end(c.reason) // nothing waits for the connection to stand
	}
	return true
}

// interest says what to watch for. Nothing at all takes the descriptor off the poller, or a reset
// by the peer, which epoll reports whether asked or not, would wake the loop again and again for a
// connection that does not want to read.
func (c *Conn) interest() Interest {
	var i Interest
	switch {
	case c.flags&listening != 0:
		if c.flags&shut == 0 {
			return In
		}
		return 0
	case c.IsReadyOnly():
		if c.state == open && c.flags&(paused|held) == 0 {
			return c.rare.ready
		}
		return 0
	case c.state == lingering:
		return In
	case c.flags&(securing|connecting) == securing && c.state <= draining:
		if c.flags&computing == 0 {
			i = In
		}
	case c.state != open:
	case c.flags&shut != 0:
		if c.flags&stopped == 0 {
			c.flags |= stopped
			c.stoppedAt = c.sh.Now
		}
	case c.flags&(eof|connecting) == 0:
		i = In
		if c.flags&beside != 0 && c.rare.aside.pri {
			i |= Pri
		}
	}
	if c.flags&(blocked|submitted) == blocked {
		i |= Out
	}
	return i
}

// writable says that the poller found room in the kernel's buffer.
func (c *Conn) writable() {
	c.flags &^= blocked
	c.touch()
	if c.flags&connecting != 0 {
		c.connected()
	}
}

// ending is how far finish has come.
type ending uint8

const (
	endRelease ending = iota
	endErrorWatcher
	endErrorLayer
	endErrorHandler
	endCloseWatcher
	endCloseLayer
	endCloseHandler
	ended
)

// finish gives the buffers back and fires Error, if there is one to tell, and Close. A panic
// interrupts it. The loop then calls it again, and it goes on after the call that has panicked. So
// the watcher, the layer and the handler see each event exactly once.
func (c *Conn) finish() {
	for c.ending < ended {
		step := c.ending
		c.ending++
		c.finishStep(step)
	}
}

func (c *Conn) finishStep(step ending) {
	switch step {
	case endRelease:
		if c.flags&layered != 0 && c.rare.err != nil && c.reason != Idle {
			c.rare.cut = true
		}
		c.release()
		if c.rare == nil || c.rare.err == nil {
			c.ending = endCloseWatcher
			return
		}
		c.sh.evError = Error{Reason: c.reason, Err: c.rare.err}
		c.sh.Stats.Events++
	case endErrorWatcher, endCloseWatcher:
		if step == endCloseWatcher {
			c.beClosed()
		}
		if c.flags&watched != 0 {
			c.rare.watcher.Watch(c, c.lastEvent(step))
		}
	case endErrorLayer, endCloseLayer:
		if c.proto != nil {
			c.proto(c, c.lastEvent(step))
		}
	case endErrorHandler, endCloseHandler:
		if c.handler != nil {
			c.handler(c, c.lastEvent(step))
		}
	}
	if c.ending == ended {
		c.proto, c.pstate = nil, nil
	}
}

func (c *Conn) lastEvent(step ending) Event {
	if step < endCloseWatcher {
		return &c.sh.evError
	}
	return &c.sh.evClose
}

// beClosed is done right before the Close event.
func (c *Conn) beClosed() {
	c.sh.evError.Err = nil
	if c.rare != nil {
		c.rare.err = nil
	}
	c.state = closed
	if c.flags&listening == 0 {
		c.sh.Stats.Closed[c.reason]++
	}
	c.sh.evClose = Close{Reason: c.reason}
	c.sh.Stats.Events++
}

// release gives back what the connection holds.
func (c *Conn) release() {
	c.dropInput()
	c.dropQueue()
	if c.flags&noStream != 0 && c.rare.grams != nil {
		c.rare.grams.paths.drop(c)
	}
	c.Layer().Charge(0)
	if c.flags&layered != 0 {
		c.countLayer(0) // the transport is closed in this turn
	}
	if c.flags&polls != 0 {
		c.flags &^= polls
		c.sh.Loop.SetPoll(c, false)
	}
}

// always fires ev, which is Open, although the connection may be closing. Even if the watcher or
// the layer panics, the others see it.
func (c *Conn) always(ev Event) {
	c.sh.Stats.Events++
	defer func() {
		if c.handler != nil {
			c.handler(c, ev)
		}
	}()
	defer func() {
		if c.proto != nil {
			c.proto(c, ev)
		}
	}()
	if c.flags&watched != 0 {
		c.rare.watcher.Watch(c, ev)
	}
}

func (c *Conn) dropQueue() {
	if q := c.out; q != nil {
		if c.flags&layered != 0 && !q.empty() {
			c.rare.cut = true
		}
		c.out = nil
		q.closeFiles()
		c.sh.putQueue(q)
	}
}

func (c *Conn) dropInput() {
	if c.flags&lent == 0 && c.Recv.buf != nil {
		c.sh.unhold(c.Recv.buf)
	}
	c.flags &^= lent
	c.Recv = Buffer{}
}
