package mgr

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/ctlpair"
)

// A FakeKernel is what a manager of NewOver has in place of system calls, for the simulations of
// packages that stand on mgr. The clock of the manager is Now.
type FakeKernel interface {
	conn.Transport
	Now() int64
	Dial(a conn.Addr) (fd int, err error)
	ConnectOutcome(fd int, p conn.Peer) error // of an attempt that is over
	Decided(fd int) bool                      // it is
	Set(fd int, was, want conn.Interest) error
	Wait(timeout time.Duration, report func(fd int, got conn.Interest))
}

// NewOver makes a manager over k that connects, and listens to nothing. Its Do works, but rings
// nothing: the loop finds messages when it turns.
func NewOver(o Options, k FakeKernel) (*Manager, error) {
	f := &fakeSockets{k: k, g: goroutine()}
	m, err := newManager(o, fakePoller{f}, k.Now)
	if err != nil {
		return nil, err
	}
	unixClose(m)
	m.reserve = -1
	m.pair.Close(nil)
	m.pair = ctlpair.NewOver[message](o.Queue, ctlpair.Bell{FD: -1, Strike: func() error { f.rings = true; return nil },
		Silence: func() { f.rings = false }, After: func(time.Duration, func()) {}, Close: func() error { return nil }})
	f.ready = true
	m.sock, m.sockets = k, f
	return m, nil
}

// SetClock sets the clock of m, before its loop turns. The kernel waits by its own.
func SetClock(m *Manager, now func() int64) { m.clock = now }

// Once is Poll, in the goroutine of NewOver, for a test that makes thousands of managers.
func Once(m *Manager, timeout time.Duration) error {
	m.own(m.sockets.(*fakeSockets).g)
	defer m.own(0)
	return m.once(timeout)
}

// Unsettled reports whether m has connections to settle in its next turn.
func Unsettled(m *Manager) bool { return len(m.touched) > 0 }

// Left returns how many timers and descriptors to close m has.
func Left(m *Manager) (timers, doomed int) { return len(m.timers), len(m.doomed) }

// fakeSockets has the calls that a manager makes which only connects; all others are nil.
type fakeSockets struct {
	sockets
	k     FakeKernel
	g     uint64 // the test's goroutine
	ready bool
	rings bool
}

func (f *fakeSockets) dial(a conn.Addr, _ conn.SocketOptions) (int, bool, error) {
	fd, err := f.k.Dial(a)
	return fd, false, err
}
func (f *fakeSockets) decided(fd int) bool       { return f.k.Decided(fd) }
func (f *fakeSockets) openReserve() (int, error) { return -1, unix.ENOENT }
func (f *fakeSockets) closeReserve(int)          {}

type fakePoller struct{ f *fakeSockets }

func (fakePoller) String() string { return "fake" }
func (fakePoller) maxFD() int     { return 1 << 20 }
func (fakePoller) close() error   { return nil }

func (p fakePoller) set(fd int, was, want conn.Interest) error {
	if !p.f.ready || fd < 0 { // the doorbell
		return nil
	}
	return p.f.k.Set(fd, was, want)
}

func (p fakePoller) wait(list []ready, timeout time.Duration) (n int, err error) {
	if p.f.rings {
		timeout = 0
		list[0] = ready{fd: -1, got: conn.In}
		n = 1
	}
	p.f.k.Wait(timeout, func(fd int, got conn.Interest) {
		if n < len(list) {
			list[n] = ready{fd: int32(fd), got: got}
			n++
		}
	})
	return n, nil
}

// RaceEnabled is raceEnabled.
const RaceEnabled = raceEnabled
