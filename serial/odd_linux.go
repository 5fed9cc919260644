//go:build linux && !ppc64 && !ppc64le

package serial

import "golang.org/x/sys/unix"

// The ioctls of the struct with speeds, termios2.
const getOdd, setOdd = unix.TCGETS2, unix.TCSETS2
