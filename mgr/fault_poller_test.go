package mgr

import (
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
)

// faultPoller is the poller of a faultKernel. It reports all that is ready in the order of the descriptors.
type faultPoller struct{ k *faultKernel }

func (faultPoller) String() string { return "fault" }
func (faultPoller) maxFD() int     { return 1 << 20 }
func (faultPoller) close() error   { return nil }

func (p faultPoller) set(fd int, was, want conn.Interest) error {
	k := p.k
	if k.watched[fd] != was {
		k.fail("set(%d, %d, %d), but it is watched for %d", fd, was, want, k.watched[fd])
	}
	op := []string{"epoll_ctl del", "epoll_ctl add", "epoll_ctl mod"}[faultSet(was, want)]
	if f := k.files[fd]; f != nil && f.racing && op == "epoll_ctl add" {
		op = "epoll_ctl add in a race"
	}
	if err := k.fault(op); err != nil {
		k.stuck[fd] = want == 0 // until a close makes the kernel forget it
		return err
	}
	if want == 0 {
		delete(k.watched, fd)
	} else {
		k.watched[fd] = want
	}
	return nil
}

func faultSet(was, want conn.Interest) int {
	switch {
	case want == 0:
		return 0
	case was == 0:
		return 1
	}
	return 2
}

func (k *faultKernel) readiness(f *faultFile) (got conn.Interest) {
	switch f.kind {
	case "listener":
		if len(f.backlog) > 0 {
			got = conn.In
		}
	case "event":
		if f.ready {
			got = conn.In
		}
	case "datagrams":
		if len(f.grams)+len(f.errors) > 0 {
			got = conn.In
		}
		if f.sent < faultGrams {
			got |= conn.Out
		}
	case "stream":
		if f.silent {
			return 0
		}
		if len(f.in) > 0 || f.fin || f.reset {
			got |= conn.In
		}
		if f.peer == nil || f.reset || f.peer.closed || len(f.peer.in) < faultRoom {
			got |= conn.Out
		}
	}
	return got
}

// errAsleep is what wait returns instead of sleeping for ever.
var errAsleep = os.ErrDeadlineExceeded

func (p faultPoller) wait(list []ready, timeout time.Duration) (int, error) {
	k := p.k
	k.waits++
	if err := k.fault("epoll_wait"); err != nil {
		if err == unix.EINTR {
			return 0, nil
		}
		return 0, err
	}
	for _, f := range k.next {
		f.sent = 0 // the network has taken it
	}
	for {
		if n := p.look(list); n > 0 {
			return n, nil
		}
		switch {
		case timeout == 0:
			return 0, nil
		case len(k.during) > 0: // the loop sleeps on, unless that wakes it
			f := k.during[0]
			k.during = k.during[1:]
			f()
		case len(k.tries) > 0 && (timeout < 0 || k.tries[0].at <= k.now+int64(timeout)):
			t := k.tries[0]
			k.tries = k.tries[1:]
			if timeout > 0 {
				timeout -= time.Duration(max(t.at-k.now, 0))
			}
			k.now = max(k.now, t.at)
			t.f()
		case timeout < 0:
			return 0, errAsleep
		default:
			k.now += int64(timeout)
			return 0, nil
		}
	}
}

// look lists what is ready now.
func (p faultPoller) look(list []ready) int {
	k, n := p.k, 0
	if k.watched[faultBell] != 0 && k.rings {
		list[n] = ready{fd: faultBell, got: conn.In}
		n++
	}
	for fd := faultBell + 1; fd < faultBell+100; fd++ {
		f, want := k.files[fd], k.watched[fd]
		if f == nil {
			continue
		}
		if got := k.readiness(f) & want; got != 0 {
			list[n] = ready{fd: int32(fd), got: got}
			n++
		}
	}
	return n
}
