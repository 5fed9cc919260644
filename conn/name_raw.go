//go:build linux && !race && !386 && !s390x

package conn

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// nameOf returns the address that fd is bound to, or, with peer, connected to; the zero Peer if
// there is none. (The calls of package unix make addresses of every family that Linux has: 30 KB in
// a program.)
func nameOf(fd int, peer bool) Peer {
	trap := uintptr(unix.SYS_GETSOCKNAME)
	if peer {
		trap = unix.SYS_GETPEERNAME
	}
	var sa unix.RawSockaddrInet6
	size := uint32(unix.SizeofSockaddrInet6)
	_, _, errno := syscall.RawSyscall(trap, uintptr(fd), uintptr(unsafe.Pointer(&sa)), uintptr(unsafe.Pointer(&size)))
	if errno != 0 {
		return Peer{}
	}
	return peerOfRaw(&sa)
}

// peerOfRaw takes the address out of sa, which may be cut off or of another family.
func peerOfRaw(sa *unix.RawSockaddrInet6) Peer {
	port := *(*[2]byte)(unsafe.Pointer(&sa.Port)) // in network order
	switch sa.Family {
	case unix.AF_INET:
		sa4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(sa))
		return peer4(sa4.Addr, uint16(port[0])<<8|uint16(port[1]))
	case unix.AF_INET6:
		return peer6(sa.Addr, sa.Scope_id, uint16(port[0])<<8|uint16(port[1]))
	}
	return Peer{}
}
