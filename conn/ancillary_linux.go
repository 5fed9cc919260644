package conn

import (
	"encoding/binary"
	"os"

	"golang.org/x/sys/unix"
)

const (
	cmsgCloexec = unix.MSG_CMSG_CLOEXEC
	msgNoSignal = unix.MSG_NOSIGNAL
)

// closeOnExec has nothing to do: recvmsg has made the descriptor so.
func closeOnExec(int) {}

func passCredentials(fd int, on bool) error {
	return os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PASSCRED, oneIf(on)))
}

func isCredentials(kind int32, data []byte) bool {
	return kind == unix.SCM_CREDENTIALS && len(data) >= unix.SizeofUcred
}

// credentials reads a struct ucred.
func credentials(data []byte) Credentials {
	field := func(i int) int { return int(int32(binary.NativeEndian.Uint32(data[4*i:]))) }
	return Credentials{PID: field(0), UID: field(1), GID: field(2)}
}

// PeerCredentials is Kernel.PeerCredentials for a descriptor.
func PeerCredentials(fd int) (Credentials, error) {
	u, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return Credentials{}, os.NewSyscallError("getsockopt", err)
	}
	return Credentials{PID: int(u.Pid), UID: int(u.Uid), GID: int(u.Gid)}, nil
}
