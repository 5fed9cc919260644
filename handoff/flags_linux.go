package handoff

import "golang.org/x/sys/unix"

const (
	cmsgCloexec = unix.MSG_CMSG_CLOEXEC
	msgNoSignal = unix.MSG_NOSIGNAL
)
