package conn

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A datagram socket is a Conn without a stream. Each datagram that comes is a *Datagram; a datagram
// that is sent goes out whole, or is counted as dropped. No error of one datagram ends the socket:
// *Undelivered tells of it.
//
// The flag noStream is set, and with it shutWrite and wroteAll: so the paths of a stream end where
// they check that the connection takes Writes, and go on in unqueued.

var (
	// ErrNoPeer is returned by Write and its like on a datagram socket that is not connected.
	ErrNoPeer = errors.New("conn: the datagram socket has no peer: use SendTo or Reply")
	// ErrNoDatagrams is returned by SendTo and its like on what is no datagram socket.
	ErrNoDatagrams = errors.New("conn: not a datagram socket")
)

// Via says how a datagram leaves. The zero value leaves it to the kernel.
type Via struct {
	From      netip.Addr // the source, an address of this machine: Datagram.To, for a reply
	Interface int        // the index of the interface
}

// A DatagramTransport moves datagrams between a loop and its sockets. Its methods never block: they
// return EAGAIN instead, and may return EINTR. One belongs to one loop.
type DatagramTransport interface {
	// Receive fills list with up to len(list) datagrams, each cut off after size bytes, and returns
	// how many. Their Data is valid until the next Receive. more says that there may be others.
	Receive(fd, size int, list []Datagram) (n int, more bool, err error)
	// Send sends list in order, on a socket of that family (AF_INET, …), and returns how many of it
	// were sent. An error is that of the first one, and then n is 0.
	Send(fd, family int, list []Outgoing) (n int, err error)
	// ReceiveError takes one error out of the error queue of the socket, or returns EAGAIN.
	ReceiveError(fd int, ev *Undelivered) error
	Close(fd int) error
}

// Outgoing is one datagram on its way to a DatagramTransport.
type Outgoing struct {
	Data []byte
	Path []byte // of the unix socket that it goes to
	To   Peer   // the zero Peer: where the socket is connected to
	From Peer   // the source and, as the zone, the interface; the zero Peer leaves both to the kernel
	// Segment has Data sent as several datagrams of that size, of which the last may be shorter.
	// Only with DatagramSetup.Segments. They are sent all or none.
	Segment int
}

// Datagrams returns how many datagrams o is.
func (o *Outgoing) Datagrams() int {
	if o.Segment == 0 {
		return 1
	}
	return (len(o.Data) + o.Segment - 1) / o.Segment
}

// DatagramSetup is what a loop tells NewDatagram of a socket.
type DatagramSetup struct {
	Family    int  // AF_INET, …
	Size      int  // the longest datagram that is taken whole; 0 is DefaultDatagramSize
	Connected bool // it has a peer
	Errors    bool // it has an error queue (IP_RECVERR)
	Segments  bool // runs of datagrams may be given to the kernel as one (Outgoing.Segment)
	Remove    Addr // whose file is removed at the end, if it is a unix socket
	// TellConnect has Connect fired at the end of the turn.
	TellConnect bool
}

// DefaultDatagramSize takes each UDP datagram whole.
const DefaultDatagramSize = 64 << 10

const (
	datagramsTurn = 64 // datagrams that one socket receives in one turn
	sendBatch     = 32 // Outgoings of one Send
	segmentsMost  = 64 // datagrams of one Outgoing, as udp(7) has it, and
	segmentsBytes = 65_000
	failuresTurn  = 64 // errors that one socket is told of in one turn
	failuresRow   = 16 // receives that may fail in a row, for no known reason
	outgoingSize  = int(unsafe.Sizeof(outgoing{}))
	hintMax       = 1 << 16 // of grams.hint
)

// grams is what a datagram socket has beside its Conn.
type grams struct {
	DatagramSetup
	tr     DatagramTransport
	paths  *gramPaths
	missed uint32 // what the kernel has counted last
	failed int    // receives in a row

	rest []Datagram // of a batch, what a handler has not seen yet
	kept []Datagram // received, and not delivered before the gate was shut

	list    []outgoing // the queue
	first   int        // list[:first] has gone
	own     []byte     // the path and the bytes of each
	off     int        // own[:off] has gone
	queued  int        // bytes, with a share for what a datagram costs here
	counted int        // bytes of Shared.Held
	hint    int        // bytes that were in own at a time, lately
}

// gramPaths are what the paths of a stream call for a datagram socket. They are values, so that a
// program without datagram sockets is linked without the code.
type gramPaths struct {
	ready       func(c *Conn, got Interest)
	receive     func(*Conn)
	rescue      func(*Conn)
	deliverKept func(*Conn)
	write       func(*Conn, []byte) (int, error)
	flush       func(*Conn)
	stalled     func(*Conn)
	drop        func(*Conn)
}

var ofGrams = gramPaths{
	ready:       (*Conn).readyDatagrams,
	receive:     (*Conn).receive,
	rescue:      (*Conn).rescue,
	deliverKept: (*Conn).deliverKept,
	write:       (*Conn).writeDatagram,
	flush:       (*Conn).flushDatagrams,
	stalled:     (*Conn).stalledDatagrams,
	drop:        (*Conn).dropDatagrams,
}

// outgoing is one datagram of the queue.
type outgoing struct {
	to, from Peer
	n        int32 // bytes in own, with the path
	path     uint8
	tried    bool // the kernel has refused it once
	alone    bool // it goes without others in one Outgoing, which the kernel has refused
}

// NewDatagram makes a connection of the datagram socket fd, which must be non-blocking. It is for
// the loop, as New is. Driver.Ready tells it that the descriptor is ready.
func NewDatagram(sh *Shared, fd int, id uint64, tr DatagramTransport, s DatagramSetup, limits *Limits, h Handler) *Conn {
	c := New(sh, fd, id, ofDatagrams{tr: tr}, limits, h)
	c.flags |= noStream | shutWrite | wroteAll
	if s.Size <= 0 {
		s.Size = DefaultDatagramSize
	}
	c.rarely().grams = &grams{DatagramSetup: s, tr: tr, paths: &ofGrams}
	return c
}

// ofDatagrams is the Transport of a Conn whose bytes go through a DatagramTransport.
type ofDatagrams struct {
	notOurs
	tr DatagramTransport
}

func (t ofDatagrams) Close(fd int) error { return t.tr.Close(fd) }

// IsDatagram reports whether c is a datagram socket.
func (c *Conn) IsDatagram() bool { return c.flags&noStream != 0 && c.rare.grams != nil }

// Serves reports whether c is a datagram socket without a peer, as one of a server: it lives on
// when a handler panics, as a listener does.
func (d *Driver) Serves() bool { return (*Conn)(d).IsDatagram() && !d.rare.grams.Connected }

// Describe replaces the DatagramSetup, for a socket that has got its descriptor by SetFD.
func (d *Driver) Describe(s DatagramSetup) {
	if s.Size <= 0 {
		s.Size = DefaultDatagramSize
	}
	d.rare.grams.DatagramSetup = s
}

// SendTo queues a copy of p as one datagram to the peer, to be sent at the end of the turn; p may
// be empty. With the zero Peer it goes where the socket is connected to. It never blocks. It
// returns ErrClosed, ErrNoPeer, ErrNoDatagrams, or, when Limits.Send bytes are queued already,
// ErrSendLimit: then the datagram is dropped, and counted, whatever Limits.OnFull says. An
// *Undelivered tells of a datagram that the kernel refuses later. At most one via may be given.
func (c *Conn) SendTo(p []byte, to Peer, via ...Via) error {
	var from Peer
	if len(via) > 0 {
		from = via[0].peer()
	}
	return c.sendDatagram(p, "", to, from)
}

// SendToPath is SendTo for a unix datagram socket: path is that of the receiver, or @name.
func (c *Conn) SendToPath(p []byte, path string) error {
	if path == "" || len(path) >= sunPath || strings.IndexByte(path, 0) >= 0 {
		return errors.New("conn: send: not a path of a unix socket")
	}
	return c.sendDatagram(p, path, Peer{}, Peer{})
}

// Reply sends p to where ev came from, and from the address that ev was sent to. It is SendTo with
// what ev knows, and valid until the handler returns; a later reply takes copies of From and To. On
// a connected socket, where the two cannot differ, it is Write.
func (ev *Datagram) Reply(p []byte) error {
	switch {
	case ev.c == nil:
		return ErrNoDatagrams
	case ev.c.rare.grams.Connected:
		_, err := ev.c.writeDatagram(p)
		return err
	case len(ev.Path) > 0:
		return ev.c.sendDatagram(p, unsafe.String(unsafe.SliceData(ev.Path), len(ev.Path)), Peer{}, Peer{})
	case ev.From.kind == peerNone:
		return ErrNoPeer // a unix socket without a path, which nobody can send to
	}
	return ev.c.sendDatagram(p, "", ev.From, ev.local)
}

func (v Via) peer() Peer {
	var p Peer
	if v.From.IsValid() {
		p = Peer{ip: v.From.As16(), kind: peerIP}
	}
	p.zone = uint32(v.Interface)
	return p
}

// unqueued is what a Write does that has no room in a queue of bytes: err says why.
//
//go:noinline
func (c *Conn) unqueued(p []byte, err error) (int, error) {
	if c.flags&noStream != 0 && c.rare.grams != nil {
		return c.rare.grams.paths.write(c, p)
	}
	return 0, err
}

// unqueuedShared is unqueued for writeShared. It is not inlined, so that a broadcast pays nothing
// for it.
//
//go:noinline
func (c *Conn) unqueuedShared(p []byte, err error) error {
	_, err = c.unqueued(p, err)
	return err
}

func (c *Conn) writeDatagram(p []byte) (int, error) {
	g := c.rare.grams
	if !g.Connected && (g.Family == unix.AF_INET || g.Family == unix.AF_INET6 || g.Family == unix.AF_UNIX) {
		return 0, ErrNoPeer
	}
	if err := c.sendDatagram(p, "", Peer{}, Peer{}); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (c *Conn) sendDatagram(p []byte, path string, to, from Peer) error {
	c.check("SendTo")
	if !c.IsDatagram() {
		return ErrNoDatagrams
	}
	g := c.rare.grams
	switch {
	case c.state != open:
		return ErrClosed
	case to.kind == peerNone && path == "" && !g.Connected && (g.Family == unix.AF_INET || g.Family == unix.AF_INET6):
		return ErrNoPeer
	case g.queued >= c.limits.Send:
		c.sh.Stats.DatagramsDropped++
		return ErrSendLimit
	}
	if from.zone != 0 && from.kind == peerNone && to.kind == peerIP && mapped(&to.ip) {
		// An IPv6 socket refuses to send to an IPv4 address from what is none (EINVAL).
		from.ip[10], from.ip[11] = 0xff, 0xff
	}
	c.begun()
	n := len(path) + len(p)
	if cap(g.own)-len(g.own) < n {
		c.growDatagrams(n)
	}
	g.own = append(append(g.own, path...), p...)
	if g.first > 0 && len(g.list) == cap(g.list) {
		g.list = slices.Delete(g.list, 0, g.first)
		g.first = 0
	}
	g.list = append(g.list, outgoing{to: to, from: from, n: int32(n), path: uint8(len(path))})
	g.queued += n + outgoingSize
	c.flags |= holding
	if g.queued >= c.limits.HighWater {
		c.flags |= aboveHigh | congested
	}
	c.touch()
	return nil
}

// growDatagrams makes room for n more bytes in own, dropping what has gone.
func (c *Conn) growDatagrams(n int) {
	g := c.rare.grams
	live := g.own[g.off:]
	if g.off > 0 && len(live)+n <= cap(g.own) && g.off >= len(live) {
		g.own = g.own[:copy(g.own, live)]
	} else {
		bigger := append(c.sh.getBuf(max(len(live)+n, 2*len(live), g.hint)), live...)
		if g.own != nil {
			c.sh.putBuf(g.own)
		}
		g.own = bigger
	}
	g.off = 0
	if cap(g.own) > countLater {
		c.countDatagrams()
	}
}

// countDatagrams has Shared.Held include what the socket holds now.
func (c *Conn) countDatagrams() {
	g := c.rare.grams
	n := 0
	if len(g.list) > g.first {
		n = cap(g.own) + cap(g.list)*outgoingSize
	}
	for i := range g.kept {
		n += len(g.kept[i].Data)
	}
	c.sh.held += n - g.counted
	g.counted = n
}

// flushDatagrams is flush for a datagram socket.
func (c *Conn) flushDatagrams() {
	g := c.rare.grams
	if g.TellConnect {
		g.TellConnect = false
		c.fire(&Connect{})
	}
	sent, dropped := 0, 0
	for g.first < len(g.list) && c.flags&blocked == 0 && c.state <= draining && sent < flushMax && dropped < failuresTurn {
		n, bytes, err := c.sendSomeDatagrams()
		sent += bytes
		switch {
		case n > 0 || err == unix.EINTR:
		case err == nil, err == unix.EAGAIN && g.waits():
			c.flags |= blocked
		case err == unix.EBADF:
			c.broken(err)
		case !g.list[g.first].tried:
			// Perhaps the error is one of an earlier datagram, of which the network has told
			// (ICMP): the kernel returns it once, instead of sending this one.
			g.list[g.first].tried = true
			c.tellErrors(nil)
		default:
			dropped++
			c.refused(err)
		}
	}
	if g.first < len(g.list) {
		c.flags |= blocked // until the poller says writable, which may be at once
	} else if c.flags&holding != 0 {
		g.hint = min(len(g.own), hintMax)
		c.forgetDatagrams()
	}
	c.countDatagrams()
	if c.state < closing && (sent > 0 || c.flags&(congested|aboveHigh) != 0) {
		c.afterWrite(sent)
	}
}

// waits reports whether the poller tells when a socket for which Send returned EAGAIN takes more. A
// unix socket that is not connected is writable while its receivers are full.
func (g *grams) waits() bool {
	return g.Family == unix.AF_INET || g.Family == unix.AF_INET6 || g.Connected
}

// sendSomeDatagrams makes one call of Send, and returns how many were sent and how many bytes.
func (c *Conn) sendSomeDatagrams() (n, bytes int, err error) {
	g := c.rare.grams
	if c.sh.outgoing == nil {
		c.sh.outgoing = make([]Outgoing, sendBatch)
	}
	batch, at, off := c.sh.outgoing[:0], g.first, g.off
	for len(batch) < sendBatch && at < len(g.list) {
		o := &g.list[at]
		end := off + int(o.n)
		out := Outgoing{Data: g.own[off+int(o.path) : end], Path: g.own[off : off+int(o.path)], To: o.to, From: o.from}
		at++
		if g.Segments {
			if k, bytes := g.run(at - 1); k > 1 {
				at += k - 1
				end = off + bytes
				out.Data, out.Segment = g.own[off:end], int(o.n)
			}
		}
		off = end
		batch = append(batch, out)
	}
	n, err = g.tr.Send(int(c.fd), g.Family, batch)
	n = max(n, 0)
	sent := 0
	for i := range batch[:n] {
		bytes += len(batch[i].Data)
		sent += batch[i].Datagrams()
		if c.flags&tracing != 0 {
			c.dumpSent(&batch[i])
		}
	}
	if n == 0 && batch[0].Segment > 0 && err != nil && err != unix.EAGAIN && err != unix.EINTR && err != unix.EBADF {
		// Perhaps only as one, as where a link takes less; or an earlier datagram is what the error
		// tells of.
		for i := range batch[0].Datagrams() {
			g.list[g.first+i].alone = true
		}
		g.Segments = g.Segments && err != unix.EIO && err != unix.EOPNOTSUPP && err != unix.ENOPROTOOPT
		err = unix.EINTR
	}
	clear(batch)
	for range sent {
		g.advance()
	}
	c.took(bytes)
	c.sh.Stats.DatagramsOut += uint64(sent)
	return sent, bytes, err
}

// run returns how many datagrams of the queue, from the one at index at on, can be given to the
// kernel as one, and how many bytes these are: those that go the same way and have the same size;
// the last may be shorter.
func (g *grams) run(at int) (n, bytes int) {
	first := &g.list[at]
	if first.path > 0 || first.alone {
		return 1, 0
	}
	for _, o := range g.list[at:min(len(g.list), at+segmentsMost)] {
		if o.n == 0 || o.n > first.n || o.alone || o.to != first.to || o.from != first.from || bytes+int(o.n) > segmentsBytes {
			break
		}
		n++
		if bytes += int(o.n); o.n < first.n {
			break
		}
	}
	return n, bytes
}

// dumpSent traces the datagrams of o.
func (c *Conn) dumpSent(o *Outgoing) {
	p := o.Data
	for o.Segment > 0 && len(p) > o.Segment {
		c.dump("send", p[:o.Segment])
		p = p[o.Segment:]
	}
	c.dump("send", p)
}

// advance takes the first datagram out of the queue.
func (g *grams) advance() {
	o := &g.list[g.first]
	g.off += int(o.n)
	g.queued -= int(o.n) + outgoingSize
	g.first++
}

// refused drops the first datagram of the queue, which the kernel does not send because of err.
func (c *Conn) refused(err error) {
	g := c.rare.grams
	ev := &c.sh.evUndelivered
	*ev = Undelivered{To: g.list[g.first].to, Err: err, Dropped: 1}
	if ev.To.kind == peerNone {
		ev.To = c.remote
	}
	g.advance()
	c.sh.Stats.DatagramsDropped++
	c.fire(ev)
}

// stalledDatagrams drops the queue: the kernel has taken none for the write timeout.
func (c *Conn) stalledDatagrams() {
	g := c.rare.grams
	n := len(g.list) - g.first
	c.forgetDatagrams()
	c.countDatagrams()
	c.sh.Stats.DatagramsDropped += uint64(n)
	c.touch()
	ev := &c.sh.evUndelivered
	*ev = Undelivered{To: c.remote, Err: errStalled, Dropped: n}
	c.fire(ev)
}

// forgetDatagrams empties the queue.
func (c *Conn) forgetDatagrams() {
	g := c.rare.grams
	if g.own != nil {
		c.sh.putBuf(g.own)
	}
	if cap(g.list) > 4*datagramsTurn {
		g.list = nil
	}
	g.list, g.own, g.first, g.off, g.queued = g.list[:0], nil, 0, 0, 0
	c.flags &^= holding | blocked
}

// dropDatagrams is what release does for a datagram socket: what is queued is dropped, and counted.
func (c *Conn) dropDatagrams() {
	g := c.rare.grams
	c.sh.Stats.DatagramsDropped += uint64(len(g.list) - g.first)
	c.forgetDatagrams()
	g.kept = nil
	c.countDatagrams()
}

// mapped reports whether ip is an IPv4 address.
func mapped(ip *[16]byte) bool {
	return [12]byte(ip[:12]) == [12]byte{10: 0xff, 11: 0xff}
}

// Close closes the descriptor.
func (d *Datagrams) Close(fd int) error { return closeFD(fd) }
