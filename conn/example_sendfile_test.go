package conn_test

import (
	"fmt"
	"io"
	"net"
	"os"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// A file between two Writes. It is read as the peer takes it, and closed by the connection.
func ExampleConn_SendFile() {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	l, err := m.Listen("tcp://127.0.0.1:0", func(c *conn.Conn, ev conn.Event) {
		switch ev.(type) {
		case *conn.Accept:
			f, err := os.Open("conn.go")
			if err != nil {
				c.Layer().Fail(conn.IOError, err)
				return
			}
			c.WriteString("begin ")
			if err := c.SendFile(f, 0, int64(len("package conn")), f); err != nil {
				f.Close()
			}
			c.WriteString(" end")
			fmt.Println(c.Pending(), "bytes and", c.FilePending(), "of a file are queued")
			c.Drain()
		case *conn.Close:
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
	for m.Poll(-1) == nil {
	}
	b, err := io.ReadAll(client)
	fmt.Printf("%s, %v\n", b, err)
	// Output:
	// 10 bytes and 12 of a file are queued
	// begin package conn end, <nil>
}
