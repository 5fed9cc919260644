package mgr

import (
	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
)

// sockets are the system calls that make descriptors for a Manager. With the poller, the doorbell
// and conn.Transport they are all that a Manager asks of the kernel once it runs, so a test can
// make each of them fail.
type sockets interface {
	listen(a conn.Addr, o conn.SocketOptions) (fd int, err error) // for streams
	listenDatagrams(a conn.Addr, o conn.SocketOptions) (fd int, err error)
	listenMany(a conn.Addr, o conn.SocketOptions, n int) (fds []int, err error)
	dup(fd int) (int, error)
	dial(a conn.Addr, o conn.SocketOptions) (fd int, again bool, err error) // a stream
	dialDatagrams(a conn.Addr, o conn.SocketOptions) (fd int, err error)
	redial(fd int, a conn.Addr) (again bool, err error)
	decided(fd int) bool                                                // an attempt to connect is over, one way or the other
	describe(fd int, o *conn.SocketOptions) (conn.DatagramSetup, error) // a datagram socket
	accept(lfd int) (fd int, peer conn.Peer, err error)
	setAccepted(fd int, a conn.Addr, o *conn.SocketOptions) error
	openReserve() (fd int, err error)
	closeReserve(fd int)
}

// kernel is the sockets of every Manager but those of tests.
type kernel struct{}

func (kernel) dup(fd int) (int, error)                  { return conn.Dup(fd) }
func (kernel) redial(fd int, a conn.Addr) (bool, error) { return conn.Redial(fd, a) }
func (kernel) decided(fd int) bool                      { return conn.CanWrite(fd) }
func (kernel) accept(lfd int) (int, conn.Peer, error)   { return conn.AcceptFD(lfd) }
func (kernel) closeReserve(fd int)                      { unix.Close(fd) }

func (kernel) listen(a conn.Addr, o conn.SocketOptions) (int, error) {
	return conn.ListenStream(a, o)
}

func (kernel) listenDatagrams(a conn.Addr, o conn.SocketOptions) (int, error) {
	return conn.ListenDatagrams(a, o)
}

func (kernel) dial(a conn.Addr, o conn.SocketOptions) (int, bool, error) {
	return conn.DialStream(a, o)
}

func (kernel) dialDatagrams(a conn.Addr, o conn.SocketOptions) (int, error) {
	return conn.DialDatagrams(a, o)
}

func (kernel) describe(fd int, o *conn.SocketOptions) (conn.DatagramSetup, error) {
	return conn.SetDatagram(fd, o)
}

func (kernel) listenMany(a conn.Addr, o conn.SocketOptions, n int) ([]int, error) {
	return conn.ListenMany(a, o, n)
}

func (kernel) setAccepted(fd int, a conn.Addr, o *conn.SocketOptions) error {
	return conn.SetAccepted(fd, a, o)
}

func (kernel) openReserve() (int, error) {
	return unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
}
