package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

var pings int

func init() {
	flag.IntVar(&pings, "wake", 0, "send `n` wake-ups from a goroutine to a handler, print their latency in nanoseconds, and exit")
}

// wake sends n wake-ups to a connection, the next when the handler has seen the one before.
func wake(m *mgr.Manager, n int) {
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
		took := make([]time.Duration, n)
		for i := range took {
			start := time.Now()
			if err := m.Wakeup(id, nil); err != nil {
				log.Fatal(err)
			}
			took[i] = (<-seen).Sub(start)
		}
		slices.Sort(took)
		fmt.Printf("{\"n\": %d, \"p50\": %d, \"p99\": %d}\n", n, took[n/2], took[n-1-n/100])
	}()
	m.Run(ctx)
}
