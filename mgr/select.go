package mgr

import (
	"fmt"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
)

// fdSetSize is FD_SETSIZE: the kernel's bit sets end there, and a larger descriptor would write
// past them.
const fdSetSize = unix.FD_SETSIZE

type sel struct {
	in, out unix.FdSet
	pri     unix.FdSet
	pris    int // descriptors in pri
	max     int // the largest descriptor watched, -1 when there is none
	watched [fdSetSize]conn.Interest
	from    int // where the next wait starts to look, so that a full ready list is fair
}

func newSelect() (poller, error) { return &sel{max: -1}, nil }

func (p *sel) String() string { return "select" }
func (p *sel) maxFD() int     { return fdSetSize - 1 }
func (p *sel) close() error   { return nil }

func (p *sel) set(fd int, was, want conn.Interest) error {
	if fd >= fdSetSize {
		return fmt.Errorf("select: descriptor %d is not below FD_SETSIZE (%d)", fd, fdSetSize)
	}
	if was != p.watched[fd] {
		return fmt.Errorf("select: descriptor %d is watched for %d, not %d", fd, p.watched[fd], was)
	}
	p.pris += bit(want&conn.Pri) - bit(was&conn.Pri)
	p.watched[fd] = want
	mark(&p.in, fd, want&conn.In != 0)
	mark(&p.out, fd, want&conn.Out != 0)
	mark(&p.pri, fd, want&conn.Pri != 0)
	if want != 0 {
		p.max = max(p.max, fd)
	}
	for p.max >= 0 && p.watched[p.max] == 0 {
		p.max--
	}
	return nil
}

func bit(i conn.Interest) int {
	if i != 0 {
		return 1
	}
	return 0
}

func mark(s *unix.FdSet, fd int, on bool) {
	if on {
		s.Set(fd)
	} else {
		s.Clear(fd)
	}
}

func (p *sel) wait(out []ready, timeout time.Duration) (int, error) {
	var tv *unix.Timeval
	if timeout >= 0 {
		t := unix.NsecToTimeval(int64(millis(timeout)) * int64(time.Millisecond))
		tv = &t
	}
	if timeout != 0 {
		runtime.Gosched() // as in epoll: a call that waits keeps the processor from the goroutines that would end the wait
	}
	in, w, pri := p.in, p.out, (*unix.FdSet)(nil)
	if p.pris > 0 {
		all := p.pri
		pri = &all
	}
	n, err := unix.Select(p.max+1, &in, &w, pri, tv)
	if err == unix.EINTR {
		return 0, nil
	}
	if err == unix.EBADF {
		return p.bad(out), nil
	}
	if err != nil {
		return 0, os.NewSyscallError("select", err)
	}
	if n == 0 {
		return 0, nil
	}
	return p.collect(out, &in, &w, pri), nil
}

// collect writes the descriptors of in, out and pri, which may be nil, to ready, beginning after the last one of the turn
// before.
func (p *sel) collect(list []ready, in, out, pri *unix.FdSet) int {
	n := 0
	if p.from > p.max {
		p.from = 0
	}
	for i, fd := 0, p.from; i <= p.max && n < len(list); i++ {
		var got conn.Interest
		if p.watched[fd] != 0 {
			if in.IsSet(fd) {
				got |= conn.In
			}
			if out.IsSet(fd) {
				got |= conn.Out
			}
			if pri != nil && pri.IsSet(fd) {
				got |= conn.Pri
			}
		}
		if got != 0 {
			list[n] = ready{fd: int32(fd), got: got}
			n++
		}
		if fd++; fd > p.max {
			fd = 0
		}
		p.from = fd
	}
	return n
}

// bad lists the watched descriptors that are closed. Somebody else has done that, and select does
// not say which: without this search one such descriptor would end the loop.
func (p *sel) bad(list []ready) int {
	n := 0
	for fd := 0; fd <= p.max && n < len(list); fd++ {
		if p.watched[fd] == 0 {
			continue
		}
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == unix.EBADF {
			list[n] = ready{fd: int32(fd), closed: true}
			n++
		}
	}
	return n
}
