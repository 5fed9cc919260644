package mgr_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// The kernel of the simulation of the HTTP client's pool: its connections, its clock and what it
// reports. The servers behind it are in pool_sim_server_test.go.

// poolFD is the first descriptor, above those of the process.
const poolFD = 600

// poolFile is a connection as the kernel and its server have it.
type poolFile struct {
	s       *poolSim
	fd      int
	host    int
	decided int64 // when the attempt to connect is over; 0 is never
	failure error // how
	stands  bool
	closed  bool

	in    []byte // what the client may read
	sent  int    // bytes that were ever put there
	read  int    // and those that the client has read
	marks []poolMark
	fin   bool  // and then the end
	reset error // or this
	gone  bool  // the server has closed: what is written is lost
	room  int   // bytes that the kernel takes until the server reads

	got     []byte // what the server has got, and not worked off
	served  int    // responses that were sent to the last byte
	now     *poolTry
	unasked bool // bytes that nobody has asked for were sent
	sick    bool // the server has done what ends a request
}

func (f *poolFile) String() string { return fmt.Sprintf("%d(host %d)", f.fd, f.host) }

// poolMark tells what the client knows when it has read more than so many bytes.
type poolMark struct {
	after int
	t     *poolTry
	whole bool // all of a response in order; else a byte of one
}

// poolAct is what a server does later.
type poolAct struct {
	at int64
	f  *poolFile
	do func()
}

func (s *poolSim) file(fd int) *poolFile {
	f := s.open[fd]
	if f == nil {
		s.fail("a call on descriptor %d, which is closed", fd)
		return &poolFile{s: s, closed: true}
	}
	return f
}

func (s *poolSim) Now() int64 { return s.now }

func (s *poolSim) Dial(a conn.Addr) (int, error) {
	host := int(a.AddrPort.Port()) - 1
	switch {
	case s.r.IntN(40) == 0:
		s.note("dial host %d: no descriptors", host)
		s.dialFails++
		return -1, unix.EMFILE
	case s.r.IntN(30) == 0:
		s.note("dial host %d: refused at once", host)
		s.dialFails++
		return -1, unix.ECONNREFUSED
	}
	f := &poolFile{s: s, fd: poolFD, host: host}
	for s.open[f.fd] != nil {
		f.fd++
	}
	s.open[f.fd] = f
	switch n := s.r.IntN(20); {
	case n == 0: // for ever silent
	case n < 3:
		f.decided, f.failure = s.soon(800), []error{unix.ECONNREFUSED, unix.EHOSTUNREACH, unix.ECONNRESET}[s.r.IntN(3)]
	default:
		f.decided = s.soon(300)
	}
	s.note("dial %v", f)
	if s.r.IntN(8) == 0 {
		f.room = 1 + s.r.IntN(2000)
	} else {
		f.room = 1 << 20
	}
	return f.fd, nil
}

func (s *poolSim) Decided(fd int) bool {
	f := s.file(fd)
	return f.decided != 0 && f.decided <= s.now
}

func (s *poolSim) ConnectOutcome(fd int, _ conn.Peer) error {
	f := s.file(fd)
	if !s.Decided(fd) {
		// The timeout has asked conn.CanWrite, which knows no descriptors that are made up.
		return unix.ETIMEDOUT
	}
	f.stands = f.failure == nil
	s.note("%v: connected: %v", f, f.failure)
	return f.failure
}

func (s *poolSim) Set(fd int, was, want conn.Interest) error {
	f := s.file(fd)
	if s.watched[fd] != was {
		s.fail("%v: set from %d to %d, but it is watched for %d", f, was, want, s.watched[fd])
	}
	if want != 0 && s.faults && s.r.IntN(100) == 0 {
		s.note("%v: cannot be watched", f)
		f.sick = true
		return unix.ENOSPC
	}
	s.watched[fd] = want
	return nil
}

// Wait brings time forward to what happens next.
func (s *poolSim) Wait(timeout time.Duration, report func(int, conn.Interest)) {
	any := false
	for fd := poolFD; fd < poolFD+200; fd++ {
		f := s.open[fd]
		if f == nil || s.watched[fd] == 0 {
			continue
		}
		var got conn.Interest
		switch {
		case !f.stands:
			if f.decided != 0 && f.decided <= s.now {
				got = conn.In | conn.Out
			}
		case f.reset != nil:
			got = conn.In | conn.Out
		default:
			if len(f.in) > 0 || f.fin {
				got |= conn.In
			}
			if f.room > 0 || f.gone {
				got |= conn.Out
			}
			got &= s.watched[fd]
		}
		if got != 0 && (s.r.IntN(8) > 0 || f.unasked) {
			report(fd, got)
			any = true
		}
	}
	s.now += int64(s.r.IntN(100)) * 1000
	if any || timeout == 0 {
		return
	}
	until := s.now + int64(time.Hour)
	if timeout > 0 {
		until = s.now + int64(timeout)
	}
	for _, a := range s.acts {
		until = min(until, max(a.at, s.now))
	}
	for fd, f := range s.open {
		if s.watched[fd] != 0 && !f.stands && f.decided != 0 {
			until = min(until, max(f.decided, s.now))
		}
	}
	s.now = until
	if s.r.IntN(30) == 0 {
		s.now += int64(s.r.IntN(int(300 * time.Millisecond))) // a busy machine
	}
}

// run does what the servers have planned.
func (s *poolSim) run() {
	for i := 0; i < len(s.acts); {
		if s.acts[i].at > s.now {
			i++
			continue
		}
		a := s.acts[i]
		s.acts = append(s.acts[:i], s.acts[i+1:]...)
		if !a.f.closed && !a.f.gone {
			a.do()
		}
	}
}

// soon is a time within ms milliseconds.
func (s *poolSim) soon(ms int) int64 {
	return s.now + 1 + int64(s.r.IntN(ms*int(time.Millisecond)))
}

func (f *poolFile) later(ms int, do func()) {
	f.s.acts = append(f.s.acts, poolAct{f.s.soon(ms), f, do})
}

// The Transport.

func (s *poolSim) Read(fd int, p []byte) (int, error) {
	f := s.file(fd)
	switch {
	case s.r.IntN(30) == 0:
		return 0, unix.EINTR
	case f.reset != nil:
		err := f.reset
		f.reset = nil
		f.in, f.fin = nil, true
		return 0, err
	case len(f.in) > 0:
		// A real kernel gives all that it has: so what comes after a response shows when that is
		// read. Only a buffer that is full leaves bytes.
		if s.r.IntN(4) == 0 && !f.unasked {
			p = p[:1+s.r.IntN(len(f.in))]
		}
		n := copy(p, f.in)
		f.in = f.in[n:]
		f.read += n
		for len(f.marks) > 0 && f.marks[0].after < f.read {
			if m := f.marks[0]; m.whole {
				m.t.call.good = append(m.t.call.good, m.t)
			} else {
				m.t.begun = true
			}
			f.marks = f.marks[1:]
		}
		s.note("%v: read %d", f, n)
		return n, nil
	case f.fin:
		s.note("%v: read the end", f)
		return 0, nil
	}
	return 0, unix.EAGAIN
}

// InputWaits is that of conn.Socket.
func (s *poolSim) InputWaits(fd int) bool {
	f := s.file(fd)
	return len(f.in) > 0 || f.fin || f.reset != nil
}

func (s *poolSim) Write(fd int, p []byte) (int, error) { return s.Writev(fd, [][]byte{p}) }

func (s *poolSim) Writev(fd int, pieces [][]byte) (int, error) {
	f := s.file(fd)
	p := bytes.Join(pieces, nil)
	switch {
	case !f.stands:
		s.fail("%v: written to before it stands", f)
	case s.r.IntN(30) == 0:
		return -1, unix.EINTR
	case f.reset != nil || f.gone && s.r.IntN(2) == 0:
		f.reset, f.gone, f.in, f.fin = nil, true, nil, true
		return -1, []error{unix.EPIPE, unix.ECONNRESET}[s.r.IntN(2)]
	case f.room == 0:
		return -1, unix.EAGAIN
	}
	n := min(len(p), f.room)
	if s.r.IntN(6) == 0 {
		n = 1 + s.r.IntN(n)
	}
	f.room -= n
	s.taken(f, p[:n])
	return n, nil
}

// taken is what the kernel has taken of a request.
func (s *poolSim) taken(f *poolFile, p []byte) {
	s.note("%v: wrote %d", f, len(p))
	f.got = append(f.got, p...)
	early := f.now != nil && f.now.early
	f.pastEarly()
	if call := s.callOn(f.fd); early && (f.now != nil || len(f.got) == 0) {
		// The end of a request that has got its response, which the server may never read.
		if call != nil && f.now != nil && call != f.now.call {
			s.fail("%v: request %d waits behind the body of %d", f, call.id, f.now.call.id)
		}
	} else if call == nil {
		s.fail("%v: %q is sent for no request", f, p)
		return
	} else if f.now == nil {
		f.now = &poolTry{call: call, method: call.method, first: f.served == 0}
		call.tries = append(call.tries, f.now)
	} else if f.now.call != call {
		s.fail("%v: request %d goes on with bytes of %d", f, f.now.call.id, call.id)
	}
	if f.gone {
		f.reset = unix.ECONNRESET // the peer's kernel knows of no such connection
		return
	}
	f.later(20, func() {
		f.room = max(f.room, 2000)
		f.serve()
	})
}

func (s *poolSim) CloseWrite(fd int) error {
	s.file(fd)
	return nil
}

func (s *poolSim) Close(fd int) error {
	f := s.file(fd)
	if s.watched[fd] != 0 {
		s.fail("%v: closed while it is watched", f)
	}
	f.closed = true
	delete(s.open, fd)
	s.note("%v: close", f)
	return nil
}

var _ mgr.FakeKernel = (*poolSim)(nil)

func poolRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 12)) }
