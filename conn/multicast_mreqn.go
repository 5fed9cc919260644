//go:build linux || darwin || freebsd

package conn

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

func setGroup4(fd, opt int, group [4]byte, ifIndex int) error {
	return unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, opt, &unix.IPMreqn{Multiaddr: group, Ifindex: int32(ifIndex)})
}

func setInterface4(fd, ifIndex int) error {
	err := unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_IF, &unix.IPMreqn{Ifindex: int32(ifIndex)})
	if err != nil {
		return fmt.Errorf("set IP_MULTICAST_IF: %w", os.NewSyscallError("setsockopt", err))
	}
	return nil
}
