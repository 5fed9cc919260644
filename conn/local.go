package conn

import (
	"net/netip"

	"golang.org/x/sys/unix"
)

// IsLocal reports whether a is an address of this machine: of its loopback or of another interface
// that is up. It asks the kernel with a bind(2) that is undone at once, so it is right after each
// change of the network; net.ipv4.ip_nonlocal_bind makes the kernel say yes to every address. It is
// false for unspecified and multicast addresses, for a link-local IPv6 address without its zone,
// and when there is no descriptor left to ask with. Safe for concurrent use.
func IsLocal(a netip.Addr) bool {
	a = a.Unmap()
	if !a.IsValid() || a.IsUnspecified() || a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return false
	}
	sa, err := sockaddr(netip.AddrPortFrom(a, 0))
	if err != nil {
		return false // there is no interface with the name of the zone
	}
	family := unix.AF_INET
	if a.Is6() {
		family = unix.AF_INET6
	}
	fd, err := socket(family, unix.SOCK_STREAM)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	// Of a stream socket: a datagram socket may be bound to a broadcast address, which no client
	// connects to.
	return unix.Bind(fd, sa) == nil
}
