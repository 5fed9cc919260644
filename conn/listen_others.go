//go:build !linux

package conn

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// abstractNames says whether unix://@name exists.
const abstractNames = false

// socket makes a stream socket, non-blocking and close-on-exec. Darwin has no flags for that, and the fcntl path works on
// the BSDs as well. ForkLock keeps a program started by another goroutine from inheriting the descriptor in between.
func socket(family int) (int, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	fd, err := unix.Socket(family, unix.SOCK_STREAM, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	unix.CloseOnExec(fd)
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return -1, os.NewSyscallError("fcntl", err)
	}
	return fd, nil
}
