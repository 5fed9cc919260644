//go:build !linux || race || 386 || s390x

package conn

import "golang.org/x/sys/unix"

// Datagrams is the DatagramTransport of the kernel's sockets, which must be non-blocking. It
// belongs to one loop and serves all its sockets. Here it moves one datagram with each system call.
type Datagrams struct {
	buf     []byte
	control [256]byte
	path    []byte
}

// Receive is recvmsg(2).
func (d *Datagrams) Receive(fd, size int, list []Datagram) (n int, more bool, err error) {
	if len(d.buf) < size {
		d.buf = make([]byte, size)
	}
	got, controls, flags, from, err := unix.Recvmsg(fd, d.buf[:size], d.control[:], unix.MSG_DONTWAIT)
	if err != nil {
		return 0, false, err
	}
	ev := &list[0]
	*ev = Datagram{Data: d.buf[:max(got, 0)], From: peerOf(from), Truncated: flags&unix.MSG_TRUNC != 0}
	switch from := from.(type) {
	case *unix.SockaddrUnix:
		if from.Name != "" {
			d.path = append(d.path[:0], from.Name...)
			ev.Path = d.path
		}
	default:
		if id, ok := netlinkPort(from); ok {
			ev.From = Peer{zone: id, kind: peerNetlink}
		}
	}
	if controls > 0 {
		if messages, err := unix.ParseSocketControlMessage(d.control[:controls]); err == nil {
			for _, m := range messages {
				controlMessage(ev, m.Header.Level, m.Header.Type, m.Data)
			}
		}
	}
	return 1, true, nil
}

// Send is sendmsg(2).
func (d *Datagrams) Send(fd, family int, list []Outgoing) (int, error) {
	for i := range list {
		o := &list[i]
		_, err := unix.SendmsgN(fd, o.Data, segment(source(o.From, family), o.Segment), receiver(o, family), unix.MSG_DONTWAIT)
		if err != nil {
			if i > 0 {
				return i, nil // the next Send finds the error again
			}
			return 0, err
		}
	}
	return len(list), nil
}

// receiver returns where o goes; nil for where the socket is connected to.
func receiver(o *Outgoing, family int) unix.Sockaddr {
	switch {
	case len(o.Path) > 0:
		return &unix.SockaddrUnix{Name: string(o.Path)}
	case o.To.kind == peerNetlink:
		return netlinkAddr(o.To.zone)
	case o.To.kind != peerIP:
		return nil
	case family == unix.AF_INET && mapped(&o.To.ip):
		return &unix.SockaddrInet4{Port: int(o.To.port), Addr: [4]byte(o.To.ip[12:])}
	}
	return &unix.SockaddrInet6{Port: int(o.To.port), Addr: o.To.ip, ZoneId: o.To.zone}
}
