package modbus

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/serial"
)

// slave is a unit with registers, written for the tests from the specification: it shares no code
// with the master but the checksum, which TestCRC compares with known frames.
type slave struct {
	mu       sync.Mutex
	unit     byte
	bits     [2][1 << 16]bool
	regs     [2][1 << 16]uint16 // input, holding
	requests [][]byte           // PDUs of requests to this unit, and broadcasts
	// reply, unless nil, changes what is sent in reply to the nth request (from 0): nil is nothing.
	reply func(n int, frame []byte) [][]byte
	// step, unless nil, is received from after each piece: the next one is sent after the master has
	// read this one.
	step chan struct{}
}

// pace waits until the master has read a piece.
func (s *slave) pace(piece []byte) {
	if s.step != nil && len(piece) > 0 {
		<-s.step
	}
}

// serve executes a request and returns the PDU of the reply.
func (s *slave) serve(pdu []byte) []byte {
	be := binary.BigEndian
	refuse := func(e Exception) []byte { return []byte{pdu[0] | 0x80, byte(e)} }
	if len(pdu) < 5 {
		return refuse(IllegalValue)
	}
	addr, n := int(be.Uint16(pdu[1:])), int(be.Uint16(pdu[3:]))
	switch f := pdu[0]; f {
	case 1, 2:
		if n < 1 || n > 2000 || addr+n > 1<<16 {
			return refuse(IllegalAddress)
		}
		out := make([]byte, (n+7)/8)
		for i := range n {
			if s.bits[f-1][addr+i] {
				out[i/8] |= 1 << (i % 8)
			}
		}
		return append([]byte{f, byte(len(out))}, out...)
	case 3, 4:
		if n < 1 || n > 125 || addr+n > 1<<16 || addr >= 60000 {
			return refuse(IllegalAddress)
		}
		out := []byte{f, byte(2 * n)}
		for i := range n {
			out = be.AppendUint16(out, s.regs[4-f][addr+i])
		}
		return out
	case 5:
		s.bits[0][addr] = n == 0xff00
		return pdu[:5]
	case 6:
		s.regs[1][addr] = uint16(n)
		return pdu[:5]
	case 15:
		if len(pdu) != 6+(n+7)/8 {
			return refuse(IllegalValue)
		}
		for i := range n {
			s.bits[0][addr+i] = pdu[6+i/8]>>(i%8)&1 == 1
		}
		return pdu[:5]
	case 16:
		if len(pdu) != 6+2*n {
			return refuse(IllegalValue)
		}
		for i := range n {
			s.regs[1][addr+i] = be.Uint16(pdu[6+2*i:])
		}
		return pdu[:5]
	}
	return refuse(IllegalFunction)
}

// regs[4-f]: function 3 is holding, 1; function 4 is input, 0.

// answer takes a request for a unit and returns what is sent.
func (s *slave) answer(unit byte, pdu []byte, frame func(pdu []byte) []byte) [][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if unit != s.unit && unit != Broadcast {
		return nil
	}
	n := len(s.requests)
	s.requests = append(s.requests, append([]byte(nil), pdu...))
	out := frame(s.serve(pdu))
	switch {
	case unit == Broadcast:
		return nil
	case s.reply != nil:
		return s.reply(n, out)
	}
	return [][]byte{out}
}

func (s *slave) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func (s *slave) asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.requests)
}

// rtuRequest returns how long the request at the beginning of b is, 0 if it is not whole.
func rtuRequest(b []byte) int {
	n := 8
	switch {
	case len(b) < 2:
		return 0
	case b[1] == 15 || b[1] == 16:
		if len(b) < 7 {
			return 0
		}
		n = 9 + int(b[6])
	}
	if len(b) < n {
		return 0
	}
	return n
}

// line opens a pseudo-terminal with s at its far side, until the test ends or far is closed.
func line(t testing.TB, s *slave, echo bool) (path string, far *os.File) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Skip("no pseudo-terminals: ", err)
	}
	far = os.NewFile(uintptr(fd), "far side")
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetUint32(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	path = fmt.Sprintf("/dev/pts/%d", n)
	// Held open, so that the far side is not at its end before the master has opened the line and
	// after it has closed it.
	hold, err := unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { far.Close(); unix.Close(hold); <-done })
	go func() {
		defer close(done)
		var b []byte
		piece := make([]byte, 300)
		for {
			n, err := far.Read(piece)
			if err != nil {
				return
			}
			if echo {
				far.Write(piece[:n])
			}
			b = append(b, piece[:n]...)
			for {
				n := rtuRequest(b)
				if n == 0 {
					break
				}
				frame := b[:n]
				b = b[n:]
				if crc16(frame[:n-2]) != binary.LittleEndian.Uint16(frame[n-2:]) {
					t.Errorf("the request % x has a wrong checksum", frame)
					continue
				}
				unit := frame[0]
				for _, piece := range s.answer(unit, frame[1:n-2], func(pdu []byte) []byte { return appendRTU(nil, unit, pdu) }) {
					far.Write(piece)
					s.pace(piece)
				}
			}
		}
	}()
	return path, far
}

// tcp listens, with s behind it.
func tcp(t testing.TB, s *slave) (url string, ln net.Listener) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go s.serveTCP(c)
		}
	}()
	return "tcp://" + ln.Addr().String(), ln
}

func (s *slave) serveTCP(c net.Conn) {
	defer c.Close()
	head := make([]byte, 7)
	for {
		if _, err := io.ReadFull(c, head); err != nil {
			return
		}
		pdu := make([]byte, binary.BigEndian.Uint16(head[4:])-1)
		if _, err := io.ReadFull(c, pdu); err != nil {
			return
		}
		pieces := s.answer(head[6], pdu, func(out []byte) []byte {
			b := append([]byte(nil), head...)
			binary.BigEndian.PutUint16(b[4:], uint16(len(out)+1))
			return append(b, out...)
		})
		for _, piece := range pieces {
			if piece == nil {
				return // the slave hangs up
			}
			c.Write(piece)
			s.pace(piece)
		}
	}
}

// rig is a manager that the test turns, with a master.
type rig struct {
	*mgr.Manager
	t *testing.T
	x *Master
}

func newManager(t *testing.T, p mgr.Poller) *rig {
	t.Helper()
	m, err := mgr.New(mgr.Options{Poller: p})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if m.Close(); m.Stats().Panics != 0 {
			t.Errorf("%d handlers have panicked", m.Stats().Panics)
		}
	})
	return &rig{Manager: m, t: t}
}

// until turns the loop until f holds.
func (r *rig) until(what string, f func() bool) {
	r.t.Helper()
	for end := time.Now().Add(time.Minute); !f(); {
		if time.Now().After(end) {
			r.t.Fatalf("not after 20 s: %s; %+v", what, r.x.Stats())
		}
		if err := r.Poll(20 * time.Millisecond); err != nil {
			r.t.Fatal(err)
		}
	}
}

// read asks and waits.
func (r *rig) read(unit byte, table Table, addr uint16, n int) (v []uint16, err error) {
	r.t.Helper()
	done := 0
	if e := r.x.Read(unit, table, addr, n, func(got []uint16, e error) { v, err = got, e; done++ }); e != nil {
		return nil, e
	}
	if done > 0 {
		r.t.Error("done was called before Read returned")
	}
	r.until("the read is done", func() bool { return done > 0 })
	r.Poll(0)
	if done > 1 {
		r.t.Error("done was called twice")
	}
	return v, err
}

func (r *rig) write(unit byte, table Table, addr uint16, values ...uint16) (err error) {
	r.t.Helper()
	done := false
	if e := r.x.Write(unit, table, addr, values, func(e error) { err, done = e, true }); e != nil {
		return e
	}
	r.until("the write is done", func() bool { return done })
	return err
}

// fast is a line whose characters take next to no time.
var fast = serial.Options{Mode: serial.Mode{Speed: 115200}}

// each runs f over a serial line and over TCP, with each poller.
func each(t *testing.T, o Options, f func(t *testing.T, r *rig, s *slave)) {
	for _, p := range []mgr.Poller{mgr.Epoll, mgr.Select} {
		for _, way := range []string{"rtu", "echo", "tcp"} {
			t.Run(p.String()+"/"+way, func(t *testing.T) {
				s := &slave{unit: 7}
				r := newManager(t, p)
				o := o
				if way == "tcp" {
					url, _ := tcp(t, s)
					r.x = TCP(r.Manager, url, o)
				} else {
					o.Echo = way == "echo"
					path, _ := line(t, s, o.Echo)
					r.x = RTU(r.Manager, path, fast, o)
				}
				f(t, r, s)
			})
		}
	}
}
