package conn

import "time"

// A Layer is a Conn as its protocol layer sees it: http, websocket, or a program's own that was put
// on with Conn.SetProtocol. Conn.Layer returns it; it is the same object, and the conversion costs
// nothing. All methods belong to the loop's goroutine.
//
// A layer sees each event before the user's handler does, and fires its own with Emit. It leaves in
// Conn.Recv what it cannot use yet; it holds the reading of input with Hold where it cannot go on.
// Its state lies in the slot of ProtocolState.
type Layer Conn

// Layer returns c as its protocol layer sees it. Programs without a protocol of their own do not
// need it.
func (c *Conn) Layer() *Layer { return (*Layer)(c) }

// Emit gives ev, an event of the layer, to the user's handler alone, unless the connection is
// closing.
func (l *Layer) Emit(ev Event) {
	if l.state < closing && l.handler != nil {
		l.sh.Stats.Events++
		l.handler((*Conn)(l), ev)
	}
}

// Handler returns the user's handler.
func (l *Layer) Handler() Handler { return l.handler }

// HasProtocol reports whether a protocol layer sits on the connection.
func (l *Layer) HasProtocol() bool { return l.proto != nil }

// ProtocolState returns the state given to SetProtocol or SetProtocolState.
func (l *Layer) ProtocolState() any { return l.pstate }

// SetProtocolState replaces the layer's state: a layer holds one only while it needs it.
func (l *Layer) SetProtocolState(state any) { (*Conn)(l).check("SetProtocolState"); l.pstate = state }

// Shared returns what the connections of the loop have in common: its clock, its counters.
func (l *Layer) Shared() *Shared { return l.sh }

// ExpectInput says that the layer waits until there are n bytes in Recv. The buffer then grows to
// that in fewer steps, but never to more than five times what has come: a peer that merely
// announces a large message cannot make us allocate for it.
func (l *Layer) ExpectInput(n int) {
	if n > readSize || l.rare != nil {
		(*Conn)(l).rarely().expect = n
	}
}

// An InputPlacer is the state of a protocol layer that puts much input together in a buffer of its
// own. While ExpectInput waits for more than the loop's buffer takes, and nothing is unread, input
// is read to where InputPlace says: one large read instead of many, and no copy. InputPlace may
// return nil, or less room than the loop's buffer has; then that buffer is used. In the Read event
// Recv is a view of the place. The layer discards all of it before it gives its buffer away.
type InputPlacer interface {
	InputPlace() []byte
}

// InputWaits reports whether input has come that was not read yet: in the kernel, or in a transport
// above it. It costs a system call, and is worth asking only after a Read that was Full. A
// transport that cannot tell counts as one where input waits.
func (l *Layer) InputWaits() bool {
	c := (*Conn)(l)
	c.check("InputWaits")
	if c.flags&layered != 0 && c.rare.layer.Buffered() {
		return true
	}
	t, ok := c.below().(interface{ InputWaits(fd int) bool })
	return !ok || t.InputWaits(int(c.fd))
}

// Connecting reports whether the connection does not stand yet: Connect or Accept is still to come.
func (l *Layer) Connecting() bool { return l.flags&(connecting|securing) != 0 }

// PeerDone reports whether the peer has finished sending.
func (l *Layer) PeerDone() bool { return l.flags&eof != 0 }

// SetDeadline has the Deadline event fired once when d has passed since the turn of the loop began,
// a tenth of a second late at worst with few connections; 0 or less cancels. On a connection that
// is draining its passing is the end, with reason DeadlineOver; after DrainLinger it does nothing.
// There is one slot; programs have Manager.AfterFunc.
func (l *Layer) SetDeadline(d time.Duration) {
	c := (*Conn)(l)
	c.check("SetDeadline")
	switch {
	case c.flags&lingerAfter != 0: // the slot is taken
	case d <= 0:
		c.deadline = 0
	default:
		c.deadline = later(c.sh.Now, d)
		c.sh.NextDeadline = min(c.sh.NextDeadline, c.deadline) // the other timeouts are noted where they begin
	}
}

// DrainLinger is Drain for a peer that may still be sending: when all is sent it ends the stream
// towards the peer and throws input away until the peer closes too, for d at most; the write
// timeout bounds how long the sending takes. Closing with unread input would reset the connection,
// and could destroy the last reply before the peer has read it (RFC 9112 §9.6).
func (l *Layer) DrainLinger(d time.Duration) { (*Conn)(l).drainLinger(d) }

// Fail ends the connection at the end of the turn with an Error event, then Close. err may be nil
// if r says it all. A second call changes nothing.
func (l *Layer) Fail(r Reason, err error) { (*Conn)(l).fail(r, err) }

// SetReason says why a connection that is going to drain or close does so. On one that is closing
// it changes nothing: the Error event may have told the reason.
func (l *Layer) SetReason(r Reason) {
	(*Conn)(l).check("SetReason")
	if l.state < closing {
		l.reason = r
	}
}
