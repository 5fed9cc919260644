package modbus

import (
	"slices"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// paced is each, with a slave that sends a piece after the master has read the one before: no two
// of them are read as one. The echo is the first part of the reply, so it comes in pieces too.
func paced(t *testing.T, o Options, f func(t *testing.T, r *rig, s *slave, echo func(frame []byte) []byte)) {
	for _, p := range []mgr.Poller{mgr.Epoll, mgr.Select} {
		for _, way := range []string{"rtu", "echo", "tcp"} {
			t.Run(p.String()+"/"+way, func(t *testing.T) {
				s := &slave{unit: 7, step: make(chan struct{}, 1000)}
				r := newManager(t, p)
				o := o
				echo := func(frame []byte) []byte { return frame }
				switch way {
				case "tcp":
					url, _ := tcp(t, s)
					r.x = TCP(r.Manager, url, o)
				case "echo":
					o.Echo = true
					echo = func(frame []byte) []byte {
						return append(appendRTU(nil, s.unit, s.requests[len(s.requests)-1]), frame...)
					}
					fallthrough
				default:
					path, _ := line(t, s, false)
					r.x = RTU(r.Manager, path, fast, o)
				}
				open := r.x.open
				r.x.open = func(h conn.Handler) (*conn.Conn, error) {
					return open(func(c *conn.Conn, ev conn.Event) {
						h(c, ev)
						if _, ok := ev.(*conn.Read); ok {
							s.step <- struct{}{}
						}
					})
				}
				t.Cleanup(func() { close(s.step) }) // before the cleanup of line, which waits for the slave
				f(t, r, s, echo)
			})
		}
	}
}

// A reply that comes in two pieces, split at each byte, and byte by byte; and the same after noise
// that looks like its beginning.
func TestRepliesInPieces(t *testing.T) {
	noise := []byte{7, 3, 6, 1, 7, 3}
	paced(t, Options{Timeout: 5 * time.Second, Retries: -1}, func(t *testing.T, r *rig, s *slave, echo func([]byte) []byte) {
		for at := 0; at <= 25; at++ { // with noise and echo, a reply of three registers has up to 25 bytes
			s.set(func() {
				s.regs[1][0] = uint16(at)
				s.reply = func(_ int, frame []byte) [][]byte {
					b := echo(frame)
					if !r.x.tcp {
						b = append(slices.Clone(noise), b...)
					}
					at := min(at, len(b))
					return [][]byte{b[:at], b[at:]}
				}
			})
			if v, err := r.read(7, Holding, 0, 3); err != nil || v[0] != uint16(at) {
				t.Fatalf("split at %d: %v, %v", at, v, err)
			}
		}
		s.set(func() {
			s.reply = func(_ int, frame []byte) (pieces [][]byte) {
				b := echo(frame)
				for i := range b {
					pieces = append(pieces, b[i:i+1])
				}
				return pieces
			}
		})
		if v, err := r.read(7, Holding, 0, 100); err != nil || len(v) != 100 {
			t.Errorf("byte by byte: %v, %v", v, err)
		}
		if st := r.x.Stats(); st.Requests != st.Replies {
			t.Errorf("%+v", st)
		}
	})
}

// A reply that is too late by a part of it: over TCP its rest is no beginning of the next one. On a
// serial line its bytes are noise, and counted once.
func TestHalfAReplyBeforeTheTimeout(t *testing.T) {
	paced(t, Options{Timeout: 20 * time.Millisecond, Retries: -1}, func(t *testing.T, r *rig, s *slave, echo func([]byte) []byte) {
		if !r.x.tcp {
			s.set(func() { s.reply = func(_ int, frame []byte) [][]byte { return [][]byte{frame[:5]} } })
			if _, err := r.read(7, Holding, 0, 3); err != ErrGarbled && err != ErrNoEcho && err != ErrTimeout {
				t.Errorf("half a reply: %v", err)
			}
			r.until("the half has come", func() bool { return r.x.Stats().Noise+uint64(r.x.conn.Recv.Len()) >= 5 })
			r.x.o.Timeout = 10 * time.Second
			s.set(func() { s.reply = func(_ int, frame []byte) [][]byte { return [][]byte{echo(frame)} } })
			if _, err := r.read(7, Holding, 0, 1); err != nil {
				t.Error(err)
			}
			if n := r.x.Stats().Noise; n != 5 {
				t.Errorf("%d bytes of noise, want 5", n)
			}
			return
		}
		var late []byte
		s.set(func() {
			s.regs[1][0] = 4711
			s.reply = func(n int, frame []byte) [][]byte {
				if n == 0 {
					late = frame[9:]
					return [][]byte{frame[:9]}
				}
				return [][]byte{late, frame}
			}
		})
		if _, err := r.read(7, Holding, 0, 3); err != ErrGarbled && err != ErrTimeout {
			t.Errorf("half a reply: %v", err)
		}
		r.x.o.Timeout = 10 * time.Second
		if v, err := r.read(7, Holding, 0, 1); err != nil || v[0] != 4711 {
			t.Errorf("after the rest of the late reply: %v, %v", v, err)
		}
		// The rest comes while nothing is asked.
		r.x.o.Timeout = 20 * time.Millisecond
		c := r.x.conn
		first := s.asked()
		send := make(chan []byte, 1)
		s.set(func() {
			s.reply = func(n int, frame []byte) [][]byte {
				if n == first {
					send <- frame[9:]
					return [][]byte{frame[:9]}
				}
				return [][]byte{frame}
			}
		})
		if _, err := r.read(7, Holding, 0, 3); err != ErrGarbled && err != ErrTimeout {
			t.Errorf("half a reply: %v", err)
		}
		r.x.o.Timeout = 10 * time.Second
		s.set(func() {
			s.reply = func(_ int, frame []byte) [][]byte { return [][]byte{append(<-send, frame...)} }
		})
		if v, err := r.read(7, Holding, 0, 1); err != nil || v[0] != 4711 || r.x.conn != c {
			t.Errorf("the rest and a reply in one: %v, %v", v, err)
		}
		if st := r.x.Stats(); st.Opened != 1 {
			t.Errorf("%+v", st)
		}
	})
}
