package main

import (
	"time"

	"golang.org/x/sys/unix"
)

// idle is a load of WebSockets that do nothing.
type idle struct{ conns int }

// run opens the connections, waits until the server's memory is at rest, and returns how much it
// has grown for each.
func (w idle) run(p *process, _ time.Duration) (r result, err error) {
	before, err := p.rss()
	if err != nil {
		return r, err
	}
	err = onLoadThread(p.addr, func(l *load) error {
		if err := l.open(w.conns, "/ws", false); err != nil {
			return err
		}
		after, err := settled(p)
		if err != nil {
			return err
		}
		r = result{Ops: w.conns, RSS: float64(after), Each: float64(after-before) / float64(w.conns)}
		for _, s := range l.socks { // no TIME_WAIT
			unix.SetsockoptLinger(s.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
		}
		return nil
	})
	return r, err
}

// settled returns the server's memory when it has not changed for a second, or after five.
func settled(p *process) (int, error) {
	const steps, pause = 50, 100 * time.Millisecond
	last, same := 0, 0
	for i := 0; i < steps && same < 10; i++ {
		rss, err := p.rss()
		if err != nil {
			return 0, err
		}
		if same++; rss != last {
			last, same = rss, 0
		}
		time.Sleep(pause)
	}
	return last, nil
}
