package mgr_test

import (
	"context"
	"fmt"
	"io"
	"net"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// An echo server: Listen on a free port, Run until the end.
func ExampleManager_Listen() {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	l, err := m.Listen("tcp://127.0.0.1:0", func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *conn.Read:
			c.Write(c.Recv.Bytes())
			c.Recv.Discard(c.Recv.Len())
		case *conn.Close:
			fmt.Println("Close:", ev.Reason)
			m.Close()
		}
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	client, err := net.Dial("tcp", l.LocalAddr().String())
	if err != nil {
		fmt.Println(err)
		return
	}
	go func() {
		io.WriteString(client, "hello")
		b := make([]byte, 5)
		io.ReadFull(client, b)
		fmt.Printf("echo: %s\n", b)
		client.Close()
	}()
	fmt.Println("Run:", m.Run(context.Background()))
	// Output:
	// echo: hello
	// Close: closed by the peer
	// Close: shutting down
	// Run: <nil>
}

// A program that has a loop of its own calls Poll instead of Run.
func ExampleManager_Poll() {
	m, _ := mgr.New(mgr.Options{})
	defer m.Close()
	m.Do(func() { fmt.Println("on the loop") })
	if err := m.Poll(0); err != nil {
		fmt.Println(err)
	}
	// Output: on the loop
}
