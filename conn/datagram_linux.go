package conn

import (
	"net/netip"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// reuseNeedsPort says whether sockets share a port only with SO_REUSEPORT.
const reuseNeedsPort = false

// bindSomewhere gives a unix socket a name that the kernel chooses (unix(7), autobind).
func bindSomewhere(fd int) error {
	return os.NewSyscallError("bind", unix.Bind(fd, &unix.SockaddrUnix{}))
}

// setDatagram sets on fd what a datagram socket of that family needs beside the options of the
// program: the destination of what comes, a count of what the kernel drops, and an error queue,
// which it reports to have. Where an option is not known, what it brings is missing.
func setDatagram(fd, family int) (errors bool, err error) {
	overflow := [2]int{unix.SOL_SOCKET, unix.SO_RXQ_OVFL}
	switch family {
	case unix.AF_INET6: // with those for the IPv4 datagrams of a socket of both families
		return setFlags(fd, overflow, [2]int{unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO}, [2]int{unix.IPPROTO_IP, unix.IP_PKTINFO},
			[2]int{unix.IPPROTO_IP, unix.IP_RECVERR}, [2]int{unix.IPPROTO_IPV6, unix.IPV6_RECVERR})
	case unix.AF_INET:
		return setFlags(fd, overflow, [2]int{unix.IPPROTO_IP, unix.IP_PKTINFO}, [2]int{unix.IPPROTO_IP, unix.IP_RECVERR})
	}
	_, err = setFlags(fd, overflow)
	return false, err
}

// setSegments asks whether the kernel cuts what it is given into datagrams (UDP_SEGMENT, Linux 4.18).
// The size comes with each send.
func setSegments(fd int) (bool, error) {
	_, err := unix.GetsockoptInt(fd, unix.SOL_UDP, unix.UDP_SEGMENT)
	if err == unix.ENOPROTOOPT || err == unix.EOPNOTSUPP {
		return false, nil
	}
	return err == nil, os.NewSyscallError("getsockopt", err)
}

// controlMessage reads one control message of a datagram.
func controlMessage(ev *Datagram, level, kind int32, p []byte) {
	switch {
	case level == unix.IPPROTO_IP && kind == unix.IP_PKTINFO && len(p) >= unix.SizeofInet4Pktinfo:
		info := (*unix.Inet4Pktinfo)(unsafe.Pointer(&p[0]))
		ev.To = netip.AddrFrom4(info.Addr)
		ev.Interface = int(info.Ifindex)
		ev.local = peer4(info.Spec_dst, 0) // for a broadcast or a group, an address of the interface
	case level == unix.IPPROTO_IPV6 && kind == unix.IPV6_PKTINFO && len(p) >= unix.SizeofInet6Pktinfo:
		info := (*unix.Inet6Pktinfo)(unsafe.Pointer(&p[0]))
		if mapped(&info.Addr) {
			return // IP_PKTINFO says it better
		}
		ev.To = netip.AddrFrom16(info.Addr)
		ev.Interface = int(info.Ifindex)
		if info.Addr[0] != 0xff { // no group can be a source
			ev.local = peer6(info.Addr, 0, 0)
		}
	case level == unix.SOL_SOCKET && kind == unix.SO_RXQ_OVFL && len(p) >= 4:
		ev.overflow = *(*uint32)(unsafe.Pointer(&p[0]))
	}
}

// extendedErr is struct sock_extended_err of linux/errqueue.h.
type extendedErr struct {
	errno  uint32
	origin uint8
	kind   uint8
	code   uint8
	_      uint8
	info   uint32
	data   uint32
}

const (
	originLocal = 1
	originICMP  = 2
	originICMP6 = 3
)

// ReceiveError is recvmsg(2) with MSG_ERRQUEUE.
func (d *Datagrams) ReceiveError(fd int, ev *Undelivered) error {
	var data [576]byte
	var control [256]byte
	n, controls, _, to, err := unix.Recvmsg(fd, data[:], control[:], unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
	if err != nil {
		return err
	}
	messages, err := unix.ParseSocketControlMessage(control[:controls])
	if err != nil {
		return nil
	}
	for _, m := range messages {
		v4 := m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_RECVERR
		v6 := m.Header.Level == unix.IPPROTO_IPV6 && m.Header.Type == unix.IPV6_RECVERR
		if !v4 && !v6 || len(m.Data) < int(unsafe.Sizeof(extendedErr{})) {
			continue
		}
		e := (*extendedErr)(unsafe.Pointer(&m.Data[0]))
		if e.origin < originLocal || e.origin > originICMP6 {
			continue // a time stamp, on a socket that the program has made
		}
		ev.Err = unix.Errno(e.errno)
		ev.To = peerOf(to)
		ev.Data = data[:max(n, 0)]
		if ev.Err == unix.EMSGSIZE {
			ev.MTU = int(e.info)
		}
	}
	return nil
}
