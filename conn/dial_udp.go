package conn

import (
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// DialUDP returns a non-blocking UDP socket that is connected to a: it takes datagrams from there
// alone, and its port is one of the kernel's choice. It is for code that reads and writes by itself,
// and has Manager.Watch tell when.
func DialUDP(a netip.AddrPort) (fd int, err error) {
	family := unix.AF_INET6
	if a.Addr().Is4() {
		family = unix.AF_INET
	}
	sa, err := sockaddr(a)
	if err == nil {
		fd, err = socket(family, unix.SOCK_DGRAM)
	}
	if err == nil {
		if err = os.NewSyscallError("connect", unix.Connect(fd, sa)); err != nil {
			closeFD(fd)
		}
	}
	if err != nil {
		return -1, fmt.Errorf("conn: connect udp://%s: %w", a, err)
	}
	return fd, nil
}
