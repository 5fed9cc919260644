//go:build !linux

package conn

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// The options of Linux alone. Others do have a TCP_FASTOPEN, but as a switch, and some only after
// listen.
var (
	tcpDeferAccept = sockopt{"TCP_DEFER_ACCEPT", unix.IPPROTO_TCP, unknown}
	tcpFastOpen    = sockopt{"TCP_FASTOPEN", unix.IPPROTO_TCP, unknown}
	tcpUserTimeout = sockopt{"TCP_USER_TIMEOUT", unix.IPPROTO_TCP, unknown}
	tcpNotSent     = sockopt{"TCP_NOTSENT_LOWAT", unix.IPPROTO_TCP, unknown}
	soIncomingCPU  = sockopt{"SO_INCOMING_CPU", unix.SOL_SOCKET, unknown}
	soMark         = sockopt{"SO_MARK", unix.SOL_SOCKET, unknown}
)

// SCTP has the same number in every IP packet (RFC 9260).
const (
	protoMPTCP = unknown
	protoSCTP  = 132
)

func bindToDevice(int, string) error { return unix.ENOPROTOOPT }

// SetAccepted gives fd, just accepted by a listener at a, the options of connections: which of them
// are inherited from the listener differs between the BSDs. After an error fd should be closed; the
// peer may have reset it already.
func SetAccepted(fd int, a Addr, o *SocketOptions) error {
	if err := o.setConnection(fd, a.Network); err != nil {
		return fmt.Errorf("conn: accepted on %s: %w", a, err)
	}
	return nil
}
