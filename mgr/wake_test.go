package mgr_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/internal/exhaustive"
	"github.com/seed4930a636/mangusta/mgr"
)

const senders = 8

// calls is how many each of them makes.
var calls = func() int {
	if exhaustive.On() {
		return 10_000
	}
	return 2000
}()

// sendAll has 8 goroutines make their calls, every one again until it is accepted, and returns how
// often one was refused. A call that was refused and delivered all the same would come twice.
func sendAll(t *testing.T, call func(sender, i int) error) (refused int64) {
	t.Helper()
	var wg sync.WaitGroup
	var n atomic.Int64
	for s := range senders {
		wg.Go(func() {
			for i := range calls {
				for {
					err := call(s, i)
					if err == nil {
						break
					}
					if !errors.Is(err, mgr.ErrFull) {
						t.Errorf("sender %d, call %d: %v", s, i, err)
						return
					}
					n.Add(1)
					runtime.Gosched()
				}
			}
		})
	}
	wg.Wait()
	return n.Load()
}

func wantAllOnceInOrder(t *testing.T, got *[senders][]int) {
	t.Helper()
	for s := range senders {
		if len(got[s]) != calls || !slices.IsSorted(got[s]) || got[s][0] != 0 || got[s][calls-1] != calls-1 {
			t.Errorf("sender %d: %d of %d calls were delivered, or not in order", s, len(got[s]), calls)
		}
	}
}

func TestEveryDoRunsOnceInOrderOrIsRefused(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		o.Queue = 32
		l := start(t, o, echo)
		var got [senders][]int
		refused := sendAll(t, func(s, i int) error {
			return l.Do(func() { got[s] = append(got[s], i) })
		})
		l.on(func() {})
		wantAllOnceInOrder(t, &got)
		if refused == 0 {
			t.Error("nothing was refused: the test did not fill the queue")
		}
	})
}

func TestEveryWakeupComesOnceInOrderOrIsRefused(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		o.Queue = 32
		var got [senders][]int
		h, conns := accepted(func(_ *conn.Conn, ev conn.Event) {
			if ev, ok := ev.(*conn.Wakeup); ok {
				s := binary.BigEndian.Uint32(ev.Data)
				got[s] = append(got[s], int(binary.BigEndian.Uint32(ev.Data[4:])))
			}
		})
		l := start(t, o, h)
		l.dial()
		id := take(t, conns).ID()
		refused := sendAll(t, func(s, i int) error {
			b := binary.BigEndian.AppendUint32(nil, uint32(s))
			return l.Wakeup(id, binary.BigEndian.AppendUint32(b, uint32(i)))
		})
		if s := l.stats(); s.Wakeups != uint64(senders*calls) || s.LostWakeups != 0 {
			t.Errorf("Stats: %d Wakeups, %d LostWakeups", s.Wakeups, s.LostWakeups)
		}
		wantAllOnceInOrder(t, &got)
		if refused == 0 {
			t.Error("nothing was refused: the test did not fill the queue")
		}
	})
}

func TestEveryBroadcastRunsOnceInOrderOrIsRefused(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		o.Queue = 3 // callers wait for their answers, so that no more than one of each can be queued
		h, conns := accepted(nil)
		l := start(t, o, h)
		l.dial()
		take(t, conns)
		var got [senders][]int
		refused := sendAll(t, func(s, i int) error {
			before := len(got[s])
			err := l.Broadcast(func(*conn.Conn) { got[s] = append(got[s], i) })
			if err == nil && len(got[s]) != before+1 {
				t.Error("Broadcast returned before it was done")
			}
			return err
		})
		wantAllOnceInOrder(t, &got)
		if refused == 0 {
			t.Error("nothing was refused: the test did not fill the queue")
		}
	})
}

func TestWakeupCopiesItsData(t *testing.T) {
	got := make(chan string, 1)
	h, conns := accepted(func(_ *conn.Conn, ev conn.Event) {
		if ev, ok := ev.(*conn.Wakeup); ok {
			got <- string(ev.Data)
		}
	})
	l := start(t, mgr.Options{}, h)
	l.dial()
	id := take(t, conns).ID()
	l.on(func() {
		p := []byte("abc")
		l.Wakeup(id, p)
		copy(p, "xyz")
	})
	if s := take(t, got); s != "abc" {
		t.Errorf("woken up with %q", s)
	}
}

func TestWakeupOfADeadConnectionIsCounted(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		r := record(nil)
		h, conns := accepted(r.handle)
		l := start(t, o, h)
		c := l.dial()
		id := take(t, conns).ID()
		c.Close()
		take(t, r.ended)
		var listener uint64
		l.on(func() {
			c, err := l.Listen("tcp://127.0.0.1:0", nil)
			if err != nil {
				t.Fatal(err)
			}
			listener = c.ID()
		})
		for _, id := range []uint64{id, 0, 1 << 63, conn.NewID(1<<24 - 1), listener} {
			if err := l.Wakeup(id, []byte("x")); err != nil {
				t.Errorf("Wakeup: %v", err)
			}
		}
		if s := l.stats(); s.LostWakeups != 5 || s.Wakeups != 0 {
			t.Errorf("Stats: %d LostWakeups, %d Wakeups; want 5, 0", s.LostWakeups, s.Wakeups)
		}
	})
}

func TestOneTurnTakesAllThatWaits(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		m := newManager(t, o)
		ran := 0
		for range 1000 {
			m.Do(func() { ran++ })
		}
		if q := m.Stats().Queued; q != 1000 {
			t.Errorf("Stats.Queued %d, want 1000", q)
		}
		if err := m.Poll(10 * time.Second); err != nil || ran != 1000 {
			t.Errorf("Poll: %v; %d functions ran in one turn, want 1000", err, ran)
		}
		if err := m.Poll(0); err != nil || m.Stats().Turns != 2 {
			t.Errorf("Poll: %v", err)
		}
	})
}

func TestAFloodOfMessagesDoesNotStarveTheConnections(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		m := newManager(t, o)
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fds[1])
		const flood = 100_000
		ran, atRead := 0, -1
		_, err = m.Wrap(fds[0], func(_ *conn.Conn, ev conn.Event) {
			if _, ok := ev.(*conn.Read); ok {
				atRead = ran
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Poll(0); err != nil {
			t.Fatal(err)
		}
		m.Do(func() { unix.Write(fds[1], []byte("x")) })
		for range flood {
			m.Do(func() { ran++ })
		}
		for ran < flood {
			if err := m.Poll(time.Second); err != nil {
				t.Fatal(err)
			}
			if s := m.Stats(); s.Queued != flood-ran {
				t.Fatalf("Stats.Queued %d, want %d", s.Queued, flood-ran)
			}
		}
		if atRead < 0 || atRead > flood/10 {
			t.Errorf("the byte was read behind %d of %d functions", atRead, flood)
		}
	})
}

func TestDoFromAHandlerRunsInTheNextTurn(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		l := start(t, o, echo)
		turns := make(chan uint64, 2)
		l.Do(func() {
			turns <- l.Stats().Turns
			l.Do(func() { turns <- l.Stats().Turns })
		})
		if first, second := take(t, turns), take(t, turns); second != first+1 {
			t.Errorf("Do ran in turn %d, from turn %d", second, first)
		}
	})
}

func TestBroadcastFromAHandlerRunsInPlace(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		l := prepare(t, o)
		answered := make(chan string, 1)
		h, conns := accepted(func(c *conn.Conn, ev conn.Event) {
			if _, ok := ev.(*conn.Read); ok {
				n := 0
				err := l.Broadcast(func(*conn.Conn) { n++ })
				answered <- fmt.Sprint(n, " ", err)
			}
		})
		l.listen(h)
		l.run()
		c := l.dial()
		l.dial()
		l.dial()
		for range 3 {
			take(t, conns)
		}
		fmt.Fprint(c, "x")
		if got := take(t, answered); got != "3 <nil>" {
			t.Errorf("Broadcast in a handler: %s", got)
		}
	})
}

func TestBroadcastSkipsListenersAndConnectionsThatEnd(t *testing.T) {
	h, conns := accepted(nil)
	l := start(t, mgr.Options{}, h)
	for range 3 {
		l.dial()
	}
	closing, draining, open := take(t, conns), take(t, conns), take(t, conns)
	l.on(func() {
		closing.Close()
		draining.Drain()
		var got []*conn.Conn
		l.Broadcast(func(c *conn.Conn) { got = append(got, c) })
		if !slices.Equal(got, []*conn.Conn{open}) {
			t.Errorf("Broadcast ran for %d connections, want the open one only", len(got))
		}
	})
}

// Two loops whose handlers broadcast to each other would wait for each other for ever.
func TestBroadcastFromAHandlerOfAnotherManagerDoesNotDeadlock(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		var loops [2]*loop
		var ran [2]atomic.Int64
		for i := range loops {
			loops[i] = prepare(t, o)
		}
		for i := range loops {
			h := func(c *conn.Conn, ev conn.Event) {
				if _, ok := ev.(*conn.Read); ok {
					c.Recv.Discard(c.Recv.Len())
					if err := loops[1-i].Broadcast(func(*conn.Conn) { ran[1-i].Add(1) }); err != nil {
						t.Errorf("Broadcast: %v", err)
					}
					c.WriteString("x")
				}
			}
			loops[i].listen(h)
			loops[i].run()
		}
		const rounds = 500
		var clients [2]net.Conn
		for i := range loops {
			clients[i] = loops[i].dial()
		}
		for i := range loops { // a broadcast reaches who has been accepted
			loops[i].until("accepted", func() bool { return loops[i].Stats().Conns == 1 })
		}
		var wg sync.WaitGroup
		for _, c := range clients {
			wg.Go(func() {
				for range rounds {
					fmt.Fprint(c, "x")
					if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		for i := range loops {
			loops[i].until("every broadcast ran", func() bool { return ran[i].Load() == rounds })
		}
	})
}

func TestBroadcastWhileConnectionsDie(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		r := record(func(c *conn.Conn, ev conn.Event) {
			if _, ok := ev.(*conn.Wakeup); ok {
				c.Close()
			}
		})
		r.ended = make(chan conn.Reason, 1000)
		l := start(t, o, r.handle)
		quit := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-quit:
					return
				default:
				}
				err := l.Broadcast(func(c *conn.Conn) {
					if c.IsClosed() {
						t.Error("Broadcast gave a closed connection")
					}
					c.WriteString("news")
					if n%5 == 0 {
						l.Wakeup(c.ID(), nil)
					}
					if n%7 == 0 {
						c.Close()
					}
				})
				if err != nil {
					t.Errorf("Broadcast: %v", err)
				}
			}
		})
		for range 4 {
			wg.Go(func() {
				for i := range 50 {
					c := l.dial()
					if i%2 == 0 {
						reset(c)
					} else {
						c.Close()
					}
				}
			})
		}
		for range 200 {
			take(t, r.ended)
		}
		close(quit)
		wg.Wait()
		if s := l.stats(); s.Conns != 0 || s.Panics != 0 {
			t.Errorf("Stats: %d Conns, %d Panics; want none", s.Conns, s.Panics)
		}
	})
}

func TestAfterCloseAllIsRefused(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		m := newManager(t, o)
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		_, listen := m.Listen("tcp://127.0.0.1:0", nil)
		_, wrap := m.Wrap(0, nil)
		for name, err := range map[string]error{
			"Do": m.Do(func() {}), "Wakeup": m.Wakeup(1, nil), "Broadcast": m.Broadcast(func(*conn.Conn) {}),
			"Poll": m.Poll(0), "Close": m.Close(), "Shutdown": m.Shutdown(context.Background()), "Listen": listen, "Wrap": wrap,
		} {
			if err != mgr.ErrClosed {
				t.Errorf("%s: %v, want ErrClosed", name, err)
			}
		}
		if err := m.Run(context.Background()); err != nil {
			t.Errorf("Run: %v, want nil", err)
		}
	})
}

// The texts of the errors name the package that the program has called.
func TestErrorsNameThePackage(t *testing.T) {
	for _, err := range []error{mgr.ErrClosed, mgr.ErrDeaf, mgr.ErrFull, mgr.ErrNoListener} {
		if !strings.HasPrefix(err.Error(), "mgr: ") {
			t.Errorf("%q", err)
		}
	}
}

// A result of work that the loop has begun is not lost because other goroutines have filled its
// queue.
func TestCompleteWithAFullQueue(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		o.Queue = 2
		l := prepare(t, o)
		defer l.Close()
		var order []string
		l.Do(func() { order = append(order, "do") })
		l.Do(func() { order = append(order, "do") })
		if err := l.Do(func() {}); err != mgr.ErrFull {
			t.Fatalf("Do: %v, want ErrFull", err)
		}
		done := make(chan error)
		go func() { done <- l.Complete(func() { order = append(order, "complete") }) }()
		if err := <-done; err != nil {
			t.Fatalf("Complete: %v", err)
		}
		if err := l.Poll(time.Second); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(order, []string{"complete", "do", "do"}) {
			t.Errorf("ran %v", order)
		}
	})
}
