package conn

import (
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// JoinGroup has a UDP socket receive what is sent to a multicast group by one interface, given by
// its index; with 0 the kernel chooses one. It takes groups of both families on a socket of both.
// To hear all interfaces a program joins on each.
func (k *Kernel) JoinGroup(group netip.Addr, ifIndex int) error {
	c := (*Conn)(k)
	return c.setGroup("join", group, ifIndex, unix.IP_ADD_MEMBERSHIP, unix.IPV6_JOIN_GROUP)
}

// LeaveGroup ends JoinGroup; the end of the socket does too.
func (k *Kernel) LeaveGroup(group netip.Addr, ifIndex int) error {
	c := (*Conn)(k)
	return c.setGroup("leave", group, ifIndex, unix.IP_DROP_MEMBERSHIP, unix.IPV6_LEAVE_GROUP)
}

func (c *Conn) setGroup(what string, group netip.Addr, ifIndex, opt4, opt6 int) error {
	return c.setUDP("JoinGroup", func(fd, _ int) error {
		group = group.Unmap()
		if !group.IsMulticast() {
			return fmt.Errorf("%s group: %v is not a multicast address", what, group)
		}
		var err error
		if group.Is4() {
			err = setGroup4(fd, opt4, group.As4(), ifIndex)
		} else {
			err = unix.SetsockoptIPv6Mreq(fd, unix.IPPROTO_IPV6, opt6,
				&unix.IPv6Mreq{Multiaddr: group.As16(), Interface: uint32(ifIndex)})
		}
		if err != nil {
			return fmt.Errorf("%s group %v: %w", what, group, os.NewSyscallError("setsockopt", err))
		}
		return nil
	})
}

// SetMulticastInterface says by which interface, given by its index, datagrams to multicast groups
// leave; 0 leaves it to the kernel. A Via says it for one datagram.
func (k *Kernel) SetMulticastInterface(ifIndex int) error {
	c := (*Conn)(k)
	return c.setUDP("SetMulticastInterface", func(fd, family int) error {
		err4 := setInterface4(fd, ifIndex)
		if family != unix.AF_INET6 {
			return err4
		}
		return sockopt{"IPV6_MULTICAST_IF", unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_IF}.set(fd, ifIndex)
	})
}

// SetMulticastTTL says how many hops datagrams to multicast groups may go, 0 to 255: 0 stay on this
// machine, and 1, the default, on the link.
func (k *Kernel) SetMulticastTTL(hops int) error {
	c := (*Conn)(k)
	return c.setHops("SetMulticastTTL", hops, byteOption{"IP_MULTICAST_TTL", unix.IP_MULTICAST_TTL},
		sockopt{"IPV6_MULTICAST_HOPS", unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS})
}

// SetMulticastLoop says whether sockets of this machine that have joined a group get what c sends
// to it, c among them. The default is yes.
func (k *Kernel) SetMulticastLoop(on bool) error {
	c := (*Conn)(k)
	return c.setHops("SetMulticastLoop", oneIf(on), byteOption{"IP_MULTICAST_LOOP", unix.IP_MULTICAST_LOOP},
		sockopt{"IPV6_MULTICAST_LOOP", unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_LOOP})
}

// SetTTL says how many hops datagrams may go to one machine, 1 to 255 (IP_TTL, IPV6_UNICAST_HOPS).
func (k *Kernel) SetTTL(hops int) error {
	c := (*Conn)(k)
	return c.setUDP("SetTTL", func(fd, family int) error {
		if hops < 1 || hops > 255 {
			return fmt.Errorf("set IP_TTL: %d is out of range", hops)
		}
		err4 := sockopt{"IP_TTL", unix.IPPROTO_IP, unix.IP_TTL}.set(fd, hops)
		if family != unix.AF_INET6 {
			return err4
		}
		return sockopt{"IPV6_UNICAST_HOPS", unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS}.set(fd, hops)
	})
}

// byteOption is an option of IPv4 whose value is a byte on the BSDs; Linux takes that too.
type byteOption struct {
	name string
	opt  int
}

func (c *Conn) setHops(op string, value int, v4 byteOption, v6 sockopt) error {
	return c.setUDP(op, func(fd, family int) error {
		if value < 0 || value > 255 {
			return fmt.Errorf("set %s: %d is out of range", v4.name, value)
		}
		// On an IPv6 socket this one is for the IPv4 datagrams, which the BSDs have none of there.
		err := unix.SetsockoptByte(fd, unix.IPPROTO_IP, v4.opt, byte(value))
		if family == unix.AF_INET6 {
			return v6.set(fd, value)
		}
		if err != nil {
			return fmt.Errorf("set %s: %w", v4.name, os.NewSyscallError("setsockopt", err))
		}
		return nil
	})
}

// setUDP is setOption for a UDP socket: set is told its family.
func (c *Conn) setUDP(op string, set func(fd, family int) error) error {
	c.check(op)
	if !c.IsDatagram() {
		return ErrNoDatagrams
	}
	return c.setOption(op, func(fd int) error { return set(fd, c.rare.grams.Family) })
}
