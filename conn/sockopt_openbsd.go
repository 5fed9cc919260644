package conn

import "golang.org/x/sys/unix"

// OpenBSD has one set of keep-alive times for the whole system (sysctl net.inet.tcp).
var (
	tcpKeepIdle     = sockopt{"TCP_KEEPIDLE", unix.IPPROTO_TCP, unknown}
	tcpKeepInterval = sockopt{"TCP_KEEPINTVL", unix.IPPROTO_TCP, unknown}
	tcpKeepCount    = sockopt{"TCP_KEEPCNT", unix.IPPROTO_TCP, unknown}
)

// soLinger takes seconds.
const soLinger = unix.SO_LINGER
