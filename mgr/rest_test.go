package mgr

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
)

// flaky are the sockets of the kernel, but accept fails first with the errors given.
type flaky struct {
	kernel
	errs  []error
	tries int
}

func (f *flaky) accept(lfd int) (int, conn.Peer, error) {
	f.tries++
	if len(f.errs) > 0 {
		err := f.errs[0]
		f.errs = f.errs[1:]
		return -1, conn.Peer{}, err
	}
	return f.kernel.accept(lfd)
}

// notes is a logger.
type notes struct{ lines []string }

func (n *notes) Warn(msg string, args ...any) {
	n.lines = append(n.lines, fmt.Sprintln(append([]any{"warn", msg}, args...)...))
}

func (n *notes) Error(msg string, args ...any) {
	n.lines = append(n.lines, fmt.Sprintln(append([]any{"error", msg}, args...)...))
}

func (n *notes) String() string { return strings.Join(n.lines, "") }

func echoes(c *conn.Conn, ev conn.Event) {
	if _, ok := ev.(*conn.Read); ok {
		c.Write(c.Recv.Bytes())
		c.Recv.Discard(c.Recv.Len())
	}
}

func TestAListenerSurvivesEachErrorThatPassesAndTurnsNobodyAway(t *testing.T) {
	for _, errno := range []unix.Errno{unix.EOPNOTSUPP, unix.EPROTO, unix.EIO, unix.ENOSYS, unix.ENOMEM, unix.ENOBUFS, enonet} {
		t.Run(unix.ErrnoName(errno), func(t *testing.T) {
			underEach(t, func(t *testing.T, p Poller) {
				l := newLate(t, p, echoes, ListenOptions{})
				l.sockets = &flaky{errs: []error{errno}}
				peer := l.dial()
				io.WriteString(peer, "x")
				l.until(func() bool { return l.stats.AcceptErrors == 1 })
				l.turn(restTime)
				l.until(func() bool { return l.stats.Accepts == 1 && l.sh.Stats.BytesOut == 1 })
				var b [1]byte
				if _, err := io.ReadFull(peer, b[:]); err != nil || b[0] != 'x' {
					t.Errorf("the peer that waited read %q, %v", b, err)
				}
				if s := l.Stats(); s.Exhausted != 0 || s.Listeners != 1 {
					t.Errorf("Stats: %d Exhausted, %d Listeners; want 0, 1", s.Exhausted, s.Listeners)
				}
			})
		})
	}
}

func TestAListenerRestsLongerEachTime(t *testing.T) {
	underEach(t, func(t *testing.T, p Poller) {
		l := newLate(t, p, echoes, ListenOptions{})
		f := &flaky{}
		for range 7 {
			f.errs = append(f.errs, unix.ENOMEM)
		}
		l.sockets = f
		l.dial()
		var rests []time.Duration
		for begin := l.now; l.stats.Accepts == 0; l.turn(10 * time.Millisecond) {
			if tries := f.tries; len(rests) < tries {
				rests = append(rests, (time.Duration(l.now-begin) + 10*time.Millisecond).Truncate(restTime))
			}
		}
		if n := len(rests); n != 7 || rests[6] < (1+2+4+8+16+16)*restTime || l.stats.AcceptErrors != 7 {
			t.Errorf("tried after %v, %d errors", rests, l.stats.AcceptErrors)
		}
	})
}

// A listener of which every connection is dead before it is accepted is none that works: it rests,
// instead of trying for ever.
func TestAListenerWhoseConnectionsAllDieRests(t *testing.T) {
	underEach(t, func(t *testing.T, p Poller) {
		l := newLate(t, p, echoes, ListenOptions{})
		f := &flaky{}
		for range 2 * acceptMax {
			f.errs = append(f.errs, unix.EOPNOTSUPP)
		}
		l.sockets = f
		l.dial()
		l.until(func() bool { return f.tries > 0 })
		for range 50 {
			l.turn(0)
		}
		if f.tries != acceptMax {
			t.Errorf("accept was called %d times, want %d and a rest", f.tries, acceptMax)
		}
	})
}

func TestTheEndOfTheLastListenerIsLoggedAndToldToRun(t *testing.T) {
	for _, errno := range []unix.Errno{unix.EBADF, unix.EINVAL, unix.ENOTSOCK} {
		for _, need := range []bool{true, false} {
			underEach(t, func(t *testing.T, p Poller) {
				l := newLate(t, p, echoes, ListenOptions{})
				log := new(notes)
				l.opts.NeedListener, l.log, l.sh.Log = need, log, log
				l.sockets = &flaky{errs: []error{errno}}
				l.dial()
				var err error
				for end := time.Now().Add(time.Minute); len(l.listeners) > 0 && time.Now().Before(end); {
					err = l.Poll(0)
				}
				if need != errors.Is(err, ErrNoListener) || need != errors.Is(err, errno) {
					t.Errorf("%v: Poll returned %v; NeedListener %v", errno, err, need)
				}
				if err := l.Poll(0); err != nil {
					t.Errorf("the next Poll: %v", err)
				}
				if !strings.Contains(log.String(), "error listener has ended") {
					t.Errorf("the log: %s", log)
				}
			})
		}
	}
}

func TestAListenerThatIsClosedIsNoFailure(t *testing.T) {
	l := newLate(t, Auto, echoes, ListenOptions{})
	l.opts.NeedListener = true
	for _, x := range l.listeners {
		x.c.Close()
	}
	l.turn(0)
	if l.turn(0); len(l.listeners) != 0 {
		t.Error("it is still there")
	}
}

// refusing is a poller that refuses to watch, some times.
type refusing struct {
	poller
	errs []error
}

func (r *refusing) set(fd int, was, want conn.Interest) error {
	if want != 0 && len(r.errs) > 0 {
		err := r.errs[0]
		r.errs = r.errs[1:]
		return err
	}
	return r.poller.set(fd, was, want)
}

func TestAListenerThatCannotBeWatchedForAMomentLivesOn(t *testing.T) {
	for _, errno := range []unix.Errno{unix.ENOSPC, unix.ENOMEM} {
		underEach(t, func(t *testing.T, p Poller) {
			l := newLate(t, p, echoes, ListenOptions{})
			l.poller = &refusing{l.poller, []error{errno, errno}}
			peer := l.dial()
			io.WriteString(peer, "x")
			for range 100 {
				l.turn(restTime / 10)
			}
			l.until(func() bool { return l.sh.Stats.BytesOut == 1 })
			if s := l.Stats(); s.Listeners != 1 || s.AcceptErrors != 2 || s.Turns > 150 {
				t.Errorf("Stats: %d Listeners, %d AcceptErrors, %d Turns", s.Listeners, s.AcceptErrors, s.Turns)
			}
		})
	}
}

// failing is a poller whose wait fails, some times.
type failing struct {
	poller
	errs []error
}

func (f *failing) wait(list []ready, timeout time.Duration) (int, error) {
	if len(f.errs) > 0 {
		err := f.errs[0]
		f.errs = f.errs[1:]
		return 0, err
	}
	return f.poller.wait(list, timeout)
}

func TestAPassingErrorOfThePollerEndsNothing(t *testing.T) {
	underEach(t, func(t *testing.T, p Poller) {
		l := newLate(t, p, echoes, ListenOptions{})
		log := new(notes)
		l.log = log
		l.poller = &failing{l.poller, []error{unix.ENOMEM, unix.ENOMEM, unix.EIO}}
		peer := l.dial()
		io.WriteString(peer, "x")
		l.until(func() bool { return l.sh.Stats.BytesOut == 1 })
		if n := l.Stats().PollErrors; n != 3 || len(log.lines) != 1 {
			t.Errorf("%d PollErrors, want 3; the log: %s", n, log)
		}
		l.poller.(*failing).errs = []error{unix.EBADF}
		if err := l.Poll(0); !errors.Is(err, unix.EBADF) {
			t.Errorf("Poll: %v, want EBADF", err)
		}
	})
}
