package mgr

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
)

// The simulation of races runs a real Manager over a kernel, a clock and a Resolver that are made
// up. Each address has its fate: it refuses at once, fails or stands after a while, or is silent.
// The simulation looks at when attempts begin, who wins, and what is given back.
//
//	go test ./mgr -run RaceSim -v

const simStagger = 250 * time.Millisecond

// raceFD is the first descriptor, above those of the process.
const raceFD = 600

type raceFate struct {
	atOnce error // of connect(2)
	after  int64 // when the attempt is decided; 0 is never
	err    error // how
}

type raceFile struct {
	addr      netip.Addr
	fd        int
	began     int64
	decided   int64 // 0: never
	err       error
	closed    bool
	forgotten bool // other code has closed it
}

type raceSim struct {
	sockets // of what no race asks for

	r   *rand.Rand
	now int64
	m   *Manager
	c   *conn.Conn

	fates   map[netip.Addr]raceFate
	files   []*raceFile       // all
	open    map[int]*raceFile // by descriptor; the lowest free one is used next
	watched map[int]conn.Interest
	fault   float64 // how often the poller refuses

	found     func(Resolved)
	answers   []raceAnswer
	last      bool // the last answer has come
	cancelled int
	timeout   time.Duration
	begun     int64
	known     []netip.Addr
	waiting   int   // addresses that were told, and not tried
	freed     int64 // when an attempt failed last
	failures  int
	events    []string
	reason    conn.Reason
	trace     []string
	wrong     string
}

type raceAnswer struct {
	at int64
	Resolved
}

func (s *raceSim) fail(format string, args ...any) {
	if s.wrong == "" {
		s.wrong = fmt.Sprintf(format, args...)
	}
	s.note("WRONG: "+format, args...)
}

func (s *raceSim) note(format string, args ...any) {
	s.trace = append(s.trace, fmt.Sprintf("%v: ", time.Duration(s.now-s.begun))+fmt.Sprintf(format, args...))
}

// The sockets.
func (s *raceSim) openReserve() (int, error) { return -1, unix.ENOENT }
func (s *raceSim) closeReserve(int)          {}

func (s *raceSim) dial(a conn.Addr, _ conn.SocketOptions) (int, bool, error) {
	addr := a.AddrPort.Addr()
	s.note("dial %v", addr)
	running, lastBegan := 0, int64(-1<<60)
	for _, f := range s.files {
		if f.addr == addr {
			s.fail("%v is tried twice", addr)
		}
		if !f.closed && !f.forgotten && (f.decided == 0 || f.decided > s.now) {
			running++
		}
		lastBegan = max(lastBegan, f.began)
	}
	if running > 0 && s.now < lastBegan+int64(simStagger) && s.freed < lastBegan {
		s.fail("%v begins %v after the last, and none has failed since", addr, time.Duration(s.now-lastBegan))
	}
	s.waiting--
	fate := s.fates[addr]
	if fate.atOnce != nil {
		s.freed = s.now
		s.failures++
		return -1, false, fmt.Errorf("conn: %w", fate.atOnce)
	}
	f := &raceFile{addr: addr, fd: raceFD, began: s.now, err: fate.err}
	for s.open[f.fd] != nil {
		f.fd++
	}
	s.open[f.fd] = f
	if fate.after > 0 {
		f.decided = s.now + fate.after
	}
	s.files = append(s.files, f)
	return f.fd, false, nil
}

func (s *raceSim) file(fd int) *raceFile {
	f := s.open[fd]
	if f == nil {
		s.fail("a call on descriptor %d, which is closed", fd)
		return &raceFile{}
	}
	return f
}

func (s *raceSim) decided(fd int) bool {
	f := s.file(fd)
	return f.decided != 0 && f.decided <= s.now
}

func (s *raceSim) ConnectOutcome(fd int, p conn.Peer) error {
	f := s.file(fd)
	if p.Addr() != f.addr || !s.decided(fd) {
		s.fail("the outcome of %v is asked for, for %v", f.addr, p)
	}
	if f.err == nil && s.r.IntN(50) > 0 {
		return nil
	}
	s.freed = s.now
	s.failures++
	if s.r.IntN(10) == 0 {
		f.forgotten = true
		s.note("other code has closed %v", f.addr)
		return unix.EBADF
	}
	if f.err == nil {
		f.err = unix.ECONNRESET
	}
	return f.err
}

// The Transport.
func (s *raceSim) Read(int, []byte) (int, error)      { return 0, unix.EAGAIN }
func (s *raceSim) Write(_ int, p []byte) (int, error) { return len(p), nil }
func (s *raceSim) Writev(_ int, p [][]byte) (n int, err error) {
	for _, b := range p {
		n += len(b)
	}
	return n, nil
}
func (s *raceSim) CloseWrite(int) error { return nil }
func (s *raceSim) Close(fd int) error {
	f := s.file(fd)
	if s.watched[fd] != 0 {
		s.fail("%v is closed while it is watched", f.addr)
	}
	if f.forgotten {
		s.fail("%v is closed, and other code has done so", f.addr)
	}
	f.closed = true
	delete(s.open, fd)
	s.note("close %v", f.addr)
	return nil
}

// racePoller is its poller.
type racePoller struct{ s *raceSim }

func (racePoller) String() string { return "race" }
func (racePoller) maxFD() int     { return 1 << 20 }
func (racePoller) close() error   { return nil }

func (p racePoller) set(fd int, was, want conn.Interest) error {
	s := p.s
	if s.m == nil {
		return nil
	}
	if f := s.file(fd); s.watched[fd] != was {
		s.fail("%v: set from %d to %d, but it is watched for %d", f.addr, was, want, s.watched[fd])
	} else if was == 0 && s.r.Float64() < s.fault {
		s.freed = s.now
		s.failures++
		return unix.ENOSPC
	}
	s.watched[fd] = want
	return nil
}

func (p racePoller) wait(list []ready, timeout time.Duration) (int, error) {
	s := p.s
	if timeout < 0 {
		timeout = time.Hour
	}
	until := s.now + int64(timeout)
	for _, a := range s.answers {
		until = min(until, max(a.at, s.now))
	}
	for fd, f := range s.open {
		if s.watched[fd] != 0 && f.decided != 0 {
			until = min(until, max(f.decided, s.now))
		}
	}
	s.now = until
	if s.r.IntN(20) == 0 {
		s.now += int64(s.r.IntN(int(600 * time.Millisecond))) // a busy machine
	}
	n := 0
	for fd := raceFD; fd < raceFD+40; fd++ {
		f := s.open[fd]
		switch {
		case f == nil || s.watched[fd] == 0:
		case s.m.races.(*races).attempts[fd] != nil && s.r.IntN(150) == 0:
			f.forgotten = true
			s.freed = s.now
			s.failures++
			s.note("other code closes %v", f.addr)
			list[n] = ready{fd: int32(fd), closed: true}
			n++
		case f.decided != 0 && f.decided <= s.now && s.watched[fd]&conn.Out != 0 && s.r.IntN(4) > 0:
			list[n] = ready{fd: int32(fd), got: conn.Out}
			n++
		}
	}
	return n, nil
}

// Resolve is the Resolver.
func (s *raceSim) Resolve(_ *Manager, _ string, found func(Resolved)) func() {
	s.found = found
	s.answer()
	return func() {
		s.cancelled++
		s.note("cancelled")
		if s.last {
			s.fail("cancelled after the last answer")
		}
	}
}

// answer gives the answers that are due.
func (s *raceSim) answer() {
	for len(s.answers) > 0 && s.answers[0].at <= s.now {
		a := s.answers[0]
		s.answers = s.answers[1:]
		if s.cancelled == 0 {
			s.last = !a.More
			for _, x := range a.Addrs {
				if !slices.Contains(s.known, x) && len(s.known) < racedMost {
					s.known = append(s.known, x)
					s.waiting++
				}
			}
		}
		s.note("answer %v more %v err %v", a.Addrs, a.More, a.Err)
		s.found(a.Resolved)
	}
}

func (s *raceSim) handle(c *conn.Conn, ev conn.Event) {
	name := strings.TrimPrefix(ev.EventName(), "conn.")
	s.note("%s", name)
	if n := len(s.events); n > 0 && s.events[n-1] == "Close" {
		s.fail("%s after Close", name)
	}
	s.events = append(s.events, name)
	switch ev := ev.(type) {
	case *conn.Resolve:
		if s.r.IntN(30) == 0 {
			c.Close()
		}
	case *conn.Connect:
		won := s.file(c.FD())
		for _, f := range s.open {
			if f != won && !f.forgotten && f.decided != 0 && f.err == nil && f.decided < won.decided && !f.closed && f.decided+int64(time.Second) < s.now {
				s.fail("%v won, but %v stood long before", won.addr, f.addr)
			}
		}
		if won.err != nil || !s.decided(c.FD()) || c.RemoteAddr().Addr() != won.addr {
			s.fail("%v won, and does not stand", won.addr)
		}
		if s.r.IntN(2) == 0 {
			c.Close()
		}
	case *conn.Error:
		s.reason = ev.Reason
		for _, f := range s.open {
			if f.decided != 0 && f.err == nil && !f.forgotten && f.decided <= s.begun+int64(s.timeout) && ev.Reason == conn.TimedOut {
				s.fail("timed out, but %v stood in time", f.addr)
			}
		}
		tried := len(s.known) - s.waiting
		switch {
		case ev.Reason == conn.TimedOut && s.now >= s.begun+int64(s.timeout):
		case !s.last || s.waiting != 0 || s.failures < tried:
			s.fail("given up (%v) with %d of %d tried, %d failed, last answer %v", ev.Err, tried, len(s.known), s.failures, s.last)
		}
		for _, a := range s.known {
			if ev.Reason != conn.TimedOut && !strings.Contains(ev.Err.Error(), a.String()) {
				s.fail("%q does not name %v", ev.Err, a)
			}
		}
	case *conn.Close:
		s.reason = ev.Reason
	}
}

func newRaceSim(seed uint64) *raceSim {
	s := &raceSim{r: rand.New(rand.NewPCG(seed, 7)), now: int64(time.Hour), fates: map[netip.Addr]raceFate{},
		watched: map[int]conn.Interest{}, open: map[int]*raceFile{}}
	r := s.r
	at := s.now
	for i, n := 0, 1+r.IntN(3); i < n; i++ {
		a := raceAnswer{at: at, Resolved: Resolved{More: i < n-1}}
		if r.IntN(4) == 0 {
			a.Err = errors.New("no answer of this kind")
		}
		for range r.IntN(8) {
			addr := netip.AddrFrom4([4]byte{192, 0, 2, byte(r.IntN(40))})
			if r.IntN(2) == 0 {
				addr = netip.MustParseAddr(fmt.Sprintf("2001:db8::%x", 1+r.IntN(40)))
			}
			a.Addrs = append(a.Addrs, addr)
			var f raceFate
			switch after := 1 + int64(r.IntN(int(800*time.Millisecond))); r.IntN(5) {
			case 0:
				f.atOnce = unix.ENETUNREACH
			case 1, 2:
				f.after, f.err = after, []error{unix.ECONNREFUSED, unix.EHOSTUNREACH, unix.ETIMEDOUT}[r.IntN(3)]
			case 3:
				f.after = after
			}
			s.fates[addr] = f
		}
		s.answers = append(s.answers, a)
		at += int64(r.IntN(3)) * int64(r.IntN(int(time.Second)))
	}
	s.timeout = time.Duration(100+r.IntN(4000)) * time.Millisecond
	if r.IntN(4) == 0 {
		s.fault = 0.1
	}
	return s
}

func (s *raceSim) run(t *testing.T) {
	m, err := newManager(Options{Resolver: s, Log: Silent}, racePoller{s}, func() int64 { return s.now })
	if err != nil {
		t.Fatal(err)
	}
	unixClose(m)
	s.m, m.sock, m.sockets = m, s, s
	m.own(goroutine())
	defer m.own(0)
	s.begun = s.now
	c, err := m.Connect("tcp://x.test:80", s.handle, ConnectOptions{Timeout: s.timeout})
	if err != nil {
		t.Fatal(err)
	}
	s.c = c
	end := int64(1 << 62) // when the program closes the connection
	if s.r.IntN(4) == 0 {
		end = s.now + int64(s.r.IntN(int(2*time.Second)))
	}
	c.Write([]byte("early"))
	turns := 0
	for ; !c.Driver().Finished() && turns < 1000 && s.wrong == ""; turns++ {
		if err := m.once(10 * time.Millisecond); err != nil {
			t.Fatal(err)
		}
		s.answer()
		if s.now >= end && !c.IsClosed() {
			s.note("the program closes it")
			c.Close()
		}
		if slices.Contains(s.events, "Connect") && c.IsOpen() {
			break
		}
		s.between()
	}
	if turns == 1000 {
		s.fail("no end")
	}
	m.finish()
	n := 0
	for _, e := range s.events {
		if e == "Connect" || e == "Error" {
			n++
		}
	}
	if len(s.events) == 0 || s.events[0] != "Open" || s.events[len(s.events)-1] != "Close" || n > 1 && s.reason == conn.Local {
		s.fail("events %v", s.events)
	}
	for _, f := range s.files {
		if !f.closed && !f.forgotten {
			s.fail("%v is not closed", f.addr)
		}
	}
	if !s.last != (s.cancelled == 1) || s.cancelled > 1 {
		s.fail("cancelled %d times, last answer %v", s.cancelled, s.last)
	}
	for fd, want := range s.watched {
		if want != 0 {
			s.fail("descriptor %d is still watched", fd)
		}
	}
	if all := m.races.(*races); len(all.of) != 0 || len(all.attempts) != 0 || len(m.doomed) != 0 || len(m.timers) != 0 {
		s.fail("left: %d races, %d attempts, %d doomed, %d timers", len(all.of), len(all.attempts), len(m.doomed), len(m.timers))
	}
}

// between checks, between two turns, that a race which could go on does.
func (s *raceSim) between() {
	if s.waiting == 0 || s.c.IsClosed() || s.now-s.m.sh.Now != 0 {
		return
	}
	running, last := 0, int64(0)
	for _, f := range s.files {
		if !f.closed && s.watched[f.fd] != 0 {
			running++
		}
		last = max(last, f.began)
	}
	if !slices.Contains(s.events, "Resolve") {
		return // the answer came inside Connect, and waits for the next turn
	}
	if running == 0 || s.freed > last || s.now > last+int64(simStagger) && s.freed < last {
		s.fail("%d addresses wait, %d attempts run, the last began %v ago", s.waiting, running, time.Duration(s.now-last))
	}
}

func TestRaceSim(t *testing.T) {
	runs := 3000
	if raceEnabled || testing.Short() {
		runs = 300
	}
	won, lost, timedOut := 0, 0, 0
	for seed := range uint64(runs) {
		s := newRaceSim(seed)
		s.run(t)
		if s.wrong != "" {
			t.Fatalf("seed %d: %s\n%s", seed, s.wrong, strings.Join(s.trace, "\n"))
		}
		switch {
		case slices.Contains(s.events, "Connect"):
			won++
		case s.reason == conn.TimedOut:
			timedOut++
		default:
			lost++
		}
	}
	t.Logf("%d won, %d lost or closed, %d timed out", won, lost, timedOut)
	if min(won, lost, timedOut) == 0 {
		t.Error("the simulation no longer reaches all ends")
	}
}
