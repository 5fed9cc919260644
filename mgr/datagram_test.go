package mgr_test

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// turning is a manager that the test turns itself.
type turning struct {
	*mgr.Manager
	t *testing.T
}

func newTurning(t *testing.T, o mgr.Options) *turning {
	t.Helper()
	return &turning{newManager(t, o), t}
}

// until turns the loop until cond holds.
func (m *turning) until(what string, cond func() bool) {
	m.t.Helper()
	for deadline := time.Now().Add(time.Minute); !cond(); {
		if time.Now().After(deadline) {
			m.t.Fatalf("waited in vain: %s", what)
		}
		if err := m.Poll(10 * time.Millisecond); err != nil {
			m.t.Fatal(err)
		}
	}
}

func (m *turning) listenAt(url string, h conn.Handler, o ...mgr.ListenOptions) *conn.Conn {
	m.t.Helper()
	c, err := m.Listen(url, h, o...)
	if err != nil {
		m.t.Fatal(err)
	}
	return c
}

func (m *turning) connectTo(url string, h conn.Handler, o ...mgr.ConnectOptions) *conn.Conn {
	m.t.Helper()
	c, err := m.Connect(url, h, o...)
	if err != nil {
		m.t.Fatal(err)
	}
	return c
}

// udpPort returns the port of a listener, as a URL has it.
func udpPort(c *conn.Conn) string { return fmt.Sprint(c.LocalAddr().Port()) }

// notes is a handler that keeps what came.
type notes struct {
	got    []string
	bad    []conn.Undelivered
	events []string
}

func (n *notes) handle(c *conn.Conn, ev conn.Event) {
	switch ev := ev.(type) {
	case *conn.Datagram:
		n.got = append(n.got, string(ev.Data))
	case *conn.Undelivered:
		e := *ev
		e.Data = slices.Clone(ev.Data)
		n.bad = append(n.bad, e)
	default:
		n.events = append(n.events, strings.TrimPrefix(ev.EventName(), "conn."))
	}
}

// Each kind of datagram socket takes datagrams whole, empty ones too, says where they come from,
// and answers there.
func TestDatagramsOfEachKind(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		dir := t.TempDir()
		for _, tc := range []struct {
			listen, connect string
			to              string // "" if the socket does not tell
			most            int
		}{
			{"udp://127.0.0.1:0", "udp://127.0.0.1:", "127.0.0.1", 65507},
			{"udp://[::1]:0", "udp://[::1]:", "::1", 65487},
			{"udp://:0", "udp://127.0.0.1:", "127.0.0.1", 65507},
			{"udp://:0", "udp://[::1]:", "::1", 65487},
			{"udp://0.0.0.0:0", "udp://127.0.0.1:", "127.0.0.1", 65507},
			{"unixgram://" + filepath.Join(dir, "s"), "unixgram://" + filepath.Join(dir, "s"), "", 60000},
			{"unixgram://@mangusta-" + o.Poller.String(), "unixgram://@mangusta-" + o.Poller.String(), "", 60000},
		} {
			t.Run(tc.listen, func(t *testing.T) {
				m := newTurning(t, o)
				var seen []string
				var from []conn.Peer
				s, err := m.Listen(tc.listen, func(c *conn.Conn, ev conn.Event) {
					d, ok := ev.(*conn.Datagram)
					if !ok {
						return
					}
					if to := d.To.String(); tc.to != "" && (to != tc.to || d.Interface == 0) {
						t.Errorf("To is %v, Interface %d", to, d.Interface)
					}
					if tc.to == "" && len(d.Path) == 0 {
						t.Error("no Path")
					}
					if d.Truncated {
						t.Error("truncated")
					}
					seen = append(seen, string(d.Data))
					from = append(from, d.From)
					if err := d.Reply(d.Data); err != nil {
						t.Error(err)
					}
				})
				if err != nil && strings.Contains(tc.connect, "::1") {
					t.Skipf("no IPv6 here: %v", err)
				}
				if err != nil {
					t.Fatal(err)
				}
				url := tc.connect
				if tc.to != "" {
					url += udpPort(s)
				}
				var n notes
				c := m.connectTo(url, n.handle)
				if !c.IsDatagram() || !s.IsDatagram() || s.IsListener() {
					t.Error("not datagram sockets")
				}
				want := []string{"one", "", strings.Repeat("x", tc.most), "two\nthree"}
				for _, p := range want {
					if _, err := fmt.Fprint(c, p); err != nil {
						t.Fatal(err)
					}
				}
				m.until("four echoes", func() bool { return len(n.got) >= 4 })
				if !slices.Equal(n.got, want) || !slices.Equal(seen, want) {
					t.Errorf("%d came back: %.100q", len(n.got), n.got)
				}
				if tc.to != "" && from[0].AddrPort() != c.LocalAddr() {
					t.Errorf("from %v, not %v", from[0], c.LocalAddr())
				}
				if !slices.Equal(n.events[:2], []string{"Open", "Connect"}) || len(n.bad) > 0 {
					t.Errorf("events %v, %v", n.events, n.bad)
				}
				st := m.Stats()
				if st.DatagramsIn != 8 || st.DatagramsOut != 8 || st.DatagramsDropped != 0 || st.DatagramsMissed != 0 {
					t.Errorf("%+v", st)
				}
				if c.Close(); true {
					m.until("the end", func() bool { return slices.Contains(n.events, "Close") })
				}
			})
		}
	})
}

// A socket on all addresses answers from the one that was asked: the asker would not know another.
func TestReplyLeavesFromTheAddressItCameTo(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		for _, listen := range []string{"udp://:0", "udp://0.0.0.0:0"} {
			m := newTurning(t, o)
			var late func()
			s := m.listenAt(listen, func(c *conn.Conn, ev conn.Event) {
				if d, ok := ev.(*conn.Datagram); ok {
					d.Reply([]byte("at once"))
					from, to := d.From, d.To
					late = func() { c.SendTo([]byte("later"), from, conn.Via{From: to}) }
				}
			})
			var n notes
			c := m.connectTo("udp://127.0.0.2:"+udpPort(s), n.handle)
			c.Write([]byte("?"))
			m.until("a reply", func() bool { return len(n.got) == 1 })
			late()
			m.until("another", func() bool { return len(n.got) == 2 })
			if n.got[0] != "at once" || n.got[1] != "later" {
				t.Errorf("%s: got %q", listen, n.got)
			}
		}
	})
}

func TestTruncatedDatagramSaysSo(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		m := newTurning(t, o)
		var got []string
		s := m.listenAt("udp://127.0.0.1:0", func(c *conn.Conn, ev conn.Event) {
			if d, ok := ev.(*conn.Datagram); ok {
				got = append(got, fmt.Sprintf("%s %v", d.Data, d.Truncated))
			}
		}, mgr.ListenOptions{Socket: conn.SocketOptions{DatagramSize: 4}})
		c := m.connectTo("udp://127.0.0.1:"+udpPort(s), nil)
		for _, p := range []string{"abc", "abcd", "abcde", ""} {
			c.WriteString(p)
		}
		m.until("four", func() bool { return len(got) == 4 })
		if want := []string{"abc false", "abcd false", "abcd true", " false"}; !slices.Equal(got, want) {
			t.Errorf("got %q", got)
		}
		if n := m.Stats().DatagramsCut; n != 1 {
			t.Errorf("%d counted", n)
		}
	})
}

// closedPort returns a UDP port of 127.0.0.1 or ::1 that no socket has.
func closedPort(t *testing.T, ip string) netip.AddrPort {
	t.Helper()
	ap := netip.AddrPortFrom(netip.MustParseAddr(ip), 0)
	fd, err := conn.Listen(conn.Addr{Network: "udp", AddrPort: ap}, conn.SocketOptions{})
	if err != nil {
		t.Skip(err)
	}
	ap = conn.LocalAddr(fd)
	unix.Close(fd)
	return ap
}

// A port that nobody has is an event, with the datagram that it is about; the socket goes on, and
// nothing else that was sent is lost.
func TestPortUnreachableIsAnEvent(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		for _, ip := range []string{"127.0.0.1", "::1"} {
			m := newTurning(t, o)
			dead := closedPort(t, ip)
			var n, peer notes
			live := m.listenAt("udp://"+netip.AddrPortFrom(dead.Addr(), 0).String(), peer.handle)
			c := m.connectTo("udp://"+dead.String(), n.handle)
			for i := range 3 {
				c.WriteString("to nobody")
				m.until("the error", func() bool { return len(n.bad) > i })
			}
			for _, e := range n.bad {
				if !errors.Is(e.Err, unix.ECONNREFUSED) || e.To.AddrPort() != dead || e.Dropped != 0 || string(e.Data) != "to nobody" {
					t.Errorf("%s: %+v", ip, e)
				}
			}
			if !c.IsOpen() || slices.Contains(n.events, "Error") {
				t.Errorf("%s: the socket has ended", ip)
			}

			n = notes{}
			s := m.listenAt("udp://"+netip.AddrPortFrom(dead.Addr(), 0).String(), n.handle)
			for i := range 20 {
				s.SendTo([]byte("to nobody"), conn.PeerOf(dead))
				s.SendTo([]byte(fmt.Sprint(i)), conn.PeerOf(live.LocalAddr()))
				m.Poll(0)
			}
			m.until("all that can arrive", func() bool { return len(peer.got) == 20 && len(n.bad) > 0 })
			for i, p := range peer.got {
				if p != fmt.Sprint(i) {
					t.Fatalf("%s: datagram %d is %q", ip, i, p)
				}
			}
			for _, e := range n.bad {
				if !errors.Is(e.Err, unix.ECONNREFUSED) || e.To.AddrPort() != dead {
					t.Errorf("%s: %+v", ip, e)
				}
			}
		}
	})
}

// A datagram that the kernel refuses is dropped, counted and told; the datagrams after it go.
func TestRefusedDatagramIsToldAndCounted(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		m := newTurning(t, o)
		var n, peer notes
		s := m.listenAt("udp://127.0.0.1:0", peer.handle)
		c := m.listenAt("udp://127.0.0.1:0", n.handle)
		to := conn.PeerOf(s.LocalAddr())
		bcast := conn.PeerOf(netip.MustParseAddrPort("255.255.255.255:9"))
		c.SendTo([]byte("a"), to)
		c.SendTo(make([]byte, 70000), to)                                           // EMSGSIZE
		c.SendTo([]byte("b"), to)                                                   //
		c.SendTo([]byte("x"), bcast)                                                // EACCES without SO_BROADCAST
		c.SendTo([]byte("x"), to, conn.Via{From: netip.MustParseAddr("192.0.2.1")}) // not ours
		c.SendTo([]byte("x"), conn.PeerOf(netip.MustParseAddrPort("[::1]:9")))      // another family
		c.SendTo([]byte("c"), to)
		m.until("three", func() bool { return len(peer.got) == 3 })
		if !slices.Equal(peer.got, []string{"a", "b", "c"}) {
			t.Errorf("got %q", peer.got)
		}
		if len(n.bad) < 4 || n.bad[0].Err != unix.EMSGSIZE || n.bad[0].Dropped != 1 {
			t.Errorf("told %+v", n.bad)
		}
		if s := m.Stats(); s.DatagramsDropped != 4 {
			t.Errorf("%d dropped", s.DatagramsDropped)
		}
		if err := c.Kernel().SetBroadcast(true); err != nil {
			t.Error(err)
		}
	})
}

// flooded is a UDP socket with n datagrams in the kernel: the numbers from 0.
func flooded(t *testing.T, m *turning, n int, h conn.Handler) *conn.Conn {
	t.Helper()
	s := m.listenAt("udp://127.0.0.1:0", h, mgr.ListenOptions{Socket: conn.SocketOptions{RecvBuf: 1 << 20}})
	fd, _, err := conn.Dial(conn.Addr{Network: "udp", AddrPort: s.LocalAddr()}, conn.SocketOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	for i := range n {
		if _, err := unix.Write(fd, fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// A flood of datagrams leaves the loop to its other connections: 64 of a socket a turn.
func TestFloodOfDatagramsLeavesTheLoopToOthers(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		m := newTurning(t, o)
		got, inTurn, read := 0, 0, 0
		s := m.listenAt("tcp://127.0.0.1:0", func(c *conn.Conn, ev conn.Event) {
			if ev, ok := ev.(*conn.Read); ok {
				read += ev.N
			}
		})
		var n notes
		c := m.connectTo("tcp://"+s.LocalAddr().String(), n.handle)
		m.until("a connection", func() bool { return slices.Contains(n.events, "Connect") })
		const all = 500
		flooded(t, m, all, func(c *conn.Conn, ev conn.Event) {
			if _, ok := ev.(*conn.Datagram); ok {
				got++
				inTurn++
			}
		})
		turns := 0
		for ; got < all && turns < 1000; turns++ {
			c.WriteString("x")
			inTurn = 0
			m.Poll(10 * time.Millisecond)
			if inTurn > 64 {
				t.Fatalf("%d datagrams in one turn", inTurn)
			}
		}
		if got != all || turns > 40 {
			t.Errorf("%d datagrams in %d turns", got, turns)
		}
		if read < turns/2 {
			t.Errorf("in %d turns %d bytes of TCP came", turns, read)
		}
	})
}

// A handler may close, pause, or panic in the middle of a batch.
func TestHandlerEndsABatch(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		m := newTurning(t, o)
		var n notes
		flooded(t, m, 20, func(c *conn.Conn, ev conn.Event) {
			n.handle(c, ev)
			if len(n.got) == 5 {
				c.Close()
			}
		})
		m.until("the end", func() bool { return slices.Contains(n.events, "Close") })
		if len(n.got) != 5 {
			t.Errorf("closed after 5, got %q", n.got)
		}

		all := make([]string, 100)
		for i := range all {
			all[i] = fmt.Sprint(i)
		}
		n = notes{}
		stop := map[int]bool{1: true, 5: true, 6: true, 18: true, 70: true}
		s := flooded(t, m, 100, func(c *conn.Conn, ev conn.Event) {
			n.handle(c, ev)
			if _, ok := ev.(*conn.Datagram); ok && stop[len(n.got)] {
				c.Pause()
			}
		})
		for _, k := range []int{1, 5, 6, 18, 70} {
			m.until("a pause", func() bool { return s.Paused() })
			for range 3 {
				m.Poll(0)
			}
			if len(n.got) != k {
				t.Errorf("while paused after %d, %d have come", k, len(n.got))
			}
			s.Resume()
		}
		m.until("all", func() bool { return len(n.got) == 100 })
		if !slices.Equal(n.got, all) || m.Stats().Held != 0 {
			t.Errorf("got %q, %d held", n.got, m.Stats().Held)
		}

		n = notes{}
		s = flooded(t, m, 100, func(c *conn.Conn, ev conn.Event) {
			n.handle(c, ev)
			if _, ok := ev.(*conn.Datagram); ok && len(n.got)%30 == 7 {
				panic("by the test")
			}
		})
		m.until("all", func() bool { return len(n.got) == 100 })
		if !slices.Equal(n.got, all) || !s.IsOpen() || m.Stats().Panics != 4 || m.Stats().Held != 0 {
			t.Errorf("got %q, %d panics", n.got, m.Stats().Panics)
		}
	})
}

// The next datagram tells how many the kernel has dropped because its buffer was full.
func TestMissedDatagramsAreCounted(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("Linux tells this")
	}
	underBoth(t, func(t *testing.T, o mgr.Options) {
		m := newTurning(t, o)
		missed, got := 0, 0
		s := m.listenAt("udp://127.0.0.1:0", func(c *conn.Conn, ev conn.Event) {
			if d, ok := ev.(*conn.Datagram); ok {
				missed += d.Missed
				got++
			}
		}, mgr.ListenOptions{Socket: conn.SocketOptions{RecvBuf: 5000}})
		c := m.listenAt("udp://127.0.0.1:0", nil)
		s.Pause()
		m.Poll(0)
		for range 100 {
			c.SendTo(make([]byte, 500), conn.PeerOf(s.LocalAddr()))
		}
		m.Poll(0)
		s.Resume()
		m.until("some", func() bool { return got > 0 })
		m.until("the count", func() bool {
			c.SendTo(nil, conn.PeerOf(s.LocalAddr())) // the count comes with a datagram that was received later
			return missed > 0
		})
		if n := m.Stats().DatagramsMissed; n != uint64(missed) || missed > 100 {
			t.Errorf("%d missed, %d counted", missed, n)
		}
	})
}

// A unix socket's file is replaced if nobody has it, kept if somebody has, and removed at the end.
func TestFileOfAUnixDatagramSocket(t *testing.T) {
	m := newTurning(t, mgr.Options{})
	path := filepath.Join(t.TempDir(), "s")
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrUnix{Name: path})
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Listen("unixgram://"+path, nil); !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("while another has it: %v", err)
	}
	unix.Close(fd)
	c := m.listenAt("unixgram://"+path, nil, mgr.ListenOptions{Socket: conn.SocketOptions{Mode: 0o600}})
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st, err)
	}
	c.Close()
	m.Poll(0)
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("after the end: %v", err)
	}
}

// A name is resolved for datagrams too; what is written before goes when it is known.
func TestConnectDatagramsToAName(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		var found func(mgr.Resolved)
		o.Resolver = mgr.ResolverFunc(func(m *mgr.Manager, name string, f func(mgr.Resolved)) func() {
			found = f
			return func() {}
		})
		m := newTurning(t, o)
		var n, peer notes
		s := m.listenAt("udp://127.0.0.1:0", peer.handle)
		c := m.connectTo("udp://time.example:"+udpPort(s), n.handle)
		c.WriteString("one")
		c.WriteString("two")
		c.Drain() // after these
		m.Poll(0)
		found(mgr.Resolved{Addrs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}})
		m.until("both", func() bool { return len(peer.got) == 2 })
		m.until("the end", func() bool { return slices.Contains(n.events, "Close") })
		if !slices.Equal(peer.got, []string{"one", "two"}) || !slices.Equal(n.events, []string{"Open", "Resolve", "Connect", "Write", "Close"}) {
			t.Errorf("%q, %v", peer.got, n.events)
		}
		n = notes{}
		dead := closedPort(t, "127.0.0.1")
		c = m.connectTo(fmt.Sprintf("udp://time.example:%d", dead.Port()), n.handle)
		c.WriteString("to nobody")
		m.Poll(0)
		found(mgr.Resolved{Addrs: []netip.Addr{dead.Addr()}})
		m.until("the error", func() bool { return len(n.bad) > 0 })
		if runtime.GOOS == "linux" && string(n.bad[0].Data) != "to nobody" {
			t.Errorf("told %+v", n.bad)
		}
		if _, err := newTurning(t, mgr.Options{}).Connect("udp://time.example:1", nil); !errors.Is(err, mgr.ErrNoResolver) {
			t.Errorf("without a resolver: %v", err)
		}
	})
}

func TestDatagramSocketRefuses(t *testing.T) {
	m := newTurning(t, mgr.Options{})
	for _, o := range []mgr.ListenOptions{
		{Setup: func(*conn.Conn) {}}, {Refusal: []byte("x")}, {Socket: conn.SocketOptions{Nagle: true}},
		{Socket: conn.SocketOptions{Backlog: 1}}, {Socket: conn.SocketOptions{DatagramSize: -1}},
	} {
		if c, err := m.Listen("udp://127.0.0.1:0", nil, o); err == nil {
			c.Close()
			t.Errorf("%+v is taken", o)
		}
	}
	if _, err := m.Listen("tcp://127.0.0.1:0", nil, mgr.ListenOptions{Socket: conn.SocketOptions{DatagramSize: 1}}); err == nil {
		t.Error("DatagramSize is taken for TCP")
	}
	c := m.listenAt("udp://127.0.0.1:0", nil)
	if _, err := c.Write([]byte("x")); err != conn.ErrNoPeer {
		t.Errorf("Write: %v", err)
	}
	if err := c.SendTo(nil, conn.Peer{}); err != conn.ErrNoPeer {
		t.Errorf("SendTo: %v", err)
	}
	if err := c.Kernel().JoinGroup(netip.MustParseAddr("127.0.0.1"), 0); err == nil {
		t.Error("joined what is no group")
	}
	s := m.listenAt("tcp://127.0.0.1:0", nil)
	if err := s.SendTo(nil, conn.PeerOf(c.LocalAddr())); err != conn.ErrNoDatagrams {
		t.Errorf("SendTo on TCP: %v", err)
	}
	m.AfterFunc(0, func() {
		m.Broadcast(func(*conn.Conn) { t.Error("Broadcast reaches it") })
	})
	m.until("the timer", func() bool { return m.Stats().Turns > 1 })
	c.Close()
	m.Poll(0)
	if err := c.SendTo(nil, conn.PeerOf(netip.MustParseAddrPort("127.0.0.1:9"))); err != conn.ErrClosed {
		t.Errorf("after the end: %v", err)
	}
}

// Loops have a socket each, or share one; each peer is answered.
func TestDatagramsOnLoops(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		for _, url := range []string{"udp://127.0.0.1:0", "unixgram://" + filepath.Join(t.TempDir(), "s")} {
			l := prepareLoops(t, 2, o)
			s, err := l.Listen(url, func(c *conn.Conn, ev conn.Event) {
				if d, ok := ev.(*conn.Datagram); ok {
					d.Reply(d.Data)
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(url, "udp") {
				url = "udp://" + s.LocalAddr().String()
			}
			l.run()
			m := newTurning(t, o)
			var n notes
			for i := range 20 {
				m.connectTo(url, n.handle).WriteString(fmt.Sprint(i))
			}
			m.until("all", func() bool { return len(n.got) == 20 })
			if len(n.bad) > 0 {
				t.Errorf("%s: %+v", url, n.bad)
			}
		}
	})
}
