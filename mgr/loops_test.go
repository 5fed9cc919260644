package mgr_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// loops are several managers, each in a goroutine of its own.
type loops struct {
	*mgr.Loops
	running
}

func prepareLoops(t *testing.T, n int, o mgr.Options) *loops {
	t.Helper()
	l, err := mgr.NewLoops(n, o)
	if err != nil {
		t.Fatal(err)
	}
	return &loops{l, running{t: t, group: l, ran: make(chan error, 1)}}
}

func startLoops(t *testing.T, n int, o mgr.Options, h conn.Handler, lo ...mgr.ListenOptions) *loops {
	t.Helper()
	l := prepareLoops(t, n, o)
	l.listen(h, lo...)
	l.run()
	return l
}

func (l *loops) dial() net.Conn { return dialAddr(l.t, "tcp", l.addr) }

func dialAddr(t *testing.T, network, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(time.Minute))
	t.Cleanup(func() { c.Close() })
	return c
}

// until waits until the figures of the loops are as wanted.
func (l *loops) until(what string, cond func(sum mgr.Stats) bool) {
	l.t.Helper()
	for deadline := time.Now().Add(time.Minute); !cond(l.Stats()); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			l.t.Fatalf("still not: %s: %+v", what, l.StatsEach())
		}
	}
}

// underEach runs a test with each poller and each way to accept that it has.
func underEach(t *testing.T, f func(t *testing.T, o mgr.Options, lo mgr.ListenOptions)) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		for _, a := range []mgr.Accept{mgr.AcceptReusePort, mgr.AcceptExclusive, mgr.AcceptHandOver} {
			if a == mgr.AcceptExclusive && o.Poller == mgr.Select {
				continue
			}
			t.Run(a.String(), func(t *testing.T) { f(t, o, mgr.ListenOptions{Accept: a}) })
		}
	})
}

func TestLoopsServeTheSameListenerOnEachLoop(t *testing.T) {
	underEach(t, func(t *testing.T, o mgr.Options, lo mgr.ListenOptions) {
		var mu sync.Mutex
		of := map[*mgr.Manager]int{}
		l := startLoops(t, 3, o, func(c *conn.Conn, ev conn.Event) {
			if _, ok := ev.(*conn.Accept); ok {
				mu.Lock()
				defer mu.Unlock()
				of[mgr.Of(c)]++
			}
			echo(c, ev)
		}, lo)
		const clients = 45
		for i := range clients {
			c := l.dial()
			fmt.Fprintf(c, "client %d", i)
			wantRead(t, c, fmt.Sprintf("client %d", i))
		}
		sum := 0
		mu.Lock()
		defer mu.Unlock()
		for i, m := range l.Managers() {
			n := of[m]
			sum += n
			switch {
			case n == 0: // by the hash with a chance of 1 in 10^7
				t.Errorf("loop %d has none", i)
			case lo.Accept == mgr.AcceptHandOver && n != clients/3:
				t.Errorf("loop %d has %d", i, n)
			case lo.Accept == mgr.AcceptExclusive && n > clients/3+clients/24+5:
				t.Errorf("loop %d has %d", i, n)
			}
		}
		if sum != clients {
			t.Errorf("%d connections", sum)
		}
		l.until("all are counted", func(s mgr.Stats) bool { return s.Accepts == clients && s.Conns == clients && s.Listeners == 3 })
	})
}

func TestAWakeupFindsTheLoopOfItsConnection(t *testing.T) {
	underEach(t, func(t *testing.T, o mgr.Options, lo mgr.ListenOptions) {
		ids := make(chan uint64, 10)
		l := prepareLoops(t, 3, o) // with a number of loops that is no power of two
		l.listen(func(c *conn.Conn, ev conn.Event) {
			switch ev := ev.(type) {
			case *conn.Accept:
				if l.Owner(c.ID()) != mgr.Of(c) || mgr.Of(c).Lookup(c.ID()) != c {
					t.Errorf("the number %x leads to another loop", c.ID())
				}
				ids <- c.ID()
			case *conn.Wakeup:
				c.Write(ev.Data)
			}
		}, lo)
		l.run()
		for i := range 10 {
			c := l.dial()
			if err := l.Wakeup(take(t, ids), fmt.Appendf(nil, "wake up, %d", i)); err != nil {
				t.Fatal(err)
			}
			wantRead(t, c, fmt.Sprintf("wake up, %d", i))
		}
		for _, id := range []uint64{0, 3, 1 << 40, 1<<64 - 1} {
			if err := l.Wakeup(id, nil); err != nil {
				t.Error(err)
			}
		}
		l.until("the others are lost", func(s mgr.Stats) bool { return s.LostWakeups == 4 && s.Wakeups == 10 })
	})
}

func TestABroadcastOverLoopsReturnsWhenAllAreDone(t *testing.T) {
	underEach(t, func(t *testing.T, o mgr.Options, lo mgr.ListenOptions) {
		h, conns := accepted(nil)
		l := startLoops(t, 2, o, h, lo)
		for range 20 {
			l.dial()
			take(t, conns)
		}
		var n atomic.Int32
		if err := l.Broadcast(func(c *conn.Conn) { n.Add(1) }); err != nil || n.Load() != 20 {
			t.Errorf("%d connections, %v", n.Load(), err)
		}
		each := make(chan *mgr.Manager, 2)
		if err := l.DoEach(func(m *mgr.Manager) { each <- m }); err != nil {
			t.Error(err)
		}
		if a, b := take(t, each), take(t, each); a == b {
			t.Error("DoEach ran twice on one loop")
		}
		one := make(chan bool)
		if err := l.Do(func() { one <- l.Managers()[0].Stats().Conns > 0 }); err != nil || !take(t, one) {
			t.Errorf("Do: %v, or another loop", err)
		}
	})
}

// Each handler of each loop broadcasts at the same time: none may wait for another loop.
func TestHandlersOfAllLoopsBroadcastAtOnce(t *testing.T) {
	underEach(t, func(t *testing.T, o mgr.Options, lo mgr.ListenOptions) {
		const clients, rounds = 9, 30
		l := prepareLoops(t, 3, o)
		l.listen(func(c *conn.Conn, ev conn.Event) {
			if _, ok := ev.(*conn.Read); ok {
				n := c.Recv.Len()
				c.Recv.Discard(n)
				for range n {
					if err := l.Broadcast(func(c *conn.Conn) { c.WriteString("x") }); err != nil {
						t.Error(err)
					}
				}
			}
		}, lo)
		l.run()
		var peers []net.Conn
		for range clients {
			peers = append(peers, l.dial())
		}
		l.until("all are there", func(s mgr.Stats) bool { return s.Conns == clients })
		for _, c := range peers {
			io.WriteString(c, strings.Repeat("!", rounds))
		}
		for _, c := range peers {
			wantRead(t, c, strings.Repeat("x", clients*rounds))
		}
	})
}

func TestAPanicOnOneLoopEndsItsConnectionAlone(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		l := startLoops(t, 2, o, func(c *conn.Conn, ev conn.Event) {
			if _, ok := ev.(*conn.Read); ok && string(c.Recv.Bytes()) == "panic" {
				panic("as the peer wished")
			}
			echo(c, ev)
		})
		a, b := l.dial(), l.dial()
		io.WriteString(a, "panic")
		wantEOF(t, a)
		for range 4 {
			io.WriteString(b, "still there")
			wantRead(t, b, "still there")
		}
		l.until("it is counted", func(s mgr.Stats) bool { return s.Panics == 1 && s.Conns == 1 })
	})
}

// A handler that ends its goroutine takes its loop along. The others must not go on as if nothing
// had been.
func TestALoopThatDiesEndsRun(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		l := prepareLoops(t, 3, o)
		l.listen(func(c *conn.Conn, ev conn.Event) {
			if _, ok := ev.(*conn.Read); ok {
				runtime.Goexit()
			}
		})
		go func() { l.ran <- l.Run(context.Background()) }()
		a, b := l.dial(), l.dial()
		l.until("both are there", func(s mgr.Stats) bool { return s.Conns == 2 })
		io.WriteString(a, "x")
		err := take(t, l.ran)
		if err == nil || !strings.Contains(err.Error(), "a handler has ended the goroutine of its loop") {
			t.Errorf("Run: %v", err)
		}
		// A Broadcast waits for a loop that nobody runs; Close lets it return.
		done := make(chan error, 1)
		go func() { done <- l.Broadcast(func(*conn.Conn) {}) }()
		if err := l.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		take(t, done)
		wantGone(t, a)
		wantGone(t, b)
	})
}

func TestRunOfLoopsEndsWithItsContext(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		l := prepareLoops(t, 2, o)
		l.listen(echo)
		for range 2 {
			ctx, cancel := context.WithCancel(context.Background())
			go func() { l.ran <- l.Run(ctx) }()
			c := l.dial()
			io.WriteString(c, "x")
			wantRead(t, c, "x")
			cancel()
			if err := take(t, l.ran); err != context.Canceled {
				t.Errorf("Run: %v", err)
			}
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if err := l.Close(); err != mgr.ErrClosed {
			t.Errorf("the second Close: %v", err)
		}
	})
}

func TestIfOneListenerOfLoopsIsClosedAllAre(t *testing.T) {
	underEach(t, func(t *testing.T, o mgr.Options, lo mgr.ListenOptions) {
		l := prepareLoops(t, 3, o)
		c := l.listen(echo, lo)
		l.run()
		peer := l.dial()
		io.WriteString(peer, "x")
		wantRead(t, peer, "x")
		l.Do(c.Close)
		l.until("all are closed", func(s mgr.Stats) bool { return s.Listeners == 0 && s.Conns == 1 })
		io.WriteString(peer, "y")
		wantRead(t, peer, "y")
		if c, err := net.Dial("tcp", l.addr); err == nil {
			c.Close()
			t.Error("the port still takes connections")
		}
	})
}

func TestLoopsOnAUnixSocket(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		path := filepath.Join(t.TempDir(), "s")
		l := prepareLoops(t, 2, o)
		if _, err := l.Listen("unix://"+path, echo, mgr.ListenOptions{Accept: mgr.AcceptReusePort}); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("with AcceptReusePort: %v", err)
		}
		c, err := l.Listen("unix://"+path, echo)
		if err != nil {
			t.Fatal(err)
		}
		l.run()
		for range 20 {
			peer := dialAddr(t, "unix", path)
			io.WriteString(peer, "x")
			wantRead(t, peer, "x")
		}
		for i, s := range l.StatsEach() {
			if s.Accepts == 0 {
				t.Errorf("loop %d has accepted none", i)
			}
		}
		l.Do(c.Close)
		l.until("the listeners are closed", func(s mgr.Stats) bool { return s.Listeners == 0 })
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the file is there: %v", err)
		}
	})
}

func TestListenOnLoopsWhileTheyRun(t *testing.T) {
	underEach(t, func(t *testing.T, o mgr.Options, lo mgr.ListenOptions) {
		l := startLoops(t, 3, o, echo, lo)
		outer := l.addr
		inner := make(chan string, 1)
		l.Managers()[1].Do(func() { // from a handler of the second loop
			c, err := l.Listen("tcp://127.0.0.1:0", echo, lo)
			if err != nil {
				t.Error(err)
				return
			}
			if mgr.Of(c) != l.Managers()[1] {
				t.Error("the listener is one of another loop")
			}
			inner <- c.LocalAddr().String()
		})
		c, err := l.Listen("tcp://127.0.0.1:0", echo, lo) // from another goroutine
		if err != nil {
			t.Fatal(err)
		}
		third := make(chan string, 1)
		l.Managers()[0].Do(func() { third <- c.LocalAddr().String() }) // on the first loop
		for _, addr := range []string{outer, take(t, inner), take(t, third)} {
			for range 6 {
				c := dialAddr(t, "tcp", addr)
				io.WriteString(c, "x")
				wantRead(t, c, "x")
			}
		}
		l.until("all listen", func(s mgr.Stats) bool { return s.Listeners == 9 })
		if _, err := l.Listen("tcp://"+outer, echo, lo); err == nil {
			t.Error("the port was given twice")
		}
	})
}

// A loop that has many connections more than the others leaves new ones to them.
func TestALoopAboveItsShareYields(t *testing.T) {
	o := mgr.Options{Poller: mgr.Epoll}
	l := prepareLoops(t, 2, o)
	own, err := l.Managers()[0].Listen("tcp://127.0.0.1:0", echo)
	if err != nil {
		t.Fatal(err)
	}
	first := own.LocalAddr().String()
	l.listen(echo, mgr.ListenOptions{Accept: mgr.AcceptExclusive})
	l.run()
	for range 40 {
		dialAddr(t, "tcp", first)
	}
	l.until("the first loop has 40", func(s mgr.Stats) bool { return s.Conns == 40 })
	for range 30 {
		c := l.dial()
		io.WriteString(c, "x")
		wantRead(t, c, "x")
	}
	// Of what comes to the first loop in its periods of grace it takes a few.
	each := l.StatsEach()
	if each[1].Accepts < 20 {
		t.Errorf("the second loop has accepted %d", each[1].Accepts)
	}

	// The second loop is stuck: the first one accepts in spite of its share.
	stuck, free := make(chan bool), make(chan bool)
	l.Managers()[1].Do(func() { close(stuck); <-free })
	defer close(free)
	<-stuck
	for range 20 {
		c := l.dial()
		io.WriteString(c, "x")
		wantRead(t, c, "x")
	}
	l.until("the first loop has yielded", func(s mgr.Stats) bool { return s.Yields > 0 }) // in vain
}

// A loop that is stuck in a handler gets no more connections than a few: the one that accepts keeps
// the others.
func TestAStuckLoopIsHandedAFewConnectionsOnly(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		l := startLoops(t, 2, o, echo, mgr.ListenOptions{Accept: mgr.AcceptHandOver})
		stuck, free := make(chan bool), make(chan bool)
		l.Managers()[1].Do(func() { close(stuck); <-free })
		<-stuck
		goOn := sync.OnceFunc(func() { close(free) })
		t.Cleanup(goOn) // before the loops are closed
		const clients, few = 200, 64
		var peers []net.Conn
		for range clients {
			peers = append(peers, l.dial())
		}
		l.until("the first loop has the others", func(mgr.Stats) bool { return l.StatsEach()[0].Conns == clients-few })
		goOn()
		for _, c := range peers {
			io.WriteString(c, "x")
			wantRead(t, c, "x")
		}
		l.until("all are there", func(s mgr.Stats) bool { return s.Conns == clients && s.HandedOver == few })
	})
}

// Connections that wait in the backlogs when the listeners close are accepted before that.
func TestClosingAReusePortListenerDrainsItsBacklog(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		l := prepareLoops(t, 3, o)
		c := l.listen(echo)
		var peers []net.Conn
		for range 30 {
			peers = append(peers, l.dial())
		}
		c.Close()
		l.run()
		for _, c := range peers {
			io.WriteString(c, "x")
			wantRead(t, c, "x")
		}
		l.until("the listeners are closed", func(s mgr.Stats) bool { return s.Listeners == 0 && s.Conns == 30 })
	})
}

func TestShutdownHearsWhoWaitsInTheBacklog(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		l := prepareLoops(t, 3, o)
		l.listen(echo)
		var peers []net.Conn
		for range 12 {
			c := l.dial()
			io.WriteString(c, "x")
			peers = append(peers, c)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := l.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		for _, c := range peers {
			wantRead(t, c, "x")
			wantEOF(t, c)
		}
	})
}

func TestNewLoopsTakesOneToSixtyFour(t *testing.T) {
	for _, n := range []int{-1, mgr.MaxLoops + 1} {
		if _, err := mgr.NewLoops(n, mgr.Options{}); err == nil {
			t.Errorf("NewLoops(%d) has no error", n)
		}
	}
	l, err := mgr.NewLoops(0, mgr.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if n := l.Len(); n > runtime.GOMAXPROCS(0) || n < 1 { // fewer in a container with a quota
		t.Errorf("%d loops", n)
	}
	l.Close()
	one, err := mgr.NewLoops(1, mgr.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer one.Close()
	if _, err := one.Listen("tcp://127.0.0.1:0", nil); err != nil {
		t.Error(err)
	}
}
