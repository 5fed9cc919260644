package conn_test

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/conn/conntest"
)

// While a connection is paused nothing is read from it: its peer has to wait. Resume goes on.
func ExampleConn_Pause() {
	d := conntest.New(nil, func(c *conn.Conn, ev conn.Event) {
		switch ev.(type) {
		case *conn.Read:
			fmt.Printf("%s\n", c.Recv.Bytes())
			c.Recv.Discard(c.Recv.Len())
			c.Pause() // this takes its time: a timer, or a function given to Manager.Do, resumes
		case *conn.Resumed:
			fmt.Println("resumed")
		}
	})
	d.Send("first", "second")
	fmt.Println(d.Conn.Paused(), d.Wire.Unread(), "bytes wait in the kernel")
	d.Conn.Resume()
	d.Turn()
	// Output:
	// first
	// true 6 bytes wait in the kernel
	// resumed
	// second
}

// Drain ends a connection after what was written has been sent. Close drops what the kernel does
// not take at once.
func ExampleConn_Drain() {
	d := conntest.New(nil, func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *conn.Accept:
			c.WriteString("goodbye")
			c.Drain()
		case *conn.Close:
			fmt.Println("Close:", ev.Reason)
		}
	})
	fmt.Println(d.Sent())
	// Output:
	// Close: closed locally
	// goodbye
}

// Each event is a pointer to a struct of its own. The handler chooses by type.
func ExampleHandler() {
	d := conntest.New(nil, func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *conn.Accept:
			fmt.Println("accepted from", c.RemoteAddr())
		case *conn.Read:
			fmt.Printf("read %d: %s\n", ev.N, c.Recv.Bytes())
		case *conn.Error:
			fmt.Println("Error:", ev.Reason)
		case *conn.Close:
			fmt.Println("Close:", ev.Reason)
		}
	}, conntest.Options{Limits: conn.Limits{Idle: time.Minute}})
	d.Send("hello")
	d.Sleep(time.Hour)
	// Output:
	// accepted from 192.0.2.1:1234
	// read 5: hello
	// Error: idle for too long
	// Close: idle for too long
}

// A subscriber that lags behind a broadcast misses messages. The connection lives on, and the
// program that publishes does not wait.
func ExampleConn_WriteBroadcast() {
	d := conntest.New(nil, nil, conntest.Options{
		Limits: conn.Limits{Backlog: conn.Backlog{Bytes: 20, Policy: conn.SkipNew}},
	})
	d.Wire.Room = 0 // the peer does not read
	for i := range 4 {
		message := fmt.Appendf(nil, "message %d\n", i)
		fmt.Println(d.Conn.WriteBroadcast(message)) // in a program: for each connection, with the same bytes
	}
	d.Room(-1)
	fmt.Print(d.Sent())
	// Output:
	// <nil>
	// <nil>
	// conn: the peer lags behind the broadcast
	// conn: the peer lags behind the broadcast
	// message 0
	// message 1
}

// The options of a listener and of the connections that it accepts.
func ExampleSocketOptions() {
	addr, err := conn.ParseAddr("tcp://127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	fd, err := conn.Listen(addr, conn.SocketOptions{ // mgr.ListenOptions.Socket
		Backlog:   128,
		KeepAlive: conn.KeepAlive{Idle: time.Minute},
		Linger:    conn.Linger{On: true}, // Close resets
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer unix.Close(fd)
	fmt.Println(conn.LocalAddr(fd).Addr())
	// Output: 127.0.0.1
}

// A protocol layer that gives its peer ten seconds to say something.
func ExampleLayer_SetDeadline() {
	d := conntest.New(nil, func(c *conn.Conn, ev conn.Event) {
		switch ev.(type) {
		case *conn.Accept:
			c.Layer().SetDeadline(10 * time.Second)
		case *conn.Read:
			c.Layer().SetDeadline(0) // in time
		case *conn.Deadline:
			c.WriteString("too late\n")
			c.Drain()
		}
	})
	d.Sleep(11 * time.Second)
	fmt.Print(d.Sent())
	// Output: too late
}

// A peer that has finished sending still gets its reply.
func ExampleConn_SetHalfOpen() {
	d := conntest.New(nil, func(c *conn.Conn, ev conn.Event) {
		switch ev.(type) {
		case *conn.Accept:
			c.SetHalfOpen(true)
		case *conn.EOF:
			fmt.Fprintf(c, "you sent %d bytes\n", c.Recv.Len())
			c.Drain()
		}
	})
	d.Send("hello", ", you")
	d.SendEOF()
	fmt.Print(d.Sent())
	// Output: you sent 10 bytes
}
