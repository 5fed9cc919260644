//go:build freebsd || netbsd || dragonfly

package conn

import "golang.org/x/sys/unix"

var (
	tcpKeepIdle     = sockopt{"TCP_KEEPIDLE", unix.IPPROTO_TCP, unix.TCP_KEEPIDLE}
	tcpKeepInterval = sockopt{"TCP_KEEPINTVL", unix.IPPROTO_TCP, unix.TCP_KEEPINTVL}
	tcpKeepCount    = sockopt{"TCP_KEEPCNT", unix.IPPROTO_TCP, unix.TCP_KEEPCNT}
)

// soLinger takes seconds.
const soLinger = unix.SO_LINGER
