package main

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// recv and send are for non-blocking sockets: the calls cannot wait, so Go's scheduler need not be
// told of them, which would cost as much as the rest of the load's own work.

func recv(fd int, p []byte) (int, error) {
	return transfer(unix.SYS_RECVFROM, fd, p, 0)
}

func send(fd int, p []byte) (int, error) {
	return transfer(unix.SYS_SENDTO, fd, p, unix.MSG_NOSIGNAL)
}

func transfer(call uintptr, fd int, p []byte, flags uintptr) (int, error) {
	n, _, errno := unix.RawSyscall6(call, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), flags, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
