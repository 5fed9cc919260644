package conn

import (
	"net/netip"

	"golang.org/x/sys/unix"
)

// A Peer is the address of the other end of a connection, in 24 bytes and without a pointer: every connection has one.
// The zero Peer is that of a unix socket or of a descriptor that is no socket.
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
)

// AddrPort returns the address; not valid for a unix socket. An IPv4 peer of a dual-stack listener has an IPv4 address.
// The zone of a link-local address is the interface's name, which costs a few system calls, or its number where the
// interface is gone.
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

// RemotePeer returns the address that fd is connected to (getpeername); the zero Peer when there is none.
func RemotePeer(fd int) Peer {
	sa, err := unix.Getpeername(fd)
	if err != nil {
		return Peer{}
	}
	return peerOf(sa)
}

// LocalAddr asks the kernel which address the socket fd is bound to (getsockname); not valid for unix sockets and for
// descriptors that are no sockets. Safe for concurrent use.
func LocalAddr(fd int) netip.AddrPort {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return netip.AddrPort{}
	}
	return peerOf(sa).AddrPort()
}

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
