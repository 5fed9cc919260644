//go:build !linux && !darwin && !freebsd

package conn

import (
	"errors"
	"fmt"
	"runtime"
)

// PeerCredentials is Kernel.PeerCredentials for a descriptor.
func PeerCredentials(int) (Credentials, error) {
	return Credentials{}, fmt.Errorf("peer credentials: not known on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}
