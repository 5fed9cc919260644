//go:build !linux && !darwin && !freebsd

package conn

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// These systems name an interface by an IPv4 address of it, which we would have to look up.
var errInterface4 = fmt.Errorf("an interface for IPv4 multicast: not known here: %w", errors.ErrUnsupported)

func setGroup4(fd, opt int, group [4]byte, ifIndex int) error {
	if ifIndex != 0 {
		return errInterface4
	}
	return unix.SetsockoptIPMreq(fd, unix.IPPROTO_IP, opt, &unix.IPMreq{Multiaddr: group})
}

func setInterface4(fd, ifIndex int) error {
	if ifIndex != 0 {
		return errInterface4
	}
	return nil
}
