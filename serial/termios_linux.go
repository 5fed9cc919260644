package serial

import "golang.org/x/sys/unix"

// A speed of the usual ones is a number in Cflag, which each kernel and driver knows. Any other is
// BOTHER, with the speed itself beside it, in a longer struct that has ioctls of its own. The
// numbers are those of the architecture: package unix has them.

// usual has the speeds with a number of their own.
var usual = []struct {
	speed int
	bits  uint32
}{
	{50, unix.B50}, {75, unix.B75}, {110, unix.B110}, {134, unix.B134}, {150, unix.B150}, {200, unix.B200}, {300, unix.B300},
	{600, unix.B600}, {1200, unix.B1200}, {1800, unix.B1800}, {2400, unix.B2400}, {4800, unix.B4800}, {9600, unix.B9600},
	{19200, unix.B19200}, {38400, unix.B38400}, {57600, unix.B57600}, {115200, unix.B115200}, {230400, unix.B230400},
	{460800, unix.B460800}, {500000, unix.B500000}, {576000, unix.B576000}, {921600, unix.B921600}, {1000000, unix.B1000000},
	{1152000, unix.B1152000}, {1500000, unix.B1500000}, {2000000, unix.B2000000}, {2500000, unix.B2500000},
	{3000000, unix.B3000000}, {3500000, unix.B3500000}, {4000000, unix.B4000000},
}

// sizes are the numbers of data bits, from 5 on.
var sizes = [4]uint32{unix.CS5, unix.CS6, unix.CS7, unix.CS8}

// encode makes t that of a raw line in the mode m. It returns the ioctl that sets it.
func encode(t *unix.Termios, m Mode) (req uint) {
	t.Iflag &^= unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON | unix.IXOFF |
		unix.IXANY | unix.INPCK | unix.IGNPAR | unix.IUCLC | unix.IUTF8
	t.Iflag |= unix.IGNBRK
	t.Oflag &^= unix.OPOST
	t.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	// A read takes what is there. With VMIN 0 it would return 0 for nothing, and look like the end.
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0

	t.Cflag &^= unix.CSIZE | unix.PARENB | unix.PARODD | unix.CMSPAR | unix.CSTOPB | unix.CRTSCTS | unix.CBAUD | unix.CIBAUD
	t.Cflag |= unix.CREAD | unix.CLOCAL | unix.HUPCL | sizes[m.DataBits-5]
	switch m.Parity {
	case Even:
		t.Cflag |= unix.PARENB
	case Odd:
		t.Cflag |= unix.PARENB | unix.PARODD
	case Space:
		t.Cflag |= unix.PARENB | unix.CMSPAR
	case Mark:
		t.Cflag |= unix.PARENB | unix.CMSPAR | unix.PARODD
	}
	if m.Parity != NoParity {
		t.Iflag |= unix.INPCK
	}
	if m.StopBits == 2 {
		t.Cflag |= unix.CSTOPB
	}
	switch m.Flow {
	case RTSCTS:
		t.Cflag |= unix.CRTSCTS
	case XonXoff:
		t.Iflag |= unix.IXON | unix.IXOFF
		t.Cc[unix.VSTART], t.Cc[unix.VSTOP] = 0x11, 0x13
	}
	t.Ispeed, t.Ospeed = uint32(m.Speed), uint32(m.Speed)
	for _, u := range usual {
		if u.speed == m.Speed {
			t.Cflag |= u.bits
			return unix.TCSETS
		}
	}
	t.Cflag |= unix.BOTHER
	return setOdd
}

// decode returns the mode that t says.
func decode(t *unix.Termios) Mode {
	m := Mode{StopBits: 1, Speed: int(t.Ospeed)}
	if b := t.Cflag & unix.CBAUD; b != unix.BOTHER {
		m.Speed = 0
		for _, u := range usual {
			if u.bits == b {
				m.Speed = u.speed
			}
		}
	}
	for i, s := range sizes {
		if t.Cflag&unix.CSIZE == s {
			m.DataBits = 5 + i
		}
	}
	if t.Cflag&unix.CSTOPB != 0 {
		m.StopBits = 2
	}
	if t.Cflag&unix.PARENB != 0 {
		switch t.Cflag & (unix.PARODD | unix.CMSPAR) {
		case 0:
			m.Parity = Even
		case unix.PARODD:
			m.Parity = Odd
		case unix.CMSPAR:
			m.Parity = Space
		default:
			m.Parity = Mark
		}
	}
	switch {
	case t.Cflag&unix.CRTSCTS != 0:
		m.Flow = RTSCTS
	case t.Iflag&(unix.IXON|unix.IXOFF) == unix.IXON|unix.IXOFF:
		m.Flow = XonXoff
	}
	return m
}
