package conntest

import (
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
)

// A Box is the double of a datagram socket: a conn.DatagramTransport whose network is the test. The
// zero value takes nothing that is sent; NewBox makes one that takes everything. Loop.AddBox makes
// its connection.
type Box struct {
	Sent   []Sent // what has left
	Room   int    // Outgoings that the kernel takes before it answers EAGAIN; negative is any number
	Batch  int    // how many one Receive returns at most; 0 is as many as there are
	Closed int    // how often Close was called

	arrived []conn.Datagram
	errs    []conn.Undelivered
	receive []error // of the next calls
	send    []error
}

// Sent is a datagram that has left.
type Sent struct {
	Data string
	To   netip.AddrPort // not valid if it went where the socket is connected to
	From netip.Addr     // not valid if the kernel chose
	Path string
}

// NewBox returns a Box whose kernel takes any number of datagrams.
func NewBox() *Box { return &Box{Room: -1} }

// Arrive queues a datagram that a later Receive finds.
func (b *Box) Arrive(d conn.Datagram) {
	d.Data = slices.Clone(d.Data)
	b.arrived = append(b.arrived, d)
}

// Tell queues an error of the network for ReceiveError.
func (b *Box) Tell(ev conn.Undelivered) { b.errs = append(b.errs, ev) }

// FailReceive has the next calls of Receive fail, one with each error.
func (b *Box) FailReceive(errs ...error) { b.receive = append(b.receive, errs...) }

// FailSend has the next calls of Send fail, one with each error; nil is a call that succeeds.
func (b *Box) FailSend(errs ...error) { b.send = append(b.send, errs...) }

// Unread returns how many datagrams no Receive has taken.
func (b *Box) Unread() int { return len(b.arrived) }

func (b *Box) readable() bool { return len(b.arrived)+len(b.errs)+len(b.receive) > 0 }

// Receive implements conn.DatagramTransport.
func (b *Box) Receive(_, size int, list []conn.Datagram) (n int, more bool, err error) {
	if len(b.receive) > 0 {
		err, b.receive = b.receive[0], b.receive[1:]
		if err != nil {
			return 0, false, err
		}
	}
	if len(b.arrived) == 0 {
		return 0, false, unix.EAGAIN
	}
	if b.Batch > 0 {
		list = list[:min(len(list), b.Batch)]
	}
	n = copy(list, b.arrived)
	b.arrived = slices.Delete(b.arrived, 0, n)
	for i := range list[:n] {
		if len(list[i].Data) > size {
			list[i].Data, list[i].Truncated = list[i].Data[:size], true
		}
	}
	return n, n == len(list), nil
}

// Send implements conn.DatagramTransport.
func (b *Box) Send(_, _ int, list []conn.Outgoing) (n int, err error) {
	if len(b.send) > 0 {
		err, b.send = b.send[0], b.send[1:]
		if err != nil {
			return 0, err
		}
	}
	for _, o := range list {
		if b.Room == 0 {
			break
		}
		if b.Room > 0 {
			b.Room--
		}
		parts := [][]byte{o.Data}
		if o.Segment > 0 {
			parts = slices.Collect(slices.Chunk(o.Data, o.Segment))
		}
		for _, p := range parts {
			b.Sent = append(b.Sent, Sent{Data: string(p), To: o.To.AddrPort(), From: o.From.Addr(), Path: string(o.Path)})
		}
		n++
	}
	if n == 0 {
		return 0, unix.EAGAIN
	}
	return n, nil
}

// ReceiveError implements conn.DatagramTransport.
func (b *Box) ReceiveError(_ int, ev *conn.Undelivered) error {
	if len(b.errs) == 0 {
		return unix.EAGAIN
	}
	*ev, b.errs = b.errs[0], b.errs[1:]
	return nil
}

// Close implements conn.DatagramTransport.
func (b *Box) Close(int) error { b.Closed++; return nil }

// AddBox makes a connection of a datagram socket over b, and fires Open.
func (l *Loop) AddBox(b *Box, s conn.DatagramSetup, limits conn.Limits, h conn.Handler) *conn.Conn {
	full := limits.WithDefaults()
	c := conn.NewDatagram(l.Shared, l.nextFD(), l.nextID(), b, s, &full, h)
	l.carry(nil, c)
	l.carried[len(l.carried)-1].box = b
	c.Driver().Begin()
	return c
}
