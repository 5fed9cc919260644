package conn

import "golang.org/x/sys/unix"

var (
	tcpKeepIdle     = sockopt{"TCP_KEEPALIVE", unix.IPPROTO_TCP, unix.TCP_KEEPALIVE} // TCP_KEEPIDLE by another name
	tcpKeepInterval = sockopt{"TCP_KEEPINTVL", unix.IPPROTO_TCP, unix.TCP_KEEPINTVL}
	tcpKeepCount    = sockopt{"TCP_KEEPCNT", unix.IPPROTO_TCP, unix.TCP_KEEPCNT}
)

// soLinger takes seconds; SO_LINGER itself counts clock ticks here.
const soLinger = unix.SO_LINGER_SEC
