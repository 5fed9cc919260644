package conn

import "golang.org/x/sys/unix"

// SetSpare says whether the connection rests: it waits for a peer that owes it nothing, such as an
// HTTP client between two requests. At its limit of connections the loop closes the spare
// connection that is idle for the longest time, to make room for another. SetProtocol resets it.
func (l *Layer) SetSpare(on bool) {
	if on { // not checked: a layer calls it for each request, and others that are checked with it
		l.flags |= spare
	} else {
		l.flags &^= spare
	}
}

// Spare reports whether nothing is lost if the connection is closed, as far as is known without a
// system call, and since when, on the clock of Shared.Now, no byte has come or gone.
func (d *Driver) Spare() (since int64, ok bool) {
	c := (*Conn)(d)
	ok = c.flags&(spare|paused|held|congested|redeliver|computing|holding) == spare && c.state == open && c.out == nil && c.Recv.Len() == 0 &&
		(c.flags&layered == 0 || !c.holdsInput())
	return c.lastActive, ok
}

// Silent asks the kernel whether nothing of the peer waits to be read.
func (d *Driver) Silent() bool {
	p := []unix.PollFd{{Fd: d.fd, Events: unix.POLLIN}}
	n, err := unix.Poll(p, 0)
	return n == 0 && err == nil
}
