package modbus

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/mgr"
)

// Something is wrong with the first reply; the second is good.
func TestBadRepliesAreAskedForAgain(t *testing.T) {
	each(t, Options{Timeout: 10 * time.Millisecond, Retries: 500}, func(t *testing.T, r *rig, s *slave) {
		n := 2 // another one each time, so that the late reply to one is none to the next
		bad := map[string]func(frame []byte) [][]byte{
			"nothing":         func([]byte) [][]byte { return [][]byte{} },
			"half of it":      func(f []byte) [][]byte { return [][]byte{f[:len(f)/2]} },
			"wrong unit":      func(f []byte) [][]byte { return [][]byte{with(f, func(u *byte, _ []byte) { *u = 8 })} },
			"wrong function":  func(f []byte) [][]byte { return [][]byte{with(f, func(_ *byte, p []byte) { p[0] = 4 })} },
			"wrong length":    func(f []byte) [][]byte { return [][]byte{with(f, func(_ *byte, p []byte) { p[1]-- })} },
			"other exception": func(f []byte) [][]byte { return [][]byte{with(f, func(_ *byte, p []byte) { p[0] = 0x84 })} },
		}
		for name, f := range bad {
			r.until("the slave has dealt with all requests", func() bool { return s.asked() == int(r.x.Stats().Requests) })
			first, want := s.asked(), uint16(0)
			s.set(func() {
				s.regs[1][0]++
				want = s.regs[1][0]
				s.reply = func(n int, frame []byte) [][]byte {
					if n == first {
						return f(frame)
					}
					return [][]byte{frame}
				}
			})
			n++
			v, err := r.read(7, Holding, 0, n)
			if err != nil || v[0] != want || s.asked() < first+2 {
				t.Errorf("%s: %v, %v after %d requests", name, v, err, s.asked()-first)
			}
		}
		// Never.
		s.set(func() { s.reply = func(int, []byte) [][]byte { return nil } })
		r.x.o.Retries = 2
		first := r.x.Stats().Requests
		if _, err := r.read(7, Holding, 0, 20); err != ErrTimeout && err != ErrNoEcho || r.x.Stats().Requests != first+3 {
			t.Errorf("no reply: %v after %d requests", err, r.x.Stats().Requests-first)
		}
		if err := r.write(9, Holding, 0, 3); err != ErrTimeout && err != ErrNoEcho {
			t.Errorf("a unit that is not there: %v", err)
		}
	})
}

// with returns a frame, of RTU or TCP, with other contents and a right checksum.
func with(frame []byte, f func(unit *byte, pdu []byte)) []byte {
	if frame[0] == 7 {
		pdu := slices.Clone(frame[1 : len(frame)-2])
		unit := byte(7)
		f(&unit, pdu)
		return appendRTU(nil, unit, pdu)
	}
	b := slices.Clone(frame)
	f(&b[6], b[7:])
	return b
}

func TestRTUNoise(t *testing.T) {
	for _, p := range []mgr.Poller{mgr.Epoll, mgr.Select} {
		t.Run(p.String(), func(t *testing.T) {
			s := &slave{unit: 7}
			path, far := line(t, s, false)
			r := newManager(t, p)
			r.x = RTU(r.Manager, path, fast, Options{Timeout: 5 * time.Second, Late: time.Millisecond})
			rnd := rand.New(rand.NewPCG(1, 2))
			random := make([]byte, 300)
			for i := range random {
				random[i] = byte(rnd.Uint32())
			}
			// Noise that looks like the beginning of a reply makes the master wait for the rest of
			// it; noise that looks like a whole reply has a wrong checksum.
			for name, noise := range map[string][]byte{
				"a byte": {0}, "zeros": make([]byte, 40), "random": random, "the unit's number": bytes.Repeat([]byte{7}, 20),
				"a beginning": {7, 3, 6, 0, 0}, "a whole one": {7, 3, 6, 1, 2, 3, 4, 5, 6, 7, 8}, "an exception": {7, 0x83, 2, 0, 0},
				"another unit's": appendRTU(nil, 8, []byte{3, 6, 1, 2, 3, 4, 5, 6}),
			} {
				for _, after := range []bool{false, true} {
					s.set(func() {
						s.regs[1][0]++
						s.reply = func(_ int, frame []byte) [][]byte {
							if after {
								return [][]byte{append(slices.Clone(frame), noise...)}
							}
							return [][]byte{noise, frame}
						}
					})
					v, err := r.read(7, Holding, 0, 3)
					if err != nil || v[0] != s.regs[1][0] {
						t.Errorf("%s (after the reply: %v): %v, %v", name, after, v, err)
					}
				}
				// Noise while nothing is asked is no reply to what is asked next.
				s.set(func() { s.reply = nil })
				far.Write(noise)
				far.Write(appendRTU(nil, 7, []byte{3, 6, 9, 9, 9, 9, 9, 9}))
				before := r.x.Stats().Noise
				r.until("the noise has come", func() bool { return r.x.Stats().Noise >= before+uint64(len(noise))+11 })
				if v, err := r.read(7, Holding, 0, 3); err != nil || v[0] == 0x0909 {
					t.Errorf("%s before the request: %v, %v", name, v, err)
				}
			}
			// A wrong checksum, always.
			r.x.o.Timeout = time.Second // the request ends with it, not before
			s.set(func() {
				s.reply = func(_ int, f []byte) [][]byte { f[len(f)-1] ^= 1; return [][]byte{f} }
			})
			if _, err := r.read(7, Holding, 0, 3); err != ErrGarbled {
				t.Errorf("a wrong checksum: %v", err)
			}
			if st := r.x.Stats(); st.Garbled != 3 || st.Timeouts != 0 {
				t.Errorf("%+v", st)
			}
		})
	}
}

// A line on which somebody talks without end: requests end, though they are never sent.
func TestALineThatIsNeverSilent(t *testing.T) {
	s := &slave{unit: 7}
	path, far := line(t, s, false)
	r := newManager(t, mgr.Auto)
	r.x = RTU(r.Manager, path, fast, Options{Timeout: 20 * time.Millisecond, Retries: 1})
	r.x.o.gap = time.Hour // so that no pause of the test's is one
	stop := make(chan bool)
	done := make(chan bool)
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
				far.Write([]byte{0x55})
			}
		}
	}()
	for range 2 {
		if _, err := r.read(7, Holding, 0, 1); err != ErrGarbled {
			t.Errorf("%v", err)
		}
	}
	close(stop)
	<-done
	r.x.o.gap = time.Millisecond
	r.x.o.Timeout = 5 * time.Second
	if _, err := r.read(7, Holding, 0, 1); err != nil {
		t.Errorf("silent again: %v", err)
	}
}

func TestEcho(t *testing.T) {
	s := &slave{unit: 7}
	path, _ := line(t, s, true)
	r := newManager(t, mgr.Auto)
	r.x = RTU(r.Manager, path, fast, Options{Echo: true, Timeout: 300 * time.Millisecond, Retries: -1})
	// The reply to a write is equal to the request. If the unit does not reply, the echo must not count
	// as its reply.
	if err := r.write(7, Holding, 5, 77); err != nil {
		t.Error(err)
	}
	if err := r.write(9, Holding, 5, 77); err != ErrTimeout {
		t.Errorf("a unit that is not there: %v", err)
	}
	// Without the option reads work all the same.
	r2 := newManager(t, mgr.Auto)
	s2 := &slave{unit: 7}
	path2, _ := line(t, s2, true)
	r2.x = RTU(r2.Manager, path2, fast, Options{Timeout: 5 * time.Second})
	for n := 1; n < 30; n++ {
		if _, err := r2.read(7, Holding, 5, n); err != nil {
			t.Errorf("%d registers: %v", n, err)
		}
	}
	// A line that does not echo, though it is said to.
	s3 := &slave{unit: 7}
	path3, _ := line(t, s3, false)
	r3 := newManager(t, mgr.Auto)
	r3.x = RTU(r3.Manager, path3, fast, Options{Echo: true, Timeout: 20 * time.Millisecond})
	if _, err := r3.read(7, Holding, 5, 2); err != ErrNoEcho {
		t.Errorf("no echo: %v", err)
	}
}
