package main

import (
	"fmt"
	"time"
)

// echo is a load of WebSockets that each send a message, wait for its echo, and send the next.
type echo struct {
	conns    int // that are open
	active   int // that send
	size     int // bytes of a message
	deflated bool
	piece    int // bytes of a fragment; 0 sends each message in one frame
}

func (e echo) run(p *process, length time.Duration) (r result, err error) {
	err = onLoadThread(p.addr, func(l *load) error {
		if err := l.open(e.conns, "/ws", e.deflated); err != nil {
			return err
		}
		if err := l.check(payload(e.size), e.deflated, []int{0}); err != nil {
			return err
		}
		r, err = e.measure(l, p, length)
		return err
	})
	return r, err
}

func (e echo) measure(l *load, p *process, length time.Duration) (result, error) {
	msg := frame(payload(e.size), e.deflated)
	if e.piece > 0 {
		msg = fragments(payload(e.size), e.piece)
	}
	m := newMeter(p, length)
	step := e.conns / e.active // the active ones are spread among all
	for i := range e.active {
		if err := e.next(l, i*step, msg); err != nil {
			return result{}, err
		}
	}
	for under := e.active; under > 0 && !m.expired(); {
		evs, err := l.wait()
		if err != nil {
			return result{}, err
		}
		if err := m.at(now()); err != nil {
			return result{}, err
		}
		for _, ev := range evs {
			n, err := l.read(ev)
			if err != nil {
				return result{}, err
			}
			if n == 0 {
				continue
			}
			s := l.socks[ev.Fd]
			if n > 1 || !s.busy {
				return result{}, fmt.Errorf("%d messages for one", n)
			}
			s.busy = false
			m.op(1, now()-s.sent)
			if m.over {
				under--
			} else if err := e.next(l, int(ev.Fd), msg); err != nil {
				return result{}, err
			}
		}
	}
	lost := 0
	for _, s := range l.socks {
		if s.busy {
			lost++
		}
	}
	return m.result(lost)
}

// next sends a message on socket i.
func (e echo) next(l *load, i int, msg []byte) error {
	s := l.socks[i]
	s.busy, s.sent = true, now()
	return l.send(i, msg)
}
