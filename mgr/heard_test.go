package mgr

import (
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
)

// late is a manager whose clock and poller belong to the test: a loop that comes late.
type late struct {
	*Manager
	t    *testing.T
	real poller
	now  int64
	deaf bool // wait reports nothing, as after a signal; or its list is full of only
	only int  // 0 for none
	addr string
	ends []conn.Reason
}

func newLate(t *testing.T, p Poller, h conn.Handler, lo ListenOptions) *late {
	t.Helper()
	return newLateWith(t, p, Options{}, h, lo)
}

func newLateWith(t *testing.T, p Poller, o Options, h conn.Handler, lo ListenOptions) *late {
	t.Helper()
	real, err := newPoller(p)
	if err != nil {
		t.Fatal(err)
	}
	l := &late{t: t, real: real, now: int64(time.Hour)}
	if l.Manager, err = newManager(o, l, func() int64 { return l.now }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	lc, err := l.Listen("tcp://127.0.0.1:0", func(c *conn.Conn, ev conn.Event) {
		h(c, ev)
		if ev, ok := ev.(*conn.Close); ok && !c.IsListener() {
			l.ends = append(l.ends, ev.Reason)
		}
	}, lo)
	if err != nil {
		t.Fatal(err)
	}
	l.addr = lc.LocalAddr().String()
	return l
}

// The poller.
func (l *late) set(fd int, was, want conn.Interest) error { return l.real.set(fd, was, want) }
func (l *late) maxFD() int                                { return l.real.maxFD() }
func (l *late) close() error                              { return l.real.close() }
func (l *late) String() string                            { return "late" }
func (l *late) wait(out []ready, timeout time.Duration) (int, error) {
	n, err := l.real.wait(out, timeout)
	if !l.deaf {
		return n, err
	}
	if n = 0; l.only != 0 {
		for n < len(out) {
			out[n] = ready{fd: int32(l.only), got: conn.In}
			n++
		}
	}
	return n, err
}

func (l *late) dial() net.Conn {
	l.t.Helper()
	c, err := net.Dial("tcp", l.addr)
	if err != nil {
		l.t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(time.Minute))
	l.t.Cleanup(func() { c.Close() })
	return c
}

// turn is one turn of the loop after d.
func (l *late) turn(d time.Duration) {
	l.t.Helper()
	l.now += int64(d)
	if err := l.Poll(0); err != nil {
		l.t.Fatal(err)
	}
}

// until turns the loop until cond is true.
func (l *late) until(cond func() bool) {
	l.t.Helper()
	for end := time.Now().Add(time.Minute); !cond(); l.turn(0) {
		if time.Now().After(end) {
			l.t.Fatal("it never came")
		}
	}
}

// ready waits until fd is ready for events, without the loop.
func (l *late) ready(fd int, events int16) {
	l.t.Helper()
	if n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: events}}, 20_000); n != 1 {
		l.t.Fatalf("poll: %d, %v", n, err)
	}
}

func underEach(t *testing.T, f func(t *testing.T, p Poller)) {
	for _, p := range []Poller{Epoll, Select} {
		t.Run(p.String(), func(t *testing.T) { f(t, p) })
	}
}

// The bytes that the peer sent in time are in the kernel, and the poller has not told: its list was
// full of others, or a signal came.
func TestAPeerIsHeardBeforeATimeoutJudgesIt(t *testing.T) {
	for name, set := range map[string]func(c *conn.Conn){
		"idle":     func(c *conn.Conn) { c.SetIdleTimeout(time.Second) },
		"deadline": func(c *conn.Conn) { c.Layer().SetDeadline(time.Second) },
	} {
		t.Run(name, func(t *testing.T) {
			underEach(t, func(t *testing.T, p Poller) {
				var c *conn.Conn
				reads, deadlines := 0, 0
				l := newLate(t, p, func(x *conn.Conn, ev conn.Event) {
					switch ev.(type) {
					case *conn.Accept:
						c = x
						set(c)
					case *conn.Read:
						reads++
						c.Recv.Discard(c.Recv.Len())
						set(c)
					case *conn.Deadline:
						deadlines++
					}
				}, ListenOptions{})
				peer := l.dial()
				l.until(func() bool { return c != nil })
				l.turn(0)
				io.WriteString(peer, "x")
				l.ready(c.FD(), unix.POLLIN)
				l.deaf = true
				l.turn(2 * time.Second)
				l.turn(0)
				if reads != 1 || deadlines != 0 || len(l.ends) != 0 {
					t.Errorf("%d reads, %d deadlines, ended %v; want one read alone", reads, deadlines, l.ends)
				}
				l.turn(2 * time.Second) // now it has been silent
				l.turn(0)
				if deadlines == 0 && len(l.ends) == 0 {
					t.Error("a silent peer was not judged")
				}
			})
		})
	}
}

func TestAPeerThatHasMadeRoomIsNotStalled(t *testing.T) {
	underEach(t, func(t *testing.T, p Poller) {
		var c *conn.Conn
		l := newLate(t, p, func(x *conn.Conn, ev conn.Event) {
			if _, ok := ev.(*conn.Accept); ok {
				c = x
			}
		}, ListenOptions{Socket: conn.SocketOptions{SendBuf: 4096}, Limits: conn.Limits{Stall: time.Second}})
		peer := l.dial()
		l.until(func() bool { return c != nil })
		c.Write(make([]byte, 8<<20))
		l.turn(0)
		for canWrite(c.FD()) { // until the kernel takes no more
			l.turn(0)
		}
		l.deaf = true
		l.turn(900 * time.Millisecond)
		for !canWrite(c.FD()) {
			if _, err := peer.Read(make([]byte, 64<<10)); err != nil {
				t.Fatal(err)
			}
		}
		before := c.Pending()
		l.turn(200 * time.Millisecond)
		if l.turn(0); len(l.ends) != 0 || c.Pending() >= before {
			t.Errorf("ended %v, %d of %d bytes pending", l.ends, c.Pending(), before)
		}
		l.until(func() bool { l.turn(2 * time.Second); return len(l.ends) > 0 }) // the kernel takes the rest of its room
		if l.ends[0] != conn.Stalled {
			t.Errorf("ended %v, want Stalled: the peer took nothing", l.ends)
		}
	})
}

func canWrite(fd int) bool {
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, 0)
	return n == 1 && err == nil
}

func TestAnAttemptToConnectIsHeardBeforeItsTimeout(t *testing.T) {
	underEach(t, func(t *testing.T, p Poller) {
		connected, failed := 0, 0
		l := newLate(t, p, func(*conn.Conn, conn.Event) {}, ListenOptions{})
		l.deaf = true
		c, err := l.Connect("tcp://"+l.addr, func(_ *conn.Conn, ev conn.Event) {
			switch ev.(type) {
			case *conn.Connect:
				connected++
			case *conn.Error:
				failed++
			}
		}, ConnectOptions{Timeout: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		l.turn(0)
		l.ready(c.FD(), unix.POLLOUT)
		l.turn(2 * time.Second)
		l.turn(0)
		if connected != 1 || failed != 0 {
			t.Errorf("%d Connect, %d Error events; want 1, 0", connected, failed)
		}
	})
}

// Other connections that are always ready, and fill each list of the poller, cannot put a timeout
// off for ever. One stands for all of them: the list is full of it.
func TestAFloodOfOthersSavesNoSlowPeer(t *testing.T) {
	for name, set := range map[string]func(c *conn.Conn){
		"idle":     func(c *conn.Conn) { c.SetIdleTimeout(time.Second) },
		"deadline": func(c *conn.Conn) { c.Layer().SetDeadline(time.Second) }, // that of a head
	} {
		t.Run(name, func(t *testing.T) {
			underEach(t, func(t *testing.T, p Poller) {
				var conns []*conn.Conn
				deadlines := 0
				l := newLate(t, p, func(x *conn.Conn, ev conn.Event) {
					switch ev.(type) {
					case *conn.Accept:
						conns = append(conns, x)
					case *conn.Deadline:
						deadlines++
						x.Close()
					}
					x.Recv.Discard(x.Recv.Len())
				}, ListenOptions{})
				busy, _ := l.dial(), l.dial()
				l.until(func() bool { return len(conns) == 2 })
				if conns[0].RemoteAddr().String() != busy.LocalAddr().String() {
					conns[0], conns[1] = conns[1], conns[0]
				}
				set(conns[1])
				l.deaf, l.only = true, conns[0].FD()
				for turns := 0; len(l.ends) == 0; turns++ {
					if turns == 12 {
						t.Fatal("1.2 seconds have passed, and the silent peer has not been judged")
					}
					io.WriteString(busy, "x")
					l.ready(conns[0].FD(), unix.POLLIN)
					l.turn(100 * time.Millisecond)
				}
				if len(l.ends) != 1 || conns[0].IsClosed() || name == "idle" && l.ends[0] != conn.Idle || name == "deadline" && deadlines != 1 {
					t.Errorf("ended %v, %d deadlines, the busy one %v; want the end of the silent one alone", l.ends, deadlines, conns[0].IsClosed())
				}
			})
		})
	}
}

// roomFor is a loop that is full with n connections at rest, in the order in which they have come
// to rest, a second apart.
func roomFor(t *testing.T, p Poller, n int) (l *late, lc *conn.Conn, rest []*conn.Conn, peers []net.Conn) {
	t.Helper()
	l = newLate(t, p, func(x *conn.Conn, ev conn.Event) {
		switch ev.(type) {
		case *conn.Accept:
			if rest = append(rest, x); len(rest) <= n {
				x.Layer().SetSpare(true)
			}
		case *conn.Read:
			x.Recv.Discard(x.Recv.Len())
		}
	}, ListenOptions{})
	l.opts.MaxConns = n
	for i := range n {
		peers = append(peers, l.dial())
		l.until(func() bool { return len(rest) == i+1 })
		l.turn(time.Second)
	}
	for _, x := range l.listeners {
		lc = x.c
	}
	return l, lc, rest, peers
}

// A connection at rest whose next request is in the kernel, but has not been read yet, makes no
// room for another.
func TestWhatIsOnItsWayMakesNoRoom(t *testing.T) {
	underEach(t, func(t *testing.T, p Poller) {
		l, lc, rest, peers := roomFor(t, p, 1)
		io.WriteString(peers[0], "x")
		l.ready(rest[0].FD(), unix.POLLIN)
		l.deaf, l.only = true, lc.FD() // the poller tells of the newcomer alone
		l.dial()
		l.ready(lc.FD(), unix.POLLIN)
		l.turn(0)
		if l.turn(0); rest[0].IsClosed() || l.stats.MadeRoom != 0 || l.stats.Refused != 1 {
			t.Errorf("closed %v, %d made room, %d refused; want false, 0, 1", rest[0].IsClosed(), l.stats.MadeRoom, l.stats.Refused)
		}
	})
}

// The longest idle makes room: not one that was, when the loop last looked, and has been at work
// since.
func TestWhoHasBeenAtWorkSinceMakesNoRoom(t *testing.T) {
	underEach(t, func(t *testing.T, p Poller) {
		l, _, rest, peers := roomFor(t, p, 3)
		l.dial() // for it the first goes, and the loop remembers the order of the others
		l.until(func() bool { return rest[0].IsClosed() })
		io.WriteString(peers[1], "x")
		l.ready(rest[1].FD(), unix.POLLIN)
		l.turn(time.Second)
		l.dial()
		l.until(func() bool { return l.stats.MadeRoom == 2 })
		if rest[1].IsClosed() || !rest[2].IsClosed() {
			t.Errorf("closed: the second %v, the third %v; want false, true", rest[1].IsClosed(), rest[2].IsClosed())
		}
	})
}
