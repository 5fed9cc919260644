package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/websocket"
)

// A load is one run. Each of its loops has some of the subscribers; the first one has the
// publishers too.
type load struct {
	cfg   config
	began time.Time
	loops []*loop

	publishers []*publisher
	live       atomic.Int64 // subscribers and publishers that are live, or have been
	refused    atomic.Pointer[string]
	sent       []atomic.Uint64 // by publisher: messages that the node took
	failed     atomic.Uint64   // publishes that got an error

	// By publisher and number: the offset with which the message came first. It must come with the
	// same one to all.
	offsets [][]atomic.Uint64
}

// A loop has a manager, and what its goroutine counts.
type loop struct {
	l    *load
	m    *mgr.Manager
	subs []*subscriber
	result
}

// A subscriber knows the number of the message that it has got last, of each publisher.
type subscriber struct {
	remote *broadcast.Remote
	last   []uint64
	offset uint64 // of the last message, of whichever publisher
}

// A publisher publishes through one node.
type publisher struct {
	remote *broadcast.Remote
	index  int
	number uint64
}

// result is what was counted.
type result struct {
	sent, failed                     uint64
	delivered, lost, doubled, missed uint64 // doubled ones, and those out of order
	cuts                             uint64
	latency                          histogram
}

func (r *result) valid() bool { return r.lost+r.doubled+r.missed+r.failed == 0 && r.sent > 0 }

func (r *result) print(w io.Writer, cfg config) {
	seconds := cfg.time.Seconds()
	fmt.Fprintf(w, "load       %d subscribers, %d nodes, %d bytes, %v, %d cuts\n", cfg.subscribers, len(cfg.urls), cfg.size, cfg.time, r.cuts)
	fmt.Fprintf(w, "published  %d, %.0f a second\n", r.sent, float64(r.sent)/seconds)
	fmt.Fprintf(w, "delivered  %d, %.0f a second\n", r.delivered, float64(r.delivered)/seconds)
	fmt.Fprintf(w, "latency    p50 %v, p99 %v, p99.9 %v, max %v\n", r.latency.at(0.5), r.latency.at(0.99), r.latency.at(0.999), r.latency.at(1))
	fmt.Fprintf(w, "lost %d, doubled or out of order %d, told as missed %d, publishes refused %d\n", r.lost, r.doubled, r.missed, r.failed)
}

// run puts the load on, and counts.
func run(cfg config) (*result, error) {
	l := &load{cfg: cfg, began: time.Now(), sent: make([]atomic.Uint64, len(cfg.urls))}
	each := int(cfg.rate*cfg.time.Seconds())/len(cfg.urls) + 2
	for range cfg.urls {
		l.offsets = append(l.offsets, make([]atomic.Uint64, each))
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	defer func() {
		cancel()
		running.Wait()
		for _, x := range l.loops {
			x.m.Close()
		}
	}()
	for range max(cfg.loops, 1) {
		m, err := mgr.New(mgr.Options{})
		if err != nil {
			return nil, err
		}
		x := &loop{l: l, m: m}
		l.loops = append(l.loops, x)
		running.Go(func() { m.Run(ctx) })
	}
	if err := l.connect(); err != nil {
		return nil, err
	}
	l.publish()
	l.settle()
	return l.sum(), nil
}

// connect makes the clients, some at a time, and waits until all are live.
func (l *load) connect() error {
	all := int64(0)
	for i, url := range l.cfg.urls {
		p := &publisher{index: i}
		l.publishers = append(l.publishers, p)
		l.loops[0].dial(url, broadcast.DialOptions{}, func(r *broadcast.Remote) { p.remote = r })
		all++
	}
	for i := range l.cfg.subscribers {
		x := l.loops[i%len(l.loops)]
		s := &subscriber{last: make([]uint64, len(l.cfg.urls))}
		x.dial(l.cfg.urls[i%len(l.cfg.urls)], broadcast.DialOptions{
			Message: func(m *broadcast.Message) { x.got(s, m) },
			Missed:  func(m broadcast.Missed) { x.missed += m.N },
		}, func(r *broadcast.Remote) {
			s.remote = r
			x.subs = append(x.subs, s)
			r.Subscribe("bench/#", 0)
		})
		if all++; all%200 == 0 { // a listener has a backlog
			if err := l.awaitLive(all); err != nil {
				return err
			}
		}
	}
	return l.awaitLive(all)
}

func (l *load) awaitLive(n int64) error {
	for end := time.Now().Add(l.cfg.patience); l.live.Load() < n; time.Sleep(time.Millisecond) {
		if why := l.refused.Load(); why != nil {
			return fmt.Errorf("hub: a client is refused: %s", *why)
		}
		if time.Now().After(end) {
			return fmt.Errorf("hub: %d of %d clients are live", l.live.Load(), n)
		}
	}
	return nil
}

// dial makes a client on the loop, and gives it to then there.
func (x *loop) dial(url string, o broadcast.DialOptions, then func(*broadcast.Remote)) {
	o.Link.MinDelay, o.Link.MaxDelay = 20*time.Millisecond, time.Second
	if token := x.l.cfg.token; token != "" {
		o.Token = func() (string, error) { return token, nil }
	}
	counted := false
	o.Live = func() {
		if !counted {
			counted = true
			x.l.live.Add(1)
		}
	}
	refuse := func(why string) { x.l.refused.CompareAndSwap(nil, &why) }
	o.Refused = func(_, why string) { refuse(why) }
	o.State = func(s *websocket.State) {
		if s.Phase == websocket.PhaseClosed && s.Err != nil || s.Code == broadcast.CloseToken {
			refuse(fmt.Sprint(s.Err, " ", s.Reason))
		}
	}
	x.do(func() {
		r, err := broadcast.Dial(x.m, url, o)
		if err != nil {
			refuse(err.Error())
			return
		}
		then(r)
	})
}

// do runs f on the loop, and waits for it.
func (x *loop) do(f func()) {
	done := make(chan struct{})
	if x.m.Do(func() { defer close(done); f() }) == nil {
		<-done
	}
}

// publish publishes at the rate, a millisecond's worth at a time, and cuts connections.
func (l *load) publish() {
	x := l.loops[0]
	done := make(chan struct{})
	var published, cut float64
	began := time.Now()
	var timer *mgr.Timer
	x.do(func() {
		timer = x.m.Every(time.Millisecond, func() {
			since := time.Since(began)
			if since > l.cfg.time {
				timer.Stop()
				close(done)
				return
			}
			for ; published < l.cfg.rate*since.Seconds(); published++ {
				l.publishers[int(published)%len(l.publishers)].publish(l)
			}
			for ; cut < l.cfg.cut*since.Seconds(); cut++ {
				l.cut(int(cut))
			}
		})
	})
	<-done
}

// publish publishes "PUBLISHER NUMBER TIME" and some bytes more. The time is in ns.
func (p *publisher) publish(l *load) {
	p.number++
	b := fmt.Appendf(make([]byte, 0, l.cfg.size), "%d %d %d ", p.index, p.number, time.Since(l.began))
	for len(b) < l.cfg.size {
		b = append(b, 'x')
	}
	err := p.remote.Publish("bench/"+strconv.Itoa(p.index), b, func(_ broadcast.Receipt, err error) {
		if err != nil {
			l.failed.Add(1)
			return
		}
		l.sent[p.index].Add(1)
	})
	if err != nil {
		l.failed.Add(1)
	}
}

// cut ends the connection of one subscriber without a word.
func (l *load) cut(i int) {
	x := l.loops[i%len(l.loops)]
	x.m.Do(func() {
		if len(x.subs) == 0 {
			return
		}
		if c := x.subs[i/len(l.loops)%len(x.subs)].remote.Conn(); c != nil {
			c.Close()
			x.cuts++
		}
	})
}

// got counts a message of a subscriber.
func (x *loop) got(s *subscriber, m *broadcast.Message) {
	var fields [3]uint64
	rest := m.Data
	for i := range fields {
		var text []byte
		text, rest, _ = bytes.Cut(rest, []byte(" "))
		n, err := strconv.ParseUint(string(text), 10, 64)
		if err != nil {
			x.doubled++ // it is none of ours, or damaged
			return
		}
		fields[i] = n
	}
	index, number, at := fields[0], fields[1], time.Duration(fields[2])
	if index >= uint64(len(s.last)) || number <= s.last[index] || m.Offset <= s.offset || !x.l.agrees(index, number, m.Offset) {
		x.doubled++
		return
	}
	s.offset = m.Offset
	x.lost += number - s.last[index] - 1
	s.last[index] = number
	x.delivered++
	x.latency.add(time.Since(x.l.began) - at)
}

// agrees reports whether all subscribers have got this message with this offset.
func (l *load) agrees(index, number, offset uint64) bool {
	if number >= uint64(len(l.offsets[index])) {
		return false
	}
	at := &l.offsets[index][number]
	at.CompareAndSwap(0, offset)
	return at.Load() == offset
}

// settle waits until all subscribers have the last messages.
func (l *load) settle() {
	for end := time.Now().Add(l.cfg.patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		behind := 0
		for _, x := range l.loops {
			x.do(func() { behind += x.behind() })
		}
		if behind == 0 {
			return
		}
	}
}

// behind counts messages that subscribers have not got.
func (x *loop) behind() (n int) {
	for _, s := range x.subs {
		for i, p := range x.l.publishers {
			n += int(p.number - s.last[i])
		}
	}
	return n
}

// sum adds up what the loops have counted.
func (l *load) sum() *result {
	r := &result{failed: l.failed.Load()}
	for i := range l.sent {
		r.sent += l.sent[i].Load()
	}
	for _, x := range l.loops {
		x.do(func() {
			r.delivered += x.delivered
			r.lost += x.lost + uint64(x.behind())
			r.doubled += x.doubled
			r.missed += x.missed
			r.cuts += x.cuts
			r.latency.merge(&x.latency)
		})
	}
	return r
}
