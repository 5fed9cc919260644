package main

import (
	"bytes"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// accepting is a load of connections that each carry one request: when the answer is there the
// client resets the connection, which leaves no TIME_WAIT behind, and opens the next.
type accepting struct {
	conns int // open at a time
}

func (a accepting) run(p *process, length time.Duration) (r result, err error) {
	err = onLoadThread(p.addr, func(l *load) error {
		r, err = a.measure(l, p, length)
		return err
	})
	return r, err
}

func (a accepting) measure(l *load, p *process, length time.Duration) (result, error) {
	req := fmt.Appendf(nil, "GET /plaintext HTTP/1.1\r\nHost: %s\r\n\r\n", l.host)
	l.socks = make([]*socket, a.conns)
	m := newMeter(p, length)
	for i := range l.socks {
		l.socks[i] = &socket{fd: -1}
		if err := a.next(l, i, req); err != nil {
			return result{}, err
		}
	}
	under := a.conns
	for under > 0 && !m.expired() {
		evs, err := l.wait()
		if err != nil {
			return result{}, err
		}
		if err := m.at(now()); err != nil {
			return result{}, err
		}
		for _, ev := range evs {
			s := l.socks[ev.Fd]
			n, err := recv(s.fd, l.buf)
			if err != nil {
				return result{}, fmt.Errorf("read: %w", err)
			}
			// The answer is small, and servers send it in one piece.
			if !bytes.HasPrefix(l.buf[:n], []byte("HTTP/1.1 200 ")) || !bytes.HasSuffix(l.buf[:n], []byte("Hello, World!")) {
				return result{}, fmt.Errorf("answered %q", l.buf[:n])
			}
			m.op(1, now()-s.sent)
			unix.SetsockoptLinger(s.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
			unix.Close(s.fd)
			if m.over {
				under--
				s.fd = -1
			} else if err := a.next(l, int(ev.Fd), req); err != nil {
				return result{}, err
			}
		}
	}
	return m.result(under)
}

// next opens connection i and sends its request.
func (a accepting) next(l *load, i int, req []byte) (err error) {
	s := l.socks[i]
	s.sent = now()
	if s.fd, err = l.dial(); err != nil {
		return err
	}
	if _, err := again(func() (int, error) { return unix.Write(s.fd, req) }); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return l.watch(s.fd, i)
}
