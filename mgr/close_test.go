package mgr_test

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// eventName is the type of ev without its package.
func eventName(ev conn.Event) string {
	return strings.TrimPrefix(strings.TrimPrefix(fmt.Sprintf("%T", ev), "*"), "conn.")
}

// triggers make a connection get each event. peer is its other end; all but Shutdown leave the rest
// of the loop as it is.
var triggers = map[string]func(l *loop, c *conn.Conn, peer net.Conn){
	"Open":     nil, // by dialling
	"Accept":   nil,
	"Read":     func(_ *loop, _ *conn.Conn, peer net.Conn) { fmt.Fprint(peer, "x") },
	"Write":    func(l *loop, c *conn.Conn, _ net.Conn) { l.Do(func() { c.WriteString("x") }) },
	"EOF":      func(_ *loop, _ *conn.Conn, peer net.Conn) { peer.(*net.TCPConn).CloseWrite() },
	"Deadline": func(l *loop, c *conn.Conn, _ net.Conn) { l.Do(func() { c.Layer().SetDeadline(1) }) },
	"Poll":     func(l *loop, c *conn.Conn, _ net.Conn) { l.Do(func() { c.SetPoll(true) }) },
	"Wakeup":   func(l *loop, c *conn.Conn, _ net.Conn) { l.Wakeup(c.ID(), nil) },
	"Error":    func(_ *loop, _ *conn.Conn, peer net.Conn) { reset(peer) },
	"Close":    func(l *loop, c *conn.Conn, _ net.Conn) { l.Do(c.Close) },
	"Drained": func(l *loop, c *conn.Conn, peer net.Conn) {
		l.Do(func() { c.Write(make([]byte, 1<<20)) })
		go io.Copy(io.Discard, peer)
	},
	"Shutdown": func(l *loop, c *conn.Conn, _ net.Conn) {
		l.Do(func() { c.Driver().Fire(&conn.Shutdown{}) }) // Manager.Shutdown would end the others too
	},
}

// lifeRules notes every event of every connection and fails the test for one that is out of place.
type lifeRules struct {
	t      *testing.T
	closed map[uint64]bool
	failed map[uint64]bool
	fds    map[int]uint64 // who has the descriptor now
}

func (r *lifeRules) see(c *conn.Conn, ev conn.Event) {
	id := c.ID()
	if r.closed[id] {
		r.t.Errorf("connection %d gets %s after Close", id, eventName(ev))
	}
	switch ev.(type) {
	case *conn.Open:
		if owner, taken := r.fds[c.FD()]; taken {
			r.t.Errorf("connection %d got descriptor %d, which %d has still", id, c.FD(), owner)
		}
		r.fds[c.FD()] = id
	case *conn.Error:
		if r.failed[id] {
			r.t.Errorf("connection %d gets a second Error", id)
		}
		r.failed[id] = true
	case *conn.Close:
		r.closed[id] = true
		delete(r.fds, c.FD())
	}
}

func newRules(t *testing.T) *lifeRules {
	return &lifeRules{t: t, closed: make(map[uint64]bool), failed: make(map[uint64]bool), fds: make(map[int]uint64)}
}

// victims are who is closed inside a callback, relative to the connection that the callback is for.
var victims = map[string]func(self, other *conn.Conn){
	"of itself":  func(self, _ *conn.Conn) { self.Close() },
	"of another": func(_, other *conn.Conn) { other.Close() },
	"of both":    func(self, other *conn.Conn) { self.Close(); other.Close() },
	"twice": func(self, _ *conn.Conn) {
		self.Close()
		self.Close()
		self.Drain()
		self.Layer().Fail(conn.Protocol, io.EOF)
	},
}

func TestCloseInsideEachCallback(t *testing.T) {
	for event, trigger := range triggers {
		for victim, end := range victims {
			t.Run(event+" "+victim, func(t *testing.T) {
				underBothAtOnce(t, func(t *testing.T, o mgr.Options) { closeInside(t, o, event, trigger, end) })
			})
		}
	}
}

func closeInside(t *testing.T, o mgr.Options, event string, trigger func(*loop, *conn.Conn, net.Conn), end func(a, b *conn.Conn)) {
	l := prepare(t, o)
	rules := newRules(t)
	var other *conn.Conn
	fired, ended := make(chan struct{}, 1), make(chan uint64, 10)
	armed := false
	h, conns := accepted(func(c *conn.Conn, ev conn.Event) {
		if c.IsListener() {
			return
		}
		rules.see(c, ev)
		if armed && c != other && eventName(ev) == event {
			armed = false
			end(c, other)
			fired <- struct{}{}
		}
		if _, ok := ev.(*conn.Close); ok {
			ended <- c.ID()
		}
	})
	l.listen(h, smallBuffers)
	l.run()
	l.dial()
	other = take(t, conns)
	if trigger == nil {
		l.on(func() { armed = true })
		l.dial()
	} else {
		peer := l.dial()
		c := take(t, conns)
		l.on(func() { armed = true })
		trigger(l, c, peer)
	}
	take(t, fired)
	take(t, ended) // one of the two at least
	l.on(func() {})
	l.on(func() {}) // another turn: nothing may come after Close
	l.on(func() {
		if s := l.Stats(); s.Conns != len(rules.fds) || s.Panics != 0 {
			t.Errorf("Stats: %d Conns, %d Panics; %d are open", s.Conns, s.Panics, len(rules.fds))
		}
	})
	survivor := l.dial() // and the loop lives
	take(t, conns)
	l.Broadcast(func(c *conn.Conn) { c.WriteString("hello") })
	wantRead(t, survivor, "hello")
}

func TestCloseInsideATimerADoAndABroadcast(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		for name, run := range map[string]func(l *loop, c *conn.Conn){
			"AfterFunc": func(l *loop, c *conn.Conn) { l.Do(func() { l.AfterFunc(0, c.Close) }) },
			"Do":        func(l *loop, c *conn.Conn) { l.Do(c.Close) },
			"Broadcast": func(l *loop, c *conn.Conn) { l.Broadcast((*conn.Conn).Close) },
		} {
			t.Run(name, func(t *testing.T) {
				r := record(nil)
				h, conns := accepted(r.handle)
				l := start(t, o, h)
				peer := l.dial()
				run(l, take(t, conns))
				r.want(t, conn.Local, "Open Accept Close")
				wantEOF(t, peer)
			})
		}
	})
}

// Ten connections are readable in one batch; the first handler that runs closes all the others.
// Their events, which the poller has reported already, must not come any more.
func TestStaleEventsOfTheSameBatchDoNotCome(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		l := prepare(t, o)
		rules := newRules(t)
		reads := 0
		ended := make(chan uint64, 100)
		h, conns := accepted(func(c *conn.Conn, ev conn.Event) {
			if c.IsListener() {
				return
			}
			rules.see(c, ev)
			switch ev.(type) {
			case *conn.Read:
				reads++
				l.Broadcast(func(other *conn.Conn) {
					if other != c {
						other.Close()
					}
				})
			case *conn.Close:
				ended <- c.ID()
			}
		})
		l.listen(h)
		l.run()
		var peers []net.Conn
		var all []*conn.Conn
		for range 10 {
			peers = append(peers, l.dial())
			all = append(all, take(t, conns))
		}
		l.on(func() { // while the loop is busy here, all become readable
			for _, peer := range peers {
				fmt.Fprint(peer, "x")
			}
			for _, c := range all {
				pollIn(t, c.FD())
			}
		})
		for range 9 {
			take(t, ended)
		}
		l.on(func() {
			if reads != 1 || l.Stats().Conns != 1 {
				t.Errorf("%d Read events, %d connections left; want 1, 1", reads, l.Stats().Conns)
			}
		})
	})
}

// pollIn waits until fd is readable.
func pollIn(t *testing.T, fd int) {
	t.Helper()
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 10_000)
		if err == unix.EINTR {
			continue
		}
		if n != 1 || err != nil {
			t.Errorf("poll: %d, %v", n, err)
		}
		return
	}
}

func TestDrainFlushesEverythingToASlowReader(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		const size = 10 << 20
		r := record(func(c *conn.Conn, ev conn.Event) {
			if _, ok := ev.(*conn.Accept); ok {
				c.Write(make([]byte, size))
				c.Drain()
			}
		})
		l := start(t, o, r.handle, mgr.ListenOptions{Socket: conn.SocketOptions{SendBuf: 64 << 10}})
		peer := l.dial()
		if n, err := io.Copy(io.Discard, peer); n != size || err != nil {
			t.Errorf("read %d bytes, %v; want %d", n, err, size)
		}
		r.want(t, conn.Local, "Open Accept Write Drained Close")
	})
}

// Closing a socket whose input has not been read resets the connection, and the reset may destroy
// what the peer has not read yet (RFC 9112 §9.6).
func TestDrainLingerDeliversTheLastBytesAlthoughInputIsOnItsWay(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		const size = 1 << 20
		r := record(func(c *conn.Conn, ev conn.Event) {
			if _, ok := ev.(*conn.Read); ok && c.IsOpen() {
				c.Write(make([]byte, size))
				c.Layer().DrainLinger(10 * time.Second)
			}
		})
		l := start(t, o, r.handle)
		peer := l.dial()
		for range 20 {
			peer.Write(make([]byte, 100_000))
		}
		if n, err := io.Copy(io.Discard, peer); n != size || err != nil {
			t.Errorf("read %d bytes, %v; want %d and the end of the stream", n, err, size)
		}
		peer.Close()
		r.want(t, conn.Local, "Open Accept Read Write Drained Close")
	})
}

func TestDrainLingerCutsAPeerThatDoesNotClose(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		r := record(func(c *conn.Conn, ev conn.Event) {
			if _, ok := ev.(*conn.Accept); ok {
				c.WriteString("bye")
				c.Layer().DrainLinger(100 * time.Millisecond)
			}
		})
		l := start(t, o, r.handle)
		peer := l.dial()
		wantRead(t, peer, "bye")
		wantEOF(t, peer)
		r.want(t, conn.Local, "Open Accept Write Close")
	})
}

func TestCloseWriteEndsOnlyOneDirection(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		got := make(chan string, 1)
		r := record(func(c *conn.Conn, ev conn.Event) {
			switch ev.(type) {
			case *conn.Accept:
				c.WriteString("that was all")
				c.CloseWrite()
			case *conn.EOF:
				got <- string(c.Recv.Bytes())
			}
		})
		l := start(t, o, r.handle)
		peer := l.dial()
		if b, err := io.ReadAll(peer); string(b) != "that was all" || err != nil {
			t.Errorf("read %q, %v", b, err)
		}
		fmt.Fprint(peer, "thank you")
		peer.(*net.TCPConn).CloseWrite()
		if s := take(t, got); s != "thank you" {
			t.Errorf("the server read %q", s)
		}
		r.want(t, conn.PeerClosed, "Open Accept Write Read EOF Close")
	})
}

func TestEndOfInputAnswersThenCloses(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		r := record(func(c *conn.Conn, ev conn.Event) {
			if _, ok := ev.(*conn.EOF); ok {
				c.Write(c.Recv.Bytes())
			}
		})
		l := start(t, o, r.handle)
		peer := l.dial()
		fmt.Fprint(peer, "question")
		peer.(*net.TCPConn).CloseWrite()
		wantRead(t, peer, "question")
		wantEOF(t, peer)
		r.want(t, conn.PeerClosed, "Open Accept Read EOF Write Close")
	})
}

// Descriptors come again, numbers do not: a Wakeup for a connection that is gone cannot reach its
// successor.
func TestNumbersAreNeverUsedAgainThoughDescriptorsAre(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		r := record(nil)
		woken := make(chan string, 10)
		h, conns := accepted(func(c *conn.Conn, ev conn.Event) {
			if ev, ok := ev.(*conn.Wakeup); ok {
				woken <- string(ev.Data)
			}
			r.handle(c, ev)
		})
		l := start(t, o, h)
		fds, ids := map[int]int{}, map[uint64]bool{}
		var last uint64
		for range 50 {
			peer := l.dial()
			c := take(t, conns)
			l.on(func() {
				if ids[c.ID()] || c.ID() <= last {
					t.Errorf("number %d after %d, used before: %v", c.ID(), last, ids[c.ID()])
				}
				if l.Lookup(c.ID()) != c || last != 0 && l.Lookup(last) != nil {
					t.Error("Lookup is wrong")
				}
				l.Wakeup(last, []byte("stale"))
				ids[c.ID()] = true
				fds[c.FD()]++
				last = c.ID()
			})
			l.Wakeup(last, []byte("fresh"))
			if got := take(t, woken); got != "fresh" {
				t.Fatalf("woken up with %q data", got)
			}
			peer.Close()
			take(t, r.ended)
		}
		if len(fds) == 50 {
			t.Error("no descriptor was used again: the test shows nothing")
		}
	})
}

func TestCloseOfTheManagerEndsEachConnectionOnce(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		l := prepare(t, o)
		rules := newRules(t)
		ended := make(chan conn.Reason, 100)
		h, conns := accepted(func(c *conn.Conn, ev conn.Event) {
			rules.see(c, ev)
			if ev, ok := ev.(*conn.Close); ok {
				ended <- ev.Reason
			}
		})
		l.listen(h)
		l.run()
		var peers []net.Conn
		for range 10 {
			peers = append(peers, l.dial())
			take(t, conns)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if len(ended) != 11 {
			t.Errorf("%d Close events, want 10 and the listener's", len(ended))
		}
		for range len(ended) {
			if r := <-ended; r != conn.ShuttingDown {
				t.Errorf("closed because %v", r)
			}
		}
		for _, peer := range peers {
			wantEOF(t, peer)
		}
	})
}

func TestCloseHandlersThatOpenAndSendDoNotKeepTheManagerFromEnding(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		for _, running := range []bool{true, false} {
			l := prepare(t, o)
			calls := 0
			var h conn.Handler
			h = func(c *conn.Conn, ev conn.Event) {
				if _, ok := ev.(*conn.Close); !ok || calls > 100 {
					return
				}
				calls++
				_, listen := l.Listen("tcp://127.0.0.1:0", h)
				for name, err := range map[string]error{"Listen": listen, "Do": l.Do(func() {}), "Wakeup": l.Wakeup(c.ID(), nil)} {
					if err != mgr.ErrClosed {
						t.Errorf("%s in a Close handler of an ending manager: %v", name, err)
					}
				}
				l.Broadcast(func(*conn.Conn) {})
				c.WriteString("too late")
				c.Close()
				l.AfterFunc(0, func() {})
			}
			l.listen(h)
			if running {
				l.run()
			}
			l.dial()
			closed := make(chan error, 1)
			go func() { closed <- l.Close() }()
			if err := take(t, closed); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// Poll is driven by the program here, which stops just when another goroutine calls Close.
func TestCloseDoesNotWaitForAPollThatNeverComes(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		for range 300 {
			m, err := mgr.New(o)
			if err != nil {
				t.Fatal(err)
			}
			stop, gone, closed := make(chan struct{}), make(chan struct{}), make(chan error, 1)
			go func() {
				defer close(gone)
				for {
					select {
					case <-stop:
						return
					default:
						m.Poll(0)
					}
				}
			}()
			go func() { close(stop); closed <- m.Close() }()
			if err := take(t, closed); err != nil {
				t.Error(err)
			}
			<-gone
		}
	})
}

func TestCloseEndsALoopWhoseQueueIsFull(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		o.Queue = 1
		l := prepare(t, o)
		busy, release := make(chan struct{}), make(chan struct{})
		l.run()
		l.Do(func() { close(busy); <-release })
		<-busy
		ran := false
		l.Do(func() { ran = true })
		if err := l.Do(func() {}); err != mgr.ErrFull {
			t.Errorf("Do: %v, want ErrFull", err)
		}
		closed := make(chan error, 1)
		go func() { closed <- l.Close() }()
		close(release)
		if err := take(t, closed); err != nil {
			t.Errorf("Close: %v", err)
		}
		if !ran {
			t.Error("a function that was accepted did not run")
		}
	})
}

func TestTheManagerGivesItsDescriptorsBack(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		opened := func() int {
			n := 0
			for fd := range 1024 {
				if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil {
					n++
				}
			}
			return n
		}
		if ln, err := net.Listen("tcp", "127.0.0.1:0"); err == nil {
			ln.Close() // Go's runtime opens descriptors of its own with the first socket
		}
		before := opened()
		l := prepare(t, o)
		l.listen(echo)
		c := l.dial()
		for l.Stats().Accepts == 0 {
			l.Poll(time.Second)
		}
		l.Close()
		c.Close()
		if after := opened(); after != before {
			t.Errorf("%d descriptors were open, now %d", before, after)
		}
	})
}
