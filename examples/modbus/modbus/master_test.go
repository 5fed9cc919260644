package modbus

import (
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/mgr"
)

func TestEachFunction(t *testing.T) {
	each(t, Options{}, func(t *testing.T, r *rig, s *slave) {
		s.set(func() {
			for i := range 3000 {
				s.bits[0][i], s.bits[1][i] = i%3 == 0, i%5 == 0
				s.regs[0][i], s.regs[1][i] = uint16(i), uint16(3*i)
			}
		})
		for _, tt := range []struct {
			table Table
			n     int
			want  func(i int) uint16
		}{
			{Coils, 2000, func(i int) uint16 { return uint16(btoi(i%3 == 0)) }}, {Coils, 1, func(i int) uint16 { return uint16(btoi(i%3 == 0)) }},
			{Discrete, 17, func(i int) uint16 { return uint16(btoi(i%5 == 0)) }},
			{Input, 125, func(i int) uint16 { return uint16(i) }}, {Holding, 1, func(i int) uint16 { return uint16(3 * i) }},
		} {
			v, err := r.read(7, tt.table, 100, tt.n)
			if err != nil || len(v) != tt.n {
				t.Fatalf("%v: %d values, %v", tt.table, len(v), err)
			}
			for i := range v {
				if v[i] != tt.want(100+i) {
					t.Fatalf("%v %d is %d", tt.table, 100+i, v[i])
				}
			}
		}
		for _, values := range [][]uint16{{1}, {0}, {1, 0, 1, 1, 0, 0, 1, 0, 1}} {
			if err := r.write(7, Coils, 40, values...); err != nil {
				t.Fatal(err)
			}
			if v, err := r.read(7, Coils, 40, len(values)); err != nil || !slices.Equal(v, values) {
				t.Errorf("coils are %v, %v; want %v", v, err, values)
			}
		}
		long := make([]uint16, 123)
		for i := range long {
			long[i] = uint16(0xfff0 + i)
		}
		for _, values := range [][]uint16{{0xabcd}, {1, 2, 3}, long} {
			if err := r.write(7, Holding, 50, values...); err != nil {
				t.Fatal(err)
			}
			if v, err := r.read(7, Holding, 50, len(values)); err != nil || !slices.Equal(v, values) {
				t.Errorf("registers are %v, %v; want %v", v, err, values)
			}
		}
		if st := r.x.Stats(); st.Requests != st.Replies || st.Noise != 0 || st.Opened != 1 {
			t.Errorf("%+v", st)
		}
	})
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestReadAndWriteRefuse(t *testing.T) {
	r := newManager(t, mgr.Auto)
	r.x = RTU(r.Manager, "/dev/none-such", fast, Options{Queue: 2})
	never := func([]uint16, error) { t.Error("done was called") }
	for _, err := range []error{
		r.x.Read(1, Holding, 0, 0, never), r.x.Read(1, Holding, 0, 126, never), r.x.Read(1, Coils, 0, 2001, never), r.x.Read(1, Input, 65535, 2, never),
		r.x.Read(1, 9, 0, 1, never), r.x.Read(1, Holding, 0, -1, never), r.x.Read(Broadcast, Holding, 0, 1, never),
		r.x.Write(1, Input, 0, []uint16{1}, nil), r.x.Write(1, Discrete, 0, []uint16{1}, nil), r.x.Write(1, Holding, 0, nil, nil),
		r.x.Write(1, Holding, 0, make([]uint16, 124), nil), r.x.Write(1, Coils, 0, make([]uint16, 1969), nil), r.x.Write(1, Holding, 65535, make([]uint16, 2), nil),
	} {
		if err == nil || !strings.HasPrefix(err.Error(), "modbus: ") {
			t.Errorf("error %v", err)
		}
	}
	n := 0
	count := func(_ []uint16, err error) {
		if !errors.Is(err, unix.ENOENT) {
			t.Errorf("error %v", err)
		}
		n++
	}
	r.x.Read(1, Holding, 0, 1, count)
	r.x.Read(1, Holding, 0, 1, count)
	if err := r.x.Read(1, Holding, 0, 1, count); err != ErrFull {
		t.Errorf("a third: %v", err)
	}
	r.until("both have failed", func() bool { return n == 2 })
	r.x.Close()
	r.x.Close()
	if err := r.x.Read(1, Holding, 0, 1, never); err != ErrClosed {
		t.Errorf("after Close: %v", err)
	}
}

// The number of a transaction begins again after 65535.
func TestTransactionsWrap(t *testing.T) {
	s := &slave{unit: 7}
	url, _ := tcp(t, s)
	r := newManager(t, mgr.Auto)
	r.x = TCP(r.Manager, url)
	r.x.id = 65533
	for range 5 {
		if _, err := r.read(7, Holding, 0, 1); err != nil {
			t.Error(err)
		}
	}
	if st := r.x.Stats(); r.x.id != 2 || st.Requests != 5 || st.Opened != 1 {
		t.Errorf("number %d, %+v", r.x.id, st)
	}
}

func TestExceptions(t *testing.T) {
	each(t, Options{Turnaround: time.Millisecond}, func(t *testing.T, r *rig, s *slave) {
		for _, e := range []Exception{IllegalFunction, IllegalAddress, IllegalValue, DeviceFailure, Acknowledge, ParityError, NoPath, NoTarget, 99} {
			s.set(func() {
				s.reply = func(_ int, frame []byte) [][]byte {
					if frame[0] == 7 { // RTU
						return [][]byte{appendRTU(nil, 7, []byte{frame[1] | 0x80, byte(e)})}
					}
					return [][]byte{appendTCP(nil, binary.BigEndian.Uint16(frame), 7, []byte{frame[7] | 0x80, byte(e)})}
				}
			})
			before := s.asked()
			if _, err := r.read(7, Holding, 0, 3); err != e {
				t.Errorf("read: %v, want %v", err, e)
			}
			if err := r.write(7, Coils, 0, 1); err != e {
				t.Errorf("write: %v, want %v", err, e)
			}
			if n := s.asked() - before; n != 2 {
				t.Errorf("%v: %d requests, want 2: an exception is no reason to ask again", e, n)
			}
		}
		// A busy unit is asked again.
		good := false
		s.set(func() {
			was := s.reply
			s.reply = func(n int, frame []byte) [][]byte {
				if good = !good; !good {
					return [][]byte{frame}
				}
				f := was(n, frame)[0]
				if frame[0] == 7 {
					return [][]byte{appendRTU(nil, 7, []byte{f[1], byte(DeviceBusy)})}
				}
				f[8] = byte(DeviceBusy)
				return [][]byte{f}
			}
		})
		if _, err := r.read(7, Holding, 0, 3); err != nil {
			t.Errorf("busy once: %v", err)
		}
	})
	if s := Exception(2).Error(); s != "modbus: illegal data address" {
		t.Error(s)
	}
	if s := Exception(77).Error(); s != "modbus: exception 77" {
		t.Error(s)
	}
}

func TestBroadcast(t *testing.T) {
	s := &slave{unit: 7}
	path, _ := line(t, s, false)
	r := newManager(t, mgr.Auto)
	r.x = RTU(r.Manager, path, fast, Options{Turnaround: 5 * time.Millisecond})
	if err := r.write(Broadcast, Holding, 3, 42, 43); err != nil {
		t.Error(err)
	}
	if v, err := r.read(7, Holding, 3, 2); err != nil || v[0] != 42 || v[1] != 43 {
		t.Errorf("%v, %v", v, err)
	}
	if n := s.asked(); n != 2 {
		t.Errorf("%d requests", n)
	}
}
