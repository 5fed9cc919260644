package dns

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// MulticastOptions are the settings of a Multicast. The zero value works on Linux.
type MulticastOptions struct {
	// Interfaces are those to speak on. By default, and on Linux alone, they are all that are up
	// and can multicast, but not the loopback interface; changes are noticed within 10 s.
	Interfaces []Interface
	// Addr is the one address of this host to announce, for a program that listens on it alone. By
	// default, and with ::, all are announced; with 0.0.0.0 all of IPv4.
	Addr netip.Addr
	// MaxRecords is how many records of others are kept; default 4096. Those that are asked for
	// take the place of others.
	MaxRecords int

	port  uint16 // for tests; default 5353
	hurry int    // for tests: names are claimed so many times faster
}

// An Interface is one that multicast DNS is spoken on.
type Interface struct {
	Index int
	Addrs []netip.Prefix // with the length of the subnet; these are announced
}

// Multicast is multicast DNS on the loop of one manager (RFC 6762): it announces this host and its
// services, answers for them, defends their names, and finds the services of others (DNS-SD, RFC
// 6763). It is a mgr.Resolver for names in .local, and Options.Local makes a Resolver use it. Port
// 5353 is shared with other programs of this machine, such as Avahi.
//
// Its methods belong to the goroutine of the manager. It ends with Close, or when the manager shuts
// down: others are told then that what was announced is gone.
type Multicast struct {
	m      *mgr.Manager
	opts   MulticastOptions
	c      *conn.Conn
	ifaces []Interface
	own    []*claim
	host   *claim
	local  wname // "local"

	cache    map[rkey][]*heard
	heardN   int
	used     map[*heard]bool // by browsers and lookups, in the last review
	full     bool            // all records are used, or asked for, since the last review
	asking   map[rkey]*asking
	browsers []*Browser
	resolves []*localLookup
	timer    *mgr.Timer // when a record needs looking at
	timerAt  int64
	again    bool // review is to be called
	ended    bool
	watch    *mgr.Timer // of the interfaces
	waiting  []*delayed
	said     map[said]int64 // when
	order    order
	stats    MulticastStats
}

// MulticastStats count what a Multicast has done.
type MulticastStats struct {
	Received  uint64 // messages
	Bad       uint64 // of Received, those that are no message or come from off the link
	Sent      uint64 // messages
	Conflicts uint64 // names of ours that somebody else had, or wanted
	Records   int    // records of others that are kept
	Dropped   uint64 // records of others for which there was no room
}

// rkey is what records are found by: the name in lower case, and the kind.
type rkey struct {
	name wname
	kind uint16
}

var (
	group4 = netip.AddrFrom4([4]byte{224, 0, 0, 251})
	group6 = netip.MustParseAddr("ff02::fb")
)

const (
	mdnsPort       = 5353
	longestMessage = 9000 - 40 - 8 // RFC 6762 §17, with the headers of IPv6 and UDP
	watchEvery     = 10 * time.Second
	mostRecords    = 4096
	hostTTL        = 120  // seconds; of records with a host's name or address (RFC 6762 §10)
	otherTTL       = 4500 // seconds; of others
)

// NewMulticast begins to speak multicast DNS. At most one opts may be given.
func NewMulticast(m *mgr.Manager, opts ...MulticastOptions) (*Multicast, error) {
	d := &Multicast{m: m, local: nameOf("local"), cache: map[rkey][]*heard{}, asking: map[rkey]*asking{}, said: map[said]int64{}}
	if len(opts) > 0 {
		d.opts = opts[0]
	}
	if d.opts.port == 0 {
		d.opts.port = mdnsPort
	}
	if d.opts.MaxRecords <= 0 {
		d.opts.MaxRecords = mostRecords
	}
	list := d.opts.Interfaces
	if list == nil {
		var err error
		if list, err = interfaces(); err != nil {
			return nil, fmt.Errorf("dns: multicast: %w", err)
		}
	}
	list = d.opts.announced(list)
	c, err := m.Listen(fmt.Sprintf("udp://:%d", d.opts.port), d.handle, mgr.ListenOptions{Socket: conn.SocketOptions{ReuseAddr: true, DatagramSize: longestMessage}})
	if err == nil {
		d.c = c
		if err = c.Kernel().SetMulticastTTL(255); err == nil { // RFC 6762 §11
			err = c.Kernel().SetTTL(255)
		}
		if err != nil {
			c.Close()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("dns: multicast: %w", err)
	}
	d.use(list)
	if d.opts.Interfaces == nil {
		d.watch = m.Every(watchEvery, d.look)
	}
	return d, nil
}

// announced returns the interfaces of list with the addresses that are to be announced.
func (o *MulticastOptions) announced(list []Interface) (kept []Interface) {
	if !o.Addr.IsValid() || o.Addr == netip.IPv6Unspecified() {
		return list
	}
	for _, i := range list {
		i.Addrs = slices.DeleteFunc(slices.Clone(i.Addrs), func(p netip.Prefix) bool {
			if o.Addr == netip.IPv4Unspecified() {
				return !p.Addr().Is4()
			}
			return p.Addr() != o.Addr.Unmap().WithZone("")
		})
		if len(i.Addrs) > 0 {
			kept = append(kept, i)
		}
	}
	return kept
}

// Stats returns what d has done.
func (d *Multicast) Stats() MulticastStats {
	s := d.stats
	s.Records = d.heardN
	return s
}

// look notices that interfaces have changed.
func (d *Multicast) look() {
	if list, err := interfaces(); err == nil {
		d.changed(d.opts.announced(list))
	}
}

// changed takes the interfaces that there are now.
func (d *Multicast) changed(list []Interface) {
	if slices.EqualFunc(list, d.ifaces, func(a, b Interface) bool { return a.Index == b.Index && slices.Equal(a.Addrs, b.Addrs) }) {
		return
	}
	d.use(list)
	for _, k := range d.own {
		k.probe(0)
	}
	d.drop(func(h *heard) bool { return d.iface(h.on) == nil })
	for _, a := range d.asking { // nobody has heard them on an interface that has come
		a.timer.Stop()
		a.begin(d)
	}
	d.again = true
	d.settle()
}

// use joins the groups on the interfaces of list.
func (d *Multicast) use(list []Interface) {
	for _, i := range d.ifaces {
		if !slices.ContainsFunc(list, func(o Interface) bool { return o.Index == i.Index }) {
			d.c.Kernel().LeaveGroup(group4, i.Index) // it may be gone, and the membership with it
			d.c.Kernel().LeaveGroup(group6, i.Index)
		}
	}
	for _, i := range list {
		// An interface without IPv4 or IPv6 refuses one of them; one that is joined already says
		// so.
		d.c.Kernel().JoinGroup(group4, i.Index)
		d.c.Kernel().JoinGroup(group6, i.Index)
	}
	d.ifaces = slices.Clone(list)
}

// handle is the handler of the socket.
func (d *Multicast) handle(c *conn.Conn, ev conn.Event) {
	switch ev := ev.(type) {
	case *conn.Datagram:
		d.received(ev)
	case *conn.Shutdown:
		d.Close()
	case *conn.Close:
		d.stop()
	}
}

// Close withdraws what was announced, and ends d.
func (d *Multicast) Close() {
	if d.ended {
		return
	}
	for _, k := range d.own {
		k.goodbye()
	}
	d.stop()
	d.c.Drain()
}

func (d *Multicast) stop() {
	d.ended = true
	for _, t := range []*mgr.Timer{d.timer, d.watch} {
		if t != nil {
			t.Stop()
		}
	}
	for _, k := range d.own {
		k.stop()
	}
	for _, a := range d.asking {
		a.timer.Stop()
	}
	for _, w := range d.waiting {
		w.timer.Stop()
	}
	for _, l := range slices.Clone(d.resolves) {
		l.end(&Error{Name: l.name, Err: ErrShutdown})
	}
	d.own, d.asking, d.waiting, d.browsers = nil, nil, nil, nil
}

// iface returns the interface with an index, or nil.
func (d *Multicast) iface(index int) *Interface {
	for i := range d.ifaces {
		if d.ifaces[i].Index == index {
			return &d.ifaces[i]
		}
	}
	return nil
}

// received handles one datagram.
func (d *Multicast) received(ev *conn.Datagram) {
	d.stats.Received++
	on := d.iface(ev.Interface)
	if on == nil || ev.Truncated || !d.near(on, ev) {
		d.stats.Bad++
		return
	}
	p, err := readPacket(ev.Data)
	if err != nil {
		d.stats.Bad++
		return
	}
	from := ev.From
	if p.response {
		// RFC 6762 §6: a response comes from port 5353; anything else may be forged from off the
		// link.
		if from.AddrPort().Port() != d.opts.port {
			d.stats.Bad++
			return
		}
		d.heard(on, p)
	} else {
		d.asked(on, p, from, ev.To)
	}
	d.settle()
}

// near reports whether a datagram comes from the link (RFC 6762 §11): to the group, or from an
// address of one of our subnets.
func (d *Multicast) near(on *Interface, ev *conn.Datagram) bool {
	if ev.To.IsMulticast() {
		return ev.To.Unmap() == group4 || ev.To.WithZone("") == group6
	}
	return on.has(ev.From.Addr())
}

// has reports whether an address is one of the link. Without a look at it before a reply goes there, a
// forged source would have us send to any host of the Internet.
func (on *Interface) has(a netip.Addr) bool {
	return a.IsLinkLocalUnicast() || slices.ContainsFunc(on.Addrs, func(p netip.Prefix) bool { return p.Contains(a) })
}

// multicast sends b on one interface, by IPv4 and IPv6 as far as it has addresses.
func (d *Multicast) multicast(on *Interface, b []byte) {
	var four, six bool
	for _, p := range on.Addrs {
		four = four || p.Addr().Is4()
		six = six || p.Addr().Is6()
	}
	via := conn.Via{Interface: on.Index}
	if four {
		d.send(b, group4, via)
	}
	if six {
		d.send(b, group6, via)
	}
}

func (d *Multicast) send(b []byte, to netip.Addr, via conn.Via) {
	d.stats.Sent++
	d.c.SendTo(b, conn.PeerOf(netip.AddrPortFrom(to, d.opts.port)), via) // what the kernel refuses is asked or said again
}

// everywhere sends messages of a kind on each interface; make puts them together.
func (d *Multicast) everywhere(make func(on *Interface) [][]byte) {
	for i := range d.ifaces {
		for _, b := range make(&d.ifaces[i]) {
			d.multicast(&d.ifaces[i], b)
		}
	}
}

// pack puts answers, and what goes with them if there is room, into as many responses as it takes.
func pack(answers, extra []record) (list [][]byte) {
	w := newWriter(0, flagResponse)
	n := 0
	for _, r := range answers {
		if n > 0 && !w.fits(r) {
			list = append(list, w.b)
			w, n = newWriter(0, flagResponse), 0
		}
		w.record(1, r)
		n++
	}
	for _, r := range extra {
		if w.fits(r) {
			w.record(3, r)
		}
	}
	if n > 0 {
		list = append(list, w.b)
	}
	return list
}

// jitter returns a time between a and b.
func jitter(a, b time.Duration) time.Duration { return a + rand.N(b-a) }

// settle does once what several records of a message make necessary.
func (d *Multicast) settle() {
	if d.again && !d.ended {
		d.again = false
		d.review()
	}
}

var errLabel = errors.New("a name has 1 to 63 bytes")
