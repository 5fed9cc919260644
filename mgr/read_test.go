package mgr_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

func TestUnreadBytesAreKeptForTheNextRead(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		seen := make(chan string, 10)
		l := start(t, o, func(c *conn.Conn, ev conn.Event) {
			if ev, ok := ev.(*conn.Read); ok {
				seen <- fmt.Sprint(ev.N, " ", string(c.Recv.Bytes()))
			}
		})
		c, other := l.dial(), l.dial()
		for _, step := range [][2]string{{"ab", "2 ab"}, {"cd", "2 abcd"}} {
			fmt.Fprint(c, step[0])
			if got := take(t, seen); got != step[1] {
				t.Errorf("the handler saw %q, want %q", got, step[1])
			}
			fmt.Fprint(other, "XXXXX") // through the same shared buffer
			take(t, seen)
		}
	})
}

func TestPartlyDiscardedInputIsAWholeStream(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		sum := sha256.New()
		n := 0
		done := make(chan [32]byte, 1)
		l := start(t, o, func(c *conn.Conn, ev conn.Event) {
			switch ev.(type) {
			case *conn.Read:
				n++
				k := c.Recv.Len() * (n % 4) / 3 // nothing, a third, two thirds, all
				sum.Write(c.Recv.Bytes()[:min(k, c.Recv.Len())])
				c.Recv.Discard(k)
			case *conn.EOF:
				sum.Write(c.Recv.Bytes())
				done <- [32]byte(sum.Sum(nil))
			}
		})
		c := l.dial()
		var want bytes.Buffer
		for i := range 60_000 {
			fmt.Fprintf(&want, "%d,", i)
		}
		c.Write(want.Bytes())
		c.(*net.TCPConn).CloseWrite()
		if take(t, done) != sha256.Sum256(want.Bytes()) {
			t.Error("the handler did not see what was sent")
		}
	})
}

func TestPauseStopsReadingAndResumeDeliversUnreadBytesAgain(t *testing.T) {
	underBothAtOnce(t, func(t *testing.T, o mgr.Options) {
		seen := make(chan string, 10)
		h, conns := accepted(func(c *conn.Conn, ev conn.Event) {
			if ev, ok := ev.(*conn.Read); ok {
				seen <- fmt.Sprint(ev.N, " ", string(c.Recv.Bytes()))
				if ev.N > 0 {
					c.Pause()
				}
			}
		})
		l := start(t, o, h)
		peer := l.dial()
		c := take(t, conns)
		fmt.Fprint(peer, "one")
		if got := take(t, seen); got != "3 one" {
			t.Errorf("the handler saw %q", got)
		}
		fmt.Fprint(peer, "two")
		l.wantQuiet()
		if len(seen) != 0 {
			t.Errorf("a paused connection read %q", <-seen)
		}
		l.on(c.Resume)
		for _, want := range []string{"0 one", "3 onetwo"} {
			if got := take(t, seen); got != want {
				t.Errorf("the handler saw %q, want %q", got, want)
			}
		}
	})
}

func TestReceiveLimitClosesTheConnection(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		r := record(nil)
		l := start(t, o, r.handle, mgr.ListenOptions{Limits: conn.Limits{Recv: 1000}})
		c := l.dial()
		c.Write(make([]byte, 1001))
		r.want(t, conn.RecvLimit, "Open Accept Read Error Close")
		if n := l.stats().Closed[conn.RecvLimit]; n != 1 {
			t.Errorf("Stats.Closed[RecvLimit] %d, want 1", n)
		}
	})
}

// epoll reports a hang-up whether asked for or not, and again at every wait: unless nothing is
// watched at all.
func TestAPausedConnectionWhosePeerResetsDoesNotSpinTheLoop(t *testing.T) {
	underBothAtOnce(t, func(t *testing.T, o mgr.Options) {
		r := record(nil)
		h, conns := accepted(r.handle)
		l := start(t, o, h)
		peer := l.dial()
		c := take(t, conns)
		l.on(c.Pause)
		reset(peer)
		l.wantQuiet()
		l.on(func() {
			if c.IsClosed() {
				t.Error("a paused connection noticed the reset")
			}
			c.Resume()
		})
		r.want(t, conn.Reset, "Open Accept Resumed Error Close")
	})
}

func TestAHalfClosedConnectionThatIsKeptOpenDoesNotSpinTheLoop(t *testing.T) {
	underBothAtOnce(t, func(t *testing.T, o mgr.Options) {
		r := record(func(c *conn.Conn, ev conn.Event) {
			switch ev.(type) {
			case *conn.Open:
				c.SetHalfOpen(true)
			case *conn.Wakeup:
				c.WriteString("good night")
				c.Drain()
			}
		})
		h, conns := accepted(r.handle)
		l := start(t, o, h)
		peer := l.dial()
		c := take(t, conns)
		peer.(*net.TCPConn).CloseWrite()
		l.until("EOF", c.Layer().PeerDone)
		l.wantQuiet()
		l.Wakeup(c.ID(), nil)
		wantRead(t, peer, "good night")
		wantEOF(t, peer)
		r.want(t, conn.PeerClosed, "Open Accept EOF Wakeup Write Close")
	})
}

func TestOneFastSenderDoesNotStarveTheOthers(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		l := start(t, o, func(c *conn.Conn, ev conn.Event) {
			if ev, ok := ev.(*conn.Read); ok {
				if ev.N == 1 {
					c.Write(c.Recv.Bytes())
				}
				c.Recv.Discard(c.Recv.Len())
			}
		})
		fast, slow := l.dial(), l.dial()
		quit := make(chan struct{})
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			piece := make([]byte, 1<<20)
			for {
				select {
				case <-quit:
					return
				default:
					fast.Write(piece)
				}
			}
		}()
		for range 200 {
			fmt.Fprint(slow, "x")
			wantRead(t, slow, "x")
		}
		close(quit)
		<-gone
	})
}

// A signal interrupts the wait of the poller, reads and writes: EINTR.
func TestSignalsAreHarmless(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		got := make(chan os.Signal, 1)
		signal.Notify(got, syscall.SIGWINCH)
		defer signal.Stop(got)
		l := start(t, o, echo)
		c := l.dial()
		quit := make(chan struct{})
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			for {
				select {
				case <-quit:
					return
				default:
					for range 10 {
						syscall.Kill(os.Getpid(), syscall.SIGWINCH)
						syscall.Kill(os.Getpid(), syscall.SIGURG)
					}
					time.Sleep(50 * time.Microsecond) // or a single processor does nothing else
				}
			}
		}()
		text := strings.Repeat("0123456789", 1<<18)
		go io.WriteString(c, text)
		b := make([]byte, len(text))
		if _, err := io.ReadFull(c, b); err != nil || string(b) != text {
			t.Errorf("the echo of %d bytes failed: %v", len(text), err)
		}
		for range 300 {
			fmt.Fprint(c, "x")
			wantRead(t, c, "x")
		}
		close(quit)
		<-gone
		select {
		case err := <-l.ran:
			t.Errorf("Run ended: %v", err)
			l.ran <- nil
		default:
		}
	})
}
