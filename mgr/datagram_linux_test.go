package mgr_test

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// Netlink messages are datagrams: the kernel answers a request for all links.
func TestWrapNetlink(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		m := newTurning(t, o)
		fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
		if err == nil {
			err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
		}
		if err != nil {
			t.Skipf("no netlink here: %v", err)
		}
		links, done := 0, false
		c, err := m.Wrap(fd, func(c *conn.Conn, ev conn.Event) {
			d, ok := ev.(*conn.Datagram)
			if !ok {
				return
			}
			if id, ok := d.From.NetlinkPort(); !ok || id != 0 || d.From.String() != "netlink 0" {
				t.Errorf("from %v", d.From)
			}
			for p := d.Data; len(p) >= unix.NLMSG_HDRLEN; {
				switch binary.NativeEndian.Uint16(p[4:]) {
				case unix.RTM_NEWLINK:
					links++
				case unix.NLMSG_DONE:
					done = true
				}
				n := (int(binary.NativeEndian.Uint32(p)) + 3) &^ 3
				p = p[min(max(n, unix.NLMSG_HDRLEN), len(p)):]
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		ask := make([]byte, unix.NLMSG_HDRLEN+unix.SizeofIfInfomsg)
		binary.NativeEndian.PutUint32(ask, uint32(len(ask)))
		binary.NativeEndian.PutUint16(ask[4:], unix.RTM_GETLINK)
		binary.NativeEndian.PutUint16(ask[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
		if _, err := c.Write(ask); err != nil {
			t.Fatal(err)
		}
		m.until("the answer", func() bool { return done })
		if links == 0 {
			t.Error("no links")
		}
	})
}

// With Segment, runs of datagrams are given to the kernel as one; the peers see no difference.
func TestSegments(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		m := newTurning(t, o)
		socket := conn.SocketOptions{Segment: true}
		server, err := m.Listen("udp://:0", func(c *conn.Conn, ev conn.Event) {
			if ev, ok := ev.(*conn.Datagram); ok {
				ev.Reply(ev.Data)
			}
		}, mgr.ListenOptions{Socket: socket})
		if err != nil {
			t.Fatal(err)
		}
		var want, got []string
		for i, n := range []int{1200, 1200, 1200, 700, 1200, 1200, 0, 1, 1, 2, 1200, 60_000, 60_000, 3, 3} {
			want = append(want, strings.Repeat(string(rune('a'+i)), n))
		}
		for range 100 {
			want = append(want, strings.Repeat("x", 800))
		}
		next := 0
		url := fmt.Sprintf("udp://127.0.0.1:%d", server.LocalAddr().Port())
		c, err := m.Connect(url, func(c *conn.Conn, ev conn.Event) {
			if ev, ok := ev.(*conn.Datagram); ok {
				got = append(got, string(ev.Data))
			}
		}, mgr.ConnectOptions{Socket: socket})
		if err != nil {
			t.Fatal(err)
		}
		for next < len(want) { // no more at a time than the sockets hold
			for range min(8, len(want)-next) {
				c.WriteString(want[next])
				next++
			}
			m.until("the replies", func() bool { return len(got) == next })
		}
		if !slices.Equal(got, want) {
			t.Error("what came back is not what was sent")
		}
		if s := m.Stats(); s.DatagramsOut != uint64(2*len(want)) || s.DatagramsDropped != 0 {
			t.Errorf("%+v", s)
		}
		if _, err := m.Listen("tcp://127.0.0.1:0", nil, mgr.ListenOptions{Socket: socket}); err == nil {
			t.Error("a stream with Segment")
		}
		if _, err := m.Listen("unixgram://@mangusta-segment", nil, mgr.ListenOptions{Socket: socket}); err == nil {
			t.Error("a unix socket with Segment")
		}
	})
}
