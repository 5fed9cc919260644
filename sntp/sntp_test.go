package sntp_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/internal/looptest"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/sntp"
)

// good is the answer of a server whose clock is right, and which took no time.
func good(q sntp.Packet) sntp.Packet {
	now := sntp.TimestampOf(time.Now())
	return sntp.Packet{
		Version: 4, Mode: 4, Stratum: 2, Poll: 6, Precision: -20, RefID: [4]byte{192, 0, 2, 1}, RootDelay: time.Second / 64,
		RootDispersion: time.Second / 32, Reference: now, Originate: q.Transmit, Receive: now, Transmit: now,
	}
}

// fake is a manager with a server that answers by the function of the test.
type fake struct {
	*mgr.Manager
	t   *testing.T
	url string
}

func newFake(t *testing.T, p mgr.Poller, listen string, answer func(q sntp.Packet, reply func([]byte))) *fake {
	t.Helper()
	m, err := mgr.New(mgr.Options{Poller: p})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	s, err := m.Listen(listen, func(c *conn.Conn, ev conn.Event) {
		if d, ok := ev.(*conn.Datagram); ok {
			q, err := sntp.Parse(d.Data)
			if err != nil || q.Mode != 3 || q.Version != 4 || q.Transmit == 0 || len(d.Data) != sntp.PacketSize {
				t.Errorf("the question is %+v, %v", q, err)
			}
			answer(q, func(b []byte) { d.Reply(b) })
		}
	})
	if err != nil {
		t.Skip(err)
	}
	return &fake{m, t, "udp://" + s.LocalAddr().String()}
}

// ask asks once.
func (f *fake) ask(o sntp.QueryOptions) (s sntp.Sample, err error) {
	f.t.Helper()
	done := false
	_, bad := sntp.Query(f.Manager, f.url, func(got sntp.Sample, e error) {
		if done {
			f.t.Error("done twice")
		}
		s, err, done = got, e, true
	}, o)
	if bad != nil {
		f.t.Fatal(bad)
	}
	for end := time.Now().Add(time.Minute); !done; {
		if time.Now().After(end) {
			f.t.Fatal("no answer")
		}
		if err := f.Poll(20 * time.Millisecond); err != nil {
			f.t.Fatal(err)
		}
	}
	for range 3 {
		f.Poll(0) // what comes after it is not heard
	}
	return s, err
}

func TestOffsetAndDelay(t *testing.T) {
	looptest.EachPoller(t, func(t *testing.T, p mgr.Poller) {
		for _, listen := range []string{"udp://127.0.0.1:0", "udp://[::1]:0"} {
			f := newFake(t, p, listen, func(q sntp.Packet, reply func([]byte)) {
				a := good(q)
				reply(a.Append(nil))
			})
			for _, off := range []time.Duration{0, time.Hour, -time.Hour, 55 * 365 * 24 * time.Hour} { // a clock that begins in 1970
				s, err := f.ask(sntp.QueryOptions{Now: func() time.Time { return time.Now().Add(-off) }})
				if err != nil {
					t.Fatal(err)
				}
				if d := s.Offset - off; d > s.Delay+time.Microsecond || d < -s.Delay-time.Microsecond || s.Delay < 0 || s.Delay > time.Second {
					t.Errorf("a clock that is %v behind: %+v", off, s)
				}
				if s.Distance != s.Delay/2+time.Second/128+time.Second/32 || s.Stratum != 2 || s.RefID != "c0000201" || s.Server != f.url {
					t.Errorf("%+v", s)
				}
			}
		}
	})
}

// Each answer that RFC 4330 §5 has a client refuse is refused, and those of others are not heard.
func TestBadAnswers(t *testing.T) {
	errno := func(e error) func(error) bool { return func(err error) bool { return errors.Is(err, e) } }
	kiss := func(code string, final bool) func(error) bool {
		return func(err error) bool {
			k, ok := errors.AsType[*sntp.KissError](err)
			return ok && k.Code == code && k.Final() == final
		}
	}
	nothing := errno(sntp.ErrTimeout) // ignored
	for _, tc := range []struct {
		name   string
		change func(a *sntp.Packet)
		is     func(error) bool
	}{
		{"it repeats another number", func(a *sntp.Packet) { a.Originate++ }, nothing},
		{"it repeats nothing", func(a *sntp.Packet) { a.Originate = 0 }, nothing},
		{"a client's", func(a *sntp.Packet) { a.Mode = 3 }, errno(sntp.ErrMode)},
		{"a broadcast", func(a *sntp.Packet) { a.Mode = 5 }, errno(sntp.ErrMode)},
		{"symmetric", func(a *sntp.Packet) { a.Mode = 2 }, errno(sntp.ErrMode)},
		{"version 0", func(a *sntp.Packet) { a.Version = 0 }, errno(sntp.ErrMode)},
		{"version 5", func(a *sntp.Packet) { a.Version = 5 }, errno(sntp.ErrMode)},
		{"not synchronized", func(a *sntp.Packet) { a.Leap = 3 }, errno(sntp.ErrUnsynchronized)},
		{"stratum 16", func(a *sntp.Packet) { a.Stratum = 16 }, errno(sntp.ErrUnsynchronized)},
		{"stratum 255", func(a *sntp.Packet) { a.Stratum = 255 }, errno(sntp.ErrUnsynchronized)},
		{"no transmit", func(a *sntp.Packet) { a.Transmit = 0 }, errno(sntp.ErrTimestamps)},
		{"no receive", func(a *sntp.Packet) { a.Receive = 0 }, errno(sntp.ErrTimestamps)},
		{"sent before it was received", func(a *sntp.Packet) { a.Receive += 1 << 30 }, errno(sntp.ErrTimestamps)},
		{"longer there than away", func(a *sntp.Packet) { a.Receive -= 100 << 32 }, errno(sntp.ErrTimestamps)},
		{"far from its source", func(a *sntp.Packet) { a.RootDelay = 4 * time.Second }, errno(sntp.ErrDistance)},
		{"dispersed", func(a *sntp.Packet) { a.RootDispersion = 2 * time.Second }, errno(sntp.ErrDistance)},
		{"DENY", func(a *sntp.Packet) { a.Stratum, a.RefID = 0, [4]byte([]byte("DENY")) }, kiss("DENY", true)},
		{"RSTR", func(a *sntp.Packet) { a.Stratum, a.RefID = 0, [4]byte([]byte("RSTR")) }, kiss("RSTR", true)},
		{"RATE", func(a *sntp.Packet) { a.Stratum, a.RefID, a.Leap = 0, [4]byte([]byte("RATE")), 3 }, kiss("RATE", false)},
		{"a strange kiss", func(a *sntp.Packet) { a.Stratum, a.RefID = 0, [4]byte{'X', '\n', 7, 8} }, kiss("X", false)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, mgr.Auto, "udp://127.0.0.1:0", func(q sntp.Packet, reply func([]byte)) {
				a := good(q)
				tc.change(&a)
				reply(a.Append(nil))
			})
			s, err := f.ask(sntp.QueryOptions{Timeout: 200 * time.Millisecond})
			if err == nil || !tc.is(err) || !strings.HasPrefix(err.Error(), "sntp: udp://") {
				t.Errorf("%+v, %v", s, err)
			}
		})
	}
}

// Short and foreign answers, and doubles, do not keep the good one from being heard.
func TestGoodAnswerAmongOthers(t *testing.T) {
	looptest.EachPoller(t, func(t *testing.T, p mgr.Poller) {
		f := newFake(t, p, "udp://127.0.0.1:0", func(q sntp.Packet, reply func([]byte)) {
			a := good(q)
			b := a.Append(nil)
			for n := range len(b) {
				reply(b[:n])
			}
			other := a
			other.Originate ^= 1
			reply(other.Append(nil))
			reply(append(b, make([]byte, 100)...)) // with extensions
			reply(b)
			a.Mode = 7
			reply(a.Append(nil))
		})
		if s, err := f.ask(sntp.QueryOptions{}); err != nil || s.Stratum != 2 {
			t.Errorf("%+v, %v", s, err)
		}
	})
}

func TestNobodyAnswers(t *testing.T) {
	looptest.EachPoller(t, func(t *testing.T, p mgr.Poller) {
		f := newFake(t, p, "udp://127.0.0.1:0", func(sntp.Packet, func([]byte)) {})
		if _, err := f.ask(sntp.QueryOptions{Timeout: 50 * time.Millisecond}); !errors.Is(err, sntp.ErrTimeout) {
			t.Errorf("silence: %v", err)
		}
		s, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		f.url = "udp://" + s.LocalAddr().String()
		s.Close()
		if _, err := f.ask(sntp.QueryOptions{}); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("no server: %v", err)
		}
		for url, want := range map[string]string{
			"tcp://" + strings.TrimPrefix(f.url, "udp://"): "want udp://host:123",
			"udp://time.example:123":                       mgr.ErrNoResolver.Error(),
			"time.example":                                 "no scheme",
		} {
			_, err := sntp.Query(f.Manager, url, func(sntp.Sample, error) { t.Error("done was called") })
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v", url, err)
			}
		}
		cancel, err := sntp.Query(f.Manager, f.url, func(sntp.Sample, error) { t.Error("done was called after cancel") })
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		for range 5 {
			f.Poll(5 * time.Millisecond)
		}
		if n := f.Stats().Conns; n != 1 {
			t.Errorf("%d sockets are left", n)
		}
	})
}

// chronyd, which does not touch the clock (-x), is a real server.
func TestChrony(t *testing.T) {
	path, err := exec.LookPath("chronyd")
	if err != nil {
		if path = "/usr/sbin/chronyd"; os.Geteuid() != 0 {
			t.Skip("chronyd needs root")
		}
	}
	if _, err := os.Stat(path); err != nil {
		t.Skip("no chronyd here (apt: chrony)")
	}
	dir := t.TempDir()
	s, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := s.LocalAddr().(*net.UDPAddr).Port
	s.Close()
	file := filepath.Join(dir, "conf")
	conf := fmt.Sprintf("port %d\ncmdport 0\nbindaddress 127.0.0.1\nlocal stratum 5\nallow 127.0.0.0/8\npidfile %s\nbindcmdaddress /\nuser root\n",
		port, filepath.Join(dir, "pid"))
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "-x", "-d", "-f", file)
	var out strings.Builder
	cmd.Stderr, cmd.Stdout = &out, &out
	if err := cmd.Start(); err != nil {
		t.Skip(err)
	}
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }()
	defer func() { cmd.Process.Kill(); <-ended }()
	f := newFake(t, mgr.Auto, "udp://127.0.0.1:0", nil)
	f.url = fmt.Sprintf("udp://127.0.0.1:%d", port)
	for range 100 {
		s, err := f.ask(sntp.QueryOptions{Timeout: 200 * time.Millisecond})
		select {
		case <-ended:
			t.Skipf("chronyd does not run here: %s", out.String())
		default:
		}
		if err != nil { // it is starting
			time.Sleep(20 * time.Millisecond) // it does not say when it is ready
			continue
		}
		if s.Stratum != 5 || s.Offset > s.Delay || s.Offset < -s.Delay {
			t.Errorf("%+v", s)
		}
		return
	}
	t.Errorf("no good answer; chronyd says: %s", out.String())
}
