package mgr

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
)

// simSealed is the Transport of a connection with a protocol like TLS. Its bytes are those of the
// stream, but it gives them to the connection only when a record is whole, and takes more than the
// kernel does.
type simSealed struct {
	simWire
	p      *simConn
	record int // the length of the record that is coming
	in     int // bytes of it that are here
	ready  int // bytes of a whole record that the connection has not been given
	out    int // bytes that were taken, and that the kernel has not taken
	notify bool
}

// simSecure is how long a handshake may take.
const simSecure = 2 * time.Second

var errSimRecord = errors.New("a wrong record")

func (w *simSealed) Below() conn.Transport { return w.simWire }

// failing returns a failure of the protocol, once.
func (w *simSealed) failing() error {
	w.f.s.note("%v: %v", w.f, errSimRecord)
	w.f.failed = append(w.f.failed, conn.TLSFailed)
	return errSimRecord
}

func (w *simSealed) Handshake(fd int) (conn.Event, error) {
	f, d := w.f, &w.f.s.d
	f.heard = f.s.m.stats.Turns
	switch {
	case !w.check("handshake", fd):
		return nil, unix.EBADF
	case !w.p.securing, w.p.computing:
		f.s.fail("%v: Handshake; securing %v, computing %v", f, w.p.securing, w.p.computing)
	}
	w.p.active = f.s.m.Now()
	switch k := d.n(12); {
	case f.s.calm || k < 4:
		w.p.securing = false
		w.p.moved = f.s.m.Now()
		f.s.note("%v: the handshake is over", f)
		return nil, nil
	case k == 4:
		return nil, unix.EINTR
	case f.err != nil:
		err := f.err
		f.err = nil
		return nil, f.hard(err)
	case f.fin && f.sent == f.pulled, k == 5 && d.one(4):
		return nil, w.failing()
	case k < 9:
		w.p.computing = true
		f.s.note("%v: the handshake is computed", f)
		f.s.computing = append(f.s.computing, func() {
			f.s.note("%v: the worker has computed", f)
			w.p.computing = false
			w.p.c.Layer().Computed()
		})
		return nil, conn.ErrComputing
	}
	return nil, unix.EAGAIN
}

func (w *simSealed) usable(op string) {
	if w.p.securing {
		w.f.s.fail("%v: %s before the end of the handshake", w.f, op)
	}
}

func (w *simSealed) Read(fd int, p []byte) (int, error) {
	f, d := w.f, &w.f.s.d
	w.usable("read")
	for w.ready == 0 {
		switch {
		case w.in >= w.record, f.s.calm && w.in > 0:
			w.ready = min(w.in, w.record)
			w.in -= w.ready
			w.record = 1 + d.n(5000)
		case d.one(200) && w.out == 0:
			return 0, w.failing()
		default:
			n, err := w.pull(fd, 1+d.n(20_000))
			switch {
			case err != nil:
				return 0, err
			case n == 0 && w.in == 0:
				return 0, nil
			case n == 0:
				w.record = w.in // the last one
			}
			w.in += n
		}
	}
	n := min(len(p), w.ready)
	w.ready -= n
	w.give(p, n)
	return n, nil
}

func (w *simSealed) Buffered() bool {
	return w.ready > 0 || w.in >= w.record || w.f.s.calm && w.in > 0
}
func (w *simSealed) Unsent() int { return w.out }
func (w *simSealed) Holds() int  { return w.out + 7 }

func (w *simSealed) Flush(fd int) error {
	f, d := w.f, &w.f.s.d
	w.usable("flush")
	w.p.tried = true
	switch {
	case !w.check("flush", fd):
		return unix.EBADF
	case w.out == 0:
		f.s.fail("%v: flush of nothing", f)
	case d.one(24):
		return unix.EINTR
	case f.err != nil:
		err := f.err
		f.err = nil
		return f.hard(err)
	case f.gone && d.one(2):
		return f.hard([]error{unix.EPIPE, unix.ECONNRESET}[d.n(2)])
	case f.room == 0 || d.one(32):
		return unix.EAGAIN
	}
	w.leave()
	return nil
}

// leave has the kernel take some of out.
func (w *simSealed) leave() {
	f, d := w.f, &w.f.s.d
	n := min(w.out, f.room)
	if n > 0 && d.one(8) {
		n = 1 + d.n(n)
	}
	f.room -= n
	f.got += n
	w.out -= n
	if n > 0 {
		w.p.active, w.p.moved = f.s.m.Now(), f.s.m.Now()
		w.p.again = w.p.again || w.p.above // it may be congested no longer, without a Write event
	}
	f.s.note("%v: flushed %d, %d are left", f, n, w.out)
}

func (w *simSealed) Write(fd int, p []byte) (int, error) { return w.Writev(fd, [][]byte{p}) }

func (w *simSealed) Writev(fd int, pieces [][]byte) (int, error) {
	f, d := w.f, &w.f.s.d
	w.usable("write")
	if !w.check("write", fd) {
		return 0, unix.EBADF
	}
	total := 0
	for _, p := range pieces {
		if !simSame(p, f.outStart, f.got+w.out+total) {
			f.s.fail("%v: wrong bytes at %d of a write of %d pieces from position %d", f, total, len(pieces), f.got+w.out)
		}
		total += len(p)
	}
	w.p.tried = true
	switch {
	case total == 0:
		f.s.fail("%v: write of nothing", f)
	case f.shut || w.notify:
		f.s.fail("%v: write after shutdown", f)
	case d.one(24):
		return 0, unix.EINTR
	case w.out > 0:
		f.s.fail("%v: write with %d bytes that the kernel has not taken", f, w.out)
	}
	taken := 0
	for w.out == 0 && taken < total {
		n := min(total-taken, 1+d.n(16<<10))
		taken += n
		w.out += n
		f.s.bytesOut += n
		w.p.left(n)
		if f.err == nil && !f.gone {
			w.leave()
		}
	}
	f.s.note("%v: took %d of %d", f, taken, total)
	if taken == 0 {
		return 0, unix.EAGAIN
	}
	return taken, nil
}

// CloseWrite has one more byte to send, for which there may be no room.
func (w *simSealed) CloseWrite(fd int) error {
	if w.out > 0 {
		w.f.s.fail("%v: CloseWrite with %d bytes that the kernel has not taken", w.f, w.out)
	}
	if w.notify = w.f.room == 0 || w.f.s.d.one(3); w.notify {
		return unix.EAGAIN
	}
	w.f.room--
	return w.simWire.CloseWrite(fd)
}
