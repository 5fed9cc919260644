//go:build linux && !race

package mgr

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// epollTry is epoll_wait that does not wait. It cannot block, so the scheduler need not be told of
// it, which saves more than a tenth of a microsecond each turn.
func epollTry(fd int, events []unix.EpollEvent) (int, error) {
	n, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(fd), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), 0, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
