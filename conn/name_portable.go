//go:build !linux || race || 386 || s390x

package conn

import "golang.org/x/sys/unix"

// nameOf returns the address that fd is bound to, or, with peer, connected to; the zero Peer if
// there is none.
func nameOf(fd int, peer bool) Peer {
	ask := unix.Getsockname
	if peer {
		ask = unix.Getpeername
	}
	sa, err := ask(fd)
	if err != nil {
		return Peer{}
	}
	return peerOf(sa)
}
