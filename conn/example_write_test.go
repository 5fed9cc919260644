package conn_test

import (
	"fmt"
	"io"
	"net"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// A producer that is faster than its consumer: writes are refused once the queue has reached the
// send limit, and go on when Drained says that the queue is empty again.
func ExampleLimits() {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	refused, left := 0, 2000
	produce := func(c *conn.Conn) {
		for left > 0 {
			if _, err := c.Write(make([]byte, 5000)); err == conn.ErrSendLimit {
				if refused++; refused == 1 {
					fmt.Println(err, "with", c.Pending(), "bytes pending")
				}
				return
			}
			left--
		}
		c.Drain()
	}
	l, err := m.Listen("tcp://127.0.0.1:0", func(c *conn.Conn, ev conn.Event) {
		switch ev.(type) {
		case *conn.Accept, *conn.Drained:
			produce(c)
		case *conn.Close:
			m.Close()
		}
	}, mgr.ListenOptions{Limits: conn.Limits{Send: 250_000, HighWater: 100_000, OnFull: conn.RefuseOnFull}})
	if err != nil {
		fmt.Println(err)
		return
	}
	client, err := net.Dial("tcp", l.LocalAddr().String())
	if err != nil {
		fmt.Println(err)
		return
	}
	got := make(chan int64)
	go func() {
		n, _ := io.Copy(io.Discard, client)
		got <- n
	}()
	for m.Poll(-1) == nil {
	}
	fmt.Println("the consumer got", <-got, "bytes; writes were refused:", refused > 1)
	// Output:
	// conn: the send queue is full with 250000 bytes pending
	// the consumer got 10000000 bytes; writes were refused: true
}

// Recv keeps what the handler does not discard: half a line waits for its other half.
func ExampleBuffer() {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	l, err := m.Listen("tcp://127.0.0.1:0", func(c *conn.Conn, ev conn.Event) {
		switch ev.(type) {
		case *conn.Read:
			for i := 0; i < c.Recv.Len(); i++ {
				if b := c.Recv.Bytes(); b[i] == '\n' {
					fmt.Printf("line: %s\n", b[:i])
					c.Recv.Discard(i + 1)
					i = -1
				}
			}
			if c.Recv.Len() > 0 {
				c.WriteString("more?")
			}
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
	go func() {
		io.WriteString(client, "one\nand a ha")
		io.ReadFull(client, make([]byte, 5))
		io.WriteString(client, "lf\n")
		client.Close()
	}()
	for m.Poll(-1) == nil {
	}
	// Output:
	// line: one
	// line: and a half
}
