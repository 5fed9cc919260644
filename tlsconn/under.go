package tlsconn

import (
	"net"
	"syscall"
	"time"
)

// An under is a layer as crypto/tls sees it: the net.Conn beneath. Read gives the record at hand,
// or EAGAIN. Only a bare syscall.Errno will do for that: crypto/tls asks the error itself whether
// it is temporary, and keeps any other for ever. Write never fails, because crypto/tls would keep
// that error too.
type under layer

// Read gives what is left of the record at hand.
func (u *under) Read(p []byte) (int, error) {
	if h := u.hs; h != nil {
		return h.read(p)
	}
	b := u.feed.buf
	if b == nil || len(b.in) == 0 {
		return 0, syscall.EAGAIN
	}
	n := copy(p, b.in)
	b.in = b.in[n:]
	return n, nil
}

// Write collects what goes to the peer.
func (u *under) Write(p []byte) (int, error) {
	if h := u.hs; h != nil {
		h.out = append(h.out, p...)
		return len(p), nil
	}
	if u.flags&reading != 0 {
		u.flags |= replied
	}
	u.unsent = append(u.unsent, p...)
	return len(p), nil
}

// Close does nothing: the descriptor belongs to the loop.
func (u *under) Close() error { return nil }

// LocalAddr returns the address of this side, for GetCertificate and its like.
func (u *under) LocalAddr() net.Addr {
	if h := u.hs; h != nil {
		return h.local
	}
	return net.TCPAddrFromAddrPort(u.c.LocalAddr())
}

// RemoteAddr returns the address of the peer.
func (u *under) RemoteAddr() net.Addr {
	if h := u.hs; h != nil {
		return h.remote
	}
	return net.TCPAddrFromAddrPort(u.c.RemoteAddr())
}

// SetDeadline does nothing: the loop has the timeouts.
func (u *under) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing.
func (u *under) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing. crypto/tls calls it for close_notify.
func (u *under) SetWriteDeadline(time.Time) error { return nil }
