//go:build linux && !race && !386 && !s390x

package mgr_test

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// An echo of datagrams allocates nothing once it is under way.
func TestDatagramsAllocateNothing(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		m := newTurning(t, o)
		s := m.listenAt("udp://127.0.0.1:0", func(c *conn.Conn, ev conn.Event) {
			if d, ok := ev.(*conn.Datagram); ok {
				d.Reply(d.Data)
			}
		})
		m.Poll(0)
		fd, _, err := conn.Dial(conn.Addr{Network: "udp", AddrPort: s.LocalAddr()}, conn.SocketOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		buf := make([]byte, 500)
		back := 0
		echo := func() {
			for range 40 {
				unix.Write(fd, buf)
			}
			m.Poll(0)
			for {
				if _, err := unix.Read(fd, buf); err != nil {
					break
				}
				back++
			}
		}
		for range 20 {
			echo()
		}
		poll := testing.AllocsPerRun(50, func() { m.Poll(0) }) // it looks up its goroutine
		if n := testing.AllocsPerRun(50, echo); n != poll {
			t.Errorf("%v allocations for 40 echoes; %v for a turn with nothing to do", n, poll)
		}
		if back < 40*60 {
			t.Errorf("%d came back", back)
		}
	})
}
