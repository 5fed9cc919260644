package conn

import "time"

// A Driver is a Conn as the loop that carries it sees it. Conn.Driver returns it; it is the same
// object, and the conversion costs nothing. Only a loop (Manager, or a double in a test) calls
// these methods, always on the goroutine of that loop, and by this contract:
//
//  1. New or NewListener makes the Conn, Begin fires Open. A dialled connection gets BeginConnecting in between, and one
//     that was accepted gets Accepted after it. Between New and Begin, Layer.SetTransport may put a Layered transport on:
//     then Accept and Connect wait for its handshake. A Conn whose descriptor comes later, because a name is resolved or
//     addresses race, is made with the descriptor -1 and gets BeginWaiting; Attach brings the descriptor, or Stand one
//     that is connected. The loop tells Conns apart by their IDs (NewID), whose lower part is a slot of its table and not
//     a descriptor.
//  2. When the poller reports the descriptor, the loop calls Writable and Readable, Writable first. There are two other
//     kinds of Conns: to those of NewReady and NewDatagram it tells the readiness (Ready); and a loop over completions
//     hands in what it has read (Given, GivenEnd, Received), and tells the end of the writes that it has begun (Submits,
//     Sent).
//  3. Loop.Touch asks for Settle: the loop calls it once for each Touch, after all handlers of the turn. Settle
//     returns what the poller must watch from now on. If the poller refuses, the loop calls Watched with what it
//     still watches.
//  4. When Shared.NextDeadline has come, the loop calls Expire of every connection; the least of the results is
//     the next NextDeadline.
//  5. When Settle says Done, the loop calls Finish until Finished is true: whoever panics in Error or Close
//     interrupts it, and it goes on after that. After that it calls CloseFD, and forgets the Conn.
//
// A handler that panics unwinds any of these calls. The loop then calls Unlend, and Layer.Fail or
// FailAfter with Panicked; the Conn is consistent at every point where it calls a handler.
type Driver Conn

// Driver returns c as its loop sees it. Programs do not need it.
func (c *Conn) Driver() *Driver { return (*Driver)(c) }

// Begin fires Open, even if a protocol layer turns the connection away, and has the connection
// settled in this turn.
func (d *Driver) Begin() { (*Conn)(d).begin() }

// BeginConnecting says that the descriptor comes from Dial. Connect is fired when the connection
// stands, and Error if it does not stand within timeout (0 and less: when the kernel gives up).
// Bytes written until then wait.
func (d *Driver) BeginConnecting(timeout time.Duration) {
	d.flags |= connecting | blocked // the poller reports the outcome as writable
	(*Layer)(d).SetDeadline(timeout)
}

// BeginWaiting is BeginConnecting for a Dial that said again, or a connection without a descriptor.
// Nothing is watched until Redialed or Attach. The timeout runs on.
func (d *Driver) BeginWaiting(timeout time.Duration) {
	d.flags |= connecting
	(*Layer)(d).SetDeadline(timeout)
}

// Attach gives a connection its descriptor, on which an attempt to connect is going on or done, as
// Dial returns it. The connection was made with the descriptor -1, for a name to be resolved or
// addresses to race, and BeginWaiting. It must not be closing.
func (d *Driver) Attach(fd int) {
	d.fd = int32(fd)
	d.Redialed()
}

// Stand is Attach for a descriptor on which the attempt to connect has succeeded, as ConnectOutcome
// says; the poller watches it for i. Connect is fired, now, or when the handshake of the transport
// is over. SetFD comes first.
func (d *Driver) Stand(i Interest) {
	d.want = i
	d.flags &^= connecting
	(*Conn)(d).touch()
	(*Conn)(d).stands()
}

// SetFD gives a connection its descriptor, and its peer; Stand comes next.
func (d *Driver) SetFD(fd int, p Peer) {
	d.fd, d.remote = int32(fd), p
	(*Conn)(d).rarely().overdue = nil
}

// Overdue has the Error event say err if the time of BeginWaiting passes before there is a
// descriptor. Its text is read when that happens.
func (d *Driver) Overdue(err error) { (*Conn)(d).rarely().overdue = err }

// Due reports whether a timeout of the connection has passed: Expire would judge it.
func (d *Driver) Due() bool { return (*Conn)(d).nextDeadline() <= d.sh.Now }

// Redialed says that a Redial went through.
func (d *Driver) Redialed() {
	d.flags |= blocked
	(*Conn)(d).touch()
}

// Accepted says that the connection was accepted from a listener: Accept is fired, now, or when the
// handshake of its transport is over.
func (d *Driver) Accepted() {
	if d.flags&securing != 0 {
		d.rare.acceptDue = true
		return
	}
	(*Conn)(d).fire(&Accept{})
}

// Connected is Accepted for an outbound connection that stands, if it did not begin with
// BeginConnecting.
func (d *Driver) Connected() {
	if d.flags&securing != 0 {
		d.rare.connectDue = true
		return
	}
	(*Conn)(d).fire(&Connect{})
}

// Fire gives ev to the watcher, the protocol layer and the user's handler, in this order, unless
// the connection is closing.
func (d *Driver) Fire(ev Event) { (*Conn)(d).fire(ev) }

// Readable reads once and gives what came to the handlers; more than once only where a layer waits
// for much (Layer.ExpectInput). The loop calls it when the poller says that the descriptor is
// readable.
func (d *Driver) Readable() { (*Conn)(d).readable() }

// Writable says that the poller found room in the kernel's buffer, or that an attempt to connect
// has ended.
func (d *Driver) Writable() { (*Conn)(d).writable() }

// Next is what a settled connection wants of its loop.
type Next struct {
	Was, Want Interest // what the poller watches, and what it should watch
	Done      bool     // it is over: call Finish
}

// NoStream reports whether the loop calls Ready, in place of Writable and Readable: for what
// NewReady and NewDatagram have made.
func (d *Driver) NoStream() bool { return d.flags&noStream != 0 }

// Ready says that the poller found the descriptor of a connection of NewReady or NewDatagram ready
// for got.
func (d *Driver) Ready(got Interest) { (*Conn)(d).ready(got) }

// Lose says that other code has closed the descriptor, and perhaps opened another under its number.
// The connection ends with an Error event, and CloseFD will do nothing. Lose returns what the
// poller watches.
func (d *Driver) Lose() Interest {
	d.flags |= lost // even if the connection is ending for another reason
	(*Conn)(d).fail(IOError, errLost)
	return d.want
}

// FailAfter is Layer.Fail after the peer was sent what is queued, as by Layer.DrainLinger: Error
// and Close come when that is done, or has failed. On a connection that is no longer open it is
// Fail.
func (d *Driver) FailAfter(r Reason, err error, linger time.Duration) {
	c := (*Conn)(d)
	if c.state != open {
		c.fail(r, err)
		return
	}
	c.reason = r
	c.blame(r, err)
	c.drainLinger(linger)
}

// Settle brings the connection to rest at the end of a turn: unread input is delivered again where
// that was asked for, the queue is flushed, and the phases of closing advance.
func (d *Driver) Settle() Next { return (*Conn)(d).settle() }

// Watched says that the poller could not change what it watches: it is i still.
func (d *Driver) Watched(i Interest) { d.want = i }

// Expire does what is due at Shared.Now, and returns when it has to be called again at the latest.
func (d *Driver) Expire() int64 { return (*Conn)(d).expire() }

// Unlend takes the loop's read buffer away from Recv: after a panic nothing else does, and other
// connections are going to be read into it.
func (d *Driver) Unlend() {
	if d.flags&lent != 0 {
		d.flags &^= lent
		d.Recv = Buffer{}
	}
	if d.flags&noStream != 0 && d.rare.grams != nil {
		d.rare.grams.paths.rescue((*Conn)(d))
	}
}

// Err returns what the Error event of a connection that is closing will say, nil if there will be
// none.
func (d *Driver) Err() error {
	if d.rare == nil {
		return nil
	}
	return d.rare.err
}

// Finish fires Error, if there is one to tell, and Close, and gives all buffers back.
func (d *Driver) Finish() { (*Conn)(d).finish() }

// Finished reports whether the watcher, the layer and the handler have seen the Close event.
func (d *Driver) Finished() bool { return d.ending == ended }

// CloseFD closes the descriptor, unless there never was one, or it was found to be closed by
// somebody else. After an error it is gone all the same.
func (d *Driver) CloseFD() error {
	fd := int(d.fd)
	if d.flags&noStream != 0 && d.rare.grams != nil && fd >= 0 {
		defer RemoveUnix(d.rare.grams.Remove) // after the close: a file that another process has taken over stays
	}
	if d.flags&lost != 0 || fd < 0 {
		if d.flags&layered == 0 {
			return nil
		}
		fd = -1 // there may be a handshake to end
	}
	return d.tr.Close(fd)
}

// SetRemote records the peer's address.
func (d *Driver) SetRemote(p Peer) { d.remote = p }

// Polls reports whether SetPoll(true) is in force.
func (d *Driver) Polls() bool { return d.flags&polls != 0 }
