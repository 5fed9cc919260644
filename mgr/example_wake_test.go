package mgr_test

import (
	"context"
	"fmt"
	"io"
	"net"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// Do runs a function on the loop, where it may use all connections.
func ExampleManager_Do() {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	readings := 0 // the loop's alone: no lock
	sum := make(chan int)
	go func() {
		for range 3 {
			if err := m.Do(func() { readings++ }); err != nil {
				fmt.Println(err) // ErrFull or ErrClosed: nothing is lost silently
			}
		}
		m.Do(func() { sum <- readings })
	}()
	go m.Run(context.Background())
	fmt.Println(<-sum, "readings")
	m.Close()
	fmt.Println(m.Do(func() {}))
	// Output:
	// 3 readings
	// mgr: closed
}

// Wakeup sends bytes to one connection, by its ID, from any goroutine. If the connection is gone
// they are counted, in Stats.LostWakeups.
func ExampleManager_Wakeup() {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	ids := make(chan uint64, 1)
	l, err := m.Listen("tcp://127.0.0.1:0", func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *conn.Accept:
			ids <- c.ID()
		case *conn.Wakeup:
			c.Write(ev.Data)
			c.Drain()
		}
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	addr := l.LocalAddr().String()
	go m.Run(context.Background())
	defer m.Close()

	client, err := net.Dial("tcp", addr)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	fmt.Println("Wakeup:", m.Wakeup(<-ids, []byte("the result")))
	b, _ := io.ReadAll(client)
	fmt.Printf("%s\n", b)
	// Output:
	// Wakeup: <nil>
	// the result
}

// Broadcast runs a function on the loop for every connection, and returns when that is done.
func ExampleManager_Broadcast() {
	m, _ := mgr.New(mgr.Options{})
	ids := make(chan uint64, 1)
	l, err := m.Listen("tcp://127.0.0.1:0", func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *conn.Accept:
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
	// mgr: closed
}
