package conn

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Dial begins to connect to a, and returns a descriptor on which that is going on or done:
// BeginConnecting tells a Conn so. With again the listener of a unix socket has a full backlog: the
// loop calls BeginWaiting instead, and Redial after a moment. Only the options of connections in o
// count. A socket of datagrams is connected when Dial returns; one of unixgram:// is bound to a
// name that the kernel chooses, on Linux, so that the peer can reply.
func Dial(a Addr, o SocketOptions) (fd int, again bool, err error) {
	if a.Datagrams() {
		fd, err = DialDatagrams(a, o)
		return fd, false, err
	}
	return DialStream(a, o)
}

// DialStream is Dial without udp:// and unixgram://, whose code it leaves out of the program.
func DialStream(a Addr, o SocketOptions) (fd int, again bool, err error) {
	fd, again, err = dial(a, &o)
	if err != nil {
		return -1, false, fmt.Errorf("conn: connect %s: %w", a, err)
	}
	return fd, again, nil
}

// Redial tries once more to connect fd, for which Dial said again, to a.
func Redial(fd int, a Addr) (again bool, err error) {
	return connect(fd, &unix.SockaddrUnix{Name: a.Path})
}

// peer returns a as an address to connect to, and its family.
func (a Addr) peer() (family int, sa unix.Sockaddr, err error) {
	switch {
	case a.local() && a.Path == "":
		return 0, nil, errors.New("no path")
	case a.local():
		return unix.AF_UNIX, &unix.SockaddrUnix{Name: a.Path}, nil
	case a.AnyStack || !a.AddrPort.IsValid():
		return 0, nil, errors.New("no host")
	}
	sa, err = sockaddr(a.AddrPort)
	if a.AddrPort.Addr().Is6() {
		return unix.AF_INET6, sa, err
	}
	return unix.AF_INET, sa, err
}

func dial(a Addr, o *SocketOptions) (_ int, again bool, err error) {
	family, sa, err := a.peer()
	if err != nil {
		return -1, false, err
	}
	if a.Datagrams() {
		return -1, false, errors.New("not an address of streams")
	}
	fd, err := o.streamSocket(family, a.Network)
	if err != nil {
		return -1, false, err
	}
	if err = o.setConnection(fd, a.Network); err == nil {
		again, err = connect(fd, sa)
	}
	if err != nil {
		unix.Close(fd)
		return -1, false, err
	}
	return fd, again, nil
}

// connect is connect(2). It says again when a listening unix socket has no room in its backlog:
// EAGAIN on Linux, while the BSDs say ECONNREFUSED, as they do when no program listens. (For TCP,
// EAGAIN means that no local port is free.)
func connect(fd int, sa unix.Sockaddr) (again bool, err error) {
	err = unix.Connect(fd, sa)
	switch _, local := sa.(*unix.SockaddrUnix); {
	case err == unix.EINPROGRESS, err == unix.EINTR: // the attempt goes on in the background
		return false, nil
	case err == unix.EAGAIN && local:
		return true, nil
	}
	return false, os.NewSyscallError("connect", err)
}

var (
	errConnect = errors.New("the peer did not answer the attempt to connect in time")
	errSelf    = fmt.Errorf("the socket was connected to itself: %w", os.NewSyscallError("connect", unix.ECONNREFUSED))
)

// connected finds out how the attempt has ended (connect(2): by SO_ERROR).
func (c *Conn) connected() {
	c.flags &^= connecting
	if err := ConnectOutcome(c.below(), int(c.fd), c.remote); err != nil {
		c.fail(ErrnoReason(err), err)
		return
	}
	c.stands()
}

// stands is what follows an attempt that has succeeded.
func (c *Conn) stands() {
	c.deadline = 0
	c.lastActive = c.sh.Now
	c.lastSent = c.sh.Now
	if c.flags&securing != 0 {
		c.rare.connectDue = true
		c.beginHandshake()
		return
	}
	c.fire(&Connect{})
}

// toItself reports whether the socket fd, connected to peer, is its own peer. If no program listens
// on a port of this machine, and the kernel chooses that same port for the client, TCP takes the
// two for a simultaneous open (RFC 9293 §3.5) and the attempt succeeds.
func toItself(fd int, peer Peer) bool {
	if peer.kind != peerIP {
		return false
	}
	local := LocalAddr(fd)
	return local.Port() == peer.port && local == RemotePeer(fd).AddrPort()
}

// A connecter is a Transport with connections of its own, which are no sockets of the kernel.
type connecter interface {
	ConnectOutcome(fd int, peer Peer) error
}

// ConnectOutcome returns why the attempt to connect fd to peer, which is over, has failed; nil if
// it has not. It is for the loop: an attempt that is no connection yet has no other way to tell. tr
// is the Transport that the connection will have.
func ConnectOutcome(tr Transport, fd int, peer Peer) error {
	if t, ok := tr.(connecter); ok {
		return t.ConnectOutcome(fd, peer)
	}
	errno, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return os.NewSyscallError("getsockopt", err)
	}
	if errno != 0 {
		return os.NewSyscallError("connect", unix.Errno(errno))
	}
	if toItself(fd, peer) {
		// A reset leaves no TIME_WAIT on the port, which a server may be about to bind to.
		setLinger(fd, Linger{On: true})
		return errSelf
	}
	return nil
}
