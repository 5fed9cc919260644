package conn

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// zoneName returns the name of the interface with that index, or the number itself.
func zoneName(index uint32) string {
	var ifr unix.Ifreq
	ifr.SetUint32(index)
	if err := ifreq(unix.SIOCGIFNAME, &ifr); err != nil {
		return strconv.FormatUint(uint64(index), 10)
	}
	return ifr.Name()
}

// zoneIndex returns the index of the interface named zone. A zone that is no name may be a number.
func zoneIndex(zone string) (uint32, error) {
	ifr, err := unix.NewIfreq(zone)
	if err == nil {
		if err = ifreq(unix.SIOCGIFINDEX, ifr); err == nil {
			return ifr.Uint32(), nil
		}
	}
	if n, bad := strconv.ParseUint(zone, 10, 32); bad == nil {
		return uint32(n), nil
	}
	return 0, fmt.Errorf("zone %q: %w", zone, os.NewSyscallError("ioctl SIOCGIFINDEX", err))
}

// ifreq makes an interface request, which any socket takes. Package net knows the same, but a
// program pays a megabyte for it.
func ifreq(req uint, ifr *unix.Ifreq) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.IoctlIfreq(fd, req, ifr)
}
