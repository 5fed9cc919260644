package modbus

import (
	"bytes"
	"os"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/mgr"
)

// silent is a line whose slave never replies by itself: the test writes to far.
func silent(t *testing.T, p mgr.Poller, o Options) (r *rig, s *slave, far *os.File) {
	s = &slave{unit: 7, reply: func(int, []byte) [][]byte { return nil }}
	path, far := line(t, s, false)
	r = newManager(t, p)
	o.Timeout = 5 * time.Millisecond
	r.x = RTU(r.Manager, path, fast, o)
	return r, s, far
}

// say writes b to the line and waits until the master has taken it, or has given up to wait for more.
func (r *rig) say(far *os.File, b []byte) {
	r.t.Helper()
	heard := func() uint64 {
		return r.x.stats.Noise + uint64(r.x.conn.Recv.Len()) + 1000*(r.x.stats.Late+r.x.stats.Replies)
	}
	before := heard()
	if len(b) > 0 {
		far.Write(b)
		r.until("the bytes have come", func() bool { return heard() >= before+uint64(len(b)) })
	}
}

// lateCases are requests, and the replies that come too late.
var lateCases = []struct {
	name  string
	ask   func(x *Master, done func(error))
	reply []byte // a PDU
}{
	{"write register", func(x *Master, done func(error)) { x.Write(7, Holding, 5, []uint16{77}, done) }, []byte{6, 0, 5, 0, 77}},
	{"write coil", func(x *Master, done func(error)) { x.Write(7, Coils, 5, []uint16{1}, done) }, []byte{5, 0, 5, 0xff, 0}},
	{"write registers", func(x *Master, done func(error)) { x.Write(7, Holding, 5, []uint16{1, 2}, done) }, []byte{16, 0, 5, 0, 2}},
	{"read", func(x *Master, done func(error)) { x.Read(7, Holding, 5, 1, func(_ []uint16, err error) { done(err) }) }, []byte{3, 2, 47, 11}},
	{"exception", func(x *Master, done func(error)) { x.Read(7, Holding, 5, 1, func(_ []uint16, err error) { done(err) }) }, []byte{0x83, 2}},
}

// The reply to a request that was given up, split at each byte, does not confirm the request's
// repetition, which goes out when it has come.
func TestALateReplyDoesNotConfirmTheRepetition(t *testing.T) {
	for _, p := range []mgr.Poller{mgr.Epoll, mgr.Select} {
		for _, tt := range lateCases {
			t.Run(p.String()+"/"+tt.name, func(t *testing.T) {
				r, s, far := silent(t, p, Options{Retries: 1, Late: time.Hour})
				frame := appendRTU(nil, 7, tt.reply)
				for at := range len(frame) + 1 {
					first, before := s.asked(), r.x.Stats()
					var got error
					done := false
					tt.ask(r.x, func(err error) { got, done = err, true })
					r.until("the request was given up", func() bool { return len(r.x.owed) == 1 })
					r.until("the slave has the request", func() bool { return s.asked() == first+1 })
					r.say(far, frame[:at])
					if r.x.Stats().Requests != before.Requests+1 && at < len(frame) {
						t.Fatal("it was repeated before the late reply has come")
					}
					r.say(far, frame[at:])
					r.until("the repetition has no reply", func() bool { return done })
					r.until("the slave has both", func() bool { return s.asked() == first+2 })
					if st := r.x.Stats(); got != ErrTimeout || st.Late != before.Late+1 || st.Replies+st.Exceptions != 0 || st.Noise != 0 {
						t.Errorf("split at %d: %v, %+v", at, got, st)
					}
					r.x.owed = nil // of the repetition
				}
			})
		}
	}
}

// The echo of a request that was given up without it comes late. It is neither the echo of the
// repetition, nor does the echo of the repetition pass for the unit's reply.
func TestALateEchoDoesNotConfirmTheRepetition(t *testing.T) {
	for _, p := range []mgr.Poller{mgr.Epoll, mgr.Select} {
		t.Run(p.String(), func(t *testing.T) {
			r, s, far := silent(t, p, Options{Retries: 1, Late: time.Hour, Echo: true})
			echo := appendRTU(nil, 7, []byte{6, 0, 5, 0, 77})
			for at := range len(echo) + 1 {
				first := s.asked()
				var got error
				done := false
				r.x.Write(7, Holding, 5, []uint16{77}, func(err error) { got, done = err, true })
				r.until("the request was given up", func() bool { return len(r.x.owed) == 1 })
				r.until("the slave has the request", func() bool { return s.asked() == first+1 })
				r.say(far, echo[:at])
				r.say(far, echo[at:])
				if st := r.x.Stats(); st.Late != 0 || len(r.x.owed) != 1 {
					t.Fatalf("split at %d: an echo does not tell that the unit has replied; %+v", at, st)
				}
				// The time is over. The repetition is echoed, and not replied to.
				s.set(func() { s.reply = func(int, []byte) [][]byte { return [][]byte{echo} } })
				r.x.o.Timeout = 20 * time.Millisecond // the echo comes in time; should it not, it is ErrNoEcho
				r.x.owed = nil
				r.x.after(0, r.x.next)
				r.until("the repetition has no reply", func() bool { return done })
				if got != ErrTimeout && got != ErrNoEcho {
					t.Errorf("split at %d: %v", at, got)
				}
				r.until("the slave has both", func() bool { return s.asked() == first+2 })
				r.say(far, nil)
				r.x.o.Timeout = 5 * time.Millisecond
				s.set(func() { s.reply = func(int, []byte) [][]byte { return nil } })
				r.x.owed = nil
			}
		})
	}
}

// A late reply is none to the next request of the same function either, whatever address it is for.
// Requests to other units and of other functions do not wait.
func TestALateReplyIsNotTheNextOnes(t *testing.T) {
	for _, p := range []mgr.Poller{mgr.Epoll, mgr.Select} {
		t.Run(p.String(), func(t *testing.T) {
			r, s, far := silent(t, p, Options{Retries: -1, Late: time.Hour})
			s.set(func() { s.regs[1][1], s.regs[0][0] = 200, 300 })
			if _, err := r.read(7, Holding, 0, 1); err != ErrTimeout {
				t.Fatal(err)
			}
			r.until("the slave has the request", func() bool { return s.asked() == 1 })
			s.set(func() { s.reply = nil })
			r.x.o.Timeout = 10 * time.Second
			if v, err := r.read(7, Input, 0, 1); err != nil || v[0] != 300 {
				t.Errorf("another function: %v, %v", v, err)
			}
			var v []uint16
			r.x.Read(7, Holding, 1, 1, func(got []uint16, err error) { v = got })
			for range 5 {
				r.Poll(time.Millisecond)
			}
			if n := s.asked(); n != 2 {
				t.Fatalf("%d requests before the late reply has come", n)
			}
			far.Write(appendRTU(nil, 7, []byte{3, 2, 0, 100}))
			r.until("the read is done", func() bool { return v != nil })
			if v[0] != 200 || r.x.Stats().Late != 1 {
				t.Errorf("%v, %+v", v, r.x.Stats())
			}
			// One that never comes is waited for as long as Late says.
			s.set(func() { s.reply = func(int, []byte) [][]byte { return nil } })
			r.x.o.Late, r.x.o.Timeout = 10*time.Millisecond, 5*time.Millisecond
			if err := r.write(7, Holding, 1, 5); err != ErrTimeout {
				t.Error(err)
			}
			s.set(func() { s.reply = nil })
			r.x.o.Timeout = 10 * time.Second
			if err := r.write(7, Holding, 1, 6); err != nil {
				t.Error(err)
			}
		})
	}
}

// A late reply does not cut the pause short that a busy unit has asked for.
func TestALateReplyWhileAUnitIsBusy(t *testing.T) {
	for _, p := range []mgr.Poller{mgr.Epoll, mgr.Select} {
		t.Run(p.String(), func(t *testing.T) {
			r, s, far := silent(t, p, Options{Retries: -1, Late: time.Hour, Turnaround: time.Hour})
			if _, err := r.read(7, Input, 0, 1); err != ErrTimeout {
				t.Fatal(err)
			}
			r.until("the slave has the request", func() bool { return s.asked() == 1 })
			s.set(func() {
				s.reply = func(int, []byte) [][]byte { return [][]byte{appendRTU(nil, 7, []byte{0x83, byte(DeviceBusy)})} }
			})
			r.x.o.Timeout, r.x.o.Retries = 10*time.Second, 1
			r.x.Read(7, Holding, 0, 1, func([]uint16, error) {})
			r.until("the unit is busy", func() bool { return r.x.Stats().Exceptions == 1 })
			r.say(far, appendRTU(nil, 7, []byte{4, 2, 0, 100}))
			for range 5 {
				r.Poll(time.Millisecond)
			}
			if st := r.x.Stats(); st.Late != 1 || st.Requests != 2 {
				t.Errorf("%+v", st)
			}
		})
	}
}

// The confirmation of another write, from before, is noise: the right one is still to come.
func TestAStrayConfirmation(t *testing.T) {
	for _, p := range []mgr.Poller{mgr.Epoll, mgr.Select} {
		t.Run(p.String(), func(t *testing.T) {
			s := &slave{unit: 7}
			stray := appendRTU(nil, 7, []byte{6, 0, 5, 0, 1})
			s.reply = func(_ int, frame []byte) [][]byte { return [][]byte{bytes.Repeat(stray, 3), frame} }
			path, _ := line(t, s, false)
			r := newManager(t, p)
			r.x = RTU(r.Manager, path, fast, Options{Timeout: 10 * time.Second})
			if err := r.write(7, Holding, 5, 2); err != nil {
				t.Error(err)
			}
			if st := r.x.Stats(); st.Requests != 1 || st.Noise != uint64(3*len(stray)) {
				t.Errorf("%+v", st)
			}
		})
	}
}

// Over TCP the number tells: the reply to a first try, split at each byte, that comes after the
// second, is none to the second.
func TestALateReplyOverTCP(t *testing.T) {
	paced(t, Options{Retries: 1}, func(t *testing.T, r *rig, s *slave, _ func([]byte) []byte) {
		if !r.x.tcp {
			t.Skip("a serial line")
		}
		var late []byte
		for at := range 13 { // a confirmed write has 12 bytes
			first := s.asked()
			r.x.o.Timeout = 5 * time.Millisecond
			s.set(func() {
				s.reply = func(n int, frame []byte) [][]byte {
					switch n {
					case first:
						late = frame
						return [][]byte{}
					case first + 1:
						return [][]byte{late[:at], late[at:]}
					}
					return [][]byte{frame}
				}
			})
			if err := r.write(7, Holding, 5, 77); err != ErrTimeout && err != ErrGarbled {
				t.Errorf("split at %d: %v", at, err)
			}
			r.until("the slave has both", func() bool { return s.asked() == first+2 })
			r.x.o.Timeout = 10 * time.Second
			if err := r.write(7, Holding, 5, 78); err != nil {
				t.Errorf("split at %d, the next: %v", at, err)
			}
		}
		if st := r.x.Stats(); st.Opened != 1 {
			t.Errorf("%+v", st)
		}
	})
}

// The late reply to one question is none to the next.
func TestLateReplies(t *testing.T) {
	each(t, Options{Timeout: 20 * time.Millisecond, Retries: -1}, func(t *testing.T, r *rig, s *slave) {
		var kept []byte
		s.set(func() {
			s.regs[1][0], s.regs[1][1] = 100, 200
			s.reply = func(_ int, frame []byte) [][]byte { kept = frame; return nil }
		})
		if _, err := r.read(7, Holding, 0, 1); err != ErrTimeout && err != ErrNoEcho {
			t.Fatal(err)
		}
		r.until("the slave has the request", func() bool { return s.asked() == 1 })
		r.x.o.Timeout = 5 * time.Second
		// Over TCP it is told by its number; on a serial line the next request waits for it, or it is
		// another table, number or unit.
		s.set(func() { s.reply = func(_ int, frame []byte) [][]byte { return [][]byte{kept, frame} } })
		v, err := r.read(7, Holding, 1, 2)
		if err != nil || v[0] != 200 {
			t.Errorf("%v, %v", v, err)
		}
	})
}
