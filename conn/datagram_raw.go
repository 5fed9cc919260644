//go:build linux && !race && !386 && !s390x

package conn

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Datagrams is the DatagramTransport of the kernel's sockets, which must be non-blocking. It
// belongs to one loop and serves all its sockets. On Linux it moves several datagrams with one
// system call, recvmmsg and sendmmsg, and allocates nothing for them.
//
// As with Socket, the calls go to the kernel without a word to Go's scheduler.
type Datagrams struct {
	buf  []byte // of all that one call receives
	size int    // the part of each datagram
	used int    // headers that the last call has written to

	in  [datagramsTurn]received
	inH [datagramsTurn]mmsghdr

	out  [sendBatch]sending
	outH [sendBatch]mmsghdr
}

// mmsghdr is struct mmsghdr.
type mmsghdr struct {
	hdr unix.Msghdr
	n   uint32
}

// received is what one header of recvmmsg refers to.
type received struct {
	name    unix.RawSockaddrAny
	control [receiveControl / 8]uint64 // aligned as the headers of control messages must be
	iov     unix.Iovec
}

// sending is what one header of sendmmsg refers to.
type sending struct {
	name    unix.RawSockaddrAny
	control [sendControl / 8]uint64
	iov     unix.Iovec
}

const (
	receiveControl = 160 // the destination in both families, and SO_RXQ_OVFL
	sendControl    = 64
	bufferSize     = 1 << 20 // of which nothing is touched but what datagrams come to lie in
)

// lay prepares the headers for datagrams of size bytes.
func (d *Datagrams) lay(size int) {
	n := min(max(bufferSize/size, 1), datagramsTurn)
	if len(d.buf) < n*size {
		d.buf = make([]byte, n*size)
	}
	d.size = size
	for i := range d.in[:n] {
		r, h := &d.in[i], &d.inH[i].hdr
		r.iov.Base = &d.buf[i*size]
		r.iov.SetLen(size)
		h.Name = (*byte)(unsafe.Pointer(&r.name))
		h.Iov = &r.iov
		h.SetIovlen(1)
		h.Control = (*byte)(unsafe.Pointer(&r.control))
	}
	d.used = n
}

// Receive is recvmmsg(2).
func (d *Datagrams) Receive(fd, size int, list []Datagram) (n int, more bool, err error) {
	if size != d.size {
		d.lay(size)
	}
	for i := range d.inH[:d.used] {
		h := &d.inH[i].hdr
		h.Namelen = unix.SizeofSockaddrAny
		h.SetControllen(receiveControl)
		h.Flags = 0
	}
	d.used = 0
	most := min(len(list), max(len(d.buf)/size, 1))
	got, _, errno := syscall.RawSyscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&d.inH)), uintptr(most),
		unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, false, errno
	}
	n = int(got)
	d.used = n
	for i := range n {
		h, r := &d.inH[i], &d.in[i]
		ev := &list[i]
		*ev = Datagram{Data: d.buf[i*size : i*size+int(h.n)], Truncated: h.hdr.Flags&unix.MSG_TRUNC != 0}
		r.sender(ev, int(h.hdr.Namelen))
		if k := int(h.hdr.Controllen); k > 0 && k <= receiveControl {
			readControl(ev, unsafe.Slice((*byte)(unsafe.Pointer(&r.control)), k))
		}
	}
	return n, n == most, nil
}

// sender tells ev who has sent it.
func (r *received) sender(ev *Datagram, size int) {
	if size < 2 {
		return
	}
	switch r.name.Addr.Family {
	case unix.AF_INET, unix.AF_INET6:
		ev.From = peerOfRaw((*unix.RawSockaddrInet6)(unsafe.Pointer(&r.name)))
	case unix.AF_UNIX:
		path := unsafe.Slice((*byte)(unsafe.Pointer(&r.name)), size)[2:]
		if len(path) > 0 && path[0] == 0 {
			path[0] = '@'
		} else if len(path) > 0 && path[len(path)-1] == 0 {
			path = path[:len(path)-1]
		}
		if len(path) > 0 {
			ev.Path = path
		}
	case unix.AF_NETLINK:
		nl := (*unix.RawSockaddrNetlink)(unsafe.Pointer(&r.name))
		ev.From = Peer{zone: nl.Pid, kind: peerNetlink}
	}
}

// readControl reads the control messages of a datagram.
func readControl(ev *Datagram, p []byte) {
	header := unix.CmsgLen(0)
	for len(p) >= header {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&p[0]))
		n := int(h.Len)
		if n < header || n > len(p) {
			return
		}
		controlMessage(ev, h.Level, h.Type, p[header:n])
		p = p[min(unix.CmsgSpace(n-header), len(p)):]
	}
}

// Send is sendmmsg(2).
func (d *Datagrams) Send(fd, family int, list []Outgoing) (int, error) {
	list = list[:min(len(list), sendBatch)]
	for i := range list {
		o, s, h := &list[i], &d.out[i], &d.outH[i].hdr
		s.iov.Base = unsafe.SliceData(o.Data)
		s.iov.SetLen(len(o.Data))
		h.Iov = &s.iov
		h.SetIovlen(1)
		h.Name, h.Namelen = nil, 0
		if size := s.receiver(o, family); size > 0 {
			h.Name, h.Namelen = (*byte)(unsafe.Pointer(&s.name)), uint32(size)
		}
		k := 0
		if o.From != (Peer{}) {
			k = s.source(o.From, family)
		}
		if o.Segment > 0 {
			k += s.segment(o.Segment, k)
		}
		h.Control = nil
		if h.SetControllen(k); k > 0 {
			h.Control = (*byte)(unsafe.Pointer(&s.control))
		}
	}
	n, _, errno := syscall.RawSyscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&d.outH)), uintptr(len(list)),
		unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	for i := range list {
		d.out[i].iov.Base = nil // or the queue would stay in memory until the next Send
	}
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// receiver writes where o goes, and returns how long that is: 0 for where the socket is connected
// to.
func (s *sending) receiver(o *Outgoing, family int) int {
	switch {
	case len(o.Path) > 0:
		sa := (*unix.RawSockaddrUnix)(unsafe.Pointer(&s.name))
		*sa = unix.RawSockaddrUnix{Family: unix.AF_UNIX}
		copy(unsafe.Slice((*byte)(unsafe.Pointer(&sa.Path)), len(sa.Path)), o.Path)
		if o.Path[0] == '@' {
			sa.Path[0] = 0
			return 2 + len(o.Path)
		}
		return 2 + len(o.Path) + 1
	case o.To.kind == peerNetlink:
		*(*unix.RawSockaddrNetlink)(unsafe.Pointer(&s.name)) = unix.RawSockaddrNetlink{Family: unix.AF_NETLINK, Pid: o.To.zone}
		return unix.SizeofSockaddrNetlink
	case o.To.kind != peerIP:
		return 0
	case family == unix.AF_INET && mapped(&o.To.ip):
		sa := (*unix.RawSockaddrInet4)(unsafe.Pointer(&s.name))
		*sa = unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: [4]byte(o.To.ip[12:])}
		setPort(&sa.Port, o.To.port)
		return unix.SizeofSockaddrInet4
	}
	sa := (*unix.RawSockaddrInet6)(unsafe.Pointer(&s.name))
	*sa = unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: o.To.ip, Scope_id: o.To.zone}
	setPort(&sa.Port, o.To.port)
	return unix.SizeofSockaddrInet6
}

// setPort writes a port in network order.
func setPort(at *uint16, port uint16) {
	b := (*[2]byte)(unsafe.Pointer(at))
	b[0], b[1] = byte(port>>8), byte(port)
}

// source writes the control message for a datagram that leaves from an address, by an interface, or
// both, and returns how long it is.
func (s *sending) source(from Peer, family int) int {
	h := (*unix.Cmsghdr)(unsafe.Pointer(&s.control))
	data := unsafe.Pointer(uintptr(unsafe.Pointer(&s.control)) + uintptr(unix.CmsgLen(0)))
	if family == unix.AF_INET {
		h.Level, h.Type = unix.IPPROTO_IP, unix.IP_PKTINFO
		h.SetLen(unix.CmsgLen(unix.SizeofInet4Pktinfo))
		info := unix.Inet4Pktinfo{Ifindex: int32(from.zone)}
		if from.kind == peerIP {
			info.Spec_dst = [4]byte(from.ip[12:])
		}
		*(*unix.Inet4Pktinfo)(data) = info
		return unix.CmsgSpace(unix.SizeofInet4Pktinfo)
	}
	h.Level, h.Type = unix.IPPROTO_IPV6, unix.IPV6_PKTINFO
	h.SetLen(unix.CmsgLen(unix.SizeofInet6Pktinfo))
	*(*unix.Inet6Pktinfo)(data) = unix.Inet6Pktinfo{Addr: from.ip, Ifindex: from.zone}
	return unix.CmsgSpace(unix.SizeofInet6Pktinfo)
}

// segment writes the control message that has Data cut into datagrams of size bytes, after at bytes
// of others, and returns how long it is (udp(7), UDP_SEGMENT).
func (s *sending) segment(size, at int) int {
	b := unsafe.Slice((*byte)(unsafe.Pointer(&s.control)), sendControl)[at:]
	h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
	h.Level, h.Type = unix.SOL_UDP, unix.UDP_SEGMENT
	h.SetLen(unix.CmsgLen(2))
	*(*uint16)(unsafe.Pointer(&b[unix.CmsgLen(0)])) = uint16(size)
	return unix.CmsgSpace(2)
}
