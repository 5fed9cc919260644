package mgr_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/internal/tcptest"
	"github.com/seed4930a636/mangusta/mgr"
)

// names is a Resolver whose answers the test gives.
type names struct {
	at      map[string][]netip.Addr // answered inside Resolve
	asked   chan func(mgr.Resolved) // for other names: asked on the loop
	cancels chan string
}

func newNames(at map[string][]netip.Addr) *names {
	return &names{at: at, asked: make(chan func(mgr.Resolved), 10), cancels: make(chan string, 10)}
}

func (n *names) Resolve(_ *mgr.Manager, name string, found func(mgr.Resolved)) func() {
	if addrs, ok := n.at[name]; ok {
		found(mgr.Resolved{Addrs: addrs})
		return nil
	}
	n.asked <- found
	return func() { n.cancels <- name }
}

func addrs(list ...string) (a []netip.Addr) {
	for _, s := range list {
		a = append(a, netip.MustParseAddr(s))
	}
	return a
}

func portOf(addr string) string { return addr[strings.LastIndexByte(addr, ':')+1:] }

func TestConnectToAName(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		o.Resolver = newNames(map[string][]netip.Addr{"server.test": addrs("::ffff:127.0.0.1", "127.0.0.1")})
		l := start(t, o, echo)
		returned, got := false, make(chan string, 1)
		var id uint64
		r := record(func(c *conn.Conn, ev conn.Event) {
			switch ev := ev.(type) {
			case *conn.Open:
				c.WriteString("early ")
				if id = c.ID(); c.FD() != -1 {
					t.Errorf("descriptor %d, want none yet", c.FD())
				}
			case *conn.Resolve:
				if !returned || ev.Name != "server.test" || len(ev.Addrs) != 1 || ev.Addrs[0] != netip.MustParseAddr("127.0.0.1") {
					t.Errorf("Connect has returned: %v, %+v", returned, ev)
				}
			case *conn.Connect:
				c.WriteString("late")
				if c.ID() != id || c.RemoteAddr().String() != l.addr || c.FD() < 0 {
					t.Errorf("ID %d, was %d; peer %v, want %s", c.ID(), id, c.RemoteAddr(), l.addr)
				}
			case *conn.Read:
				if c.Recv.Len() == len("early late") {
					got <- string(c.Recv.Bytes())
					c.Close()
				}
			}
		})
		l.on(func() {
			if _, err := l.Connect("tcp://server.test:"+portOf(l.addr), r.handle); err != nil {
				t.Error(err)
			}
			returned = true
		})
		if s := take(t, got); s != "early late" {
			t.Errorf("echoed %q", s)
		}
		r.want(t, conn.Local, "Open Resolve Connect Write Read Close")
	})
}

func TestRacePassesOverBlackHolesAndRefusals(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		var port string
		var ln net.Listener
		for tries := 0; ln == nil; tries++ { // others may use the port on the second address
			var err error
			port = portOf(tcptest.FullBacklog(t))
			if ln, err = net.Listen("tcp", "127.0.0.3:"+port); err != nil && tries == 20 {
				t.Fatal(err)
			}
		}
		defer ln.Close()
		// 127.0.0.1 is silent, 127.0.0.2 and ::1 refuse.
		o.Resolver = newNames(map[string][]netip.Addr{"server.test": addrs("127.0.0.1", "127.0.0.2", "::1", "127.0.0.3")})
		l := prepare(t, o)
		l.run()
		r := record(func(c *conn.Conn, ev conn.Event) {
			switch ev := ev.(type) {
			case *conn.Resolve:
				if got, want := ev.Addrs, addrs("127.0.0.1", "::1", "127.0.0.2", "127.0.0.3"); len(got) != 4 || got[1] != want[1] || got[2] != want[2] {
					t.Errorf("tried in the order %v, want %v", got, want)
				}
			case *conn.Connect:
				if got := c.RemoteAddr().Addr().String(); got != "127.0.0.3" {
					t.Errorf("connected to %s", got)
				}
				c.Close()
			}
		})
		l.connect("tcp://server.test:"+port, r.handle, mgr.ConnectOptions{Stagger: time.Millisecond})
		r.want(t, conn.Local, "Open Resolve Connect Close")
	})
}

func TestRaceIsLost(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := portOf(ln.Addr().String())
		ln.Close()
		hole := portOf(tcptest.FullBacklog(t))
		n := newNames(map[string][]netip.Addr{"refuses.test": addrs("127.0.0.1", "127.0.0.2"), "silent.test": addrs("127.0.0.1"), "none.test": nil})
		o.Resolver = n
		l := prepare(t, o)
		l.run()
		for _, tc := range []struct {
			name, port string
			reason     conn.Reason
			events     string
			texts      []string
		}{
			{"refuses.test", port, conn.Unreachable, "Open Resolve Error Close",
				[]string{"conn: unreachable: refuses.test: 127.0.0.1:" + port + ": connect: connection refused; 127.0.0.2:" + port}},
			{"none.test", port, conn.Unresolved, "Open Error Close", []string{"conn: name not resolved: none.test: the resolver found no address"}},
			{"silent.test", hole, conn.TimedOut, "Open Resolve Error Close",
				[]string{"conn: timed out: silent.test: no connection in time: 127.0.0.1:" + hole + ": no answer"}},
			{"unanswered.test", port, conn.TimedOut, "Open Error Close", []string{"conn: timed out: unanswered.test: the resolver did not answer in time"}},
		} {
			got := make(chan error, 1)
			r := record(func(c *conn.Conn, ev conn.Event) {
				if ev, ok := ev.(*conn.Error); ok {
					got <- ev.Err
				}
			})
			timeout := 20 * time.Second
			if tc.reason == conn.TimedOut {
				timeout = 60 * time.Millisecond
			}
			l.connect("tcp://"+tc.name+":"+tc.port, r.handle, mgr.ConnectOptions{Timeout: timeout})
			r.want(t, tc.reason, tc.events)
			err := take(t, got)
			for _, text := range tc.texts {
				if !strings.HasPrefix(err.Error(), text) {
					t.Errorf("%s: %v\nwant %s", tc.name, err, text)
				}
			}
			if tc.reason == conn.Unreachable && !errors.Is(err, unix.ECONNREFUSED) {
				t.Errorf("%v is not ECONNREFUSED", err)
			}
		}
		if name := take(t, n.cancels); name != "unanswered.test" {
			t.Errorf("cancelled: %s", name)
		}
	})
}

func TestResolverErrorIsTheConnections(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		n, errNo := newNames(nil), errors.New("no such name")
		o.Resolver = n
		l := prepare(t, o)
		l.run()
		got := make(chan error, 1)
		r := record(func(c *conn.Conn, ev conn.Event) {
			if ev, ok := ev.(*conn.Error); ok {
				got <- ev.Err
			}
		})
		l.connect("tcp://x.test:80", r.handle)
		found := take(t, n.asked)
		l.on(func() { found(mgr.Resolved{Err: errNo}) })
		r.want(t, conn.Unresolved, "Open Error Close")
		if err := take(t, got); !errors.Is(err, errNo) {
			t.Errorf("%v", err)
		}
		l.on(func() { found(mgr.Resolved{Addrs: addrs("127.0.0.1")}) }) // too late, and too much
		if len(n.cancels) != 0 {
			t.Error("cancelled after its last word")
		}
	})
}

// The second answer comes when all addresses of the first have failed.
func TestRaceWaitsForTheOtherFamily(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		n := newNames(nil)
		o.Resolver = n
		l := start(t, o, echo)
		seen := make(chan int, 10)
		r := record(func(c *conn.Conn, ev conn.Event) {
			switch ev := ev.(type) {
			case *conn.Resolve:
				seen <- len(ev.Addrs)
			case *conn.Connect:
				c.Close()
			}
		})
		l.connect("tcp://x.test:"+portOf(l.addr), r.handle)
		found := take(t, n.asked)
		l.on(func() { found(mgr.Resolved{Addrs: addrs("127.0.0.9"), More: true}) })
		take(t, seen)
		l.until("the attempt has failed", func() bool { return l.Stats().Conns >= 1 })
		l.on(func() { found(mgr.Resolved{Addrs: addrs("127.0.0.1", "127.0.0.9")}) })
		take(t, seen)
		r.want(t, conn.Local, "Open Resolve Connect Close")
	})
}

func TestCloseWhileTheNameIsResolved(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		n := newNames(nil)
		o.Resolver = n
		l := prepare(t, o)
		l.run()
		for what, end := range map[string]func(*conn.Conn){"Close": (*conn.Conn).Close, "Drain": (*conn.Conn).Drain} {
			r := record(nil)
			var c *conn.Conn
			l.on(func() {
				c, _ = l.Connect("tcp://x.test:80", r.handle)
			})
			found := take(t, n.asked)
			l.on(func() { end(c) })
			r.want(t, conn.Local, "Open Close")
			take(t, n.cancels)
			l.on(func() { found(mgr.Resolved{Addrs: addrs("127.0.0.1")}) })
			if s := l.stats(); s.Conns != 0 {
				t.Errorf("after %s: %d connections", what, s.Conns)
			}
		}
	})
}

func TestCloseInResolve(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		o.Resolver = newNames(map[string][]netip.Addr{"x.test": addrs("127.0.0.1")})
		l := start(t, o, echo)
		r := record(func(c *conn.Conn, ev conn.Event) {
			if _, ok := ev.(*conn.Resolve); ok {
				c.Close()
			}
		})
		l.connect("tcp://x.test:"+portOf(l.addr), r.handle)
		r.want(t, conn.Local, "Open Resolve Close")
		if s := l.stats(); s.Accepts != 0 {
			t.Error("it was connected all the same")
		}
	})
}

func TestShutdownWhileTheNameIsResolved(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		n := newNames(nil)
		o.Resolver = n
		l := prepare(t, o)
		l.run()
		r := record(nil)
		l.connect("tcp://x.test:80", r.handle)
		take(t, n.asked)
		if err := l.Shutdown(context.Background()); err != nil {
			t.Fatal(err)
		}
		r.want(t, conn.ShuttingDown, "Open Shutdown Close")
		take(t, n.cancels)
	})
}

func TestPanickingResolver(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		o.Resolver = mgr.ResolverFunc(func(*mgr.Manager, string, func(mgr.Resolved)) func() { panic("no names today") })
		l := prepare(t, o)
		l.run()
		r := record(nil)
		l.connect("tcp://x.test:80", r.handle)
		r.want(t, conn.Panicked, "Open Error Close")
	})
}

func TestNameWithoutResolver(t *testing.T) {
	m := newManager(t, mgr.Options{})
	_, err := m.Connect("tcp://example.org:80", nil)
	if !errors.Is(err, mgr.ErrNoResolver) || !strings.Contains(err.Error(), "mgr.Options.Resolver") {
		t.Errorf("%v", err)
	}
	m = newManager(t, mgr.Options{Resolver: newNames(nil)})
	for _, url := range []string{"tcp://a..b:80", "tcp://me@example.org:80", "tcp://bücher.example:80"} {
		if _, err := m.Connect(url, nil); err == nil || !strings.Contains(err.Error(), "neither an IP address nor a host name") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// dialTLS notes for which name TLS is asked.
type dialTLS struct{ host string }

func (d *dialTLS) DialTLS(_ *conn.Conn, host string) { d.host = host }

func TestServerNameIsTheName(t *testing.T) {
	m := newManager(t, mgr.Options{Resolver: newNames(nil)})
	for _, tc := range []struct{ url, option, want string }{
		{"tls://example.org:443", "", "example.org"},
		{"tls://example.org.:443", "", "example.org"},
		{"tls://example.org:443", "other.test", "other.test"},
	} {
		var d dialTLS
		c, err := m.Connect(tc.url, nil, mgr.ConnectOptions{TLS: &d, ServerName: tc.option})
		if err != nil || d.host != tc.want {
			t.Errorf("%s: for %q, %v", tc.url, d.host, err)
			continue
		}
		c.Close()
	}
}

func TestLocal(t *testing.T) {
	type key struct{}
	m := newManager(t, mgr.Options{})
	made := 0
	for range 2 {
		if v := m.Local(key{}, func() any { made++; return made }); v != 1 {
			t.Errorf("%v", v)
		}
	}
}
