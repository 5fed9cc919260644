// Command wakeup shows how other goroutines reach a connection: each line that a client sends is a
// number of milliseconds; a goroutine sleeps that long and then wakes the connection, which
// answers. Try it with nc 127.0.0.1 7008.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"strconv"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/examples/internal/program"
	"github.com/seed4930a636/mangusta/mgr"
)

const longest = 60_000 // milliseconds

func main() {
	flags := program.Register("127.0.0.1:7008")
	flag.Parse()
	m, err := flags.Manager(mgr.Options{})
	program.Check(err)

	l, err := m.Listen(flags.URL(), func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *conn.Read:
			for {
				line, _, ok := bytes.Cut(c.Recv.Bytes(), []byte("\n"))
				if !ok {
					return
				}
				order(m, c, string(bytes.TrimSpace(line)))
				c.Recv.Discard(len(line) + 1)
			}
		case *conn.Wakeup:
			c.Write(ev.Data)
		}
	})
	program.Check(err)
	program.Check(program.Run(m, l))
}

// order starts a goroutine for one line. It keeps the connection's number, not the connection: when
// the client is gone by the time it wakes, Wakeup finds no connection, and all is well.
func order(m *mgr.Manager, c *conn.Conn, line string) {
	ms, err := strconv.Atoi(line)
	if err != nil || ms < 0 || ms > longest {
		fmt.Fprintf(c, "want a number of milliseconds up to %d\n", longest)
		return
	}
	id := c.ID()
	time.AfterFunc(time.Duration(ms)*time.Millisecond, func() {
		if err := m.Wakeup(id, fmt.Appendf(nil, "slept %d ms\n", ms)); err != nil {
			fmt.Println("wakeup:", err)
		}
	})
}
