package mgr_test

import (
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/internal/selftest"
	"github.com/seed4930a636/mangusta/mgr"
)

// A datagram socket joins groups of both families, by interface, and gets what is sent to them.
func TestMulticastOnTheLoopbackInterface(t *testing.T) {
	// The loopback interface of Linux has no route for groups of IPv6.
	testMulticast(t, "lo", []multicast{{"udp://0.0.0.0:0", "239.1.2.3"}, {"udp://:0", "239.1.2.3"}})
}

// The same in a network namespace that has the two ends of a wire, v0 and v1.
func TestMulticastInANamespace(t *testing.T) {
	if !selftest.InNamespace(t, syscall.CLONE_NEWNET, `ip link set lo up && ip link add v0 type veth peer name v1 &&
		{ sysctl -qw net.ipv6.conf.v0.accept_dad=0; ip addr add 10.9.8.7/24 dev v0; ip -6 addr add fd09::1/64 dev v0 nodad; } &&
		ip link set v0 up && ip link set v1 up`) {
		return
	}
	testMulticast(t, "v0", []multicast{{"udp://[::]:0", "ff02::1234"}, {"udp://:0", "ff02::1234"}, {"udp://:0", "239.1.2.3"}})
}

type multicast struct{ listen, group string }

func testMulticast(t *testing.T, ifName string, cases []multicast) {
	lo, err := netipInterface(ifName)
	if err != nil {
		t.Skip(err)
	}
	underBoth(t, func(t *testing.T, o mgr.Options) {
		for _, tc := range cases {
			m := newTurning(t, o)
			var n notes
			var to []netip.Addr
			s := m.listenAt(tc.listen, func(c *conn.Conn, ev conn.Event) {
				n.handle(c, ev)
				if d, ok := ev.(*conn.Datagram); ok {
					to = append(to, d.To)
					if d.Interface != lo {
						t.Errorf("by interface %d", d.Interface)
					}
					d.Reply([]byte("here"))
				}
			}, mgr.ListenOptions{Socket: conn.SocketOptions{ReuseAddr: true}})
			group := netip.MustParseAddr(tc.group)
			if err := s.Kernel().JoinGroup(group, lo); err != nil {
				t.Skipf("%s: %v", tc.group, err)
			}
			host := "0.0.0.0"
			if group.Is6() {
				host = "[::]"
			}
			var asker notes
			c := m.listenAt("udp://"+host+":0", asker.handle)
			for _, err := range []error{c.Kernel().SetMulticastInterface(lo), c.Kernel().SetMulticastTTL(1), c.Kernel().SetMulticastLoop(true), c.Kernel().SetTTL(9)} {
				if err != nil {
					t.Error(err)
				}
			}
			at := conn.PeerOf(netip.AddrPortFrom(group, s.LocalAddr().Port()))
			if err := c.SendTo([]byte("who is there"), at); err != nil {
				t.Fatal(err)
			}
			for i := 0; i < 200 && len(asker.got)+len(asker.bad) == 0; i++ {
				m.Poll(10 * time.Millisecond)
			}
			if !slices.Equal(asker.got, []string{"here"}) || len(to) != 1 || to[0] != group {
				t.Errorf("%s: got %q, to %v, %+v", tc.group, asker.got, to, asker.bad)
			}
			if err := s.Kernel().LeaveGroup(group, lo); err != nil {
				t.Error(err)
			}
			if err := s.Kernel().LeaveGroup(group, lo); err == nil {
				t.Error("left twice")
			}
		}
	})
}

// netipInterface returns the index of an interface.
func netipInterface(name string) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return 0, err
	}
	err = unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, ifr)
	return int(ifr.Uint32()), err
}
