package main

import (
	"context"
	"log"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/bench/peer/internal/setup"
	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// wake measures wake-ups of a connection.
func wake(m *mgr.Manager, f setup.Flags) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		log.Fatal(err)
	}
	seen := make(chan time.Time, 1)
	c, err := m.Wrap(fds[0], func(_ *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*conn.Wakeup); ok {
			seen <- time.Now()
		}
	})
	if err != nil {
		log.Fatal(err)
	}
	id := c.ID()
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		defer stop()
		f.Pings(func() error { return m.Wakeup(id, nil) }, seen)
	}()
	m.Run(ctx)
}
