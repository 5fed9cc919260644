package dns

import (
	"cmp"
	"errors"
	"math/bits"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
)

// order puts the addresses of a name in the order in which they should be tried (RFC 6724 §6). The
// race of Manager.Connect keeps it, but lets the families take turns (RFC 8305 §4).
//
// The rules compare each address with the source address that this machine would use for it. A UDP
// socket that is connected tells that without a datagram. Rules 3, 4 and 7 are left out: a socket
// does not tell whether its address is deprecated, a home address, or behind a tunnel. Rule 9 is
// for IPv6 alone: within IPv4 it would undo the order by which servers spread the load.
//
// The ranks are kept for a while, because they take four system calls each.
type order struct {
	source func(to netip.Addr) (netip.Addr, error) // sourceOf, or the test's
	ranks  map[netip.Addr]rank
	until  int64 // when ranks are no longer valid
	list   []ranked
}

// rank is how well an address can be reached: more is better. It has the outcome of each rule in
// bits of its own, the first rule highest. (Two families never differ in the last rule alone, since
// the precedence of IPv4 is that of no IPv6 prefix.)
type rank uint32

type ranked struct {
	addr netip.Addr
	rank rank
}

const (
	ranksFor   = 5 * time.Second
	mostRanks  = 1024
	mostSorted = 64 // of one name; the others come after these, in their own order
	// sharedPrefix bounds rule 9: the second half of an IPv6 address says nothing about where it
	// is.
	sharedPrefix = 64
)

// sort orders addrs, in place, and returns until when that order holds. If the kernel lacks what it
// takes to ask, the order stays as it is, and holds no longer than now.
func (o *order) sort(addrs []netip.Addr, now int64) (until int64) {
	if len(addrs) < 2 {
		return now
	}
	addrs = addrs[:min(len(addrs), mostSorted)]
	if now >= o.until || len(o.ranks) > mostRanks {
		clear(o.ranks)
		o.until = now + int64(ranksFor)
	}
	o.list = o.list[:0]
	for _, a := range addrs {
		r, ok := o.ranks[a]
		if !ok {
			source := o.source
			if source == nil {
				source = sourceOf
			}
			src, err := source(a)
			if err != nil {
				return now
			}
			if o.ranks == nil {
				o.ranks = map[netip.Addr]rank{}
			}
			r = rankOf(a, src)
			o.ranks[a] = r
		}
		o.list = append(o.list, ranked{a, r})
	}
	slices.SortStableFunc(o.list, func(a, b ranked) int { return cmp.Compare(b.rank, a.rank) })
	for i := range o.list {
		addrs[i] = o.list[i].addr
	}
	return o.until
}

// sourceOf returns the address that datagrams to an address leave from, or none if there is no way
// there. An error says that it is not known, because descriptors or memory have run out.
func sourceOf(to netip.Addr) (netip.Addr, error) {
	fd, err := conn.DialUDP(netip.AddrPortFrom(to, 9)) // any port will do
	switch {
	case err == nil:
		defer unix.Close(fd)
		return conn.LocalAddr(fd).Addr(), nil
	case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE), errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.ENOMEM):
		return netip.Addr{}, err
	}
	return netip.Addr{}, nil
}

// rankOf returns the rank of to, which is reached from src.
func rankOf(to, src netip.Addr) (r rank) {
	add := func(width int, value int) { r = r<<width | rank(value) }
	bit := func(b bool) {
		if b {
			add(1, 1)
		} else {
			add(1, 0)
		}
	}
	precedence, label := policyOf(to)
	_, from := policyOf(src)
	bit(src.IsValid())                                // rule 1: avoid unusable destinations
	bit(src.IsValid() && scopeOf(to) == scopeOf(src)) // rule 2: prefer matching scope
	bit(src.IsValid() && label == from)               // rule 5: prefer matching label
	add(6, precedence)                                // rule 6: prefer higher precedence
	add(4, 15-scopeOf(to))                            // rule 8: prefer smaller scope
	add(7, min(commonPrefix(to, src), sharedPrefix))  // rule 9: use longest matching prefix
	return r
}

// scopeOf returns the scope of an address, as the scopes of IPv6 multicast have numbers (RFC 6724
// §3.1, §3.2).
func scopeOf(a netip.Addr) int {
	const link, site, global = 0x2, 0x5, 0xe
	switch a = a.Unmap(); {
	case a.Is6() && a.IsMulticast():
		return int(a.As16()[1] & 15)
	case a.IsLoopback(), a.IsLinkLocalUnicast():
		return link
	case siteLocal.Contains(a):
		return site
	}
	return global
}

var siteLocal = netip.MustParsePrefix("fec0::/10")

// policies is the default policy table (RFC 6724 §2.1), longest prefix first.
var policies = []struct {
	prefix            netip.Prefix
	precedence, label int
}{
	{netip.MustParsePrefix("::1/128"), 50, 0},
	{netip.MustParsePrefix("::ffff:0:0/96"), 35, 4}, // IPv4
	{netip.MustParsePrefix("::/96"), 1, 3},
	{netip.MustParsePrefix("2001::/32"), 5, 5},
	{netip.MustParsePrefix("2002::/16"), 30, 2},
	{netip.MustParsePrefix("3ffe::/16"), 1, 12},
	{siteLocal, 1, 11},
	{netip.MustParsePrefix("fc00::/7"), 3, 13},
	{netip.MustParsePrefix("::/0"), 40, 1},
}

func policyOf(a netip.Addr) (precedence, label int) {
	a = a.WithZone("")
	if a.Is4() {
		a = netip.AddrFrom16(a.As16())
	}
	for _, p := range policies {
		if contains(p.prefix, a) {
			return p.precedence, p.label
		}
	}
	return 0, -1
}

// contains is Prefix.Contains for IPv6, also if a is an IPv4 address written as one.
func contains(p netip.Prefix, a netip.Addr) bool {
	return a.IsValid() && sharedBits(p.Addr().As16(), a.As16()) >= p.Bits()
}

// commonPrefix returns how many bits two IPv6 addresses have in common, and 0 for others.
func commonPrefix(a, b netip.Addr) int {
	if !a.Is6() || !b.Is6() {
		return 0
	}
	return sharedBits(a.As16(), b.As16())
}

func sharedBits(a, b [16]byte) int {
	for i := range a {
		if x := a[i] ^ b[i]; x != 0 {
			return 8*i + bits.LeadingZeros8(x)
		}
	}
	return 128
}
