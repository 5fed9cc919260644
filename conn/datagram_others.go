//go:build !linux

package conn

import (
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// reuseNeedsPort says whether sockets share a port only with SO_REUSEPORT.
const reuseNeedsPort = true

// bindSomewhere does nothing: such a socket has no name, and gets no reply.
func bindSomewhere(int) error { return nil }

// setDatagram sets on fd what a datagram socket of that family needs beside the options of the
// program: the destination of what comes. (IPv4 has a message of its own for that on the BSDs, and
// the source of a reply another, which not all have: replies over IPv4 leave it to the kernel.)
// There is no error queue.
func setDatagram(fd, family int) (errors bool, err error) {
	switch family {
	case unix.AF_INET6:
		_, err = setFlags(fd, [2]int{unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO})
	case unix.AF_INET:
		_, err = setFlags(fd, [2]int{unix.IPPROTO_IP, unix.IP_RECVDSTADDR})
	}
	return false, err
}

// controlMessage reads one control message of a datagram.
func controlMessage(ev *Datagram, level, kind int32, p []byte) {
	switch {
	case level == unix.IPPROTO_IP && kind == unix.IP_RECVDSTADDR && len(p) >= 4:
		ev.To = netip.AddrFrom4([4]byte(p))
	case level == unix.IPPROTO_IPV6 && kind == unix.IPV6_PKTINFO && len(p) >= unix.SizeofInet6Pktinfo:
		info := (*unix.Inet6Pktinfo)(unsafe.Pointer(&p[0]))
		ev.To = netip.AddrFrom16(info.Addr).Unmap()
		ev.Interface = int(info.Ifindex)
		if info.Addr[0] != 0xff && !mapped(&info.Addr) { // no group can be a source
			ev.local = peer6(info.Addr, 0, 0)
		}
	}
}

// ReceiveError returns EAGAIN: Linux alone has an error queue.
func (d *Datagrams) ReceiveError(fd int, ev *Undelivered) error { return unix.EAGAIN }

func netlinkPort(unix.Sockaddr) (uint32, bool) { return 0, false }

func netlinkAddr(uint32) unix.Sockaddr { return nil }

// source makes the control message for a datagram that leaves from an IPv6 address, by an
// interface, or both (RFC 3542 §6).
func source(from Peer, family int) []byte {
	if from == (Peer{}) || family != unix.AF_INET6 {
		return nil
	}
	b := make([]byte, unix.CmsgSpace(unix.SizeofInet6Pktinfo))
	h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
	h.Level, h.Type = unix.IPPROTO_IPV6, unix.IPV6_PKTINFO
	h.SetLen(unix.CmsgLen(unix.SizeofInet6Pktinfo))
	info := unix.Inet6Pktinfo{Addr: from.ip, Ifindex: from.zone}
	copy(b[unix.CmsgLen(0):], unsafe.Slice((*byte)(unsafe.Pointer(&info)), unix.SizeofInet6Pktinfo))
	return b
}

func segment(control []byte, _ int) []byte { return control }

func setSegments(int) (bool, error) { return false, nil }
