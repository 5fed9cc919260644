//go:build linux && (ppc64 || ppc64le)

package serial

import "golang.org/x/sys/unix"

// PowerPC's only struct has the speeds.
const getOdd, setOdd = unix.TCGETS, unix.TCSETS
