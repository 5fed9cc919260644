package conntest

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
)

// A Sealed is the double of TLS: a conn.Layered whose records are a letter, a length of two bytes,
// and the plaintext with its bits flipped. It holds input until a record is whole, and output that
// the kernel does not take. The letters:
//
//	h  handshake: each side sends one, the client first
//	d  data
//	k  a question that Read answers with another k, as it does TLS's KeyUpdate
//	e  the end of the stream: close_notify
//	a  an alert, sent before the connection ends because of a wrong record
type Sealed struct {
	Cut     int           // a read takes this many bytes at most, so that records come in pieces; 0 is no bound
	Record  int           // data in one record at most; 0 is 16 KiB
	Silent  bool          // New sends no handshake in the peer's name
	Rounds  int           // how often the peer sends h in the handshake, and gets one back; 0 is once
	Compute bool          // the handshake waits for Computed, as for a worker
	Timeout time.Duration // of the handshake; default 10 s, negative is none
	State   int           // bytes of memory that it has in any case
	Sends   int           // writes to the kernel
	Closed  int           // calls of Close

	c        *conn.Conn
	d        *Dialogue
	below    conn.Transport
	in       []byte // records, the last perhaps not whole
	plain    []byte
	out      []byte // records that wait for the kernel
	ended    bool   // the peer has sent e
	asked    bool   // Compute: Handshake has returned ErrComputing
	ending   bool   // e is among out, or sent
	failed   error
	broken   error // of a write to the kernel
	done     bool  // the handshake
	computed bool
	rounds   int // h records that have come
}

// Hello is the event that a Sealed gives for the end of its handshake.
type Hello struct{}

// EventName implements conn.Event.
func (*Hello) EventName() string { return "conntest.Hello" }

var errRecord = errors.New("conntest: a record of a wrong kind")

// Attach puts s on c, before Begin. New does it for Options.Sealed.
func (s *Sealed) Attach(c *conn.Conn) {
	s.c, s.below = c, c.Layer().Transport()
	d := s.Timeout
	if d == 0 {
		d = 10 * time.Second
	}
	c.Layer().SetTransport(s, d)
}

func (s *Sealed) attach(d *Dialogue) {
	s.d = d
	s.Attach(d.Conn)
}

// Computed ends what the handshake waits for with Compute.
func (s *Sealed) Computed() {
	s.computed = true
	s.d.Conn.Layer().Complete(s.d.Conn.Layer().Computed)
	s.d.Turn()
}

// Seal makes one record.
func Seal(kind byte, p []byte) []byte {
	b := []byte{kind, byte(len(p) >> 8), byte(len(p))}
	for _, x := range p {
		b = append(b, ^x)
	}
	return b
}

// next returns the first record of b, and what follows it; kind is 0 when it is not whole.
func next(b []byte) (kind byte, p, rest []byte) {
	if len(b) < 3 {
		return 0, nil, b
	}
	n := 3 + int(b[1])<<8 + int(b[2])
	if len(b) < n {
		return 0, nil, b
	}
	for _, x := range b[3:n] {
		p = append(p, ^x)
	}
	return b[0], p, b[n:]
}

// send has the peer send p, in records of the size that s has, each in a turn of its own.
func (s *Sealed) send(p string) {
	for len(p) > 0 {
		n := min(len(p), s.most())
		s.d.Wire.Arrive(Seal('d', []byte(p[:n])), nil)
		p = p[n:]
	}
	s.d.Turn()
}

// sent opens what the peer got. A record that is not whole stays.
func (s *Sealed) sent() string {
	var all []byte
	for {
		kind, p, rest := next(s.d.Wire.Sent)
		switch kind {
		case 0:
			s.d.Wire.Sent = rest
			return string(all)
		case 'd':
			all = append(all, p...)
		case 'a':
			all = append(all, "<alert>"...)
		}
		s.d.Wire.Sent = rest
	}
}

func (s *Sealed) most() int {
	if s.Record == 0 {
		return 16 << 10
	}
	return s.Record
}

// Below implements conn.Layered.
func (s *Sealed) Below() conn.Transport { return s.below }

// Handshake implements conn.Layered.
func (s *Sealed) Handshake(fd int) (conn.Event, error) {
	if s.asked && !s.computed {
		panic("conntest: Handshake was called while it computes")
	}
	kind, err := s.fill(fd)
	switch {
	case err != nil:
		return nil, err
	case kind == 0:
		return nil, errors.New("conntest: the end of the stream within the handshake")
	case kind != 'h':
		s.out = append(s.out, Seal('a', nil)...)
		return nil, errRecord
	case s.Compute && !s.computed:
		s.asked = true
		return nil, conn.ErrComputing
	}
	_, _, s.in = next(s.in)
	s.out = append(s.out, Seal('h', nil)...)
	if s.rounds++; s.rounds < s.Rounds {
		return nil, unix.EAGAIN
	}
	s.done = true
	return &Hello{}, nil
}

// usable panics if the connection has called Read or Write before the handshake was over.
func (s *Sealed) usable() {
	if !s.done {
		panic("conntest: Read or Write before the end of the handshake")
	}
}

// fill reads until there is a whole record, and returns its kind: 0 at the end of the stream.
func (s *Sealed) fill(fd int) (kind byte, err error) {
	for {
		if kind, _, _ = next(s.in); kind != 0 {
			return kind, nil
		}
		size := 4096
		if s.Cut > 0 {
			size = s.Cut
		}
		b := make([]byte, size)
		n, err := s.below.Read(fd, b)
		if err != nil {
			return 0, err
		}
		if n == 0 {
			return 0, nil
		}
		s.in = append(s.in, b[:n]...)
	}
}

// Read implements conn.Transport.
func (s *Sealed) Read(fd int, p []byte) (int, error) {
	s.usable()
	for len(s.plain) == 0 {
		if s.failed != nil {
			return 0, s.failed
		}
		if s.ended {
			return 0, nil
		}
		kind, err := s.fill(fd)
		if err != nil || kind == 0 {
			return 0, err
		}
		var data []byte
		_, data, s.in = next(s.in)
		switch kind {
		case 'd':
			s.plain = data
		case 'k':
			s.out = append(s.out, Seal('k', nil)...)
		case 'e':
			s.ended = true
		default:
			s.out = append(s.out, Seal('a', nil)...)
			s.failed = fmt.Errorf("%w: %q", errRecord, kind)
		}
	}
	n := copy(p, s.plain)
	s.plain = s.plain[n:]
	return n, nil
}

// Write implements conn.Transport.
func (s *Sealed) Write(fd int, p []byte) (int, error) {
	s.usable()
	if len(s.out) > 0 {
		panic("conntest: Write with bytes unsent")
	}
	taken := 0
	for len(p) > 0 && len(s.out) == 0 {
		n := min(len(p), s.most())
		s.out = append(s.out, Seal('d', p[:n])...)
		p = p[n:]
		taken += n
		if err := s.Flush(fd); err != nil && err != unix.EAGAIN && err != unix.EINTR {
			s.broken = err // the next Flush tells it
		}
	}
	return taken, nil
}

// Writev implements conn.Transport.
func (s *Sealed) Writev(fd int, pieces [][]byte) (int, error) {
	n := 0
	for _, p := range pieces {
		k, _ := s.Write(fd, p)
		if n += k; len(s.out) > 0 {
			break
		}
	}
	return n, nil
}

// Buffered implements conn.Layered.
func (s *Sealed) Buffered() bool {
	kind, _, _ := next(s.in)
	return len(s.plain) > 0 || kind != 0 || s.failed != nil
}

// Unsent implements conn.Layered.
func (s *Sealed) Unsent() int { return len(s.out) }

// Holds implements conn.Layered: input and output, and State.
func (s *Sealed) Holds() int { return len(s.in) + len(s.plain) + len(s.out) + s.State }

// Flush implements conn.Layered.
func (s *Sealed) Flush(fd int) error {
	if err := s.broken; err != nil {
		s.broken = nil
		return err
	}
	s.Sends++
	n, err := s.below.Write(fd, s.out)
	if n > 0 {
		s.out = s.out[n:]
	}
	return err
}

// CloseWrite implements conn.Transport.
func (s *Sealed) CloseWrite(fd int) error {
	if !s.ending && s.failed == nil && !s.c.Layer().WasCut() {
		s.ending = true
		s.out = append(s.out, Seal('e', nil)...)
	}
	for len(s.out) > 0 {
		if err := s.Flush(fd); err != nil {
			return err
		}
	}
	return s.below.CloseWrite(fd)
}

// Close implements conn.Transport.
func (s *Sealed) Close(fd int) error {
	s.Closed++
	if fd < 0 {
		return nil
	}
	return s.below.Close(fd)
}
