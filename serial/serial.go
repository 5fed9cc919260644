package serial

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

var (
	// ErrGone is in the Error of a connection whose device was unplugged, or whose other side, of a
	// pseudo-terminal, was closed.
	ErrGone = errors.New("serial: the device is gone")
	// ErrBusy is returned by Open when another program has the line.
	ErrBusy = errors.New("serial: the line is in use by another program")
	// ErrMode is returned when the device does not do what was asked: the driver has taken the mode
	// without an error, and set another one.
	ErrMode = errors.New("serial: the device does not do this mode")
)

// Options are the settings of a line. The zero value works: 9600 8N1, and the line is ours alone.
type Options struct {
	Mode

	// RS485, unless nil, has the driver switch the direction of a two-wire line.
	RS485 *RS485

	// Shared lets other programs open the line too. Otherwise Open takes a lock (flock and
	// TIOCEXCL), and is refused if another program has one.
	Shared bool

	// KeepLines leaves DTR and RTS as they are when the line is closed, instead of dropping them.
	KeepLines bool

	Limits *conn.Limits // nil: those of the manager
}

// RS485 is how the driver of a UART drives a two-wire line (RS-485), where one end sends at a time
// and RTS switches the transmitter. Drivers round or refuse the delays that they cannot do.
type RS485 struct {
	RTSWhenReceiving bool          // RTS is on while receiving, and off while sending; the other way round is the default
	DelayBefore      time.Duration // between RTS and the first bit; whole milliseconds
	DelayAfter       time.Duration // between the last bit and RTS; whole milliseconds
	Echo             bool          // what is sent is received as well
	Terminate        bool          // the bus is terminated here, if the hardware can do that
}

// Lines are the control lines of a serial line.
type Lines struct {
	RTS, DTR          bool // ours
	CTS, DSR, DCD, RI bool // the peer's
}

// A Port is what a connection to a serial line has beside that of any stream. All methods belong to
// the goroutine of the loop. They return ErrGone after the connection has ended, and errors of the
// kernel, such as ENOTTY from a pseudo-terminal, which has no control lines.
type Port struct {
	conn.File // moves the bytes
	fd        int
	pty       bool
	shared    bool
	keepLines bool
	wrote     bool // bytes, in its life
	breaking  *mgr.Timer
	c         *conn.Conn
}

// Open opens the device at path, such as /dev/ttyUSB0, and gives its events to h: Open before it
// returns. At most one opts may be given.
//
// Open does not wait for a carrier (DCD), and the line does not become the controlling terminal. It
// returns ErrBusy, ErrMode, or an error that wraps that of the system call: ENOENT, EACCES, ENOTTY
// for what is no serial line.
func Open(m *mgr.Manager, path string, h conn.Handler, opts ...Options) (*conn.Conn, error) {
	o := optionsOf(opts)
	if err := o.check(); err != nil {
		return nil, err
	}
	fd, err := openLine(path)
	if err != nil {
		return nil, fmt.Errorf("serial: open %s: %w", path, err)
	}
	c, err := wrap(m, fd, h, &o)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("%w (%s)", err, path)
	}
	return c, nil
}

// Wrap is Open for a descriptor that is open already. The manager owns it from then on; it stays
// the caller's if there is an error.
func Wrap(m *mgr.Manager, fd int, h conn.Handler, opts ...Options) (*conn.Conn, error) {
	o := optionsOf(opts)
	if err := o.check(); err != nil {
		return nil, err
	}
	return wrap(m, fd, h, &o)
}

func optionsOf(opts []Options) Options {
	if len(opts) > 0 {
		return opts[0]
	}
	return Options{}
}

func (o *Options) check() error {
	if err := o.Mode.Check(); err != nil {
		return err
	}
	if o.RS485 != nil {
		return o.RS485.check()
	}
	return nil
}

func (r *RS485) check() error {
	for _, d := range []time.Duration{r.DelayBefore, r.DelayAfter} {
		if d < 0 || d > maxDelay || d%time.Millisecond != 0 {
			return fmt.Errorf("serial: RS-485 delay %v: want whole milliseconds, up to %v", d, maxDelay)
		}
	}
	return nil
}

// maxDelay is that of Linux (RS485_MAX_RTS_DELAY).
const maxDelay = 100 * time.Millisecond

func wrap(m *mgr.Manager, fd int, h conn.Handler, o *Options) (*conn.Conn, error) {
	p := &Port{fd: fd, shared: o.Shared, keepLines: o.KeepLines}
	if err := p.claim(o); err != nil {
		return nil, err
	}
	c, err := m.WrapDevice(fd, p, func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*conn.Open); ok {
			p.c = c
			if o.Limits != nil {
				c.SetLimits(o.Limits)
			}
			c.SetHandler(h)
		}
		if h != nil {
			h(c, ev)
		}
	})
	if err != nil {
		p.release()
		return nil, fmt.Errorf("serial: %w", err)
	}
	return c, nil
}

// Of returns the Port of c, or nil if c is no serial line of this package.
func Of(c *conn.Conn) *Port {
	p, _ := c.Layer().Transport().(*Port)
	return p
}

// Read implements conn.Transport. A serial line that has nothing to read says EAGAIN; it says that
// it is at its end only after the device is gone.
func (p *Port) Read(fd int, b []byte) (int, error) {
	n, err := p.File.Read(fd, b)
	if n == 0 && err == nil && len(b) > 0 {
		return 0, ErrGone
	}
	return n, gone(err)
}

// Write implements conn.Transport.
func (p *Port) Write(fd int, b []byte) (int, error) {
	n, err := p.File.Write(fd, b)
	p.wrote = p.wrote || n > 0
	return n, gone(err)
}

// Writev implements conn.Transport.
func (p *Port) Writev(fd int, pieces [][]byte) (int, error) {
	n, err := p.File.Writev(fd, pieces)
	p.wrote = p.wrote || n > 0
	return n, gone(err)
}

// gone adds ErrGone to the errors that the kernel has for a device that is not there any more.
func gone(err error) error {
	switch err {
	case unix.EIO, unix.ENXIO, unix.ENODEV:
		return fmt.Errorf("%w: %w", ErrGone, err)
	}
	return err
}

// Close implements conn.Transport. close(2) waits until the line has sent what the kernel and the
// UART have taken, of which TIOCOUTQ does not tell all. So it is left to a goroutine if anything was
// written. Without a descriptor for that, what has not been sent is dropped.
func (p *Port) Close(fd int) error {
	if p.breaking != nil {
		p.breaking.Stop()
		p.breaking = nil
		sys.setBreak(fd, false) // the driver need not do it
	}
	p.releaseFD(fd)
	if p.wrote {
		if twin, err := sys.dup(fd); err == nil {
			go sys.close(twin)
		} else {
			flushLine(fd, false, true)
		}
	}
	return p.File.Close(fd)
}

// over reports whether the connection has ended, and the descriptor may be somebody else's.
func (p *Port) over() bool { return p.c == nil || p.c.IsClosed() }

func (p *Port) release() { p.releaseFD(p.fd) }

// Break sends a break: the line is held at 0 for d.
func (p *Port) Break(d time.Duration) error {
	if p.over() {
		return ErrGone
	}
	if err := sys.setBreak(p.fd, true); err != nil {
		return os.NewSyscallError("ioctl TIOCSBRK", err)
	}
	if p.breaking != nil {
		p.breaking.Stop()
	}
	p.breaking = mgr.Of(p.c).AfterFunc(d, p.endBreak)
	return nil
}

func (p *Port) endBreak() {
	p.breaking.Stop()
	p.breaking = nil
	if !p.over() {
		sys.setBreak(p.fd, false) // it fails only if the device is gone
	}
}

// Mode asks the driver how characters go over the line.
func (p *Port) Mode() (Mode, error) {
	if p.over() {
		return Mode{}, ErrGone
	}
	return readMode(p.fd)
}

// SetMode changes the mode, at once: what the kernel has not sent yet goes out in the new one.
func (p *Port) SetMode(m Mode) error {
	if p.over() {
		return ErrGone
	}
	if err := m.Check(); err != nil {
		return err
	}
	return p.setMode(m.full())
}
