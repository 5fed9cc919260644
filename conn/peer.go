package conn

import (
	"net/netip"
	"strconv"

	"golang.org/x/sys/unix"
)

// A Peer is the address of the other end of a connection, in 24 bytes and without a pointer: every
// connection has one. The zero Peer is that of a unix socket or of a descriptor that is no socket.
type Peer struct {
	ip   [16]byte // IPv4 in its IPv4-mapped form
	zone uint32   // interface index of a link-local address
	port uint16
	kind uint8
}

// The kinds of Peer.
const (
	peerNone uint8 = iota // no address
	peerIP
	peerNetlink // zone is the port ID
)

// Addr returns the address without port and zone, at no system call; not valid for a unix socket.
func (p Peer) Addr() netip.Addr {
	if p.kind != peerIP {
		return netip.Addr{}
	}
	return netip.AddrFrom16(p.ip).Unmap()
}

// AddrPort returns the address; not valid for a unix socket. An IPv4 peer of a dual-stack listener
// has an IPv4 address. The zone of a link-local address is the interface's name, which costs a few
// system calls, or its number where the interface is gone.
func (p Peer) AddrPort() netip.AddrPort {
	if p.kind != peerIP {
		return netip.AddrPort{}
	}
	ip := netip.AddrFrom16(p.ip).Unmap()
	if p.zone != 0 && ip.Is6() {
		ip = ip.WithZone(zoneName(p.zone))
	}
	return netip.AddrPortFrom(ip, p.port)
}

// Owner returns the address that a peer with address ip counts for where one address may have a
// part of something: connections, handshakes, requests. For IPv4, mapped or not, the result is ip
// itself; for IPv6 it is the /64, which one subscriber commonly has all of. A link-local address
// counts for itself: all machines of the link have its prefix in common. The result is not valid,
// so that nothing is counted, if ip is not, or if it is in one of the networks in trusted, such as
// those of proxies.
func Owner(ip netip.Addr, trusted []netip.Prefix) netip.Addr {
	ip = ip.Unmap()
	bare := ip.WithZone("")
	for _, p := range trusted {
		if p.Contains(bare) {
			return netip.Addr{}
		}
	}
	if ip.Is6() && !ip.IsLinkLocalUnicast() {
		p, _ := bare.Prefix(64) // no error: 64 is a length that IPv6 has
		return p.Addr()
	}
	return ip
}

// NetlinkPort returns the port ID of the sender of a netlink message: 0 is the kernel. Anybody may
// send to some netlink sockets, so a program looks at it.
func (p Peer) NetlinkPort() (id uint32, ok bool) { return p.zone, p.kind == peerNetlink }

// String returns the address and the port, as netip.AddrPort does, "netlink" and the port ID, and
// "local" for a peer without an address: that of a unix socket, or of a descriptor that is no
// socket.
func (p Peer) String() string {
	switch p.kind {
	case peerNone:
		return "local"
	case peerNetlink:
		return "netlink " + strconv.FormatUint(uint64(p.zone), 10)
	}
	return p.AddrPort().String()
}

// MarshalText returns String, for logs and JSON.
func (p Peer) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// peerOf takes the address out of sa; nil and unix addresses have none.
func peerOf(sa unix.Sockaddr) Peer {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return peer4(sa.Addr, uint16(sa.Port))
	case *unix.SockaddrInet6:
		return peer6(sa.Addr, sa.ZoneId, uint16(sa.Port))
	}
	return Peer{}
}

func peer4(ip [4]byte, port uint16) Peer {
	return Peer{ip: netip.AddrFrom4(ip).As16(), port: port, kind: peerIP}
}

func peer6(ip [16]byte, zone uint32, port uint16) Peer {
	return Peer{ip: ip, zone: zone, port: port, kind: peerIP}
}

// PeerOf returns ap as a Peer; the zero Peer when ap is not valid.
func PeerOf(ap netip.AddrPort) Peer {
	sa, err := sockaddr(ap)
	if !ap.IsValid() || err != nil {
		return Peer{}
	}
	return peerOf(sa)
}

// RemotePeer returns the address that fd is connected to (getpeername); the zero Peer when there is
// none.
func RemotePeer(fd int) Peer { return nameOf(fd, true) }

// LocalAddr asks the kernel which address the socket fd is bound to (getsockname); not valid for
// unix sockets and for descriptors that are no sockets. Safe for concurrent use.
func LocalAddr(fd int) netip.AddrPort { return nameOf(fd, false).AddrPort() }

// sockaddr makes the kernel's form of ap.
func sockaddr(ap netip.AddrPort) (unix.Sockaddr, error) {
	ip := ap.Addr()
	if ip.Is4() {
		return &unix.SockaddrInet4{Port: int(ap.Port()), Addr: ip.As4()}, nil
	}
	sa := &unix.SockaddrInet6{Port: int(ap.Port()), Addr: ip.As16()}
	if zone := ip.Zone(); zone != "" {
		index, err := zoneIndex(zone)
		if err != nil {
			return nil, err
		}
		sa.ZoneId = index
	}
	return sa, nil
}
