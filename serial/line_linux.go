package serial

import (
	"errors"
	"fmt"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// kernel is the system calls that tests replace.
type kernel struct {
	queued   func(fd int) (int, error) // bytes that were written and have not been sent
	dup      func(fd int) (int, error)
	close    func(fd int) error
	setBreak func(fd int, on bool) error
	get      func(fd int, req uint) (*unix.Termios, error)
	set      func(fd int, req uint, t *unix.Termios) error
	rs485    func(fd int, req uint, r *serialRS485) error
}

var sys = kernel{
	queued: func(fd int) (int, error) { return getInt(fd, unix.TIOCOUTQ) },
	dup:    func(fd int) (int, error) { return unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0) },
	close:  unix.Close,
	setBreak: func(fd int, on bool) error {
		if on {
			return unix.IoctlSetInt(fd, unix.TIOCSBRK, 0)
		}
		return unix.IoctlSetInt(fd, unix.TIOCCBRK, 0)
	},
	get:   unix.IoctlGetTermios,
	set:   unix.IoctlSetTermios,
	rs485: ioctlRS485,
}

// getInt is an ioctl that stores a C int. unix.IoctlGetInt has it stored into a Go int, of which it is
// the wrong half on 64-bit big-endian machines.
func getInt(fd int, req uint) (int, error) {
	n, err := unix.IoctlGetUint32(fd, req)
	return int(int32(n)), err
}

// openLine opens the device without waiting for its carrier.
func openLine(path string) (fd int, err error) {
	for {
		fd, err = unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		switch err {
		case nil:
			return fd, nil
		case unix.EINTR:
		case unix.EBUSY: // TIOCEXCL of another program
			return -1, fmt.Errorf("%w: %w", ErrBusy, err)
		default:
			return -1, os.NewSyscallError("open", err)
		}
	}
}

// claim makes the line ours, and sets it up.
func (p *Port) claim(o *Options) error {
	// Before anything is changed: it may be no line at all, or that of another program.
	if _, err := sys.get(p.fd, unix.TCGETS); err != nil {
		return fmt.Errorf("serial: not a serial line: %w", os.NewSyscallError("ioctl TCGETS", err))
	}
	p.pty = isPty(p.fd)
	if !p.shared {
		// TIOCEXCL keeps out programs without privileges that open the line later. The lock keeps
		// out others that lock, and those that have it open already; root's too.
		if err := unix.Flock(p.fd, unix.LOCK_EX|unix.LOCK_NB); err == unix.EWOULDBLOCK {
			return ErrBusy
		} else if err != nil && err != unix.ENOSYS && err != unix.EINVAL {
			return fmt.Errorf("serial: %w", os.NewSyscallError("flock", err))
		}
		if err := unix.IoctlSetInt(p.fd, unix.TIOCEXCL, 0); err != nil {
			p.release()
			return fmt.Errorf("serial: %w", os.NewSyscallError("ioctl TIOCEXCL", err))
		}
	}
	err := p.setMode(o.Mode.full())
	if err == nil && o.RS485 != nil {
		err = p.setRS485(*o.RS485)
	}
	if err != nil {
		p.release()
	}
	return err
}

// releaseFD lets others have the line, though its last bytes may still be going out.
func (p *Port) releaseFD(fd int) {
	if !p.shared {
		unix.IoctlSetInt(fd, unix.TIOCNXCL, 0)
		unix.Flock(fd, unix.LOCK_UN)
	}
}

// isPty reports whether fd is a pseudo-terminal, by the numbers that Linux gives their drivers
// (Documentation/admin-guide/devices.txt).
func isPty(fd int) bool {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return false
	}
	return isPtyNumber(unix.Major(uint64(st.Rdev)), unix.Minor(uint64(st.Rdev)))
}

func isPtyNumber(major, minor uint32) bool {
	return major == 2 || major == 3 || major == 5 && minor == 2 || major >= 128 && major <= 143
}

// setMode sets the mode and looks what the driver has made of it.
func (p *Port) setMode(m Mode) error {
	t, err := sys.get(p.fd, unix.TCGETS)
	if err != nil {
		return fmt.Errorf("serial: %w", os.NewSyscallError("ioctl TCGETS", err))
	}
	req := encode(t, m)
	if p.keepLines {
		t.Cflag &^= unix.HUPCL
	}
	if err := sys.set(p.fd, req, t); err != nil {
		return fmt.Errorf("serial: set %s: %w", m, os.NewSyscallError("ioctl TCSETS", err))
	}
	got, err := readMode(p.fd)
	if err != nil {
		return err
	}
	if p.pty { // it has no line, and forgets what it has no use for
		got.DataBits, got.Parity = m.DataBits, m.Parity
	}
	// A UART takes a character whose speed is off by up to some 4 %, of both sides together.
	if off := abs(got.Speed - m.Speed); off*100 <= m.Speed*3 {
		got.Speed = m.Speed
	}
	if got != m {
		return fmt.Errorf("%w: asked for %s, it does %s", ErrMode, m, got)
	}
	return nil
}

func abs(n int) int {
	if n < 0 {
		return -n
	}
	return n
}

// readMode asks the driver for the mode.
func readMode(fd int) (Mode, error) {
	t, err := sys.get(fd, unix.TCGETS)
	if err != nil {
		return Mode{}, fmt.Errorf("serial: %w", os.NewSyscallError("ioctl TCGETS", err))
	}
	if t.Cflag&unix.CBAUD == unix.BOTHER {
		if t, err = sys.get(fd, getOdd); err != nil {
			return Mode{}, fmt.Errorf("serial: %w", os.NewSyscallError("ioctl TCGETS2", err))
		}
	}
	return decode(t), nil
}

// Lines asks for the control lines.
func (p *Port) Lines() (Lines, error) {
	if p.over() {
		return Lines{}, ErrGone
	}
	b, err := getInt(p.fd, unix.TIOCMGET)
	if err != nil {
		return Lines{}, fmt.Errorf("serial: %w", os.NewSyscallError("ioctl TIOCMGET", err))
	}
	return linesOf(b), nil
}

// linesOf reads the bits of TIOCMGET.
func linesOf(b int) Lines {
	return Lines{
		RTS: b&unix.TIOCM_RTS != 0, DTR: b&unix.TIOCM_DTR != 0, CTS: b&unix.TIOCM_CTS != 0,
		DSR: b&unix.TIOCM_DSR != 0, DCD: b&unix.TIOCM_CAR != 0, RI: b&unix.TIOCM_RNG != 0,
	}
}

// SetRTS raises or drops RTS. With RTSCTS and RS485 the line is the driver's.
func (p *Port) SetRTS(on bool) error { return p.setLine(unix.TIOCM_RTS, on) }

// SetDTR raises or drops DTR.
func (p *Port) SetDTR(on bool) error { return p.setLine(unix.TIOCM_DTR, on) }

func (p *Port) setLine(bit int, on bool) error {
	if p.over() {
		return ErrGone
	}
	var req uint = unix.TIOCMBIC
	if on {
		req = unix.TIOCMBIS
	}
	if err := unix.IoctlSetPointerInt(p.fd, req, bit); err != nil {
		return fmt.Errorf("serial: %w", os.NewSyscallError("ioctl TIOCMSET", err))
	}
	return nil
}

// Queued returns how many bytes the kernel has taken and the line has not sent yet.
func (p *Port) Queued() (int, error) {
	if p.over() {
		return 0, ErrGone
	}
	n, err := sys.queued(p.fd)
	return n, os.NewSyscallError("ioctl TIOCOUTQ", err)
}

// Flush drops what the kernel holds: input that has not been read, output that has not been sent.
// The queue of the connection itself stays.
func (p *Port) Flush(input, output bool) error {
	if p.over() {
		return ErrGone
	}
	return flushLine(p.fd, input, output)
}

func flushLine(fd int, input, output bool) error {
	which := unix.TCIOFLUSH
	switch {
	case !input && !output:
		return nil
	case !output:
		which = unix.TCIFLUSH
	case !input:
		which = unix.TCOFLUSH
	}
	if err := unix.IoctlSetInt(fd, unix.TCFLSH, which); err != nil {
		return fmt.Errorf("serial: %w", os.NewSyscallError("ioctl TCFLSH", err))
	}
	return nil
}

// serialRS485 is struct serial_rs485 of linux/serial.h.
type serialRS485 struct {
	Flags       uint32
	DelayBefore uint32 // ms
	DelayAfter  uint32 // ms
	_           [5]uint32
}

// Flags of serialRS485. They are the same on each architecture.
const (
	rs485Enabled      = 1 << 0
	rs485RTSOnSend    = 1 << 1
	rs485RTSAfterSend = 1 << 2
	rs485RxDuringTx   = 1 << 4
	rs485TerminateBus = 1 << 5
)

func ioctlRS485(fd int, req uint, r *serialRS485) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(req), uintptr(unsafe.Pointer(r))); errno != 0 {
		return errno
	}
	return nil
}

// SetRS485 has the driver switch the direction of a two-wire line. The error wraps
// errors.ErrUnsupported if the driver cannot.
func (p *Port) SetRS485(r RS485) error {
	if p.over() {
		return ErrGone
	}
	return p.setRS485(r)
}

func (p *Port) setRS485(r RS485) error {
	if err := r.check(); err != nil {
		return err
	}
	s := serialRS485{Flags: rs485Enabled, DelayBefore: uint32(r.DelayBefore / time.Millisecond), DelayAfter: uint32(r.DelayAfter / time.Millisecond)}
	if r.RTSWhenReceiving {
		s.Flags |= rs485RTSAfterSend
	} else {
		s.Flags |= rs485RTSOnSend
	}
	if r.Echo {
		s.Flags |= rs485RxDuringTx
	}
	if r.Terminate {
		s.Flags |= rs485TerminateBus
	}
	switch err := sys.rs485(p.fd, unix.TIOCSRS485, &s); err {
	case nil:
		return nil
	case unix.ENOTTY, unix.EINVAL, unix.EOPNOTSUPP:
		return fmt.Errorf("serial: the driver does not do RS-485: %w: %w", errors.ErrUnsupported, os.NewSyscallError("ioctl TIOCSRS485", err))
	default:
		return fmt.Errorf("serial: %w", os.NewSyscallError("ioctl TIOCSRS485", err))
	}
}
