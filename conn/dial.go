package conn

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Dial begins to connect to a, and returns a descriptor on which that is going on or done: Connecting tells a Conn so. Only
// the options of connections in o count.
func Dial(a Addr, o SocketOptions) (int, error) {
	fd, err := dial(a, &o)
	if err != nil {
		return -1, fmt.Errorf("conn: connect %s: %w", a, err)
	}
	return fd, nil
}

func dial(a Addr, o *SocketOptions) (_ int, err error) {
	family, sa := unix.AF_UNIX, unix.Sockaddr(&unix.SockaddrUnix{Name: a.Path})
	switch {
	case a.Network == "unix" && a.Path == "":
		return -1, errors.New("no path")
	case a.Network != "unix" && (a.AnyStack || !a.AddrPort.IsValid()):
		return -1, errors.New("no host")
	case a.Network != "unix":
		if sa, err = sockaddr(a.AddrPort); err != nil {
			return -1, err
		}
		family = unix.AF_INET
		if a.AddrPort.Addr().Is6() {
			family = unix.AF_INET6
		}
	}
	fd, err := socket(family)
	if err != nil {
		return -1, err
	}
	if err = o.setConnection(fd, a.Network); err == nil {
		// EINTR: the attempt goes on in the background (connect(2)).
		if err = unix.Connect(fd, sa); err == unix.EINPROGRESS || err == unix.EINTR {
			err = nil
		}
		err = os.NewSyscallError("connect", err)
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

var errConnect = errors.New("the peer did not answer the attempt to connect in time")

// Connecting says that c's descriptor comes from Dial: Connect will be fired when the connection stands, and Error when it does
// not within timeout (0 and less: when the kernel gives up). Bytes written until then wait. It is for the loop.
func (c *Conn) Connecting(timeout time.Duration) {
	c.flags |= connecting | blocked // the poller reports the outcome as writable
	c.SetDeadline(timeout)
}

// connected finds out how the attempt has ended (connect(2): by SO_ERROR).
func (c *Conn) connected() {
	c.flags &^= connecting
	errno, err := unix.GetsockoptInt(int(c.fd), unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && errno != 0 {
		err = unix.Errno(errno)
	}
	if err != nil {
		c.Fail(ErrnoReason(err), os.NewSyscallError("connect", err))
		return
	}
	c.deadline = 0
	c.lastActive = c.sh.Now
	c.lastSent = c.sh.Now
	c.Fire(Connect{})
}
