package mgr

import (
	"slices"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
)

// A connection that has no descriptor yet is in the table like others: it is found by its number,
// gets Broadcasts and Shutdown, has its timeout; and its number stays when the descriptor comes.
func TestAConnectionWithoutADescriptor(t *testing.T) {
	eachPoller(t, func(t *testing.T, p poller) {
		m, err := newManager(Options{}, p, monotonic)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		m.own(goroutine())
		defer m.own(0)
		l, err := m.Listen("tcp://127.0.0.1:0", func(c *conn.Conn, ev conn.Event) {
			if _, ok := ev.(*conn.Accept); ok {
				c.Write([]byte("hello"))
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		wait := func() *conn.Conn {
			got = nil
			c := m.adopt(-1, conn.Peer{}, m.sock, m.limits, func(c *conn.Conn, ev conn.Event) {
				got = append(got, ev.EventName())
				c.Recv.Discard(c.Recv.Len())
			})
			c.Driver().BeginWaiting(10 * time.Second)
			m.begin(c, nil)
			return c
		}
		turn := func(done func() bool) {
			t.Helper()
			for i := 0; !done(); i++ {
				if err := m.once(10 * time.Millisecond); err != nil || i > 500 {
					t.Fatalf("after %d turns: %v, events %v", i, err, got)
				}
			}
		}
		saw := func(name string) func() bool { return func() bool { return slices.Contains(got, name) } }

		c := wait()
		other := wait()
		if c.ID() == other.ID() || m.Lookup(c.ID()) != c || m.Lookup(other.ID()) != other {
			t.Fatal("a connection without a descriptor is not found by its number")
		}
		other.Close()
		turn(saw("conn.Close"))
		if m.Lookup(other.ID()) != nil {
			t.Error("it is found after its Close")
		}
		visits := 0
		m.Broadcast(func(x *conn.Conn) { visits++ })
		m.Wakeup(c.ID(), []byte("x"))
		turn(saw("conn.Wakeup"))
		if visits != 1 || m.Stats().Conns != 1 {
			t.Errorf("%d visits of a Broadcast, %d connections", visits, m.Stats().Conns)
		}

		id := c.ID()
		fd, _, err := conn.Dial(conn.Addr{Network: "tcp", AddrPort: l.LocalAddr()}, conn.SocketOptions{})
		if err != nil {
			t.Fatal(err)
		}
		m.attach(c, fd)
		turn(saw("conn.Read"))
		if c.ID() != id || m.Lookup(id) != c || m.at(fd) != c {
			t.Error("its number does not lead to it any more")
		}

		// A descriptor that comes too late is closed.
		late := wait()
		late.Close()
		turn(saw("conn.Close"))
		fd, _, err = conn.Dial(conn.Addr{Network: "tcp", AddrPort: l.LocalAddr()}, conn.SocketOptions{})
		if err != nil {
			t.Fatal(err)
		}
		m.attach(late, fd)
		if m.at(fd) == late {
			t.Error("a closed connection took a descriptor")
		}
		shutting := wait()
		m.beginShutdown()
		turn(saw("conn.Shutdown"))
		turn(func() bool { return shutting.Driver().Finished() })
	})
}

// Slots are used again, IDs are not, and the table does not follow the descriptors.
func TestTable(t *testing.T) {
	var tab table
	sh := conn.NewShared(nil)
	limits := conn.Limits{}.WithDefaults()
	add := func(fd int) *conn.Conn {
		c := conn.New(sh, fd, tab.newID(), nil, &limits, nil)
		tab.place(c)
		return c
	}
	a, b, none := add(1000), add(7), add(-1)
	if len(tab.conns) != 3 || tab.at(1000) != a || tab.at(7) != b || tab.at(8) != nil || tab.at(-1) != nil || tab.at(5000) != nil {
		t.Fatalf("%d slots", len(tab.conns))
	}
	tab.take(b)
	c := add(9)
	if len(tab.conns) != 3 || conn.SlotOfID(c.ID()) != conn.SlotOfID(b.ID()) || tab.numbered(b.ID()) != nil || tab.numbered(c.ID()) != c {
		t.Error("a slot is not used again, or an old number leads to its new owner")
	}
	d := conn.New(sh, 9, tab.newID(), nil, &limits, nil)
	if old := tab.place(d); old != c {
		t.Error("the descriptor's old owner is not told")
	}
	tab.take(c)
	if tab.at(9) != d || tab.numbered(none.ID()) != none {
		t.Error("taking the old owner out took the new one too")
	}
}
