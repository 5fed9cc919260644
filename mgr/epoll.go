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
	busy   bool    // the last wait found something
	parked *parked // nil when a wait blocks its thread
}

func newEpoll() (poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("mgr: %w", os.NewSyscallError("epoll_create1", err))
	}
	p := &epoll{fd: fd}
	if runtime.GOMAXPROCS(0) == 1 {
		if p.parked, err = newParked(fd); err != nil {
			unix.Close(fd)
			return nil, fmt.Errorf("mgr: epoll: %w", err)
		}
	}
	return p, nil
}

func (p *epoll) String() string { return "epoll" }
func (p *epoll) maxFD() int     { return math.MaxInt32 }

func (p *epoll) close() error {
	if p.parked != nil {
		return p.parked.file.Close()
	}
	return os.NewSyscallError("close", unix.Close(p.fd))
}

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
	if want&conn.Pri != 0 {
		ev.Events |= unix.EPOLLPRI
	}
	if want&alone != 0 {
		ev.Events |= unix.EPOLLEXCLUSIVE
	}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(p.fd, op, fd, &ev))
}

// exclusive says that set knows alone. A descriptor that is watched so can only be added and
// deleted: Linux refuses EPOLL_CTL_MOD.
func (p *epoll) exclusive() {}

func (p *epoll) wait(out []ready, timeout time.Duration) (int, error) {
	if len(p.events) < len(out) {
		p.events = make([]unix.EpollEvent, len(out))
	}
	n, err := 0, error(nil)
	if p.busy || timeout == 0 {
		n, err = epollTry(p.fd, p.events[:len(out)])
	}
	if n == 0 && err == nil && timeout != 0 {
		n, err = p.block(p.events[:len(out)], timeout)
	}
	if err == unix.EINTR {
		n, err = 0, nil
	}
	if err != nil {
		return 0, os.NewSyscallError("epoll_wait", err)
	}
	p.busy = n > 0
	return translate(out, p.events[:n]), nil
}

// block waits until something is ready.
func (p *epoll) block(events []unix.EpollEvent, timeout time.Duration) (int, error) {
	// A call that waits holds on to the processor until the runtime's monitor takes it away, which
	// can take milliseconds, and a parked goroutine is not looked for while others run: let those
	// that are ready run first, and what they send ends the wait before it begins.
	runtime.Gosched()
	if p.parked != nil {
		return p.parked.wait(events, timeout)
	}
	return unix.EpollWait(p.fd, events, millis(timeout))
}

// translate writes what epoll reports to out.
func translate(out []ready, events []unix.EpollEvent) int {
	for i, ev := range events {
		var got conn.Interest
		if ev.Events&unix.EPOLLIN != 0 {
			got |= conn.In
		}
		if ev.Events&unix.EPOLLOUT != 0 {
			got |= conn.Out
		}
		if ev.Events&unix.EPOLLPRI != 0 {
			got |= conn.Pri
		}
		if ev.Events&(unix.EPOLLERR|unix.EPOLLHUP) != 0 {
			got |= conn.In | conn.Out
		}
		out[i] = ready{fd: ev.Fd, got: got}
	}
	return len(events)
}
