package modbus

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/mgr"
)

// unit builds testdata/unit.c, a unit by libmodbus, and starts it. It returns what it says after
// "ready".
func unit(t *testing.T, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath("gcc"); err != nil {
		t.Skip("no gcc")
	}
	if _, err := os.Stat("/usr/include/modbus/modbus.h"); err != nil {
		t.Skip("no libmodbus")
	}
	bin := filepath.Join(t.TempDir(), "unit")
	if out, err := exec.Command("gcc", "-o", bin, "testdata/unit.c", "-lmodbus").CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, out)
	}
	cmd := exec.Command(bin, args...)
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); cmd.Wait() })
	said, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.HasPrefix(said, "ready") {
		t.Fatalf("it said %q, %v", said, err)
	}
	return strings.TrimSpace(strings.TrimPrefix(said, "ready"))
}

func TestLibmodbus(t *testing.T) {
	for _, way := range []string{"tcp", "rtu"} {
		t.Run(way, func(t *testing.T) {
			r := newManager(t, mgr.Auto)
			o := Options{Timeout: 10 * time.Second}
			if way == "tcp" {
				r.x = TCP(r.Manager, "tcp://127.0.0.1:"+unit(t, "tcp"), o)
			} else {
				unitPath, path := twoLines(t)
				unit(t, "rtu", unitPath)
				r.x = RTU(r.Manager, path, fast, o)
			}
			for _, tt := range []struct {
				table Table
				addr  uint16
				n     int
				want  func(i int) uint16
			}{
				{Coils, 0, 200, func(i int) uint16 { return uint16(i % 2) }},
				{Discrete, 3, 77, func(i int) uint16 { return uint16(btoi(i%3 == 0)) }},
				{Input, 0, 125, func(i int) uint16 { return uint16(1000 + i) }},
				{Holding, 90, 100, func(i int) uint16 { return uint16(2000 + i) }},
			} {
				v, err := r.read(17, tt.table, tt.addr, tt.n)
				if err != nil {
					t.Fatalf("%v: %v", tt.table, err)
				}
				for i := range v {
					if v[i] != tt.want(int(tt.addr)+i) {
						t.Fatalf("%v %d is %d", tt.table, int(tt.addr)+i, v[i])
					}
				}
			}
			for _, values := range [][]uint16{{1}, {0}, {1, 0, 0, 1, 1, 0, 1, 1, 1, 0}} {
				if err := r.write(17, Coils, 20, values...); err != nil {
					t.Error(err)
				}
				if v, err := r.read(17, Coils, 20, len(values)); err != nil || !slices.Equal(v, values) {
					t.Errorf("%v, %v; want %v", v, err, values)
				}
			}
			for _, values := range [][]uint16{{65535}, {0}, {1, 2, 3, 4, 5}} {
				if err := r.write(17, Holding, 20, values...); err != nil {
					t.Error(err)
				}
				if v, err := r.read(17, Holding, 20, len(values)); err != nil || !slices.Equal(v, values) {
					t.Errorf("%v, %v; want %v", v, err, values)
				}
			}
			if _, err := r.read(17, Holding, 199, 2); err != IllegalAddress {
				t.Errorf("past the end: %v", err)
			}
			if st := r.x.Stats(); st.Garbled+st.Timeouts != 0 {
				t.Errorf("%+v", st)
			}
		})
	}
}

// twoLines returns two serial lines that are connected to each other.
func twoLines(t *testing.T) (a, b string) {
	far := [2]*os.File{}
	paths := [2]string{}
	for i := range far {
		fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err != nil {
			t.Skip(err)
		}
		far[i] = os.NewFile(uintptr(fd), "far side")
		t.Cleanup(func() { far[i].Close() })
		n, err := unix.IoctlGetUint32(fd, unix.TIOCGPTN)
		if err != nil || unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0) != nil {
			t.Fatal(err)
		}
		paths[i] = "/dev/pts/" + strconv.Itoa(int(n))
		hold, err := unix.Open(paths[i], unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(hold) })
	}
	for i := range far {
		go func() {
			b := make([]byte, 500)
			for {
				n, err := far[i].Read(b)
				if err != nil {
					return
				}
				far[1-i].Write(b[:n])
			}
		}()
	}
	return paths[0], paths[1]
}
