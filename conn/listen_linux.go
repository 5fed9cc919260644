package conn

import (
	"os"

	"golang.org/x/sys/unix"
)

// abstractNames says whether unix://@name exists.
const abstractNames = true

// socket makes a socket of a type such as SOCK_STREAM, non-blocking and close-on-exec from the
// start.
func socket(family, kind int) (int, error) { return socketOf(family, kind, 0) }

// socketOf is socket for one of the protocols of that type.
func socketOf(family, kind, protocol int) (int, error) {
	fd, err := unix.Socket(family, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	return fd, nil
}
