package main

import (
	"bytes"
	"errors"
	"time"
)

// broadcast is a load of subscribers on /sub. All of them get what the first one sends; it sends
// the next when one has reached everybody. An operation is one delivery.
type broadcast struct {
	subs     int
	size     int // bytes of a message
	inFlight int // messages that are under way at a time
	deflated bool
}

// wave is one published message on its way to all.
type wave struct {
	got  int
	sent time.Duration
}

func (b broadcast) run(p *process, length time.Duration) (r result, err error) {
	for range 3 {
		// Some servers subscribe a socket only after its handshake, so the first message may come too
		// early for the last of them.
		if r, err = b.once(p, length); !errors.Is(err, errSilent) {
			break
		}
	}
	return r, err
}

func (b broadcast) once(p *process, length time.Duration) (r result, err error) {
	err = onLoadThread(p.addr, func(l *load) error {
		if err := l.open(b.subs, "/sub", b.deflated); err != nil {
			return err
		}
		all := make([]int, b.subs)
		for i := range all {
			all[i] = i
		}
		if err := l.check(payload(b.size), b.deflated, all); err != nil {
			return err
		}
		r, err = b.measure(l, p, length)
		return err
	})
	return r, err
}

func (b broadcast) measure(l *load, p *process, length time.Duration) (result, error) {
	d := &delivery{broadcast: b, m: newMeter(p, length), waves: make([]wave, b.inFlight),
		msgs: bytes.Repeat(frame(payload(b.size), b.deflated), b.inFlight)}
	d.m.least = 10 * b.inFlight * b.subs
	if err := d.publish(l, b.inFlight); err != nil {
		return result{}, err
	}
	for d.complete < d.published && !d.m.expired() {
		evs, err := l.wait()
		if err != nil {
			return result{}, err
		}
		before := d.complete
		for _, ev := range evs {
			n, err := l.read(ev)
			if err != nil {
				return result{}, err
			}
			if err := d.count(l.socks[ev.Fd], n); err != nil {
				return result{}, err
			}
		}
		// Measured are whole waves: what a server does at the beginning of one would else count for
		// deliveries after the end.
		if t := now(); d.complete > before || t >= d.m.limit() {
			if err := d.m.at(t); err != nil {
				return result{}, err
			}
		}
		if d.m.over {
			continue
		}
		if err := d.publish(l, d.complete-before); err != nil {
			return result{}, err
		}
	}
	lost := 0
	for _, s := range l.socks {
		lost += d.published - s.got
	}
	return d.m.result(lost)
}

// delivery is a broadcast that runs.
type delivery struct {
	broadcast
	m                   *meter
	msgs                []byte // inFlight of them
	waves               []wave // number n is in waves[n % inFlight]
	published, complete int
}

// count gives n messages to s. Messages come in order, so they complete in order.
func (d *delivery) count(s *socket, n int) error {
	if s.got+n > d.published {
		return errors.New("a subscriber got more messages than were published")
	}
	for range n {
		w := &d.waves[s.got%d.inFlight]
		s.got++
		w.got++
		d.m.op(1, now()-w.sent)
		if w.got == d.subs {
			d.complete++
		}
	}
	return nil
}

// publish sends the next n messages, in one write, on the first socket. A rest that the kernel does
// not take would have to wait, which cannot be: at most inFlight are on their way.
func (d *delivery) publish(l *load, n int) error {
	if l.socks[0].out != nil {
		return errors.New("the server does not read what is published")
	}
	t := now()
	for range n {
		d.waves[d.published%d.inFlight] = wave{sent: t}
		d.published++
	}
	if n == 0 {
		return nil
	}
	return l.send(0, d.msgs[:n*len(d.msgs)/d.inFlight])
}
