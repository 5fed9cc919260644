//go:build linux && !race && !386 && !s390x

package conn

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// AcceptFD takes a connection from the listening socket lfd, non-blocking and close-on-exec. It
// allocates nothing. Its errors are bare errnos: EAGAIN when no connection waits; EINTR and
// ECONNABORTED, after which the next one may be there; EMFILE and ENFILE, after which the same one
// still waits. SetAccepted comes next.
//
// The call goes to the kernel without a word to Go's scheduler: the descriptor is non-blocking, so
// nothing is waited for.
func AcceptFD(lfd int) (int, Peer, error) {
	var sa unix.RawSockaddrInet6 // of other families only the beginning is needed, and the kernel cuts off the rest
	size := uint32(unix.SizeofSockaddrInet6)
	fd, _, errno := syscall.RawSyscall6(unix.SYS_ACCEPT4, uintptr(lfd), uintptr(unsafe.Pointer(&sa)),
		uintptr(unsafe.Pointer(&size)), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
	if errno != 0 {
		return -1, Peer{}, errno
	}
	return int(fd), peerOfRaw(&sa), nil
}
