package conn

import (
	"os"

	"golang.org/x/sys/unix"
)

// abstractNames says whether unix://@name exists.
const abstractNames = true

// socket makes a stream socket, non-blocking and close-on-exec from the start.
func socket(family int) (int, error) {
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	return fd, nil
}
