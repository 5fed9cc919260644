package mgr_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// rawUnixgram is a unix datagram socket that the test reads itself.
func rawUnixgram(t *testing.T) (fd int, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "raw")
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrUnix{Name: path})
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd, path
}

func readRaw(t *testing.T, fd int) (string, bool) {
	t.Helper()
	var b [4096]byte
	n, err := unix.Read(fd, b[:])
	if err == unix.EAGAIN {
		return "", false
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n]), true
}

// While a connected peer takes nothing, datagrams wait, up to the limit; those over it are counted
// and refused. The datagrams that were taken arrive whole and in order.
func TestFullQueueOfDatagrams(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		m := newTurning(t, o)
		fd, path := rawUnixgram(t)
		var n notes
		c := m.connectTo("unixgram://"+path, n.handle, mgr.ConnectOptions{Limits: conn.Limits{Send: 100 << 10, HighWater: 10 << 10}})
		m.until("Connect", func() bool { return slices.Contains(n.events, "Connect") })
		taken, refused := 0, 0
		for i := 0; refused < 10; i++ {
			switch err := c.SendTo(fmt.Appendf(nil, "%06d%0994d", taken, 0), conn.Peer{}); err {
			case nil:
				taken++
			case conn.ErrSendLimit:
				refused++
			default:
				t.Fatal(err)
			}
			m.Poll(0)
		}
		if s := m.Stats(); s.DatagramsDropped != 10 || c.Pending() < 100<<10 || c.Pending() > 102<<10 {
			t.Errorf("%d dropped, %d pending", s.DatagramsDropped, c.Pending())
		}
		if s := m.Stats(); s.Held < 100<<10 {
			t.Errorf("%d bytes held", s.Held)
		}
		turns := m.Stats().Turns
		for range 5 {
			m.Poll(time.Millisecond)
		}
		if m.Stats().Turns != turns+5 || c.Pending() == 0 {
			t.Error("the queue is gone")
		}
		got := 0
		m.until("all", func() bool {
			for {
				p, ok := readRaw(t, fd)
				if !ok {
					return got == taken
				}
				if len(p) != 1000 || p[:6] != fmt.Sprintf("%06d", got) {
					t.Fatalf("datagram %d: %.20q, %d bytes", got, p, len(p))
				}
				got++
			}
		})
		m.until("Drained", func() bool { return slices.Contains(n.events, "Drained") })
		if s := m.Stats(); s.Held != 0 || c.Pending() != 0 || len(n.bad) > 0 || s.DatagramsOut != uint64(taken) {
			t.Errorf("%+v, %v", s, n.bad)
		}
	})
}

// A write timeout drops what waits, and says so; the socket lives on.
func TestStalledDatagramsAreDropped(t *testing.T) {
	underBothAtOnce(t, func(t *testing.T, o mgr.Options) {
		m := newTurning(t, o)
		fd, path := rawUnixgram(t)
		var n notes
		c := m.connectTo("unixgram://"+path, n.handle, mgr.ConnectOptions{Limits: conn.Limits{Stall: 100 * time.Millisecond, HighWater: 1 << 20}})
		const all = 1000
		for range all {
			c.WriteString("x")
		}
		m.until("the drop", func() bool { return len(n.bad) > 0 })
		sent := m.Stats().DatagramsOut
		if e := n.bad[0]; len(n.bad) != 1 || e.Dropped == 0 || uint64(e.Dropped)+sent != all || e.Err == nil {
			t.Errorf("%+v after %d", n.bad, sent)
		}
		for range sent {
			readRaw(t, fd)
		}
		c.WriteString("y")
		var p string
		m.until("y", func() bool { q, ok := readRaw(t, fd); p = q; return ok })
		if p != "y" || !c.IsOpen() {
			t.Errorf("got %q", p)
		}
	})
}

// Nobody tells when a unix socket that is not connected may send again: the datagram is dropped,
// and those for others go. The loop does not spin.
func TestFullReceiverOfAnUnconnectedUnixSocket(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		m := newTurning(t, o)
		_, full := rawUnixgram(t)
		other, path := rawUnixgram(t)
		var n notes
		c := m.listenAt("unixgram://"+filepath.Join(t.TempDir(), "s"), n.handle)
		for i := 0; len(n.bad) == 0 && i < 10000; i++ {
			c.SendToPath([]byte("x"), full)
			m.Poll(0)
		}
		if len(n.bad) != 1 || n.bad[0].Err != unix.EAGAIN || n.bad[0].Dropped != 1 {
			t.Fatalf("%+v", n.bad)
		}
		c.SendToPath([]byte("y"), path)
		m.Poll(0)
		if p, _ := readRaw(t, other); p != "y" {
			t.Errorf("got %q", p)
		}
		turns := m.Stats().Turns
		m.Poll(20 * time.Millisecond)
		m.Poll(20 * time.Millisecond)
		if m.Stats().Turns != turns+2 {
			t.Error("no rest")
		}
	})
}
