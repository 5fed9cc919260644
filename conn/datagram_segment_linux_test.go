package conn_test

import (
	"bytes"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
)

// The kernel cuts one Outgoing into datagrams, also if it is told the source.
func TestSegmentsAreCutByTheKernel(t *testing.T) {
	for _, at := range []string{"127.0.0.1", "::1"} {
		server, err := net.ListenPacket("udp", net.JoinHostPort(at, "0"))
		if err != nil {
			t.Logf("no %s here: %v", at, err)
			continue
		}
		defer server.Close()
		to := netip.MustParseAddrPort(server.LocalAddr().String())
		fd, err := conn.Listen(conn.Addr{Network: "udp", AddrPort: netip.AddrPortFrom(to.Addr(), 0)}, conn.SocketOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		s, err := conn.SetDatagram(fd, &conn.SocketOptions{Segment: true})
		if err != nil {
			t.Fatal(err)
		}
		if !s.Segments {
			t.Skip("this kernel has no UDP_SEGMENT")
		}
		data := bytes.Repeat([]byte("0123456789"), 25)
		var d conn.Datagrams
		for _, from := range []conn.Peer{{}, conn.PeerOf(netip.AddrPortFrom(to.Addr(), 0))} {
			o := []conn.Outgoing{{Data: data, To: conn.PeerOf(to), From: from, Segment: 100}, {Data: []byte("one"), To: conn.PeerOf(to)}}
			if n, err := d.Send(fd, s.Family, o); n != 2 || err != nil {
				t.Fatalf("%s: %d, %v", at, n, err)
			}
			for _, want := range []string{string(data[:100]), string(data[100:200]), string(data[200:]), "one"} {
				b := make([]byte, 1000)
				server.SetReadDeadline(time.Now().Add(time.Minute))
				if n, _, err := server.ReadFrom(b); err != nil || string(b[:n]) != want {
					t.Errorf("%s: got %q, %v", at, b[:n], err)
				}
			}
		}
	}
	if n := (&conn.Outgoing{Data: make([]byte, 250), Segment: 100}).Datagrams(); n != 3 {
		t.Errorf("%d datagrams", n)
	}
	if n := (&conn.Outgoing{}).Datagrams(); n != 1 {
		t.Errorf("%d datagrams", n)
	}
}
