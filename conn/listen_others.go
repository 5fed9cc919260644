//go:build !linux

package conn

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// abstractNames says whether unix://@name exists.
const abstractNames = false

// socket makes a socket of a type such as SOCK_STREAM, non-blocking and close-on-exec. Darwin has
// no flags for that, and the fcntl path works on the BSDs as well. ForkLock keeps a program started
// by another goroutine from inheriting the descriptor in between.
func socket(family, kind int) (int, error) { return socketOf(family, kind, 0) }

// socketOf is socket for one of the protocols of that type.
func socketOf(family, kind, protocol int) (int, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	fd, err := unix.Socket(family, kind, protocol)
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
