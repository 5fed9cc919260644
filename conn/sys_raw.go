//go:build linux && !race && !386 && !s390x

package conn

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Socket is the Transport of stream sockets, which must be non-blocking. It belongs to one loop
// and serves all its sockets. No method allocates: errors are bare errnos, and the Go runtime has
// those below 256 boxed.
//
// Read, Write and Writev go to the kernel without a word to Go's scheduler, which saves more time
// than many a read takes. Nothing can block in them, so no other goroutine is kept waiting.
//
// MSG_NOSIGNAL turns the SIGPIPE of a broken connection into a mere EPIPE.
type Socket struct {
	iov [maxPieces]unix.Iovec
	msg unix.Msghdr
}

// Read receives into p, which must not be empty: 0 bytes mean the end of the stream.
func (s *Socket) Read(fd int, p []byte) (int, error) {
	n, _, errno := syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))),
		uintptr(len(p)), 0, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// Write sends p, or the beginning of it.
func (s *Socket) Write(fd int, p []byte) (int, error) {
	n, _, errno := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))),
		uintptr(len(p)), unix.MSG_NOSIGNAL, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// Writev sends the first pieces, 64 at most, or the beginning of them.
func (s *Socket) Writev(fd int, pieces [][]byte) (int, error) {
	k := 0
	for _, p := range pieces[:min(len(pieces), maxPieces)] {
		s.iov[k].Base = unsafe.SliceData(p)
		s.iov[k].SetLen(len(p))
		k++
	}
	s.msg.Iov = &s.iov[0]
	s.msg.SetIovlen(k)
	n, _, errno := syscall.RawSyscall6(unix.SYS_SENDMSG, uintptr(fd), uintptr(unsafe.Pointer(&s.msg)),
		unix.MSG_NOSIGNAL, 0, 0, 0)
	clear(s.iov[:k]) // or the pieces would stay in memory until the next Writev
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
