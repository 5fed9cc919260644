package handoff

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// sockname is the address that a socket is bound to.
type sockname struct {
	at   netip.AddrPort
	path string // of a unix socket
}

func nameOf(fd int) sockname {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return sockname{}
	}
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return sockname{at: netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))}
	case *unix.SockaddrInet6:
		return sockname{at: netip.AddrPortFrom(netip.AddrFrom16(sa.Addr).Unmap(), uint16(sa.Port))}
	case *unix.SockaddrUnix:
		return sockname{path: sa.Name}
	}
	return sockname{}
}

// accepts reports whether a listener that is bound to n may have accepted a connection that is bound
// to c.
func (n sockname) accepts(c sockname) bool {
	if n.path != "" || c.path != "" {
		return n.path == c.path
	}
	return n.at.IsValid() && n.at.Port() == c.at.Port() && (n.at.Addr() == c.at.Addr() || n.at.Addr().IsUnspecified())
}

// frameSize is how long the frame is whose header b begins with.
func frameSize(b []byte) int { return frameHeader + int(binary.BigEndian.Uint32(b[2:])) }

func uvarint(b []byte) (uint64, int) { return binary.Uvarint(b) }
