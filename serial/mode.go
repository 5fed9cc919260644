package serial

import (
	"fmt"
	"strconv"
	"strings"
)

// Parity is the parity bit of each character.
type Parity uint8

const (
	NoParity Parity = iota
	Even
	Odd
	Mark  // always 1
	Space // always 0
)

const parityLetters = "NEOMS"

func (p Parity) String() string {
	if int(p) < len(parityLetters) {
		return parityLetters[p : p+1]
	}
	return "?"
}

// Flow is how a receiver that is full holds the sender back.
type Flow uint8

const (
	NoFlow  Flow = iota
	RTSCTS       // by the control lines RTS and CTS
	XonXoff      // by the characters 0x11 and 0x13, which cannot be data then
)

// A Mode is how characters go over the line. The zero value is "9600 8N1".
type Mode struct {
	Speed    int    // bits a second; 0 is 9600. Any speed that the device can do, not only the usual ones
	DataBits int    // 5 to 8; 0 is 8
	Parity   Parity // a character whose parity is wrong is read as 0
	StopBits int    // 1 or 2; 0 is 1
	Flow     Flow
}

// ParseMode parses what String prints: "19200", "19200 8E1", "115200 8N1 rtscts", "9600 7O2
// xonxoff".
func ParseMode(s string) (Mode, error) {
	f := strings.Fields(s)
	bad := func() (Mode, error) {
		return Mode{}, fmt.Errorf("serial: mode %q: want a speed, characters and flow control, such as \"19200 8E1 rtscts\"", s)
	}
	if len(f) == 0 || len(f) > 3 {
		return bad()
	}
	var m Mode
	var err error
	if m.Speed, err = strconv.Atoi(f[0]); err != nil || m.Speed <= 0 {
		return bad()
	}
	if len(f) > 1 {
		if len(f[1]) != 3 {
			return bad()
		}
		p := strings.IndexByte(parityLetters, f[1][1])
		if p < 0 {
			return bad()
		}
		m.DataBits, m.Parity, m.StopBits = int(f[1][0])-'0', Parity(p), int(f[1][2])-'0'
		if m.DataBits == 0 || m.StopBits == 0 {
			return bad()
		}
	}
	if len(f) > 2 {
		switch f[2] {
		case "rtscts":
			m.Flow = RTSCTS
		case "xonxoff":
			m.Flow = XonXoff
		default:
			return bad()
		}
	}
	if err := m.Check(); err != nil {
		return Mode{}, err
	}
	return m.full(), nil
}

// String returns the mode as ParseMode takes it.
func (m Mode) String() string {
	m = m.full()
	s := fmt.Sprintf("%d %d%s%d", m.Speed, m.DataBits, m.Parity, m.StopBits)
	switch m.Flow {
	case RTSCTS:
		s += " rtscts"
	case XonXoff:
		s += " xonxoff"
	}
	return s
}

// full returns m with the defaults in place of zeros.
func (m Mode) full() Mode {
	if m.Speed == 0 {
		m.Speed = 9600
	}
	if m.DataBits == 0 {
		m.DataBits = 8
	}
	if m.StopBits == 0 {
		m.StopBits = 1
	}
	return m
}

// maxSpeed is beyond what any UART does. It keeps sums of speeds within 32 bits.
const maxSpeed = 100_000_000

// Check returns why m is no mode that a line could have.
func (m Mode) Check() error {
	f := m.full()
	switch {
	case f.Speed < 1 || f.Speed > maxSpeed:
		return fmt.Errorf("serial: speed %d: want 1 to %d bit/s", m.Speed, maxSpeed)
	case f.DataBits < 5 || f.DataBits > 8:
		return fmt.Errorf("serial: %d data bits: want 5 to 8", m.DataBits)
	case f.StopBits < 1 || f.StopBits > 2:
		return fmt.Errorf("serial: %d stop bits: want 1 or 2", m.StopBits)
	case f.Parity > Space:
		return fmt.Errorf("serial: parity %d is none of this package", m.Parity)
	case f.Flow > XonXoff:
		return fmt.Errorf("serial: flow control %d is none of this package", m.Flow)
	}
	return nil
}

// CharBits returns how many bits a character takes on the line: start, data, parity and stop bits.
func (m Mode) CharBits() int {
	m = m.full()
	n := 1 + m.DataBits + m.StopBits
	if m.Parity != NoParity {
		n++
	}
	return n
}
