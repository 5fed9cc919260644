package modbus

import (
	"errors"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/serial"
)

var (
	// ErrTimeout is the error of a request to which nothing came.
	ErrTimeout = errors.New("modbus: no reply")
	// ErrGarbled is the error of a request after which bytes came, but no reply: noise, a wrong
	// checksum, the reply of another unit; or the line did not fall silent for a request.
	ErrGarbled = errors.New("modbus: no reply in what came")
	// ErrNoEcho is the error of a request that did not come back, though the line echoes: another
	// sender was on it, or it does not echo.
	ErrNoEcho = errors.New("modbus: the line does not echo the request")
	// ErrFull is returned for a request that finds Options.Queue others waiting.
	ErrFull = errors.New("modbus: the queue is full")
	// ErrClosed is returned for requests after Close, and is the error of those before.
	ErrClosed = errors.New("modbus: closed")

	errFrame = errors.New("modbus: the peer does not speak Modbus/TCP")
)

// Broadcast is the unit of a write that all units on a serial line obey, and none replies to.
const Broadcast = 0

// Options are the settings of a Master. The zero value works.
type Options struct {
	Timeout time.Duration // from the request's last byte to the reply's; default 1 s. The time on a serial line comes on top
	Retries int           // how often a request is repeated after no reply or a garbled one; default 2, negative: never

	// Late is how much later than Timeout a reply on a serial line may come and do no harm. So long, a
	// request that the late reply would confirm waits, be it the same once more or another one: see
	// "Late replies" in the comment of the package. Default: Timeout; negative: no unit is ever late.
	Late time.Duration

	// Echo says that the line echoes: two-wire RS-485 adapters often do. Each request has to come
	// back first then. Without Echo an echo would confirm a write to one register or coil.
	Echo bool

	// Many has a single register or coil written by the functions for several (15, 16): some devices
	// know no other.
	Many bool

	Turnaround time.Duration // the pause after a broadcast, and after a unit was busy; default 100 ms (Line §2.4.1)
	Reopen     time.Duration // the pause between two attempts to open the line; default 1 s
	Queue      int           // requests that may wait, beside those of a Binding's rounds; default 256

	gap  time.Duration // silence before a request
	char time.Duration // how long a character takes
}

// Stats count what a Master has done.
type Stats struct {
	Requests, Replies, Exceptions uint64 // Requests include those that were repeated
	Timeouts, Garbled             uint64
	Noise                         uint64 // bytes on a serial line that were part of no reply
	Late                          uint64 // replies on a serial line that came after Options.Timeout, and were thrown away
	Opened                        uint64 // how often the line was opened
}

// A Master asks units, and gets replies. RTU and TCP make one.
type Master struct {
	m    *mgr.Manager
	o    Options
	tcp  bool
	open func(conn.Handler) (*conn.Conn, error)

	queue  []*request
	state  state
	conn   *conn.Conn
	timer  *mgr.Timer
	stats  Stats
	id     uint16
	echo   []byte // what is still to come back
	owed   []owed
	came   bool  // bytes have come since the request
	heard  int64 // when the last byte came, by m.Now
	rests  int64 // since when the line has had to fall silent; 0 if it need not
	down   bool  // the line could not be opened, and that was
	downed int64 // then, by m.Now
	buf    []byte
}

// RTU makes the master of a serial line. The line is opened with the first request, and again when
// it was unplugged.
func RTU(m *mgr.Manager, path string, line serial.Options, o ...Options) *Master {
	x := newMaster(m, o, func(h conn.Handler) (*conn.Conn, error) { return serial.Open(m, path, h, line) })
	speed := line.Speed
	if speed == 0 {
		speed = 9600
	}
	x.o.char = time.Second * time.Duration(line.CharBits()) / time.Duration(speed)
	// 3.5 characters, and not less than 1.75 ms (Line §2.5.1.1).
	x.o.gap = max(x.o.char*7/2, 1750*time.Microsecond)
	return x
}

// TCP makes the master of a device at url, such as tcp://192.0.2.1:502.
func TCP(m *mgr.Manager, url string, o ...Options) *Master {
	var x *Master
	x = newMaster(m, o, func(h conn.Handler) (*conn.Conn, error) {
		return m.Connect(url, h, mgr.ConnectOptions{Timeout: x.o.Timeout})
	})
	x.tcp = true
	return x
}

func newMaster(m *mgr.Manager, opts []Options, open func(conn.Handler) (*conn.Conn, error)) *Master {
	var o Options
	if len(opts) > 0 {
		o = opts[0]
	}
	for _, d := range []struct {
		t *time.Duration
		d time.Duration
	}{{&o.Timeout, time.Second}, {&o.Turnaround, 100 * time.Millisecond}, {&o.Reopen, time.Second}} {
		if *d.t <= 0 {
			*d.t = d.d
		}
	}
	if o.Late == 0 {
		o.Late = o.Timeout
	}
	if o.Retries == 0 {
		o.Retries = 2
	}
	if o.Queue <= 0 {
		o.Queue = 256
	}
	return &Master{m: m, o: o, open: open}
}

// Read asks a unit for n values of a table from addr on: registers, or bits as 0 and 1. done gets
// them, or an error: an Exception, ErrTimeout, ErrGarbled, ErrNoEcho, ErrClosed, or why the line is
// not open. It is called once, later. If Read returns an error, it is not called.
func (x *Master) Read(unit byte, t Table, addr uint16, n int, done func(values []uint16, err error)) error {
	pdu, err := readPDU(t, addr, n)
	if err != nil {
		return err
	}
	if unit == Broadcast && !x.tcp {
		return errors.New("modbus: read: unit 0 is all units, and none replies")
	}
	return x.add(&request{unit: unit, pdu: pdu, done: done})
}

// Write has a unit write values to coils or holding registers from addr on. done, unless nil, is
// called as that of Read.
func (x *Master) Write(unit byte, t Table, addr uint16, values []uint16, done func(error)) error {
	pdu, err := writePDU(t, addr, values, x.o.Many)
	if err != nil {
		return err
	}
	return x.add(&request{unit: unit, pdu: pdu, done: func(_ []uint16, err error) {
		if done != nil {
			done(err)
		}
	}})
}

// Stats returns the figures.
func (x *Master) Stats() Stats { return x.stats }

// Waiting returns how many requests have no result yet.
func (x *Master) Waiting() int { return len(x.queue) }

// Close ends the requests with ErrClosed and closes the line.
func (x *Master) Close() {
	if x.state == closed {
		return
	}
	x.state = closed
	x.stopTimer()
	if x.conn != nil {
		x.conn.Close()
	}
	x.failAll(ErrClosed)
}

func (x *Master) add(r *request) error {
	if x.state == closed {
		return ErrClosed
	}
	if len(x.queue) >= x.o.Queue {
		return ErrFull
	}
	x.queue = append(x.queue, r)
	if len(x.queue) == 1 && x.state == idle {
		x.after(0, x.next) // done is never called before Read has returned
	}
	return nil
}
