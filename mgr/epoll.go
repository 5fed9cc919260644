//go:build linux

package mgr

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
)

const haveEpoll = true

type epoll struct {
	fd     int
	events []unix.EpollEvent
	busy   bool // the last wait found something
}

func newEpoll() (poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("mgr: %w", os.NewSyscallError("epoll_create1", err))
	}
	return &epoll{fd: fd}, nil
}

func (p *epoll) String() string { return "epoll" }
func (p *epoll) maxFD() int     { return math.MaxInt32 }
func (p *epoll) close() error   { return os.NewSyscallError("close", unix.Close(p.fd)) }

func (p *epoll) set(fd int, was, want conn.Interest) error {
	op := unix.EPOLL_CTL_MOD
	switch {
	case was == want:
		return nil
	case was == 0:
		op = unix.EPOLL_CTL_ADD
	case want == 0:
		op = unix.EPOLL_CTL_DEL
	}
	ev := unix.EpollEvent{Fd: int32(fd)}
	if want&conn.In != 0 {
		ev.Events |= unix.EPOLLIN
	}
	if want&conn.Out != 0 {
		ev.Events |= unix.EPOLLOUT
	}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(p.fd, op, fd, &ev))
}

func (p *epoll) wait(out []ready, timeout time.Duration) (int, error) {
	if len(p.events) < len(out) {
		p.events = make([]unix.EpollEvent, len(out))
	}
	n, err := 0, error(nil)
	if p.busy || timeout == 0 {
		n, err = epollTry(p.fd, p.events[:len(out)])
	}
	if n == 0 && timeout != 0 {
		// The call that follows holds on to the processor until the runtime's monitor takes it away, which can take
		// milliseconds: let the goroutines that are ready run first.
		runtime.Gosched()
		n, err = unix.EpollWait(p.fd, p.events[:len(out)], millis(timeout))
	}
	if err == unix.EINTR {
		n, err = 0, nil
	}
	if err != nil {
		return 0, os.NewSyscallError("epoll_wait", err)
	}
	p.busy = n > 0
	for i, ev := range p.events[:n] {
		var got conn.Interest
		if ev.Events&unix.EPOLLIN != 0 {
			got |= conn.In
		}
		if ev.Events&unix.EPOLLOUT != 0 {
			got |= conn.Out
		}
		if ev.Events&(unix.EPOLLERR|unix.EPOLLHUP) != 0 {
			got |= conn.In | conn.Out
		}
		out[i] = ready{fd: ev.Fd, got: got}
	}
	return n, nil
}
