package mgr_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// Shutdown lets connections send what is queued, and returns when all have ended.
func ExampleManager_Shutdown() {
	poller, err := mgr.ParsePoller("select") // from a flag of the program, for example
	if err != nil {
		fmt.Println(err)
		return
	}
	m, err := mgr.New(mgr.Options{Poller: poller, Limits: conn.Limits{Idle: time.Minute}})
	if err != nil {
		fmt.Println(err)
		return
	}
	l, err := m.Listen("tcp://127.0.0.1:0", func(c *conn.Conn, ev conn.Event) {
		switch ev.(type) {
		case *conn.Accept:
			c.WriteString("hello, ")
		case *conn.Shutdown:
			c.WriteString("and goodbye")
		}
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	addr := l.LocalAddr().String()
	ran := make(chan error)
	go func() { ran <- m.Run(context.Background()) }()
	client, err := net.Dial("tcp", addr)
	if err != nil {
		fmt.Println(err)
		return
	}
	io.ReadFull(client, make([]byte, 7))

	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	fmt.Println("Shutdown:", m.Shutdown(ctx))
	fmt.Println("Run:", <-ran)
	b, _ := io.ReadAll(client)
	fmt.Printf("%s\n", b)
	// Output:
	// Shutdown: <nil>
	// Run: <nil>
	// and goodbye
}
