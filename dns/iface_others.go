//go:build !linux

package dns

import "errors"

func interfaces() ([]Interface, error) {
	return nil, errors.New("dns: multicast: name the interfaces in MulticastOptions.Interfaces on this system")
}
