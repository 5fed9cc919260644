//go:build linux && (race || 386 || s390x)

package conn

import (
	"encoding/binary"
	"unsafe"

	"golang.org/x/sys/unix"
)

func netlinkPort(sa unix.Sockaddr) (uint32, bool) {
	nl, ok := sa.(*unix.SockaddrNetlink)
	if !ok {
		return 0, false
	}
	return nl.Pid, true
}

func netlinkAddr(id uint32) unix.Sockaddr {
	return &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Pid: id}
}

// source makes the control message for a datagram that leaves from an address, by an interface, or
// both.
func source(from Peer, family int) []byte {
	if from == (Peer{}) {
		return nil
	}
	if family == unix.AF_INET {
		info := unix.Inet4Pktinfo{Ifindex: int32(from.zone)}
		if from.kind == peerIP {
			info.Spec_dst = [4]byte(from.ip[12:])
		}
		return unix.PktInfo4(&info)
	}
	info := unix.Inet6Pktinfo{Addr: from.ip, Ifindex: from.zone}
	return unix.PktInfo6(&info)
}

// segment appends the control message that has the data cut into datagrams of size bytes (udp(7),
// UDP_SEGMENT), unless size is 0.
func segment(control []byte, size int) []byte {
	if size == 0 {
		return control
	}
	b := make([]byte, unix.CmsgSpace(2))
	h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
	h.Level, h.Type = unix.SOL_UDP, unix.UDP_SEGMENT
	h.SetLen(unix.CmsgLen(2))
	binary.NativeEndian.PutUint16(b[unix.CmsgLen(0):], uint16(size))
	return append(control, b...)
}
