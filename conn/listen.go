package conn

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Listen makes a listening socket, non-blocking and close-on-exec, whose connections AcceptFD
// takes; for udp:// and unixgram:// a bound socket of datagrams, which SetDatagram describes.
//
// tcp://:port takes IPv6 and IPv4 on one socket. Where the machine has no IPv6, or cannot do both
// on one socket (OpenBSD), it takes IPv4 alone.
//
// The file of a unix socket that no program has any more is replaced. One that a program listens on
// gives EADDRINUSE, and so does a file that is no socket. A program that ends in good order removes
// its own with RemoveUnix.
//
// Errors wrap the system call's errno, such as EADDRINUSE, EADDRNOTAVAIL or EACCES.
func Listen(a Addr, o SocketOptions) (int, error) {
	if a.Datagrams() {
		return ListenDatagrams(a, o)
	}
	return ListenStream(a, o)
}

// ListenStream is Listen without udp:// and unixgram://, whose code it leaves out of the program.
func ListenStream(a Addr, o SocketOptions) (int, error) {
	fd, err := listenStream(a, &o)
	if err != nil {
		return -1, fmt.Errorf("conn: listen %s: %w", a, err)
	}
	return fd, nil
}

func listenStream(a Addr, o *SocketOptions) (int, error) {
	if err := o.check(a); err != nil {
		return -1, err
	}
	switch {
	case a.Network == "unix":
		return listenUnix(a, o)
	case a.Network != "tcp" && a.Network != "sctp" || !a.AddrPort.IsValid():
		return -1, errors.New("not an address")
	case a.AnyStack:
		return dualStack(a.AddrPort.Port(), o.V6Only, func(ap netip.AddrPort) (int, error) { return listenIP(ap, a.Network, o) })
	}
	return listenIP(a.AddrPort, a.Network, o)
}

// errOneStack says that an IPv6 socket cannot take IPv4 on this system.
var errOneStack = errors.New("IPv6 and IPv4 do not go on one socket here")

// dualStack tries the IPv6 wildcard address, and, unless v6Only was asked for, the one of IPv4
// where there is no IPv6.
func dualStack(port uint16, v6Only bool, try func(netip.AddrPort) (int, error)) (int, error) {
	fd, err := try(netip.AddrPortFrom(netip.IPv6Unspecified(), port))
	if v6Only {
		return fd, err
	}
	// EAFNOSUPPORT: the kernel was built or started without IPv6. EADDRNOTAVAIL: IPv6 is there, but
	// disabled by sysctl.
	if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, errOneStack) {
		return try(netip.AddrPortFrom(netip.IPv4Unspecified(), port))
	}
	return fd, err
}

// listenIP listens on one address of the network "tcp" or "sctp".
func listenIP(ap netip.AddrPort, network string, o *SocketOptions) (_ int, err error) {
	sa, err := sockaddr(ap)
	if err != nil {
		return -1, err
	}
	family := unix.AF_INET
	if ap.Addr().Is6() {
		family = unix.AF_INET6
	}
	fd, err := o.streamSocket(family, network)
	if err != nil {
		return -1, err
	}
	defer func() {
		if err != nil {
			unix.Close(fd)
		}
	}()
	// Systems differ in the default (Linux: sysctl net.ipv6.bindv6only), so it is always said.
	if ap.Addr().Is6() && (ap.Addr().IsUnspecified() || o.V6Only) {
		err := ipv6Only.set(fd, oneIf(o.V6Only))
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOPROTOOPT) || errors.Is(err, errors.ErrUnsupported) {
			err = fmt.Errorf("%w: %w", errOneStack, err)
		}
		if err != nil {
			return -1, err
		}
	}
	if err := o.setListener(fd, network); err != nil {
		return -1, err
	}
	if err := unix.Bind(fd, sa); err != nil {
		return -1, os.NewSyscallError("bind", err)
	}
	if o.reuseLate {
		if err := soReusePort.set(fd, 1); err != nil {
			return -1, err
		}
	}
	if err := unix.Listen(fd, o.backlog()); err != nil {
		return -1, os.NewSyscallError("listen", err)
	}
	return fd, nil
}

func listenUnix(a Addr, o *SocketOptions) (_ int, err error) {
	if a.Path == "" {
		return -1, errors.New("no path") // the kernel would choose an abstract name
	}
	fd, err := socket(unix.AF_UNIX, unix.SOCK_STREAM)
	if err != nil {
		return -1, err
	}
	defer func() {
		if err != nil {
			unix.Close(fd)
		}
	}()
	if err := o.setListener(fd, "unix"); err != nil {
		return -1, err
	}
	sa := &unix.SockaddrUnix{Name: a.Path}
	err = unix.Bind(fd, sa)
	if err == unix.EADDRINUSE && !a.abstract() {
		removed, bad := removeStale(a.Path)
		if bad != nil {
			return -1, bad
		}
		if removed {
			err = unix.Bind(fd, sa)
		}
	}
	if err != nil {
		return -1, os.NewSyscallError("bind", err)
	}
	err = o.setFile(a.Path) // before listen: no client can connect yet
	if err == nil {
		err = os.NewSyscallError("listen", unix.Listen(fd, o.backlog()))
	}
	if err != nil {
		if !a.abstract() {
			unix.Unlink(a.Path)
		}
		return -1, err
	}
	return fd, nil
}

// setFile gives the socket file at path its owner and its permissions.
func (o *SocketOptions) setFile(path string) error {
	if o.UID != 0 || o.GID != 0 {
		asItIs := func(id int) int { // chown(2): -1 changes nothing
			if id == 0 {
				return -1
			}
			return id
		}
		if err := unix.Lchown(path, asItIs(o.UID), asItIs(o.GID)); err != nil {
			return os.NewSyscallError("lchown", err)
		}
	}
	if o.Mode != 0 { // after chown, which may take permissions away
		return os.NewSyscallError("chmod", unix.Chmod(path, uint32(o.Mode.Perm())))
	}
	return nil
}

func (a Addr) abstract() bool { return strings.HasPrefix(a.Path, "@") }

// RemoveUnix removes the file of a unix listener whose descriptor has been closed. A file on which
// a program listens by now, a program that took the path over, stays. For other addresses, and when
// there is no file, it does nothing.
func RemoveUnix(a Addr) error {
	if !a.local() || a.abstract() || a.Path == "" {
		return nil
	}
	if _, err := removeStale(a.Path); err != nil {
		return fmt.Errorf("conn: remove %s: %w", a, err)
	}
	return nil
}

// removeStale removes the file at path if no socket is bound to it any more, and says whether it
// did.
func removeStale(path string) (bool, error) {
	// connect gives ECONNREFUSED for a file of any kind, so the kind must be known first.
	//
	// A datagram socket asks, since a listener must not notice: it would accept a connection that
	// ends at once. EPROTOTYPE says that a stream socket is bound to the file, even if its backlog
	// is full, or if its program has not called listen yet, because it is starting at this very
	// moment.
	var before, after unix.Stat_t
	if unix.Lstat(path, &before) != nil || before.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return false, nil
	}
	fd, err := socket(unix.AF_UNIX, unix.SOCK_DGRAM)
	if err != nil {
		return false, err
	}
	err = unix.Connect(fd, &unix.SockaddrUnix{Name: path})
	unix.Close(fd)
	switch err {
	case unix.ECONNREFUSED:
	case nil, unix.EPROTOTYPE, unix.EACCES, unix.EPERM:
		return false, nil // somebody has it, or it is not ours to ask
	default:
		return false, os.NewSyscallError("connect", err)
	}
	// Another program may have replaced the file meanwhile. Between this look and unlink it still
	// may: unix sockets have no atomic way.
	if unix.Lstat(path, &after) != nil || after.Dev != before.Dev || after.Ino != before.Ino {
		return false, nil
	}
	if err := unix.Unlink(path); err != nil && err != unix.ENOENT {
		return false, os.NewSyscallError("unlink", err)
	}
	return true, nil
}

// backlog returns what to pass to listen.
func (o *SocketOptions) backlog() int {
	if o.Backlog > 0 {
		return o.Backlog
	}
	if n := somaxconn(); n > 0 {
		return n
	}
	return 4096
}

// somaxconn returns the largest backlog that Linux allows, and 0 where that cannot be read.
// os.ReadFile would bring what os knows of file information into every program: 9 KB.
func somaxconn() int {
	fd, err := unix.Open("/proc/sys/net/core/somaxconn", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0
	}
	defer unix.Close(fd)
	var b [16]byte
	k, err := unix.Read(fd, b[:])
	if err != nil {
		return 0
	}
	n, _ := strconv.Atoi(strings.TrimSpace(string(b[:k])))
	return n
}
