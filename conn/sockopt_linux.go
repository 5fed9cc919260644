package conn

import "golang.org/x/sys/unix"

// The options that not all platforms have.
var (
	tcpKeepIdle     = sockopt{"TCP_KEEPIDLE", unix.IPPROTO_TCP, unix.TCP_KEEPIDLE}
	tcpKeepInterval = sockopt{"TCP_KEEPINTVL", unix.IPPROTO_TCP, unix.TCP_KEEPINTVL}
	tcpKeepCount    = sockopt{"TCP_KEEPCNT", unix.IPPROTO_TCP, unix.TCP_KEEPCNT}
	tcpDeferAccept  = sockopt{"TCP_DEFER_ACCEPT", unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT}
	tcpFastOpen     = sockopt{"TCP_FASTOPEN", unix.IPPROTO_TCP, unix.TCP_FASTOPEN}
	tcpUserTimeout  = sockopt{"TCP_USER_TIMEOUT", unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT}
	tcpNotSent      = sockopt{"TCP_NOTSENT_LOWAT", unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT}
	soIncomingCPU   = sockopt{"SO_INCOMING_CPU", unix.SOL_SOCKET, unix.SO_INCOMING_CPU}
	soMark          = sockopt{"SO_MARK", unix.SOL_SOCKET, unix.SO_MARK}
)

const (
	protoMPTCP = unix.IPPROTO_MPTCP
	protoSCTP  = unix.IPPROTO_SCTP
)

func bindToDevice(fd int, name string) error { return unix.BindToDevice(fd, name) }

// soLinger takes seconds.
const soLinger = unix.SO_LINGER

// SetAccepted gives fd, just accepted by a listener at a, the options of connections. On Linux it
// has nothing to do: the kernel makes the new socket a copy of the listener, on which Listen has
// set them, and that saves a system call or more for each connection.
func SetAccepted(fd int, a Addr, o *SocketOptions) error { return nil }
