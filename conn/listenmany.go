package conn

import (
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// ListenMany opens n listening sockets on one TCP address with SO_REUSEPORT, as Listen opens one.
// Linux gives each new connection to one of them, by a hash of its addresses and ports. If the port
// is 0, all get the port that the first one got.
//
// SO_REUSEPORT lets any process of the same user take a share of the port, such as a second copy of
// the program that was started by mistake. So the first socket is bound without it: the call
// returns EADDRINUSE if another process listens there. With SocketOptions.ReusePort that check is
// left out.
func ListenMany(a Addr, o SocketOptions, n int) ([]int, error) {
	o.reuseLate = !o.ReusePort
	first, err := ListenStream(a, o)
	if err != nil {
		return nil, err
	}
	fds := []int{first}
	a.AddrPort = netip.AddrPortFrom(a.AddrPort.Addr(), LocalAddr(first).Port())
	o.reuseLate, o.ReusePort = false, true
	for len(fds) < n {
		fd, err := ListenStream(a, o)
		if err != nil {
			for _, fd := range fds {
				unix.Close(fd)
			}
			return nil, err
		}
		fds = append(fds, fd)
	}
	return fds, nil
}

// Dup returns another descriptor of the socket fd, close-on-exec. Both share all that the kernel
// keeps of the socket, such as its backlog; each is closed for itself.
func Dup(fd int) (int, error) {
	d, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("conn: %w", os.NewSyscallError("fcntl", err))
	}
	return d, nil
}
