package mgr_test

import (
	"context"
	"fmt"
	"io"
	"net"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// Another goroutine reaches one connection with Wakeup, and all of them with Broadcast.
func ExampleManager_Broadcast() {
	m, _ := mgr.New(mgr.Options{})
	ids := make(chan uint64, 1)
	l, err := m.Listen("tcp://127.0.0.1:0", func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case conn.Accept:
			ids <- c.ID()
		case *conn.Wakeup:
			c.Write(ev.Data)
		}
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	port := l.LocalAddr().String()
	go m.Run(context.Background())

	client, err := net.Dial("tcp", port)
	if err != nil {
		fmt.Println(err)
		return
	}
	m.Wakeup(<-ids, []byte("to one, "))
	m.Broadcast(func(c *conn.Conn) { c.WriteString("to all, ") })
	m.Do(func() { fmt.Println("connections:", m.Stats().Conns) })
	m.Shutdown(context.Background())
	b, _ := io.ReadAll(client)
	fmt.Printf("%sthe end\n", b)
	fmt.Println(m.Do(func() {}))
	// Output:
	// connections: 1
	// to one, to all, the end
	// ctlpair: closed
}
