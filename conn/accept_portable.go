//go:build linux && (race || 386 || s390x)

package conn

import "golang.org/x/sys/unix"

// AcceptFD takes a connection from the listening socket lfd, non-blocking and close-on-exec. Its
// errors are bare errnos: EAGAIN when no connection waits; EINTR and ECONNABORTED, after which the
// next one may be there; EMFILE and ENFILE, after which the same one still waits. SetAccepted comes
// next.
func AcceptFD(lfd int) (int, Peer, error) {
	fd, sa, err := unix.Accept4(lfd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	if err != nil {
		return -1, Peer{}, err
	}
	return fd, peerOf(sa), nil
}
