//go:build !linux

package conn

import (
	"fmt"
	"net"
	"strconv"
)

// zoneName returns the name of the interface with that index, or the number itself.
func zoneName(index uint32) string {
	ifi, err := net.InterfaceByIndex(int(index))
	if err != nil {
		return strconv.FormatUint(uint64(index), 10)
	}
	return ifi.Name
}

// zoneIndex returns the index of the interface named zone. A zone that is no name may be a number.
func zoneIndex(zone string) (uint32, error) {
	ifi, err := net.InterfaceByName(zone)
	if err == nil {
		return uint32(ifi.Index), nil
	}
	if n, bad := strconv.ParseUint(zone, 10, 32); bad == nil {
		return uint32(n), nil
	}
	return 0, fmt.Errorf("zone %q: %w", zone, err)
}
