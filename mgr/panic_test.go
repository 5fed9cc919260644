package mgr_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// safeBuffer is a bytes.Buffer for a logger on another goroutine.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func TestAPanicInEachEventIsTheEndOfThatConnectionOnly(t *testing.T) {
	for event, trigger := range triggers {
		if event == "Shutdown" {
			continue // the other connections would not live on: see below
		}
		t.Run(event, func(t *testing.T) {
			underBoth(t, func(t *testing.T, o mgr.Options) { panicIn(t, o, event, trigger) })
		})
	}
}

func panicIn(t *testing.T, o mgr.Options, event string, trigger func(*loop, *conn.Conn, net.Conn)) {
	var log safeBuffer
	o.Log = slog.New(slog.NewTextHandler(&log, nil))
	l := prepare(t, o)
	rules := newRules(t)
	armed := false
	var bad *conn.Conn
	var failure error
	ended := make(chan conn.Reason, 1)
	h, conns := accepted(func(c *conn.Conn, ev conn.Event) {
		if c.IsListener() {
			return
		}
		rules.see(c, ev)
		if c == bad {
			switch ev := ev.(type) {
			case *conn.Error:
				failure = ev.Err
			case *conn.Close:
				ended <- ev.Reason
			}
		}
		if armed && eventName(ev) == event {
			armed, bad = false, c
			if event == "Close" {
				ended <- c.Reason()
			}
			panic("boom in " + event)
		}
		echo(c, ev)
	})
	l.listen(h, smallBuffers)
	l.run()
	good := l.dial()
	take(t, conns)
	if trigger == nil {
		l.on(func() { armed = true })
		wantGone(t, l.dial())
	} else {
		peer := l.dial()
		c := take(t, conns)
		l.on(func() { armed = true })
		trigger(l, c, peer)
	}
	why := take(t, ended)
	want := map[string]conn.Reason{"Error": conn.Reset, "Close": conn.Local}[event]
	if want == conn.Local && event != "Close" {
		want = conn.Panicked
	}
	if why != want {
		t.Errorf("ended because %v, want %v", why, want)
	}
	l.on(func() {
		if want == conn.Panicked && (failure == nil || failure.Error() != "conn: handler panicked: panic: boom in "+event) {
			t.Errorf("Error event with %v", failure)
		}
		if s := l.Stats(); s.Panics != 1 || s.Conns != 1 || s.Closed[want] != 1 {
			t.Errorf("Stats: %d Panics, %d Conns, %d closed for %v; want 1 each", s.Panics, s.Conns, s.Closed[want], want)
		}
	})
	fmt.Fprint(good, "x")
	wantRead(t, good, "x")
	text := log.String()
	for _, want := range []string{`msg="handler panicked"`, fmt.Sprint("conn=", bad.ID()), `panic="boom in ` + event, "stack=", "panic_test.go"} {
		if !strings.Contains(text, want) {
			t.Errorf("the log lacks %s:\n%s", want, text)
		}
	}
}

func TestAPanicInShutdownDoesNotStopIt(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		r := record(func(_ *conn.Conn, ev conn.Event) {
			if _, ok := ev.(*conn.Shutdown); ok {
				panic("boom")
			}
			if ev, ok := ev.(*conn.Error); ok && ev.Reason != conn.Panicked {
				t.Errorf("Error event with %v", ev.Reason)
			}
		})
		h, conns := accepted(r.handle)
		l := start(t, o, h)
		for range 3 {
			l.dial()
			take(t, conns)
		}
		down := make(chan error, 1)
		go func() { down <- l.Shutdown(context.Background()) }()
		if err := take(t, down); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		for range 3 {
			if why := take(t, r.ended); why != conn.Panicked {
				t.Errorf("ended because %v", why)
			}
		}
	})
}

func TestAPanicOutsideAConnectionEndsNone(t *testing.T) {
	for name, run := range map[string]func(l *loop){
		"Do":        func(l *loop) { l.Do(func() { panic("boom") }) },
		"AfterFunc": func(l *loop) { l.Do(func() { l.AfterFunc(0, func() { panic("boom") }) }) },
		"Every": func(l *loop) {
			l.Do(func() {
				var tm *mgr.Timer
				tm = l.Every(1, func() { tm.Stop(); panic("boom") })
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			underBoth(t, func(t *testing.T, o mgr.Options) {
				h, conns := accepted(echo)
				l := start(t, o, h)
				peer := l.dial()
				take(t, conns)
				fmt.Fprint(peer, "x")
				wantRead(t, peer, "x")
				run(l)
				l.until("the panic is counted", func() bool { return l.Stats().Panics == 1 })
				fmt.Fprint(peer, "y")
				wantRead(t, peer, "y")
				if n := l.stats().Conns; n != 1 {
					t.Errorf("Stats.Conns %d, want 1", n)
				}
			})
		})
	}
}

func TestMessagesBehindAPanicAreDelivered(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		m := newManager(t, o)
		ran := 0
		for i := range 10 {
			m.Do(func() {
				if i%3 == 0 {
					panic(i)
				}
				ran++
			})
		}
		if err := m.Poll(0); err != nil || ran != 6 || m.Stats().Panics != 4 {
			t.Errorf("Poll: %v; %d ran, %d panics; want 6, 4", err, ran, m.Stats().Panics)
		}
	})
}

// The function of a Broadcast runs for one connection after the other: a panic ends the one it was
// running for.
func TestAPanicInABroadcastEndsTheConnectionItRanForAndReachesTheOthers(t *testing.T) {
	for _, from := range []string{"a goroutine", "the loop"} {
		t.Run("from "+from, func(t *testing.T) {
			underBoth(t, func(t *testing.T, o mgr.Options) {
				r := record(nil)
				h, conns := accepted(r.handle)
				l := start(t, o, h)
				for range 3 {
					l.dial()
				}
				take(t, conns)
				victim := take(t, conns)
				take(t, conns)
				ran := 0
				broadcast := func() {
					l.Broadcast(func(c *conn.Conn) {
						if c == victim {
							panic("boom")
						}
						ran++
					})
				}
				if from == "the loop" {
					l.on(broadcast)
				} else {
					broadcast()
				}
				if why := take(t, r.ended); why != conn.Panicked {
					t.Errorf("ended because %v", why)
				}
				l.on(func() {
					if s := l.Stats(); s.Conns != 2 || s.Panics != 1 || ran != 2 || !victim.Driver().Finished() {
						t.Errorf("%d connections are left, %d panics, it ran for %d; want 2, 1, 2", s.Conns, s.Panics, ran)
					}
				})
			})
		})
	}
}

// A call that a handler makes must not change which connection is blamed when it panics afterwards.
func TestAPanicBehindACallIsBlamedOnItsOwnConnection(t *testing.T) {
	for name, call := range map[string]func(*loop){
		"Broadcast": func(l *loop) { l.Broadcast(func(*conn.Conn) {}) },
		"Shutdown":  func(l *loop) { l.Shutdown(context.Background()) },
		"Listen":    func(l *loop) { l.Listen("tcp://127.0.0.1:0", nil) },
	} {
		t.Run(name, func(t *testing.T) {
			underBoth(t, func(t *testing.T, o mgr.Options) {
				l := prepare(t, o)
				ended := make(chan string, 10)
				h, conns := accepted(func(c *conn.Conn, ev conn.Event) {
					switch ev := ev.(type) {
					case *conn.Read:
						call(l)
						panic("boom")
					case *conn.Error:
						ended <- fmt.Sprint(c.Data, " ", ev.Reason)
					}
				})
				l.listen(h)
				l.run()
				first := l.dial()
				c := take(t, conns)
				l.on(func() { c.Data = "first" })
				l.dial()
				take(t, conns)
				fmt.Fprint(first, "x")
				if got := take(t, ended); got != "first handler panicked" {
					t.Errorf("ended: %s", got)
				}
			})
		})
	}
}

func TestAListenerSurvivesPanicsInAcceptAndInItsOwnEvents(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		o.MaxConns = 1
		panics := 0
		h, conns := accepted(func(c *conn.Conn, ev conn.Event) {
			_, accept := ev.(*conn.Accept)
			_, failed := ev.(*conn.Error)
			if panics < 20 && (accept && !c.IsListener() || failed && c.IsListener()) {
				panics++
				panic("boom")
			}
			echo(c, ev)
		})
		l := start(t, o, h)
		for range 20 {
			wantGone(t, l.dial())
		}
		l.until("they are gone", func() bool { return l.Stats().Conns == 0 })
		l.on(func() { panics = 20 })
		c := l.dial()
		take(t, conns)
		l.on(func() { panics = 19 })
		wantGone(t, l.dial()) // over MaxConns: the listener gets an Error, whose handler panics
		fmt.Fprint(c, "x")
		wantRead(t, c, "x")
		l.on(func() {
			if s := l.Stats(); panics != 20 || s.Panics == 0 || s.Listeners != 1 {
				t.Errorf("Stats: %d Panics, %d Listeners", s.Panics, s.Listeners)
			}
		})
	})
}

func TestAPanicInTheLastEventsDoesNotKeepTheManagerFromEnding(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		h, conns := accepted(func(_ *conn.Conn, ev conn.Event) {
			switch ev.(type) {
			case *conn.Error, *conn.Close:
				panic("boom")
			}
		})
		l := start(t, o, h)
		for range 3 {
			l.dial()
			c := take(t, conns)
			l.on(func() { c.Layer().Fail(conn.Protocol, errors.New("x")) })
		}
		l.dial()
		take(t, conns)
		closed := make(chan error, 1)
		go func() { closed <- l.Close() }()
		if err := take(t, closed); err != nil {
			t.Error(err)
		}
	})
}

// Close never comes without Open.
func TestAPanicInSetupEndsTheConnection(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		r := record(nil)
		l := start(t, o, r.handle, mgr.ListenOptions{Setup: func(*conn.Conn) { panic("boom") }})
		wantGone(t, l.dial())
		r.want(t, conn.Panicked, "Open Error Close")
	})
}

func TestAPanicInSetupOfAnOutboundConnectionEndsItAlone(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		l := start(t, o, nil)
		r := record(nil)
		l.connect("tcp://"+l.addr, r.handle, mgr.ConnectOptions{Setup: func(*conn.Conn) { panic("boom") }})
		r.want(t, conn.Panicked, "Open Error Close")
	})
}

// TestCrashOnPanic runs this test binary again, as the program that crashes.
func TestCrashOnPanic(t *testing.T) {
	if where := os.Getenv("MANGUSTA_CRASH"); where != "" {
		crash(where)
		return
	}
	for _, where := range []string{"Read", "Do", "AfterFunc", "Broadcast", "Close"} {
		for _, poller := range []string{"epoll", "select"} {
			cmd := exec.Command(os.Args[0], "-test.run=^TestCrashOnPanic$")
			cmd.Env = append(os.Environ(), "MANGUSTA_CRASH="+where+" "+poller)
			out, err := cmd.CombinedOutput()
			exit, ok := errors.AsType[*exec.ExitError](err)
			if !ok || exit.ExitCode() != 2 || !bytes.Contains(out, []byte("panic: boom in "+where)) {
				t.Errorf("%s, %s: %v; want exit code 2 and the panic:\n%s", where, poller, err, out)
			}
		}
	}
}

func crash(how string) {
	where, poller, _ := strings.Cut(how, " ")
	p, err := mgr.ParsePoller(poller)
	if err != nil {
		panic(err)
	}
	m, err := mgr.New(mgr.Options{CrashOnPanic: true, Poller: p})
	if err != nil {
		panic(err)
	}
	boom := func() { panic("boom in " + where) }
	l, err := m.Listen("tcp://127.0.0.1:0", func(c *conn.Conn, ev conn.Event) {
		if eventName(ev) == where {
			boom()
		}
	})
	if err != nil {
		panic(err)
	}
	c, err := net.Dial("tcp", l.LocalAddr().String())
	if err != nil {
		panic(err)
	}
	switch where {
	case "Read":
		io.WriteString(c, "x")
	case "Do":
		m.Do(boom)
	case "AfterFunc":
		m.AfterFunc(0, boom)
	case "Close":
		c.Close()
	case "Broadcast":
		go func() {
			for m.Broadcast(func(*conn.Conn) { boom() }) == nil {
			}
		}()
	}
	m.Run(context.Background())
}

// Whoever panics in the last events, the others see them, and Close comes exactly once.
func TestTheEndIsSeenOnceByAllWhoeverPanics(t *testing.T) {
	for _, bad := range []string{"watcher Error", "layer Error", "user Error", "watcher Close", "layer Close", "user Close", "all"} {
		t.Run(bad, func(t *testing.T) {
			underBoth(t, func(t *testing.T, o mgr.Options) {
				l := prepare(t, o)
				var seen []string
				note := func(who string, ev conn.Event) {
					switch ev.(type) {
					case *conn.Error, *conn.Close:
						name := who + " " + eventName(ev)
						seen = append(seen, name)
						if bad == name || bad == "all" {
							panic("boom in " + name)
						}
					}
				}
				h, conns := accepted(func(_ *conn.Conn, ev conn.Event) { note("user", ev) })
				l.listen(h, mgr.ListenOptions{Setup: func(c *conn.Conn) {
					c.SetProtocol(func(_ *conn.Conn, ev conn.Event) { note("layer", ev) }, nil)
					c.SetWatcher(watchFunc(func(ev conn.Event) { note("watcher", ev) }))
				}})
				l.run()
				l.dial()
				c := take(t, conns)
				l.on(func() { c.Layer().Fail(conn.Protocol, errors.New("x")) })
				l.until("it is gone", func() bool { return l.Stats().Conns == 0 })
				l.on(func() {
					const want = "watcher Error, layer Error, user Error, watcher Close, layer Close, user Close"
					if got := strings.Join(seen, ", "); got != want {
						t.Errorf("seen: %s", got)
					}
					want2 := map[bool]uint64{true: 6, false: 1}[bad == "all"]
					if n := l.Stats().Panics; n != want2 {
						t.Errorf("%d panics, want %d", n, want2)
					}
				})
			})
		})
	}
}

type watchFunc func(ev conn.Event)

func (f watchFunc) Watch(_ *conn.Conn, ev conn.Event) { f(ev) }

// The loop reads all connections into one buffer: what a panicking handler has left in Recv must
// not become another's bytes.
func TestAfterAPanicRecvShowsNothingOfOthers(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		m := newManager(t, o)
		var bad *conn.Conn
		var left []string
		lc, err := m.Listen("tcp://127.0.0.1:0", func(c *conn.Conn, ev conn.Event) {
			if _, ok := ev.(*conn.Read); ok && bad == nil {
				bad = c
				panic("boom")
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			c, err := net.Dial("tcp", lc.LocalAddr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			io.WriteString(c, "secret")
		}
		for end := time.Now().Add(time.Minute); len(left) == 0; m.Poll(0) {
			if time.Now().After(end) {
				t.Fatal("nothing came")
			}
			m.Do(func() { // in the turn of the panic
				if bad != nil {
					left = append(left, string(bad.Recv.Bytes()))
				}
			})
		}
		if left[0] != "" {
			t.Errorf("Recv shows %q", left[0])
		}
	})
}
