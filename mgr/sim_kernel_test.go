package mgr

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/ctlpair"
)

// The simulation's kernel: descriptors that are handed out lowest first as the real one does,
// sockets with their buffers, and a poller that meets the contract of poller.go to the letter and
// is otherwise as unkind as it may be.

// All streams carry stretches of one random table, each from a place of its own, so that a byte
// that is lost, doubled, moved or another connection's is noticed where it is read.
const (
	simPeriod = 1<<21 - 9
	simMax    = 1 << 20 // the longest stretch
)

var simTable, simTableCopy = func() (a, b []byte) {
	r := rand.New(rand.NewPCG(1, 2))
	a = make([]byte, simPeriod+simMax)
	for i := 0; i+8 <= len(a); i += 8 {
		v := r.Uint64()
		for k := range 8 {
			a[i+k] = byte(v >> (8 * k))
		}
	}
	copy(a[simPeriod:], a)
	return a, bytes.Clone(a)
}()

// simBytes returns n bytes of the stream that begins at start, from position pos on.
func simBytes(start, pos, n int) []byte {
	i := (start + pos) % simPeriod
	return simTable[i : i+n]
}

// simSame reports whether p is what the stream has at pos.
func simSame(p []byte, start, pos int) bool {
	for len(p) > 0 {
		n := min(len(p), simMax)
		if !bytes.Equal(p[:n], simBytes(start, pos, n)) {
			return false
		}
		p, pos = p[n:], pos+n
	}
	return true
}

// simDice is where all chance comes from: a seed, or the bytes of the fuzzer.
type simDice struct {
	data    []byte
	fuzzing bool
	src     *rand.PCG
}

// n returns a number below n.
func (d *simDice) n(n int) int {
	if d.fuzzing {
		v := 0
		for k := 1; k < n && len(d.data) > 0; k <<= 8 {
			v = v<<8 | int(d.data[0])
			d.data = d.data[1:]
		}
		return v % n
	}
	return int(d.src.Uint64() >> 11 % uint64(n))
}

// one reports true once in n times.
func (d *simDice) one(n int) bool { return d.n(n) == n-1 }

// size returns a length: mostly small, at times up to 1 MiB.
func (d *simDice) size() int {
	switch k := d.n(64); {
	case k < 4:
		return 0
	case k < 36:
		return 1 + d.n(64)
	case k < 54:
		return d.n(2048)
	case k < 61:
		return d.n(20 << 10)
	case k < 63:
		return d.n(200 << 10)
	}
	return d.n(simMax + 1)
}

// simFile is a socket as the kernel has it.
type simFile struct {
	s      *sim
	fd     int
	name   string
	closed bool

	inStart, sent, read int // of the stream towards us: what the peer has sent, what the connection has been given
	pulled              int // what read(2) has returned: more than read if a layer holds some
	fin                 bool
	finRead             bool // read(2) has returned 0

	outStart, got int // of the stream away from us: what write(2) has taken
	room          int // what it will take
	shut          bool
	gone          bool // the peer has closed: writes fail once they have reached it

	heard  uint64 // the turn of the last read(2)
	err    error  // to be returned by the next read or write
	failed []conn.Reason
	conn   *simConn // nil for listeners and refused peers
}

func (f *simFile) String() string { return fmt.Sprintf("%s(fd %d)", f.name, f.fd) }

func (f *simFile) readable() bool { return f.sent > f.pulled || f.fin || f.err != nil }
func (f *simFile) writable() bool { return f.room > 0 || f.err != nil || f.gone }

// socket opens a file on the lowest free descriptor.
func (s *sim) socket(name string) *simFile {
	fd := 3
	for fd < len(s.files) && s.files[fd] != nil {
		fd++
	}
	for len(s.files) <= fd {
		s.files = append(s.files, nil)
		s.watched = append(s.watched, 0)
	}
	f := &simFile{s: s, fd: fd, name: name, inStart: s.d.n(simPeriod), outStart: s.d.n(simPeriod), room: s.d.size()}
	s.files[fd] = f
	s.all = append(s.all, f)
	return f
}

// peer lets the other end do something.
func (f *simFile) peer() {
	d := &f.s.d
	switch k := d.n(40); {
	case k < 14:
		if !f.fin && f.err == nil {
			n := min(d.size(), 300<<10)
			f.sent += n
			f.s.note("%v: the peer sends %d", f, n)
		}
	case k < 30:
		if n := d.size(); f.room < 4<<20 {
			f.room += n
			f.s.note("%v: the peer takes %d", f, n)
		}
	case k == 30:
		f.fin = true
		f.s.note("%v: the peer half-closes", f)
	case k == 31 && d.one(2):
		f.fin, f.gone = true, true
		f.s.note("%v: the peer closes", f)
	case k == 32 && d.one(2):
		f.reset(d)
	}
}

func (f *simFile) reset(d *simDice) {
	errs := [...]error{unix.ECONNRESET, unix.ETIMEDOUT, unix.EHOSTUNREACH, unix.ENOMEM}
	f.err = errs[d.n(len(errs))]
	f.sent = f.pulled // a reset throws away what was not read
	f.fin, f.gone = true, true
	f.s.note("%v: the peer resets: %v", f, f.err)
}

// hard returns err and remembers that it did.
func (f *simFile) hard(err error) error {
	f.failed = append(f.failed, conn.ErrnoReason(err))
	f.s.note("%v: %v", f, err)
	return err
}

// simWire is the Transport of one connection, whose descriptor may be another's by the time of a
// wrong call.
type simWire struct{ f *simFile }

func (w simWire) check(op string, fd int) bool {
	s := w.f.s
	s.busy()
	if w.f.closed || fd != w.f.fd || s.files[fd] != w.f {
		s.fail("%s on %v after its close", op, w.f)
		return false
	}
	return true
}

func (w simWire) Read(fd int, p []byte) (int, error) {
	f := w.f
	if len(p) == 0 {
		f.s.fail("%v: read into nothing", f)
		return 0, nil
	}
	n, err := w.pull(fd, len(p))
	if n > 0 {
		w.give(p, n)
	}
	return n, err
}

// give hands n bytes of the stream to the connection.
func (w simWire) give(p []byte, n int) {
	f := w.f
	copy(p, simBytes(f.inStart, f.read, n))
	clear(p[n:min(len(p), n+64)]) // the bytes after it belong to no one
	f.read += n
	f.s.bytesIn += n
	if f.conn != nil {
		f.conn.arrived(n)
	}
	f.s.note("%v: read %d", f, n)
}

// pull is read(2) without the bytes.
func (w simWire) pull(fd, most int) (int, error) {
	f, d := w.f, &w.f.s.d
	if !w.check("read", fd) {
		return 0, unix.EBADF
	}
	f.heard = f.s.m.stats.Turns
	switch {
	case d.one(24):
		return 0, unix.EINTR
	case f.err != nil:
		err := f.err
		f.err = nil
		return 0, f.hard(err)
	case f.sent == f.pulled:
		if f.fin {
			f.finRead = true
			f.s.note("%v: read: end of file", f)
			return 0, nil
		}
		return 0, unix.EAGAIN
	}
	n := min(most, f.sent-f.pulled)
	if d.one(4) {
		n = 1 + d.n(n)
	}
	f.pulled += n
	return n, nil
}

func (w simWire) Write(fd int, p []byte) (int, error) { return w.Writev(fd, [][]byte{p}) }

func (w simWire) Writev(fd int, pieces [][]byte) (int, error) {
	f, d := w.f, &w.f.s.d
	if !w.check("write", fd) {
		return 0, unix.EBADF
	}
	total := 0
	for _, p := range pieces {
		if !simSame(p, f.outStart, f.got+total) {
			f.s.fail("%v: wrong bytes at %d of a write of %d pieces from position %d", f, total, len(pieces), f.got)
		}
		total += len(p)
	}
	if f.conn != nil {
		f.conn.tried = true
	}
	switch {
	case total == 0:
		f.s.fail("%v: write of nothing", f)
	case f.shut:
		f.s.fail("%v: write after shutdown", f)
	case d.one(24):
		return -1, unix.EINTR
	case f.err != nil:
		err := f.err
		f.err = nil
		return -1, f.hard(err)
	case f.gone && d.one(2):
		return -1, f.hard([]error{unix.EPIPE, unix.ECONNRESET}[d.n(2)])
	case f.room == 0 || d.one(32):
		return -1, unix.EAGAIN
	}
	n := min(total, f.room)
	if d.one(8) {
		n = 1 + d.n(n)
	}
	f.room -= n
	f.got += n
	f.s.bytesOut += n
	if f.conn != nil {
		f.conn.left(n)
	}
	f.s.note("%v: wrote %d of %d", f, n, total)
	return n, nil
}

func (w simWire) CloseWrite(fd int) error {
	f := w.f
	if !w.check("shutdown", fd) {
		return unix.EBADF
	}
	if f.shut {
		f.s.fail("%v: shut down twice", f)
	}
	if f.conn != nil && f.got != f.conn.accepted {
		f.s.fail("%v: shut down with %d of %d bytes sent", f, f.got, f.conn.accepted)
	}
	f.shut = true
	f.s.note("%v: shutdown", f)
	if f.gone && f.s.d.one(2) {
		return f.hard(unix.ENOTCONN)
	}
	return nil
}

func (w simWire) Close(fd int) error {
	f := w.f
	if !w.check("close", fd) {
		return unix.EBADF
	}
	if f.s.watched[fd] != 0 {
		f.s.fail("%v: closed while the poller watches it", f)
	}
	if f.conn != nil && !f.conn.levels[simUser].closed {
		f.s.fail("%v: closed before its Close event", f)
	}
	if f.s.m.at(fd) != nil {
		f.s.fail("%v: closed while it is in the table", f)
	}
	f.closed = true
	f.s.files[fd] = nil
	f.s.note("%v: close", f)
	return nil
}

// simSock is the Transport of what the manager opens itself: it finds the file by its descriptor.
type simSock struct{ s *sim }

func (k simSock) wire(fd int) simWire {
	if fd >= len(k.s.files) || k.s.files[fd] == nil {
		k.s.fail("a call on descriptor %d, which is closed", fd)
		return simWire{&simFile{s: k.s, fd: fd, name: "nothing", closed: true}}
	}
	return simWire{k.s.files[fd]}
}
func (k simSock) Read(fd int, p []byte) (int, error)     { return k.wire(fd).Read(fd, p) }
func (k simSock) Write(fd int, p []byte) (int, error)    { return k.wire(fd).Write(fd, p) }
func (k simSock) Writev(fd int, p [][]byte) (int, error) { return k.wire(fd).Writev(fd, p) }
func (k simSock) CloseWrite(fd int) error                { return k.wire(fd).CloseWrite(fd) }
func (k simSock) Close(fd int) error                     { return k.wire(fd).Close(fd) }

// simBell is the descriptor of the doorbell, below those of the connections.
const simBell = 2

// newBell makes a doorbell whose strokes fail now and then.
func (s *sim) newBell() ctlpair.Bell {
	return ctlpair.Bell{
		FD: simBell,
		Strike: func() error {
			if s.d.one(4) {
				s.misses++
				s.note("the doorbell fails")
				return unix.ENOBUFS
			}
			s.rings = true
			return nil
		},
		Silence: func() { s.rings = s.d.one(16) },
		After:   func(_ time.Duration, f func()) { s.tries = append(s.tries, f) },
		Close:   func() error { return nil },
	}
}

// simPoller is the poller of the simulation.
type simPoller struct{ s *sim }

func (p simPoller) String() string { return "sim" }
func (p simPoller) maxFD() int     { return 1 << 20 }

func (p simPoller) close() error {
	s := p.s
	if s.polledOut {
		s.fail("the poller was closed twice")
	}
	s.polledOut = true
	return nil
}

func (p simPoller) set(fd int, was, want conn.Interest) error {
	s := p.s
	s.busy()
	if s.m == nil { // the doorbell, in newManager, which has not returned yet
		return nil
	}
	switch {
	case s.inWait:
		s.fail("set(%d) during wait", fd)
	case fd >= len(s.files) || s.files[fd] == nil:
		s.fail("set(%d, %d, %d) on a closed descriptor", fd, was, want)
		return unix.EBADF
	case s.watched[fd] != was:
		s.fail("%v: set from %d to %d, but it is watched for %d", s.files[fd], was, want, s.watched[fd])
	case want != 0 && s.files[fd].conn != nil && s.d.one(400):
		s.note("%v: the poller refuses to watch it", s.files[fd])
		s.files[fd].failed = append(s.files[fd].failed, conn.IOError)
		return unix.ENOSPC
	}
	s.watched[fd] = want
	s.note("%v: watched for %d", s.files[fd], want)
	return nil
}

func (p simPoller) wait(out []ready, timeout time.Duration) (int, error) {
	s := p.s
	s.busy()
	s.inWait = true
	defer func() { s.inWait = false }()
	s.checkWait(timeout)
	for i := s.d.n(4); i > 0 && !s.calm; i-- {
		s.peers()
	}
	s.now += int64(s.d.n(200)) * 1000
	list := s.list[:0]
	for fd, w := range s.watched {
		f := s.files[fd]
		if w == 0 || f == nil {
			continue
		}
		var got conn.Interest
		if w&conn.In != 0 && f.conn == nil && f.name == "listener" {
			continue // accept(2) cannot be faked
		}
		if w&conn.In != 0 && (f.readable() || s.d.one(64)) {
			got |= conn.In
		}
		if w&conn.Out != 0 && (f.writable() || s.d.one(64)) {
			got |= conn.Out
		}
		if f.err != nil || f.gone && f.shut {
			got = conn.In | conn.Out
		}
		if got != 0 {
			list = append(list, ready{fd: int32(fd), got: got})
		}
	}
	for _, again := range s.tries {
		if s.d.one(3) {
			s.tries = nil
			again()
		}
	}
	if len(s.computing) > 0 && (s.calm || s.d.one(2)) {
		done := s.computing[0]
		s.computing = s.computing[1:]
		if err := s.m.Complete(done); err != nil {
			s.fail("Complete: %v", err)
		}
	}
	if s.rings {
		list = append(list, ready{fd: simBell, got: conn.In})
	}
	s.list = list
	for i := len(list) - 1; i > 0; i-- {
		k := s.d.n(i + 1)
		list[i], list[k] = list[k], list[i]
	}
	if len(list) > 0 && !s.calm && s.d.one(4) {
		list = list[:s.d.n(len(list)+1)]
	}
	if len(list) == 0 && timeout > 0 {
		s.now += int64(timeout)
		if s.d.one(8) {
			s.now -= int64(timeout / 2) // a signal
		} else if s.d.one(8) {
			s.now += int64(s.d.n(300)) * int64(time.Millisecond) // a busy machine
		}
	}
	s.note("-- turn %d, %d ready, timeout %v, now %v", s.m.stats.Turns+1, len(list), timeout, time.Duration(s.now))
	return copy(out, list), nil
}
