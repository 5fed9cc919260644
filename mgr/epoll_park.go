//go:build linux

package mgr

import (
	"errors"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// parked waits for an epoll descriptor as a goroutine, not as a thread: the descriptor, which is
// readable while something in it is ready, stands in the epoll of Go's own runtime. A thread that
// blocks in epoll_wait keeps its processor until the runtime's monitor takes it away, up to 10 ms
// later. Where there are other processors the rest of the program goes on on those, and to block is
// cheaper; with GOMAXPROCS=1 it would stand still.
type parked struct {
	file *os.File
	raw  syscall.RawConn
	try  func(fd uintptr) bool

	events []unix.EpollEvent // of the wait that is going on
	n      int
	err    error
}

func newParked(fd int) (*parked, error) {
	if err := unix.SetNonblock(fd, true); err != nil { // what os.NewFile knows a descriptor to poll by
		return nil, os.NewSyscallError("fcntl", err)
	}
	p := &parked{file: os.NewFile(uintptr(fd), "epoll")}
	raw, err := p.file.SyscallConn()
	if err != nil {
		return nil, err
	}
	p.raw = raw
	p.try = func(fd uintptr) bool {
		p.n, p.err = epollTry(int(fd), p.events)
		return p.n > 0 || p.err != nil
	}
	return p, nil
}

// wait is epoll_wait. A negative timeout is for ever.
func (p *parked) wait(events []unix.EpollEvent, timeout time.Duration) (int, error) {
	var deadline time.Time
	if timeout >= 0 {
		deadline = time.Now().Add(timeout)
	}
	if err := p.file.SetReadDeadline(deadline); err != nil {
		return 0, err
	}
	p.events, p.n, p.err = events, 0, nil
	err := p.raw.Read(p.try)
	p.events = nil
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return 0, nil
	case err != nil:
		return 0, err
	}
	return p.n, p.err
}
