package mgr_test

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

func TestIdleConnectionsEndAndActiveOnesDoNot(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		const idle = time.Second
		reads := 0
		r := record(func(c *conn.Conn, ev conn.Event) {
			if _, ok := ev.(*conn.Read); ok {
				reads++
			}
			echo(c, ev)
		})
		m := newTurning(t, o)
		now := m.Now()
		mgr.SetClock(m.Manager, func() int64 { return now })
		addr := m.listenAt("tcp://127.0.0.1:0", r.handle, mgr.ListenOptions{Limits: conn.Limits{Idle: idle}}).LocalAddr().String()
		lazy, busy := dialAddr(t, "tcp", addr), dialAddr(t, "tcp", addr)
		m.until("both are accepted", func() bool { return m.Stats().Conns == 2 })
		echoed := func(n int) {
			t.Helper()
			fmt.Fprint(busy, "x")
			m.until("the busy one is read", func() bool { return reads == n })
			wantRead(t, busy, "x")
		}
		for n := range 10 { // each byte a tenth after the last
			echoed(n + 1)
			if len(r.ended) > 0 {
				t.Fatalf("one ended because %v after %d tenths", <-r.ended, n)
			}
			now += int64(idle / 10)
		}
		m.until("the lazy one ends", func() bool { return len(r.ended) > 0 })
		if why := <-r.ended; why != conn.Idle {
			t.Errorf("ended because %v", why)
		}
		wantEOF(t, lazy)
		echoed(11)
		if s := m.Stats(); s.Closed[conn.Idle] != 1 || s.Conns != 1 {
			t.Errorf("Stats: %d idle, %d Conns; want 1, 1", s.Closed[conn.Idle], s.Conns)
		}
	})
}

func TestSetIdleTimeoutOfOneConnection(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		r := record(nil)
		h, conns := accepted(r.handle)
		l := start(t, o, h)
		l.dial()
		take(t, conns)
		l.dial()
		c := take(t, conns)
		l.on(func() { c.SetIdleTimeout(time.Millisecond) })
		if why := take(t, r.ended); why != conn.Idle {
			t.Errorf("ended because %v", why)
		}
		if n := l.stats().Conns; n != 1 {
			t.Errorf("Stats.Conns %d, want 1", n)
		}
	})
}

// There is no other timer or timeout here that would make the loop look.
func TestAStalledWriteEndsTheConnection(t *testing.T) {
	underBothAtOnce(t, func(t *testing.T, o mgr.Options) {
		const stall = 100 * time.Millisecond
		r := record(nil)
		h, conns := accepted(r.handle)
		l := start(t, o, h, mgr.ListenOptions{Socket: smallBuffers.Socket, Limits: conn.Limits{Stall: stall}})
		l.dialSlow()
		c := take(t, conns)
		begin := time.Now()
		l.on(func() { c.Write(make([]byte, 8<<20)) })
		if why := take(t, r.ended); why != conn.Stalled {
			t.Errorf("ended because %v", why)
		}
		if took := time.Since(begin); took < stall {
			t.Errorf("it ended after %v, want %v at least", took, stall)
		}
	})
}

func TestASlowReaderIsNotStalled(t *testing.T) {
	underBothAtOnce(t, func(t *testing.T, o mgr.Options) {
		const stall = 300 * time.Millisecond
		r := record(nil)
		h, conns := accepted(r.handle)
		l := start(t, o, h, mgr.ListenOptions{Socket: smallBuffers.Socket, Limits: conn.Limits{Stall: stall}})
		peer := l.dialSlow()
		c := take(t, conns)
		l.on(func() { c.Write(make([]byte, 8<<20)) })
		tick := time.NewTicker(stall / 20)
		defer tick.Stop()
		begin := time.Now()
		for last, now := begin, begin; now.Sub(begin) < 3*stall; <-tick.C {
			if last, now = now, time.Now(); now.Sub(last) > stall/2 {
				t.Skip("this machine is too busy for a reader that is slow and no slower")
			}
			if _, err := peer.Read(make([]byte, 32<<10)); err != nil {
				t.Fatal(err)
			}
		}
		l.on(func() {
			if c.IsClosed() || c.Pending() == 0 {
				t.Errorf("closed %v, %d bytes pending; want an open connection with bytes", c.IsClosed(), c.Pending())
			}
		})
	})
}

func TestDeadlineFiresOnceNotEarlyAndNotWhenCancelled(t *testing.T) {
	underBothAtOnce(t, func(t *testing.T, o mgr.Options) {
		const d = 50 * time.Millisecond
		l := prepare(t, o)
		fired := make(chan int64, 100) // on the loop's clock
		h, conns := accepted(func(_ *conn.Conn, ev conn.Event) {
			if _, ok := ev.(*conn.Deadline); ok {
				fired <- l.Now()
			}
		})
		l.listen(h)
		l.run()
		l.dial()
		c := take(t, conns)
		l.dial()
		cancelled := take(t, conns)
		var begin int64
		l.on(func() {
			cancelled.Layer().SetDeadline(d)
			c.Layer().SetDeadline(time.Hour)
			c.Layer().SetDeadline(d)
			begin = l.Now()
		})
		l.on(func() { cancelled.Layer().SetDeadline(0) })
		if took := time.Duration(take(t, fired) - begin); took < d {
			t.Errorf("fired after %v, want %v", took, d)
		}
		if n := l.turnsIn(4 * d); n > 10 || len(fired) != 0 {
			t.Errorf("%d more Deadline events and %d turns afterwards", len(fired), n)
		}
		if l.stats().Conns != 2 {
			t.Error("the Deadline event closed its connection")
		}
	})
}

// A thousand connections with different deadlines: each fires once, in good time, and the loop does
// not turn for each.
func TestTimeoutsOfAThousandConnections(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		n := 1000
		if o.Poller == mgr.Select {
			n = 400 // both ends count, and the limit is 1024
		}
		l := prepare(t, o)
		late := make(chan time.Duration, 2*n)
		h, conns := accepted(func(c *conn.Conn, ev conn.Event) {
			if _, ok := ev.(*conn.Deadline); ok {
				late <- time.Duration(l.Now() - c.Data.(int64))
			}
		})
		r := record(h)
		r.ended = make(chan conn.Reason, n)
		l.listen(r.handle)
		l.run()
		var peers []net.Conn
		for range n {
			peers = append(peers, l.dial())
		}
		var all []*conn.Conn
		for range n {
			all = append(all, take(t, conns))
		}
		var turns uint64
		l.on(func() {
			for i, c := range all {
				d := time.Duration(100+i%200) * time.Millisecond
				c.Data = l.Now() + int64(d)
				c.Layer().SetDeadline(d)
			}
			turns = l.Stats().Turns
		})
		for range n {
			if d := take(t, late); d < 0 || d > 5*time.Second {
				t.Errorf("a Deadline came %v late", d)
			}
		}
		l.on(func() {
			if made := l.Stats().Turns - turns; made > 100 || len(late) != 0 {
				t.Errorf("%d turns for %d deadlines, %d too many events", made, n, len(late))
			}
			for _, c := range all {
				c.SetIdleTimeout(time.Millisecond)
			}
		})
		for range n {
			if why := take(t, r.ended); why != conn.Idle {
				t.Errorf("ended because %v", why)
			}
		}
		for _, c := range peers {
			c.Close()
		}
	})
}

func TestALoopWithTimeoutsFarAwaySleeps(t *testing.T) {
	underBothAtOnce(t, func(t *testing.T, o mgr.Options) {
		o.Limits.Idle = time.Hour
		h, conns := accepted(echo)
		l := start(t, o, h)
		c := l.dial()
		take(t, conns)
		fmt.Fprint(c, "x")
		wantRead(t, c, "x")
		l.wantQuiet()
	})
}
