package dns_test

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/dns"
	"github.com/seed4930a636/mangusta/internal/selftest"
	"github.com/seed4930a636/mangusta/mgr"
)

// A network that loses, refuses and hides: a namespace whose nftables drop and reject. Its
// addresses are all on the loopback interface:
//
//	10.9.9.1             drops what comes to it
//	10.9.9.2             refuses connections, and is unreachable for datagrams
//	10.9.9.3, 10.9.9.4   are there
//	10.9.9.5             drops each second packet that begins a connection
//	2001:db8::1          has no route, until the test gives it to this machine
const netnsRules = `table inet t {
	chain in { type filter hook input priority 0;
		ip daddr 10.9.9.1 drop
		ip daddr 10.9.9.2 tcp flags & (syn|ack) == syn reject with tcp reset
		ip daddr 10.9.9.2 meta l4proto udp reject with icmp type host-unreachable
		ip daddr 10.9.9.5 tcp flags & (syn|ack) == syn numgen inc mod 2 == 0 drop
		udp dport 5353 numgen inc mod 2 == 0 drop
		udp dport 77 reject with icmp type admin-prohibited
	}
	chain out { type filter hook output priority 0; udp dport 78 drop
	}
}`

func TestLossyNetwork(t *testing.T) {
	for _, p := range []string{"ip", "nft"} {
		if _, err := exec.LookPath(p); err != nil {
			if _, err := os.Stat("/usr/sbin/" + p); err != nil {
				t.Skipf("%s is not installed", p)
			}
		}
	}
	t.Parallel()
	if !selftest.InNamespace(t, syscall.CLONE_NEWNET, `ip link set lo up && for i in 1 2 3 4 5; do ip addr add 10.9.9.$i/32 dev lo; done && echo "$1" | nft -f -`, netnsRules) {
		return
	}
	t.Run("names", testLossyNames)
	t.Run("races", testLossyRaces)
	t.Run("order", testOrderOfRoutes)
	t.Run("datagrams", testLossyDatagrams)
}

// Each second question is lost, and each name is found.
func testLossyNames(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		table := zone(map[string][]string{"a.test.": {"10.9.9.3"}, "b.test.": {"10.9.9.4"}})
		r := newRig(t, o, dns.Options{Servers: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:5353")}, Timeout: 20 * time.Millisecond, Attempts: 5, CacheSize: -1})
		asked := 0
		c, err := r.m.Listen("udp://127.0.0.1:5353", func(c *conn.Conn, ev conn.Event) {
			if ev, ok := ev.(*conn.Datagram); ok {
				q, err := readQuery(ev.Data)
				if err != nil {
					t.Error(err)
				}
				asked++
				for _, msg := range table(q) {
					ev.Reply(msg)
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			r.want("a.test", "10.9.9.3")
			r.want("b.test", "10.9.9.4")
		}
		c.Close()
		if st := r.r.Stats(r.m); int(st.Sent) < 2*asked-1 || st.Failures != 0 || st.Pending != 0 {
			t.Errorf("%d questions came: %+v", asked, st)
		}
	})
}

// The race goes past addresses that are silent, refuse or have no route.
func testLossyRaces(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		addrs := map[string][]string{}
		o.Resolver = mgr.ResolverFunc(func(m *mgr.Manager, name string, found func(mgr.Resolved)) func() {
			var list []netip.Addr
			for _, a := range addrs[name] {
				list = append(list, netip.MustParseAddr(a))
			}
			found(mgr.Resolved{Addrs: list})
			return nil
		})
		m, err := mgr.New(o)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		l, err := m.Listen("tcp://0.0.0.0:0", nil)
		if err != nil {
			t.Fatal(err)
		}
		for name, tc := range map[string]struct {
			addrs  []string
			winner string
			says   []string // the error
			reason conn.Reason
		}{
			"silent":   {[]string{"10.9.9.1", "10.9.9.3"}, "10.9.9.3", nil, 0},
			"refusing": {[]string{"10.9.9.2", "2001:db8::1", "10.9.9.4"}, "10.9.9.4", nil, 0},
			"half":     {[]string{"10.9.9.5"}, "10.9.9.5", nil, 0}, // the kernel asks again
			"none":     {[]string{"10.9.9.1", "2001:db8::1", "10.9.9.2"}, "", []string{"10.9.9.1", "no answer", "2001:db8::1", "10.9.9.2", "no connection in time"}, conn.TimedOut},
			"refused":  {[]string{"10.9.9.2", "2001:db8::1"}, "", []string{"connection refused", "network is unreachable"}, conn.Unreachable},
		} {
			addrs[name+".test"] = tc.addrs
			won, told, over := "", error(nil), false
			var reason conn.Reason
			limit := 10 * time.Second
			if name == "none" {
				limit = 300 * time.Millisecond
			}
			c, err := m.Connect(fmt.Sprintf("tcp://%s.test:%d", name, l.LocalAddr().Port()), func(c *conn.Conn, ev conn.Event) {
				switch ev := ev.(type) {
				case *conn.Connect:
					won = c.RemoteAddr().Addr().String()
					c.Close()
				case *conn.Error:
					told, reason = ev.Err, ev.Reason
				case *conn.Close:
					over = true
				}
			}, mgr.ConnectOptions{Timeout: limit, Stagger: 20 * time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			for end := time.Now().Add(time.Minute); !over && time.Now().Before(end); {
				m.Poll(10 * time.Millisecond)
			}
			if won != tc.winner || (told != nil) != (tc.winner == "") || tc.winner == "" && reason != tc.reason {
				t.Errorf("%s: %q won, %v (%v); connection %v", name, won, told, reason, c.IsClosed())
			}
			for _, s := range tc.says {
				if told == nil || !strings.Contains(told.Error(), s) {
					t.Errorf("%s: %v does not say %q", name, told, s)
				}
			}
		}
		for end := time.Now().Add(time.Minute); m.Stats().Conns > 0 && time.Now().Before(end); {
			m.Poll(10 * time.Millisecond)
		}
		if n := m.Stats().Conns; n != 0 {
			t.Errorf("%d connections are left", n)
		}
	})
}

// The order of addresses follows the routes of this machine (RFC 6724).
func testOrderOfRoutes(t *testing.T) {
	s := newServer(t, zone(map[string][]string{"both.test.": {"2001:db8::1", "10.9.9.3"}}))
	r := dns.New(dns.Options{Servers: servers(s), Hosts: "/nonexistent"})
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	g := &rig{t: t, m: m, r: r}
	g.want("both.test", "10.9.9.3", "2001:db8::1")
	if out, err := exec.Command("ip", "-6", "addr", "add", "2001:db8::1/128", "dev", "lo", "nodad").CombinedOutput(); err != nil {
		t.Skipf("no IPv6 here: %v %s", err, out)
	}
	g.want("both.test", "10.9.9.3", "2001:db8::1") // it is kept for 5 s
	g.until(func() bool {                          // the kernel sets the route a moment later
		r.Flush(m)
		got, _ := g.addrs("both.test")
		return slices.Equal(got, []string{"2001:db8::1", "10.9.9.3"})
	})
	exec.Command("ip", "-6", "addr", "del", "2001:db8::1/128", "dev", "lo").Run()
}

// Errors of the network and of the kernel about datagrams are told.
func testLossyDatagrams(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		m, err := mgr.New(o)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		var told []string
		c, err := m.Listen("udp://10.9.9.3:0", func(c *conn.Conn, ev conn.Event) {
			if ev, ok := ev.(*conn.Undelivered); ok {
				text := ev.Err.Error()
				var errno unix.Errno
				if errors.As(ev.Err, &errno) {
					text = unix.ErrnoName(errno)
				}
				told = append(told, fmt.Sprintf("%v %s %d", ev.To, text, ev.Dropped))
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		to := func(s string) conn.Peer { return conn.PeerOf(netip.MustParseAddrPort(s)) }
		c.SendTo([]byte("1"), to("10.9.9.2:5"))  // unreachable
		c.SendTo([]byte("2"), to("10.9.9.4:77")) // prohibited
		c.SendTo([]byte("3"), to("10.9.9.4:78")) // refused by the kernel
		c.SendTo([]byte("4"), to("10.9.9.1:5"))  // silence
		c.SendTo([]byte("5"), to("10.9.9.4:79")) // no program
		want := []string{"10.9.9.2:5 EHOSTUNREACH 0", "10.9.9.4:77 EHOSTUNREACH 0", "10.9.9.4:78 EPERM 1", "10.9.9.4:79 ECONNREFUSED 0"}
		for end := time.Now().Add(time.Minute); len(told) < len(want) && time.Now().Before(end); {
			m.Poll(10 * time.Millisecond)
		}
		slices.Sort(told)
		if !slices.Equal(told, want) {
			t.Errorf("told %q, want %q", told, want)
		}
		if s := m.Stats(); s.DatagramsOut != 4 || s.DatagramsDropped != 1 {
			t.Errorf("%+v", s)
		}
	})
}
