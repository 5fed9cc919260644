//go:build !linux

package conn

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// AcceptFD takes a connection from the listening socket lfd, non-blocking and close-on-exec. Its
// errors are bare errnos: EAGAIN when no connection waits; EINTR and ECONNABORTED, after which the
// next one may be there; EMFILE and ENFILE, after which the same one still waits. SetAccepted comes
// next.
func AcceptFD(lfd int) (int, Peer, error) {
	syscall.ForkLock.RLock() // see socket
	defer syscall.ForkLock.RUnlock()
	fd, sa, err := unix.Accept(lfd)
	if err != nil {
		return -1, Peer{}, err
	}
	unix.CloseOnExec(fd)
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return -1, Peer{}, err
	}
	return fd, peerOf(sa), nil
}
