package conn

import (
	"errors"
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// ListenDatagrams is Listen for udp:// and unixgram:// alone.
func ListenDatagrams(a Addr, o SocketOptions) (int, error) {
	fd, err := bindDatagrams(a, &o)
	if err != nil {
		return -1, fmt.Errorf("conn: listen %s: %w", a, err)
	}
	return fd, nil
}

func bindDatagrams(a Addr, o *SocketOptions) (int, error) {
	if err := o.checkDatagrams(a); err != nil {
		return -1, err
	}
	switch {
	case a.Network == "unixgram":
		return bindUnixgram(a, o)
	case !a.AddrPort.IsValid():
		return -1, errors.New("not an address")
	case a.AnyStack:
		return dualStack(a.AddrPort.Port(), o.V6Only, func(ap netip.AddrPort) (int, error) { return bindUDP(ap, o) })
	}
	return bindUDP(a.AddrPort, o)
}

func bindUDP(ap netip.AddrPort, o *SocketOptions) (_ int, err error) {
	sa, err := sockaddr(ap)
	if err != nil {
		return -1, err
	}
	family := unix.AF_INET
	if ap.Addr().Is6() {
		family = unix.AF_INET6
	}
	fd, err := socketOf(family, unix.SOCK_DGRAM, 0)
	if err != nil {
		return -1, err
	}
	defer func() {
		if err != nil {
			unix.Close(fd)
		}
	}()
	if family == unix.AF_INET6 && (ap.Addr().IsUnspecified() || o.V6Only) {
		err = ipv6Only.set(fd, oneIf(o.V6Only))
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOPROTOOPT) || errors.Is(err, errors.ErrUnsupported) {
			err = fmt.Errorf("%w: %w", errOneStack, err)
		}
		if err != nil {
			return -1, err
		}
	}
	if err = o.setDatagrams(fd); err != nil {
		return -1, err
	}
	if err = unix.Bind(fd, sa); err != nil {
		return -1, os.NewSyscallError("bind", err)
	}
	return fd, nil
}

func bindUnixgram(a Addr, o *SocketOptions) (_ int, err error) {
	if a.Path == "" {
		return -1, errors.New("no path")
	}
	fd, err := socketOf(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
	if err != nil {
		return -1, err
	}
	defer func() {
		if err != nil {
			unix.Close(fd)
		}
	}()
	if err = o.setDatagrams(fd); err != nil {
		return -1, err
	}
	sa := &unix.SockaddrUnix{Name: a.Path}
	bad := unix.Bind(fd, sa)
	if bad == unix.EADDRINUSE && !a.abstract() {
		removed, err := removeStale(a.Path)
		if err != nil {
			return -1, err
		}
		if removed {
			bad = unix.Bind(fd, sa)
		}
	}
	if bad != nil {
		err = os.NewSyscallError("bind", bad)
		return -1, err
	}
	if err = o.setFile(a.Path); err != nil {
		if !a.abstract() {
			unix.Unlink(a.Path)
		}
		return -1, err
	}
	return fd, nil
}

// DialDatagrams is Dial for udp:// and unixgram:// alone.
func DialDatagrams(a Addr, o SocketOptions) (int, error) {
	fd, err := dialDatagrams(a, &o)
	if err != nil {
		return -1, fmt.Errorf("conn: connect %s: %w", a, err)
	}
	return fd, nil
}

func dialDatagrams(a Addr, o *SocketOptions) (int, error) {
	family, sa, err := a.peer()
	if err != nil {
		return -1, err
	}
	fd, err := socketOf(family, unix.SOCK_DGRAM, 0)
	if err != nil {
		return -1, err
	}
	if err = o.setDatagrams(fd); err == nil && a.Network == "unixgram" {
		err = bindSomewhere(fd)
	}
	if err == nil {
		err = os.NewSyscallError("connect", unix.Connect(fd, sa))
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// checkDatagrams is check for datagrams: it refuses options that do nothing for them, too.
func (o *SocketOptions) checkDatagrams(a Addr) error {
	if err := o.check(a); err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"NoReuseAddr", o.NoReuseAddr}, {"Backlog", o.Backlog != 0}, {"DeferAccept", o.DeferAccept != 0},
		{"FastOpen", o.FastOpen != 0}, {"Nagle", o.Nagle}, {"KeepAlive", o.KeepAlive != KeepAlive{}},
		{"Linger", o.Linger != Linger{}}, {"RecvLowat", o.RecvLowat != 0}, {"MaxSeg", o.MaxSeg != 0},
		{"MultiPath", o.MultiPath}, {"UserTimeout", o.UserTimeout != 0}, {"NotSentLowat", o.NotSentLowat != 0},
		{"IncomingCPU", o.IncomingCPU != 0}, {"OOBInline", o.OOBInline},
	} {
		if f.set {
			return fmt.Errorf("option %s is for streams", f.name)
		}
	}
	if a.Network == "unixgram" && (o.ReusePort || o.V6Only || o.Broadcast || o.ReuseAddr || o.Device != "" || o.Mark != 0 || o.TOS != 0 || o.Segment) {
		return errors.New("options ReusePort, ReuseAddr, V6Only, Broadcast, Device, Mark, TOS and Segment are for UDP")
	}
	if o.V6Only && !a.AddrPort.Addr().Is6() {
		return errors.New("option V6Only with an IPv4 address")
	}
	return nil
}

// setDatagrams sets the options of a socket of datagrams that is about to be bound or connected.
func (o *SocketOptions) setDatagrams(fd int) error {
	for _, f := range []struct {
		opt   sockopt
		value int
	}{{soRecvBuf, o.RecvBuf}, {soSendBuf, o.SendBuf}, {soReusePort, oneIf(o.ReusePort || o.ReuseAddr && reuseNeedsPort)},
		{soReuseAddr, oneIf(o.ReuseAddr)}, {soBroadcast, oneIf(o.Broadcast)}} {
		if f.value > 0 {
			if err := f.opt.set(fd, f.value); err != nil {
				return err
			}
		}
	}
	return o.setPath(fd)
}

// Deafen takes a UDP socket out of those over which the kernel spreads the peers of a port
// (SO_REUSEPORT): it is connected to a port of this machine from which nothing comes. A datagram
// that waits in it can still be read, and answered.
func Deafen(fd int) error {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return os.NewSyscallError("getsockname", err)
	}
	const discard = 9
	switch sa.(type) {
	case *unix.SockaddrInet4:
		sa = &unix.SockaddrInet4{Port: discard, Addr: [4]byte{127, 0, 0, 1}}
	case *unix.SockaddrInet6:
		sa = &unix.SockaddrInet6{Port: discard, Addr: [16]byte{15: 1}}
	default:
		return nil
	}
	return os.NewSyscallError("connect", unix.Connect(fd, sa))
}

// SetBound sets on fd, a socket for datagrams that was opened elsewhere, the options that can be
// set after it was bound.
func SetBound(fd int, o *SocketOptions) error {
	if err := o.setDatagrams(fd); err != nil {
		return fmt.Errorf("conn: %w", err)
	}
	return nil
}

var soBroadcast = sockopt{"SO_BROADCAST", unix.SOL_SOCKET, unix.SO_BROADCAST}

// SetDatagram prepares fd, a socket of datagrams that Listen or Dial has made, or that was opened
// elsewhere, and describes it for NewDatagram. An option that the system does not know is done
// without; any other failure is an error.
func SetDatagram(fd int, o *SocketOptions) (DatagramSetup, error) {
	s := DatagramSetup{Size: o.DatagramSize}
	sa, err := unix.Getsockname(fd)
	switch sa.(type) {
	case *unix.SockaddrInet4:
		s.Family = unix.AF_INET
	case *unix.SockaddrInet6:
		s.Family = unix.AF_INET6
	case *unix.SockaddrUnix:
		s.Family = unix.AF_UNIX
	}
	if err != nil && err != unix.EAFNOSUPPORT { // which package unix says of families that it does not know
		return s, fmt.Errorf("conn: %w", os.NewSyscallError("getsockname", err))
	}
	switch _, err := unix.Getpeername(fd); err {
	case nil:
		s.Connected = true
	case unix.ENOTCONN, unix.EOPNOTSUPP, unix.EAFNOSUPPORT:
	default:
		return s, fmt.Errorf("conn: %w", os.NewSyscallError("getpeername", err))
	}
	s.Errors, err = setDatagram(fd, s.Family)
	if err == nil && o.Segment && (s.Family == unix.AF_INET || s.Family == unix.AF_INET6) {
		s.Segments, err = setSegments(fd)
	}
	if err != nil {
		err = fmt.Errorf("conn: %w", err)
	}
	return s, err
}

// setFlags sets options to 1, each a level and a name, until one fails. It reports whether the
// system knows the last.
func setFlags(fd int, options ...[2]int) (known bool, err error) {
	for _, o := range options {
		switch err := unix.SetsockoptInt(fd, o[0], o[1], 1); err {
		case nil:
			known = true
		case unix.ENOPROTOOPT, unix.EOPNOTSUPP, unix.EINVAL, unix.ENOSYS, unix.EAFNOSUPPORT:
			known = false
		default:
			return false, os.NewSyscallError("setsockopt", err)
		}
	}
	return known, nil
}

// SetBroadcast sets SO_BROADCAST of a datagram socket.
func (k *Kernel) SetBroadcast(on bool) error {
	c := (*Conn)(k)
	return c.setOption("SetBroadcast", func(fd int) error { return soBroadcast.set(fd, oneIf(on)) })
}
