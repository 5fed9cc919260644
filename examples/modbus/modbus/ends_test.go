package modbus

import (
	"bytes"
	"errors"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/serial"
)

// A line that is unplugged, and plugged in again.
func TestRTUUnplugged(t *testing.T) {
	for _, p := range []mgr.Poller{mgr.Epoll, mgr.Select} {
		t.Run(p.String(), func(t *testing.T) {
			s := &slave{unit: 7}
			path, far := line(t, s, false)
			now := path
			r := newManager(t, p)
			r.x = RTU(r.Manager, path, fast, Options{Reopen: 10 * time.Millisecond, Retries: -1, Late: time.Millisecond})

			r.x.open = func(h conn.Handler) (*conn.Conn, error) { return serial.Open(r.Manager, now, h, fast) }

			if _, err := r.read(7, Holding, 0, 1); err != nil {
				t.Fatal(err)
			}
			// In the middle of a request, then at rest.
			s.set(func() { s.reply = func(int, []byte) [][]byte { far.Close(); return nil } })
			if _, err := r.read(7, Holding, 0, 1); !errors.Is(err, serial.ErrGone) {
				t.Errorf("unplugged: %v", err)
			}
			for range 3 {
				if _, err := r.read(7, Holding, 0, 1); err == nil {
					t.Error("it is still there")
				}
			}
			s.set(func() { s.reply = nil })
			now, _ = line(t, s, false)
			if _, err := r.read(7, Holding, 0, 1); err != nil {
				t.Errorf("plugged in again: %v", err)
			}
			if st := r.x.Stats(); st.Opened != 2 {
				t.Errorf("%+v", st)
			}
		})
	}
}

func TestTCPServerThatGoes(t *testing.T) {
	for _, p := range []mgr.Poller{mgr.Epoll, mgr.Select} {
		t.Run(p.String(), func(t *testing.T) {
			s := &slave{unit: 7}
			url, ln := tcp(t, s)
			r := newManager(t, p)
			r.x = TCP(r.Manager, url, Options{Reopen: 10 * time.Millisecond, Timeout: 500 * time.Millisecond})
			// It hangs up on each second request, in place of a reply: the request goes on a new connection.
			s.set(func() {
				s.reply = func(n int, frame []byte) [][]byte {
					if n%2 == 0 {
						return [][]byte{nil}
					}
					return [][]byte{frame}
				}
			})
			for range 3 {
				if _, err := r.read(7, Holding, 0, 1); err != nil {
					t.Error(err)
				}
			}
			s.set(func() { s.reply = func(int, []byte) [][]byte { return [][]byte{nil} } })
			if _, err := r.read(7, Holding, 0, 1); err == nil {
				t.Error("a server that always hangs up has replied")
			}
			// It speaks something else.
			for _, say := range []string{"HTTP/1.1 400 Bad Request\r\n\r\n", "\x00\x00\x00\x00\x00\x01\x07", "\x00\x00\x00\x00\xff\xff\x07", "\x00\x00\x00\x01"} {
				s.set(func() { s.reply = func(int, []byte) [][]byte { return [][]byte{[]byte(say)} } })
				if _, err := r.read(7, Holding, 0, 1); !errors.Is(err, errFrame) {
					t.Errorf("%q: %v", say, err)
				}
			}
			// Frames that nobody has asked for.
			s.set(func() {
				s.reply = func(_ int, frame []byte) [][]byte {
					stray := slices.Clone(frame)
					stray[0] ^= 0x55
					return [][]byte{bytes.Repeat(stray, 1000), frame}
				}
			})
			if _, err := r.read(7, Holding, 0, 1); err != nil {
				t.Errorf("stray frames: %v", err)
			}
			s.set(func() { s.reply = func(int, []byte) [][]byte { return [][]byte{nil} } })
			ln.Close()
			for range 3 {
				if _, err := r.read(7, Holding, 0, 1); err == nil {
					t.Error("no server, and a reply")
				}
			}
		})
	}
}

// Close in done, in the middle of a request, while it connects; requests from done.
func TestCloseAtAnyTime(t *testing.T) {
	each(t, Options{}, func(t *testing.T, r *rig, s *slave) {
		var got []error
		done := func(_ []uint16, err error) { got = append(got, err) }
		r.x.Read(7, Holding, 0, 1, func(_ []uint16, err error) {
			got = append(got, err)
			r.x.Read(7, Holding, 0, 1, func(_ []uint16, err error) {
				got = append(got, err)
				r.x.Close()
			})
		})
		r.until("the first is done", func() bool { return len(got) > 0 })
		r.x.Read(7, Holding, 1, 1, done)
		r.until("all are done", func() bool { return len(got) == 3 })
		for range 3 {
			r.Poll(0)
		}
		if got[0] != nil || got[1] != nil || got[2] != ErrClosed || r.Stats().Conns != 0 {
			t.Errorf("%v; %d connections", got, r.Stats().Conns)
		}
	})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	r := newManager(t, mgr.Auto)
	r.x = TCP(r.Manager, "tcp://"+ln.Addr().String())
	var last error
	r.x.Read(1, Holding, 0, 1, func(_ []uint16, err error) { last = err })
	r.Poll(0)
	r.x.Close()
	r.Poll(0)
	r.Poll(0)
	if last != ErrClosed || r.Stats().Conns != 0 {
		t.Errorf("%v; %d connections", last, r.Stats().Conns)
	}
}

// A panic of done is that of a handler: the next request goes on.
func TestDoneThatPanics(t *testing.T) {
	s := &slave{unit: 7}
	url, _ := tcp(t, s)
	m, err := mgr.New(mgr.Options{Log: mgr.Silent})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	r := &rig{Manager: m, t: t, x: TCP(m, url)}
	r.x.Read(7, Holding, 0, 1, func([]uint16, error) { panic("on purpose") })
	if _, err := r.read(7, Holding, 0, 1); err != nil {
		t.Error(err)
	}
}
