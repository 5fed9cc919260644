package serial

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

func TestEachModeOnALine(t *testing.T) {
	_, path := pty(t)
	r := newRig(t, mgr.Auto)
	r.open(path)
	p := Of(r.c)
	stty := ""
	if _, err := exec.LookPath("stty"); err == nil {
		stty = path
	}
	_, err := sys.get(p.fd, getOdd)
	emulated := err != nil // qemu-user before 10 has no odd speeds, and takes those above 460,800 for 9,600
	for _, u := range append(usual[:len(usual):len(usual)], usual[12:13]...) {
		if emulated && u.speed > 460_800 {
			continue
		}
		m := Mode{Speed: u.speed}
		if err := p.SetMode(m); err != nil {
			t.Errorf("%v: %v", m, err)
			continue
		}
		if got, err := p.Mode(); err != nil || got != m.full() {
			t.Errorf("%v: the line does %v, %v", m, got, err)
		}
		if stty == "" || u.speed != 19200 && u.speed != 9600 && u.speed != 4000000 {
			continue
		}
		if out, err := exec.Command("stty", "-F", stty, "speed").CombinedOutput(); err == nil && strings.TrimSpace(string(out)) != strconv.Itoa(u.speed) {
			t.Errorf("%v: stty says %q", m, out)
		}
	}
	for _, m := range []Mode{{StopBits: 2}, {Flow: RTSCTS}, {Flow: XonXoff}, {StopBits: 2, Flow: RTSCTS, Speed: 115200}, {}} {
		if err := p.SetMode(m); err != nil {
			t.Errorf("%v: %v", m, err)
		}
		if got, err := p.Mode(); err != nil || got != m.full() {
			t.Errorf("%v: the line does %v, %v", m, got, err)
		}
	}
	for _, speed := range []int{31250, 250_000, 74880, 12345} {
		if emulated {
			break
		}
		err := p.SetMode(Mode{Speed: speed})
		if got, err2 := p.Mode(); err != nil || err2 != nil || got.Speed != speed {
			t.Errorf("speed %d: %v; the line does %v, %v", speed, err, got, err2)
		}
	}
	if err := p.SetMode(Mode{Speed: 115200}); err != nil { // back from an odd one
		t.Error(err)
	}
	if got, err := p.Mode(); err != nil || got.Speed != 115200 {
		t.Errorf("after an odd speed: %v, %v", got, err)
	}
}

// The bits themselves, as asm/termbits.h has them for the generic architectures.
func TestModesRoundTrip(t *testing.T) {
	n := 0
	for _, speed := range []int{50, 9600, 115200, 4000000, 31250, 76800, 10_000_000} {
		for bits := 5; bits <= 8; bits++ {
			for parity := NoParity; parity <= Space; parity++ {
				for stop := 1; stop <= 2; stop++ {
					for flow := NoFlow; flow <= XonXoff; flow++ {
						m := Mode{speed, bits, parity, stop, flow}
						// The settings from before must not matter.
						for _, before := range []uint32{0, ^uint32(0)} {
							tio := unix.Termios{Iflag: before, Oflag: before, Cflag: before, Lflag: before}
							odd := encode(&tio, m) == setOdd && tio.Cflag&unix.CBAUD == unix.BOTHER
							if odd != (speed == 31250 || speed == 76800 || speed == 10_000_000) {
								t.Errorf("%v: odd %v", m, odd)
							}
							if got := decode(&tio); got != m {
								t.Errorf("%v became %v", m, got)
							}
							if tio.Lflag&(unix.ICANON|unix.ECHO|unix.ISIG) != 0 || tio.Oflag&unix.OPOST != 0 || tio.Cc[unix.VMIN] != 1 ||
								tio.Iflag&(unix.ICRNL|unix.ISTRIP|unix.PARMRK) != 0 || tio.Cflag&unix.CLOCAL == 0 {
								t.Errorf("%v: not raw: %+v", m, tio)
							}
						}
						if back, err := ParseMode(m.String()); err != nil || back != m {
							t.Errorf("%q parses as %v, %v", m, back, err)
						}
						n++
					}
				}
			}
		}
	}
	if n != 7*4*5*2*3 {
		t.Error(n)
	}
}

// strace sees what goes to the kernel, and knows the names by itself.
func TestParityReachesTheKernel(t *testing.T) {
	if os.Getenv("MANGUSTA_SERIAL_HELPER") != "" {
		_, path := pty(t)
		r := newRig(t, mgr.Auto)
		r.open(path, Options{Mode: Mode{Speed: 19200, DataBits: 7, Parity: Odd, StopBits: 2, Flow: RTSCTS}})
		Of(r.c).SetMode(Mode{Speed: 38400, Parity: Even})
		Of(r.c).SetMode(Mode{Speed: 57600, Parity: Mark})
		return
	}
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("no strace")
	}
	log := filepath.Join(t.TempDir(), "log")
	cmd := exec.Command("strace", "-f", "-v", "-e", "trace=ioctl", "-o", log, os.Args[0], "-test.run", "^TestParityReachesTheKernel$")
	cmd.Env = append(os.Environ(), "MANGUSTA_SERIAL_HELPER=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("strace: %v, %s", err, out)
	}
	b, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range [][]string{
		{"B19200", "CS7", "PARENB", "PARODD", "CSTOPB", "CRTSCTS"}, {"B38400", "CS8", "PARENB"}, {"B57600", "CS8", "PARENB", "PARODD", "CMSPAR"},
	} {
		ok := false
		for line := range strings.Lines(string(b)) {
			if !strings.Contains(line, "TCSETS") || !strings.Contains(line, want[0]) {
				continue
			}
			flags := strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune("|=,{} ", r) })
			ok = ok || !slices.ContainsFunc(want, func(w string) bool { return !slices.Contains(flags, w) })
		}
		if !ok {
			t.Errorf("no TCSETS with %v in %s", want, b)
		}
	}
}

func TestADriverThatDoesAnotherMode(t *testing.T) {
	for _, tt := range []struct {
		name string
		set  func(tio *unix.Termios)
		want string // part of the error; "" is none
	}{
		{"nearly the speed", func(tio *unix.Termios) {
			tio.Cflag = tio.Cflag&^unix.CBAUD | unix.BOTHER
			tio.Ospeed = 115_900
		}, ""},
		{"another speed", func(tio *unix.Termios) { tio.Cflag = tio.Cflag&^unix.CBAUD | unix.B9600 }, "asked for 115200 8N1 rtscts, it does 9600 8N1 rtscts"},
		{"no flow control", func(tio *unix.Termios) { tio.Cflag &^= unix.CRTSCTS }, "it does 115200 8N1"},
		{"one stop bit more", func(tio *unix.Termios) { tio.Cflag |= unix.CSTOPB }, "it does 115200 8N2 rtscts"},
	} {
		_, path := pty(t)
		r := newRig(t, mgr.Auto)
		swap(t, func(k *kernel) {
			var tio unix.Termios
			k.get = func(int, uint) (*unix.Termios, error) { got := tio; return &got, nil }
			k.set = func(_ int, _ uint, want *unix.Termios) error { tio = *want; tt.set(&tio); return nil }
		})
		before := descriptors(t)
		c, err := Open(r.Manager, path, r.handle, Options{Mode: Mode{Speed: 115200, Flow: RTSCTS}})
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%s: %v", tt.name, err)
		case tt.want != "" && (!errors.Is(err, ErrMode) || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: %v", tt.name, err)
		case tt.want != "" && descriptors(t) != before:
			t.Errorf("%s: a descriptor is left", tt.name)
		}
		if c != nil {
			c.Close()
			r.Poll(0)
		}
	}
}

func TestRS485(t *testing.T) {
	var got serialRS485
	swap(t, func(k *kernel) {
		k.rs485 = func(_ int, req uint, r *serialRS485) error {
			if req != unix.TIOCSRS485 {
				t.Errorf("ioctl %#x", req)
			}
			got = *r
			return nil
		}
	})
	for _, tt := range []struct {
		r    RS485
		want serialRS485
	}{
		{RS485{}, serialRS485{Flags: 1 | 2}},
		{RS485{RTSWhenReceiving: true, DelayBefore: 2 * time.Millisecond, DelayAfter: 100 * time.Millisecond},
			serialRS485{Flags: 1 | 4, DelayBefore: 2, DelayAfter: 100}},
		{RS485{Echo: true, Terminate: true}, serialRS485{Flags: 1 | 2 | 16 | 32}},
	} {
		_, path := pty(t)
		newRig(t, mgr.Auto).open(path, Options{RS485: &tt.r})
		if got != tt.want {
			t.Errorf("%+v: %+v, want %+v", tt.r, got, tt.want)
		}
	}
}

// A pseudo-terminal takes each mode, though it forgets what it has no use for.
func TestModesThatAPtyForgets(t *testing.T) {
	_, path := pty(t)
	r := newRig(t, mgr.Auto)
	r.open(path, Options{Mode: Mode{DataBits: 7, Parity: Even}, Limits: &conn.Limits{Recv: 12345}})
	if err := Of(r.c).SetMode(Mode{DataBits: 5, Parity: Odd}); err != nil {
		t.Error(err)
	}
	if got := r.c.Limits().Recv; got != 12345 {
		t.Errorf("Options.Limits: %d", got)
	}
}
