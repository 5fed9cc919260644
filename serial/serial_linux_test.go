package serial

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/internal/looptest"
	"github.com/seed4930a636/mangusta/mgr"
)

// everyByte has each value: those that a terminal would take for signals, line ends, flow control.
func everyByte() []byte {
	var b []byte
	for i := range 256 {
		b = append(b, byte(i))
	}
	return append(b, "\r\n\x03\x04\x11\x13\x1a\xff\xff\x00"...)
}

func TestBytesGoThroughUnchanged(t *testing.T) {
	looptest.EachPoller(t, func(t *testing.T, p mgr.Poller) {
		far, path := pty(t)
		r := newRig(t, p)
		r.open(path)
		want := everyByte()
		r.c.Write(want)
		if _, err := far.Write(want); err != nil {
			t.Fatal(err)
		}
		r.until("all bytes have come", func() bool { return len(r.got) >= len(want) })
		if !bytes.Equal(r.got, want) {
			t.Errorf("the line received % x", r.got)
		}
		got := make([]byte, len(want))
		if _, err := io.ReadFull(far, got); err != nil || !bytes.Equal(got, want) {
			t.Errorf("the far side received % x, %v", got, err)
		}
		if a := r.c.RemoteAddr(); a.IsValid() || r.c.IsDatagram() {
			t.Errorf("address %v", a)
		}
	})
}

// A pseudo-terminal takes a few kilobytes at a time: each write is a partial one, then EAGAIN.
func TestAMegabyteToASlowReader(t *testing.T) {
	looptest.EachPoller(t, func(t *testing.T, p mgr.Poller) {
		far, path := pty(t)
		r := newRig(t, p)
		r.open(path)
		want := bytes.Repeat(everyByte(), 1<<20/len(everyByte()))
		r.c.Write(want[:100_000])
		r.c.WriteShared(want[100_000:])
		var d drain
		go d.from(far, 20*time.Microsecond)
		r.until("all has been read", func() bool { return d.len() == len(want) })
		if !bytes.Equal(d.bytes(), want) {
			t.Error("the bytes are not those that were sent")
		}
		r.c.Drain()
		r.until("the connection has ended", func() bool { return r.over })
		if r.why != conn.Local || r.err != nil {
			t.Errorf("ended because %v, %v", r.why, r.err)
		}
	})
}

func TestUnplugged(t *testing.T) {
	big := make([]byte, 300_000)
	for name, prepare := range map[string]func(r *rig){
		"idle":          func(*rig) {},
		"with a queue":  func(r *rig) { r.c.Write(big) },
		"while it ends": func(r *rig) { r.c.Write(big); r.c.Drain() },
		"half open":     func(r *rig) { r.c.SetHalfOpen(true) },
	} {
		t.Run(name, func(t *testing.T) {
			looptest.EachPoller(t, func(t *testing.T, p mgr.Poller) {
				far, path := pty(t)
				r := newRig(t, p)
				r.open(path)
				far.Write([]byte("x"))
				r.until("a byte has come", func() bool { return len(r.got) == 1 })
				prepare(r)
				r.Poll(0)
				far.Close()
				r.until("the connection has ended", func() bool { return r.over })
				if !errors.Is(r.err, ErrGone) || r.why != conn.IOError {
					t.Errorf("ended because %v, %v; want %v, ErrGone", r.why, r.err, conn.IOError)
				}
				if n := len(r.notes); r.notes[n-2] != "conn.Error" || r.notes[n-1] != "conn.Close" || slices.Contains(r.notes, "conn.EOF") {
					t.Errorf("events %v", r.notes)
				}
				if r.Stats().Conns != 0 {
					t.Errorf("%d connections are left", r.Stats().Conns)
				}
			})
		})
	}
}

// A hangup is reported by the poller whether asked for or not, and a paused connection does not
// read it: the loop must not spin until it does.
func TestUnpluggedWhilePausedDoesNotSpin(t *testing.T) {
	looptest.EachPoller(t, func(t *testing.T, p mgr.Poller) {
		far, path := pty(t)
		r := newRig(t, p)
		r.open(path)
		r.c.Pause()
		r.Poll(0)
		far.Close()
		turns := 0
		rung := false
		r.AfterFunc(100*time.Millisecond, func() { rung = true })
		for !rung {
			r.Poll(time.Second)
			turns++
		}
		if turns > 20 {
			t.Errorf("%d turns in 100 ms", turns)
		}
		r.c.Resume()
		r.until("the connection has ended", func() bool { return r.over })
		if !errors.Is(r.err, ErrGone) {
			t.Errorf("error %v", r.err)
		}
	})
}

func descriptors(t *testing.T) int {
	d, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	return len(d)
}

func TestOneProgramAtATime(t *testing.T) {
	_, path := pty(t)
	r := newRig(t, mgr.Auto)
	r.open(path)
	before := descriptors(t)
	if _, err := Open(r.Manager, path, nil); !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), path) {
		t.Errorf("a second time: %v", err)
	}
	if os.Getuid() != 0 {
		if f, err := os.Open(path); !errors.Is(err, unix.EBUSY) {
			f.Close()
			t.Errorf("TIOCEXCL is not set: %v", err)
		}
	}
	if n := descriptors(t); n != before {
		t.Errorf("%d descriptors, there were %d", n, before)
	}
	// Its last bytes may be under way, in the kernel, for seconds.
	closed := make(chan int, 1)
	r.c.Write([]byte("x"))
	r.Poll(0)
	swap(t, func(k *kernel) {
		k.close = func(fd int) error { closed <- fd; return nil }
	})
	r.c.Close()
	r.until("the connection has ended", func() bool { return r.over })
	var twin int
	select {
	case twin = <-closed:
	case <-time.After(time.Minute):
		t.Fatal("no goroutine closes the line")
	}
	defer unix.Close(twin)
	if err := unix.Fstat(twin, new(unix.Stat_t)); err != nil {
		t.Errorf("the goroutine's descriptor: %v", err)
	}
	next := newRig(t, mgr.Auto)
	next.open(path)
	other := newRig(t, mgr.Auto)
	if _, err := Open(other.Manager, path, nil, Options{Shared: true}); err != nil && os.Getuid() == 0 {
		t.Errorf("shared: %v", err)
	}
}

// KeepLines is for the life of the connection: a change of the mode does not undo it.
func TestKeepLines(t *testing.T) {
	for _, keep := range []bool{false, true} {
		_, path := pty(t)
		r := newRig(t, mgr.Auto)
		r.open(path, Options{KeepLines: keep})
		hangsUp := func() bool {
			tio, err := sys.get(Of(r.c).fd, unix.TCGETS)
			if err != nil {
				t.Fatal(err)
			}
			return tio.Cflag&unix.HUPCL != 0
		}
		if hangsUp() == keep {
			t.Errorf("KeepLines %v: HUPCL is %v", keep, hangsUp())
		}
		if err := Of(r.c).SetMode(Mode{Speed: 19200}); err != nil {
			t.Fatal(err)
		}
		if hangsUp() == keep {
			t.Errorf("KeepLines %v, after SetMode: HUPCL is %v", keep, hangsUp())
		}
	}
}

// A program at its limit of descriptors: nothing waits for the line.
func TestCloseWithoutADescriptor(t *testing.T) {
	far, path := pty(t)
	r := newRig(t, mgr.Auto)
	r.open(path)
	r.c.Write([]byte("x"))
	r.Poll(0)
	swap(t, func(k *kernel) {
		k.dup = func(int) (int, error) { return -1, unix.EMFILE }
		k.close = func(int) error { t.Error("a goroutine closes"); return nil }
	})
	r.c.Close()
	r.until("the connection has ended", func() bool { return r.over })
	far.SetReadDeadline(time.Now().Add(time.Minute))
	for {
		if _, err := far.Read(make([]byte, 10)); err != nil {
			if !errors.Is(err, unix.EIO) { // what the far side gets when the line is closed
				t.Errorf("the line is open: %v", err)
			}
			break
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, path := pty(t)
	m := newRig(t, mgr.Auto)
	before := descriptors(t)
	for _, tt := range []struct {
		path string
		o    Options
		is   error
		text string
	}{
		{"/dev/null", Options{}, unix.ENOTTY, "serial: not a serial line: ioctl TCGETS: inappropriate ioctl for device (/dev/null)"},
		{file, Options{}, unix.ENOTTY, "serial: not a serial line: ioctl TCGETS: inappropriate ioctl for device (" + file + ")"},
		{"/dev/none-such", Options{}, unix.ENOENT, "serial: open /dev/none-such: open: no such file or directory"},
		{path, Options{Mode: Mode{Speed: -1}}, nil, "serial: speed -1: want 1 to 100000000 bit/s"},
		{path, Options{Mode: Mode{DataBits: 9}}, nil, "serial: 9 data bits: want 5 to 8"},
		{path, Options{Mode: Mode{StopBits: 3}}, nil, "serial: 3 stop bits: want 1 or 2"},
		{path, Options{Mode: Mode{Parity: 9}}, nil, "serial: parity 9 is none of this package"},
		{path, Options{Mode: Mode{Flow: 9}}, nil, "serial: flow control 9 is none of this package"},
		{path, Options{RS485: &RS485{DelayBefore: time.Microsecond}}, nil, "serial: RS-485 delay 1µs: want whole milliseconds, up to 100ms"},
		{path, Options{RS485: &RS485{DelayAfter: time.Second}}, nil, "serial: RS-485 delay 1s: want whole milliseconds, up to 100ms"},
		{path, Options{RS485: &RS485{}}, errors.ErrUnsupported, ""},
	} {
		c, err := Open(m.Manager, tt.path, nil, tt.o)
		if c != nil || err == nil || tt.text != "" && err.Error() != tt.text || tt.is != nil && !errors.Is(err, tt.is) {
			t.Errorf("%s %+v: %v", tt.path, tt.o, err)
		}
	}
	if n := descriptors(t); n != before {
		t.Errorf("%d descriptors, there were %d", n, before)
	}
	fd, err := openLine(path)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if _, err := Wrap(m.Manager, fd, nil, Options{RS485: &RS485{}}); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Wrap: %v", err)
	}
	m.open(path) // no lock is left
	if _, err := Wrap(m.Manager, m.c.FD(), nil); err == nil {
		t.Error("wrapped twice")
	}
}

// The bits of TIOCMGET, as asm/termios.h has them.
func TestLinesOf(t *testing.T) {
	const all = unix.TIOCM_RTS | unix.TIOCM_DTR | unix.TIOCM_CTS | unix.TIOCM_DSR | unix.TIOCM_CAR | unix.TIOCM_RNG
	for b, want := range map[int]Lines{ // MIPS has bits of its own
		0: {}, unix.TIOCM_DTR: {DTR: true}, unix.TIOCM_RTS: {RTS: true}, unix.TIOCM_CTS: {CTS: true}, unix.TIOCM_CAR: {DCD: true},
		unix.TIOCM_RNG: {RI: true}, unix.TIOCM_DSR: {DSR: true},
		all: {RTS: true, DTR: true, CTS: true, DSR: true, DCD: true, RI: true}, ^all: {},
	} {
		if got := linesOf(b); got != want {
			t.Errorf("%#x: %+v, want %+v", b, got, want)
		}
	}
}

// Documentation/admin-guide/devices.txt: 2 and 3 are those of BSD, 128 to 143 those of Unix98, 5,2 is
// their multiplexer; 4 are consoles and UARTs, 188 adapters for USB.
func TestPtyNumbers(t *testing.T) {
	for _, tt := range []struct {
		major, minor uint32
		want         bool
	}{{1, 3, false}, {2, 0, true}, {3, 255, true}, {4, 64, false}, {5, 0, false}, {5, 2, true}, {6, 2, false}, {127, 0, false}, {128, 0, true},
		{136, 7, true}, {143, 0, true}, {144, 0, false}, {188, 0, false}, {204, 64, false}} {
		if got := isPtyNumber(tt.major, tt.minor); got != tt.want {
			t.Errorf("%d,%d is a pseudo-terminal: %v", tt.major, tt.minor, got)
		}
	}
}

// The end of a Port that shares the line leaves it to its owner.
func TestASharedPortReleasesNothing(t *testing.T) {
	_, path := pty(t)
	r := newRig(t, mgr.Auto)
	r.open(path)
	fd := Of(r.c).fd
	for _, shared := range []bool{true, false} {
		(&Port{fd: fd, shared: shared}).release()
		n, err := getInt(fd, unix.TIOCGEXCL)
		if err != nil {
			t.Skip(err)
		}
		if (n != 0) != shared {
			t.Errorf("shared %v: TIOCGEXCL says %d", shared, n)
		}
	}
}

func TestBreak(t *testing.T) {
	var on []bool
	swap(t, func(k *kernel) { k.setBreak = func(_ int, b bool) error { on = append(on, b); return nil } })
	_, path := pty(t)
	r := newRig(t, mgr.Auto)
	r.open(path)
	p := Of(r.c)
	if err := p.Break(time.Millisecond); err != nil {
		t.Fatal(err)
	}
	r.until("the break is over", func() bool { return len(on) == 2 })
	p.Break(time.Hour)
	p.Break(time.Hour) // it goes on
	r.c.Close()
	r.until("the connection has ended", func() bool { return r.over })
	if want := []bool{true, false, true, true, false}; !slices.Equal(on, want) {
		t.Errorf("break %v, want %v", on, want)
	}
}

func TestThePortAfterTheEnd(t *testing.T) {
	far, path := pty(t)
	r := newRig(t, mgr.Auto)
	r.open(path)
	p := Of(r.c)
	if _, err := p.Lines(); err == nil {
		t.Error("a pseudo-terminal has control lines")
	}
	if err := p.SetRTS(true); err == nil {
		t.Error("a pseudo-terminal has an RTS")
	}
	far.Write([]byte("stale"))
	if err := p.Flush(true, true); err != nil {
		t.Error(err)
	}
	if n, err := p.Queued(); n != 0 || err != nil {
		t.Errorf("%d bytes queued, %v", n, err)
	}
	r.Poll(0)
	if len(r.got) != 0 {
		t.Errorf("%q came after Flush", r.got)
	}
	far.Close()
	r.until("the connection has ended", func() bool { return r.over })
	_, err1 := p.Mode()
	_, err2 := p.Lines()
	_, err3 := p.Queued()
	for i, err := range []error{err1, err2, err3, p.SetMode(Mode{}), p.SetRTS(true), p.SetDTR(false), p.Flush(true, true), p.Break(1), p.SetRS485(RS485{})} {
		if err != ErrGone {
			t.Errorf("method %d: %v", i, err)
		}
	}
}

// All that Open, the traffic and the end leave behind.
func TestNothingIsLeft(t *testing.T) {
	r := newRig(t, mgr.Auto)
	before := 0
	for i := range 20 {
		far, path := pty(t)
		r.over = false
		r.open(path)
		far.Write([]byte("x"))
		far.Close()
		r.until("the connection has ended", func() bool { return r.over })
		if n := descriptors(t); i == 0 {
			before = n
		} else if n > before {
			t.Fatalf("%d descriptors, there were %d", n, before)
		}
	}
}
