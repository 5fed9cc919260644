// Package tcptest has the servers with which tests of clients are unfair: one that follows a script
// instead of a protocol, and one that never answers.
package tcptest

import (
	"bufio"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
)

// Serve runs a server until the test ends, and returns its address. It calls script for each
// connection on a goroutine of its own, n counts them from 0, and closes the connection afterwards.
// A connection has 30 seconds.
func Serve(t *testing.T, script func(n int, c *net.TCPConn, in *bufio.Reader)) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for n := 0; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.SetDeadline(time.Now().Add(30 * time.Second))
			go func() {
				defer c.Close()
				script(n, c.(*net.TCPConn), bufio.NewReader(c))
			}()
		}
	}()
	return l.Addr().String()
}

// FullBacklog returns the address of a listener that lets no further connection stand: the kernel
// drops each SYN.
func FullBacklog(t *testing.T) (addr string) {
	t.Helper()
	a, err := conn.ParseAddr("tcp://127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	fd, err := conn.Listen(a, conn.SocketOptions{Backlog: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	addr = conn.LocalAddr(fd).String()
	for range 2 {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
	}
	return addr
}
