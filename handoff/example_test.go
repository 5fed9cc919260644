package handoff_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/handoff"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
)

// Two versions of a program. Here both are in one process; the listening socket passes from the
// first to the second all the same.
func ExampleBegin() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	version := func(reply string) (addr string, ended chan error) {
		up, err := handoff.Begin(handoff.Options{Path: filepath.Join(dir, "handoff.sock")})
		if err != nil {
			fmt.Println(err)
			return
		}
		m, err := mgr.New(mgr.Options{Inherit: up})
		if err != nil {
			fmt.Println(err)
			return
		}
		l, err := http.Listen(m, "http://127.0.0.1:0", func(c *conn.Conn, ev conn.Event) {
			if _, ok := ev.(*http.Message); ok {
				http.Reply(c, 200, "text/plain", "%s", reply)
			}
		})
		if err != nil {
			fmt.Println(err)
			return
		}
		addr = l.LocalAddr().String()
		if err := up.Ready(m); err != nil {
			fmt.Println(err)
			return
		}
		ended = make(chan error, 1)
		go func() { ended <- m.Run(context.Background()) }()
		return addr, ended
	}
	ask := func(addr string) {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			fmt.Println(err)
			return
		}
		defer c.Close()
		fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		for lines := bufio.NewScanner(c); lines.Scan(); {
			if lines.Text() == "" && lines.Scan() {
				fmt.Println(lines.Text())
			}
		}
	}

	addr, ended := version("first")
	ask(addr)
	_, last := version("second")
	fmt.Println("the first has ended:", <-ended)
	ask(addr)
	_, _ = version("third")
	<-last
	ask(addr)
	// Output:
	// first
	// the first has ended: <nil>
	// second
	// third
}
