package conn

import (
	"slices"

	"golang.org/x/sys/unix"
)

// readyDatagrams is called when the poller has found the socket ready for got.
func (c *Conn) readyDatagrams(got Interest) {
	if got&Out != 0 {
		if c.want&In == 0 {
			c.tellErrors(nil) // or they would wake the loop again
		}
		c.writable()
	}
	if got&In != 0 {
		c.receive()
	}
}

// receive receives what has come, up to datagramsTurn datagrams: a flood of them must not keep the
// loop from its other connections. The poller is level-triggered, so the rest comes next turn.
func (c *Conn) receive() {
	g := c.rare.grams
	if c.sh.datagrams == nil {
		c.sh.datagrams = make([]Datagram, datagramsTurn)
	}
	for got := 0; got < datagramsTurn; {
		if c.state != open || c.flags&(shut|connecting|redeliver) != 0 {
			return
		}
		list := c.sh.datagrams[:datagramsTurn-got]
		n, more, err := g.tr.Receive(int(c.fd), g.Size, list)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			if err == unix.EAGAIN {
				err = nil
			}
			c.tellErrors(err)
			return
		}
		g.failed = 0
		got += n
		c.lastActive = c.sh.Now
		c.deliverDatagrams(list[:n])
		if !more {
			return
		}
	}
}

// deliverDatagrams fires each of list. If a handler has reading stopped, the rest is kept.
func (c *Conn) deliverDatagrams(list []Datagram) {
	g := c.rare.grams
	for i := range list {
		if c.state != open {
			break
		}
		if c.flags&shut != 0 {
			c.keepDatagrams(list[i:])
			break
		}
		g.rest = list[i+1:]
		c.deliverDatagram(&list[i])
	}
	g.rest = nil
}

// rescue is called after a handler has panicked, since the socket may live on: the rest of its
// batch must not get lost, nor what was kept, if Resumed was the event; and what Settle has not
// come to must be done in the next turn.
func (c *Conn) rescue() {
	g := c.rare.grams
	c.touch()
	rest := g.rest
	if g.rest = nil; c.state != open {
		return
	}
	if len(rest) > 0 {
		c.keepDatagrams(rest)
	}
	if len(g.kept) > 0 {
		c.redeliver()
	}
}

func (c *Conn) deliverDatagram(ev *Datagram) {
	g, s := c.rare.grams, &c.sh.Stats
	s.DatagramsIn++
	s.BytesIn += uint64(len(ev.Data))
	if ev.Truncated {
		s.DatagramsCut++
	}
	if n := ev.overflow - g.missed; ev.overflow != 0 && n != 0 {
		g.missed = ev.overflow
		ev.Missed = int(n)
		s.DatagramsMissed += uint64(n)
	}
	if c.flags&tracing != 0 {
		c.dump("recv", ev.Data)
	}
	ev.c = c
	c.fire(ev)
	ev.c = nil // Reply is over
}

// keepDatagrams keeps copies of list until the gate opens.
func (c *Conn) keepDatagrams(list []Datagram) {
	g := c.rare.grams
	for _, ev := range list {
		ev.Data = slices.Clone(ev.Data)
		ev.Path = slices.Clone(ev.Path)
		g.kept = append(g.kept, ev)
	}
	c.countDatagrams()
	c.touch()
}

// deliverKept delivers what was kept: the gate is open.
func (c *Conn) deliverKept() {
	g := c.rare.grams
	if len(g.kept) == 0 {
		return
	}
	list := g.kept
	g.kept = nil
	c.countDatagrams()
	c.deliverDatagrams(list)
}

// tellErrors fires an Undelivered for each error that the network has told of, and for err, with
// which a receive has failed, if it is not nil and no other event stands for it.
func (c *Conn) tellErrors(err error) {
	g := c.rare.grams
	ev := &c.sh.evUndelivered
	told := false
	for i := 0; g.Errors && i < failuresTurn && c.state < closing; i++ {
		*ev = Undelivered{}
		bad := g.tr.ReceiveError(int(c.fd), ev)
		if bad == unix.EINTR {
			continue
		}
		if bad != nil {
			break
		}
		if ev.Err != nil {
			told = true
			if ev.To.kind == peerNone {
				ev.To = c.remote
			}
			c.fire(ev)
		}
	}
	switch {
	case told || err == nil:
		return
	case err == unix.EBADF:
		c.broken(err)
		return
	case !passing(err):
		if g.failed++; g.failed >= failuresRow {
			c.broken(err)
			return
		}
	}
	if g.failed <= 1 {
		*ev = Undelivered{To: c.remote, Err: err}
		c.fire(ev)
	}
}

// passing reports whether err, of a receive, tells of an earlier datagram of ours, or of a queue
// that has overflowed. The next receive does not return it again.
func passing(err error) bool {
	switch err {
	case unix.ECONNREFUSED, unix.EHOSTUNREACH, unix.ENETUNREACH, unix.EHOSTDOWN, unix.ENETDOWN, unix.ECONNRESET, unix.EPIPE,
		unix.ENOPROTOOPT, unix.EMSGSIZE, unix.EPROTO, unix.EOPNOTSUPP, unix.EACCES, unix.EPERM, unix.ENOBUFS, unix.ETIMEDOUT:
		return true
	}
	return false
}
