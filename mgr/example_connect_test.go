package mgr_test

import (
	"context"
	"fmt"
	"io"
	"net"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// A client: what is written before Connect waits for it.
func ExampleManager_Connect() {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	go func() {
		if c, err := server.Accept(); err == nil {
			io.ReadFull(c, make([]byte, 5))
			fmt.Fprint(c, "welcome")
			c.Close()
		}
	}()

	m, err := mgr.New(mgr.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	c, err := m.Connect("tcp://"+server.Addr().String(), func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *conn.Connect:
			fmt.Println("connected")
		case *conn.EOF:
			fmt.Printf("the server says %q\n", c.Recv.Bytes())
		case *conn.Error:
			fmt.Println("Error:", ev.Err)
		case *conn.Close:
			m.Close()
		}
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	c.WriteString("hello")
	m.Run(context.Background())
	// Output:
	// connected
	// the server says "welcome"
}
