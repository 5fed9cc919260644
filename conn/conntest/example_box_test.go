package conntest_test

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/conn/conntest"
)

// A handler of datagrams without a socket: the test is the network.
func ExampleBox() {
	box, loop := conntest.NewBox(), conntest.NewLoop()
	loop.AddBox(box, conn.DatagramSetup{Family: unix.AF_INET}, conn.Limits{}, func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *conn.Datagram:
			ev.Reply([]byte("pong"))
		case *conn.Undelivered:
			fmt.Println(ev.Err, ev.Dropped)
		}
	})
	ping := conn.Datagram{Data: []byte("ping"), From: conn.PeerOf(netip.MustParseAddrPort("192.0.2.1:53"))}
	box.Arrive(ping)
	loop.Turn()
	fmt.Println(box.Sent[0].Data, box.Sent[0].To)
	box.Arrive(ping)
	box.FailSend(unix.EPERM, unix.EPERM) // a firewall; a datagram is tried twice
	loop.Turn()
	// Output:
	// pong 192.0.2.1:53
	// operation not permitted 1
}
