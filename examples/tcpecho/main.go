// Command tcpecho sends back every byte it gets, over plain TCP or a unix socket. Try it with nc
// 127.0.0.1 7007.
package main

import (
	"flag"
	"os"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/examples/internal/program"
	"github.com/seed4930a636/mangusta/mgr"
)

func echo(c *conn.Conn, ev conn.Event) {
	switch ev.(type) {
	case *conn.Read:
		c.Write(c.Recv.Bytes())
		c.Recv.Discard(c.Recv.Len())
	}
}

func main() {
	flags := program.Register("127.0.0.1:7007")
	trace := flag.Bool("hexdump", false, "print all traffic")
	idle := flag.Duration("idle", time.Minute, "close connections that are silent for this `time`")
	flag.Parse()

	m, err := flags.Manager(mgr.Options{Limits: conn.Limits{Idle: *idle}})
	program.Check(err)
	l, err := m.Listen(flags.URL(), func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*conn.Accept); ok && *trace {
			c.SetHexdump(os.Stdout)
		}
		echo(c, ev)
	})
	program.Check(err)
	program.Check(program.Run(m, l))
}
