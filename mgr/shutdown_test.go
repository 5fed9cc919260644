package mgr_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

func TestShutdownFromOutsideFlushesAndStopsAccepting(t *testing.T) {
	underBothAtOnce(t, func(t *testing.T, o mgr.Options) {
		r := record(func(c *conn.Conn, ev conn.Event) {
			if _, ok := ev.(*conn.Shutdown); ok {
				c.Write(make([]byte, 1<<20))
				c.WriteString("good bye")
			}
		})
		h, conns := accepted(r.handle)
		l := start(t, o, h, smallBuffers)
		peer := l.dial()
		take(t, conns)
		down := make(chan error, 1)
		go func() { down <- l.Shutdown(context.Background()) }()
		b, err := io.ReadAll(peer)
		if err != nil || len(b) != 1<<20+8 || string(b[1<<20:]) != "good bye" {
			t.Errorf("read %d bytes, %v", len(b), err)
		}
		if err := take(t, down); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		r.want(t, conn.ShuttingDown, "Open Accept Shutdown Write Drained Close")
		if c, err := net.Dial("tcp", l.addr); err == nil {
			c.Close()
			t.Error("the port still takes connections")
		}
	})
}

func TestShutdownFromAHandlerBeginsInTheNextTurnAndRunEnds(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		l := prepare(t, o)
		r := record(func(c *conn.Conn, ev conn.Event) {
			if _, ok := ev.(*conn.Read); ok {
				if err := l.Shutdown(context.Background()); err != nil {
					t.Errorf("Shutdown: %v", err)
				}
				c.WriteString("bye")
			}
		})
		l.listen(r.handle)
		l.run()
		c := l.dial()
		fmt.Fprint(c, "x")
		wantRead(t, c, "bye")
		wantEOF(t, c)
		if err := take(t, l.ran); err != nil {
			t.Errorf("Run: %v", err)
		}
		l.ran <- nil // for the end of the test
		r.want(t, conn.ShuttingDown, "Open Accept Read Write Shutdown Close")
	})
}

func TestShutdownFromAHandlerCutsWhoDoesNotEndAtTheDeadline(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		l, _, r := shutFromAHandler(t, o, ctx)
		if err := take(t, l.ran); err != nil {
			t.Errorf("Run: %v", err)
		}
		l.ran <- nil // for the end of the test
		r.want(t, conn.ShuttingDown, "Open Accept Read Shutdown Close")
	})
}

// Handlers cancel their contexts when they return.
func TestShutdownFromAHandlerDoesNotCutWhenItsContextIsCancelled(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		l, c, r := shutFromAHandler(t, o, ctx)
		l.until("some turns have passed", func() bool { return l.Stats().Turns > 10 })
		c.Close()
		if err := take(t, l.ran); err != nil {
			t.Errorf("Run: %v", err)
		}
		l.ran <- nil
		r.want(t, conn.ShuttingDown, "Open Accept Read Shutdown EOF Close")
	})
}

// shutFromAHandler has a handler call Shutdown, and returns when a connection knows that does not
// mean to end.
func shutFromAHandler(t *testing.T, o mgr.Options, ctx context.Context) (*loop, net.Conn, *recorder) {
	t.Helper()
	l := prepare(t, o)
	asked := make(chan struct{}, 1)
	stays := func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*conn.Shutdown); ok {
			asked <- struct{}{}
		}
	}
	r := record(func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*conn.Read); ok {
			if err := l.Shutdown(ctx); err != nil {
				t.Errorf("Shutdown: %v", err)
			}
		}
	})
	l.listen(r.handle, mgr.ListenOptions{Setup: func(c *conn.Conn) { c.SetProtocol(stays, nil) }})
	l.run()
	c := l.dial()
	fmt.Fprint(c, "x")
	take(t, asked)
	return l, c, r
}

func TestShutdownWithoutARunningLoop(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		r := record(nil)
		l := prepare(t, o)
		l.listen(r.handle)
		c := l.dial()
		for l.Stats().Accepts == 0 {
			if err := l.Poll(time.Second); err != nil {
				t.Fatal(err)
			}
		}
		down := make(chan error, 1)
		go func() { down <- l.Shutdown(context.Background()) }()
		if err := take(t, down); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		r.want(t, conn.ShuttingDown, "Open Accept Shutdown Close")
		wantEOF(t, c)
		if err := l.Poll(0); err != mgr.ErrClosed {
			t.Errorf("Poll: %v, want ErrClosed", err)
		}
	})
}

// stubborn is a protocol layer that does not end when it is asked to.
func stubborn(c *conn.Conn, ev conn.Event) {
	if _, ok := ev.(*conn.Open); ok {
		c.SetProtocol(func(*conn.Conn, conn.Event) {}, nil)
	}
}

func TestShutdownCutsWhoDoesNotEndWhenItsContextIsDone(t *testing.T) {
	for name, running := range map[string]bool{"running loop": true, "no running loop": false} {
		t.Run(name, func(t *testing.T) {
			underBoth(t, func(t *testing.T, o mgr.Options) {
				r := record(stubborn)
				l := prepare(t, o)
				l.listen(r.handle)
				c := l.dial()
				for l.Stats().Accepts == 0 {
					if err := l.Poll(time.Second); err != nil {
						t.Fatal(err)
					}
				}
				if running {
					l.run()
				}
				ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
				defer cancel()
				down := make(chan error, 1)
				go func() { down <- l.Shutdown(ctx) }()
				if err := take(t, down); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("Shutdown: %v, want DeadlineExceeded", err)
				}
				r.want(t, conn.ShuttingDown, "Open Accept Shutdown Close")
				wantEOF(t, c)
				if err := l.Do(func() {}); err != mgr.ErrClosed {
					t.Errorf("Do: %v, want ErrClosed", err)
				}
			})
		})
	}
}

func TestShutdownWaitsForAProtocolThatFinishesLater(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		l := prepare(t, o)
		r := record(func(c *conn.Conn, ev conn.Event) {
			stubborn(c, ev)
			if _, ok := ev.(*conn.Shutdown); ok {
				l.AfterFunc(30*time.Millisecond, func() {
					c.WriteString("the answer")
					c.Drain()
				})
			}
		})
		h, conns := accepted(r.handle)
		l.listen(h)
		l.run()
		peer := l.dial()
		take(t, conns)
		down := make(chan error, 1)
		go func() { down <- l.Shutdown(context.Background()) }()
		wantRead(t, peer, "the answer")
		wantEOF(t, peer)
		if err := take(t, down); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
	})
}

func TestShutdownComesBehindAllThatWasQueuedBefore(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		const many = 10_000
		ran, atShutdown := 0, 0
		l := prepare(t, o)
		l.listen(func(_ *conn.Conn, ev conn.Event) {
			if _, ok := ev.(*conn.Shutdown); ok {
				atShutdown = ran
			}
		})
		l.dial()
		for l.Stats().Accepts == 0 {
			if err := l.Poll(time.Second); err != nil {
				t.Fatal(err)
			}
		}
		for range many {
			l.Do(func() { ran++ })
		}
		if err := l.Shutdown(context.Background()); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if atShutdown != many {
			t.Errorf("Shutdown came behind %d of %d functions", atShutdown, many)
		}
	})
}

func TestShutdownTwiceAtATimeAndAgain(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		l := start(t, o, echo)
		down := make(chan error, 2)
		for range 2 {
			go func() { down <- l.Shutdown(context.Background()) }()
		}
		for range 2 { // the slower one may find it done already
			if err := take(t, down); err != nil && err != mgr.ErrClosed {
				t.Errorf("Shutdown: %v", err)
			}
		}
		if err := l.Shutdown(context.Background()); err != mgr.ErrClosed {
			t.Errorf("Shutdown: %v, want ErrClosed", err)
		}
	})
}

func TestShutdownWithAFullQueue(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		o.Queue = 1
		l := start(t, o, echo)
		busy, release := make(chan struct{}), make(chan struct{})
		l.Do(func() { close(busy); <-release })
		<-busy
		l.Do(func() {})
		down := make(chan error, 1)
		go func() { down <- l.Shutdown(context.Background()) }()
		close(release)
		if err := take(t, down); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
	})
}

// Each Do either gives an error or is run; each Broadcast returns.
func TestDoAndBroadcastRacingWithTheEnd(t *testing.T) {
	for name, end := range map[string]func(*mgr.Manager) error{
		"Close":    (*mgr.Manager).Close,
		"Shutdown": func(m *mgr.Manager) error { return m.Shutdown(context.Background()) },
	} {
		t.Run(name, func(t *testing.T) {
			underBoth(t, func(t *testing.T, o mgr.Options) {
				for range 50 {
					m, err := mgr.New(o)
					if err != nil {
						t.Fatal(err)
					}
					ran := make(chan error, 1)
					go func() { ran <- m.Run(context.Background()) }()
					var sent, delivered atomic.Int64
					var wg sync.WaitGroup
					for range 4 {
						wg.Go(func() {
							for m.Do(func() { delivered.Add(1) }) == nil {
								sent.Add(1)
							}
						})
						wg.Go(func() {
							for m.Broadcast(func(*conn.Conn) {}) == nil {
							}
						})
					}
					if err := end(m); err != nil {
						t.Errorf("%s: %v", name, err)
					}
					if err := take(t, ran); err != nil {
						t.Errorf("Run: %v", err)
					}
					wg.Wait()
					if sent.Load() != delivered.Load() {
						t.Errorf("%d functions were accepted, %d ran", sent.Load(), delivered.Load())
					}
				}
			})
		})
	}
}

func TestRunEndsWithItsContextAndConnectionsStayOpen(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		l := prepare(t, o)
		l.listen(echo)
		c := l.dial()
		for range 3 {
			ctx, cancel := context.WithCancel(context.Background())
			ran := make(chan error, 1)
			go func() { ran <- l.Run(ctx) }()
			fmt.Fprint(c, "x")
			wantRead(t, c, "x")
			cancel()
			if err := take(t, ran); err != context.Canceled {
				t.Errorf("Run: %v, want Canceled", err)
			}
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := l.Run(ctx); err != context.Canceled {
			t.Errorf("Run with a context that is done: %v, want Canceled", err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		wantEOF(t, c)
	})
}

func TestCloseFromAHandlerHappensAtTheEndOfTheTurn(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		l := prepare(t, o)
		r := record(func(c *conn.Conn, ev conn.Event) {
			if _, ok := ev.(*conn.Read); ok {
				if err := l.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
				c.WriteString("still open")
			}
		})
		l.listen(r.handle)
		l.run()
		c := l.dial()
		fmt.Fprint(c, "x")
		wantRead(t, c, "still open")
		wantGone(t, c)
		r.want(t, conn.ShuttingDown, "Open Accept Read Write Close")
	})
}

func TestShutdownReturnsAtItsDeadlineWhileAHandlerBlocks(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		l := start(t, o, nil)
		begun, release := make(chan bool), make(chan bool)
		free := sync.OnceFunc(func() { close(release) })
		t.Cleanup(free)
		l.Do(func() { close(begun); <-release })
		<-begun
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
		defer cancel()
		down := make(chan error, 1)
		go func() { down <- l.Shutdown(ctx) }()
		if err := take(t, down); err != context.DeadlineExceeded { // the handler still blocks
			t.Errorf("Shutdown: %v", err)
		}
		free()
		if err := take(t, l.ran); err != nil {
			t.Errorf("Run: %v", err)
		}
		l.ran <- nil // for the end of the test
	})
}
