package mgr_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// The handler runs on two loops at once. A connection, and what hangs on it, belongs to one of them;
// the map belongs to both, so it has a lock.
func ExampleLoops() {
	var mu sync.Mutex
	visits := map[string]int{} // by name

	l, err := mgr.NewLoops(2, mgr.Options{MaxConns: 1000}) // in all
	if err != nil {
		fmt.Println(err)
		return
	}
	listener, err := l.Listen("tcp://127.0.0.1:0", func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*conn.Read); ok {
			name := string(c.Recv.Bytes())
			c.Recv.Discard(c.Recv.Len())

			mu.Lock()
			visits[name]++
			n := visits[name]
			mu.Unlock() // before anything that takes time: the other loop may be waiting

			fmt.Fprintf(c, "%s was here %d times", name, n)
		}
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	addr := listener.LocalAddr().String()
	ran := make(chan error)
	go func() { ran <- l.Run(context.Background()) }()

	for range 3 {
		client, err := net.Dial("tcp", addr)
		if err != nil {
			fmt.Println(err)
			return
		}
		io.WriteString(client, "Ann")
		b := make([]byte, 100)
		n, _ := client.Read(b)
		fmt.Printf("%s\n", b[:n])
		client.Close()
	}
	l.Close()
	fmt.Println(<-ran)
	// Output:
	// Ann was here 1 times
	// Ann was here 2 times
	// Ann was here 3 times
	// <nil>
}

// A handler sets its timers on the loop of its connection: Of gives that manager.
func ExampleOf() {
	l, err := mgr.NewLoops(2, mgr.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	listener, err := l.Listen("tcp://127.0.0.1:0", func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*conn.Accept); ok {
			mgr.Of(c).AfterFunc(0, func() {
				c.WriteString("some time later")
				c.Drain()
			})
		}
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	addr := listener.LocalAddr().String()
	go l.Run(context.Background())
	defer l.Close()
	client, err := net.Dial("tcp", addr)
	if err != nil {
		fmt.Println(err)
		return
	}
	b, _ := io.ReadAll(client)
	fmt.Printf("%s\n", b)
	// Output: some time later
}
