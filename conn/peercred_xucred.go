//go:build darwin || freebsd

package conn

import (
	"os"

	"golang.org/x/sys/unix"
)

// PeerCredentials is Kernel.PeerCredentials for a descriptor.
func PeerCredentials(fd int) (Credentials, error) {
	x, err := unix.GetsockoptXucred(fd, 0, unix.LOCAL_PEERCRED) // 0 is SOL_LOCAL
	if err != nil {
		return Credentials{}, os.NewSyscallError("getsockopt", err)
	}
	return Credentials{UID: int(x.Uid), GID: int(x.Groups[0])}, nil
}
