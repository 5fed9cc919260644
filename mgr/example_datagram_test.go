package mgr_test

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// A UDP server and its client on one loop. A datagram may get lost, so a real client asks again.
func Example_datagrams() {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	server, err := m.Listen("udp://127.0.0.1:0", func(c *conn.Conn, ev conn.Event) {
		if d, ok := ev.(*conn.Datagram); ok {
			fmt.Printf("asked at %v: %s\n", d.To, d.Data)
			d.Reply([]byte("21.5 °C"))
		}
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = m.Connect("udp://"+server.LocalAddr().String(), func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *conn.Connect:
			c.WriteString("how warm is it?") // one datagram
		case *conn.Datagram:
			fmt.Printf("answer: %s\n", ev.Data)
			m.Close()
		case *conn.Undelivered:
			fmt.Println(ev.Err) // nobody has the port, say
		}
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	m.Run(context.Background())
	// Output:
	// asked at 127.0.0.1: how warm is it?
	// answer: 21.5 °C
}

// All that have joined a group hear what is sent to it. The interface is given by its index; 0
// leaves it to the kernel.
func Example_multicast() {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer m.Close()
	group := netip.MustParseAddr("239.255.10.10")
	shared := mgr.ListenOptions{Socket: conn.SocketOptions{ReuseAddr: true}} // others of this machine may listen too
	c, err := m.Listen("udp://0.0.0.0:4711", func(c *conn.Conn, ev conn.Event) {
		if d, ok := ev.(*conn.Datagram); ok && d.To == group {
			fmt.Printf("%v says %q by interface %d\n", d.From, d.Data, d.Interface)
		}
	}, shared)
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := c.Kernel().JoinGroup(group, 0); err != nil {
		fmt.Println(err)
		return
	}
	c.SendTo([]byte("who is there?"), conn.PeerOf(netip.AddrPortFrom(group, 4711)))
	// m.Run…
}
