package mgr_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// errorsOf makes a handler that passes on the Error events of listeners; h gets the events of
// connections.
func errorsOf(h conn.Handler) (conn.Handler, chan *conn.Error) {
	ch := make(chan *conn.Error, 100)
	return func(c *conn.Conn, ev conn.Event) {
		if !c.IsListener() {
			if h != nil {
				h(c, ev)
			}
			return
		}
		if ev, ok := ev.(*conn.Error); ok {
			cp := *ev
			ch <- &cp
		}
	}, ch
}

// wantGone reads to the end or the reset of the stream and returns what came before.
func wantGone(t *testing.T, c net.Conn) string {
	t.Helper()
	b, err := io.ReadAll(c)
	if err != nil && !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("read %q, %v; want the connection to end", b, err)
	}
	return string(b)
}

func wantErrors(t *testing.T, l *loop, errs chan *conn.Error, n int, why conn.Reason) *conn.Error {
	t.Helper()
	l.on(func() {})
	if len(errs) != n {
		t.Errorf("%d Error events, want %d", len(errs), n)
		return nil
	}
	var last *conn.Error
	for range n {
		if last = <-errs; last.Reason != why {
			t.Errorf("Error event %v (%v), want %v", last.Reason, last.Err, why)
		}
	}
	return last
}

func TestOverMaxConnsPeersAreToldAndAcceptingResumes(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		o.MaxConns = 2
		h, errs := errorsOf(echo)
		h, conns := accepted(h)
		l := start(t, o, h, mgr.ListenOptions{Refusal: []byte("full, come back later")})
		for round := range uint64(2) {
			a, b := l.dial(), l.dial()
			take(t, conns)
			take(t, conns)
			for range 3 {
				if got := wantGone(t, l.dial()); got != "full, come back later" {
					t.Errorf("a peer over MaxConns was sent %q", got)
				}
			}
			l.until("refused peers gone", func() bool { return l.Stats().Refused == 3*(round+1) })
			e := wantErrors(t, l, errs, 1, conn.Refused)
			if e != nil && e.Err.Error() != "mgr: MaxConns connections are open" {
				t.Errorf("error %q", e.Err)
			}
			fmt.Fprint(a, "x")
			wantRead(t, a, "x")
			a.Close()
			b.Close()
			l.until("the two are gone", func() bool { return l.Stats().Conns == 0 })
		}
		if s := l.stats(); s.Accepts != 4 || s.Refused != 6 {
			t.Errorf("Stats: %d Accepts, %d Refused; want 4, 6", s.Accepts, s.Refused)
		}
	})
}

func TestOverMaxConnsWithoutARefusalPeersAreClosed(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		o.MaxConns = 1
		h, conns := accepted(nil)
		l := start(t, o, h)
		l.dial()
		take(t, conns)
		if got := wantGone(t, l.dial()); got != "" {
			t.Errorf("a peer over MaxConns was sent %q", got)
		}
	})
}

func TestRefusedPeersAreNoConnections(t *testing.T) {
	o := mgr.Options{MaxConns: 1}
	h, conns := accepted(nil)
	l := start(t, o, h, mgr.ListenOptions{Refusal: []byte("full")})
	l.dial()
	take(t, conns)
	wantRead(t, l.dial(), "full") // and it stays: the server lingers
	n := 0
	l.Broadcast(func(*conn.Conn) { n++ })
	if s := l.stats(); s.Conns != 1 || n != 1 || s.Accepts != 1 {
		t.Errorf("Stats: %d Conns, %d Accepts; Broadcast ran for %d; want 1 each", s.Conns, s.Accepts, n)
	}
}

func TestRefusedPeersDoNotKeepTheManagerFromEnding(t *testing.T) {
	for name, end := range map[string]func(*loop) error{
		"Close":    func(l *loop) error { return l.Close() },
		"Shutdown": func(l *loop) error { return l.Shutdown(context.Background()) },
	} {
		t.Run(name, func(t *testing.T) {
			underBothAtOnce(t, func(t *testing.T, o mgr.Options) {
				o.MaxConns = 1
				h, conns := accepted(nil)
				l := start(t, o, h, mgr.ListenOptions{Refusal: []byte("full")})
				l.dial()
				take(t, conns)
				wantRead(t, l.dial(), "full")
				ended := make(chan error, 1)
				go func() { ended <- end(l) }()
				if err := take(t, ended); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestSetupComesBeforeOpenAndPollIsInherited(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		setUp := false
		seen := make(chan string, 100)
		l := prepare(t, o)
		lc := l.listen(func(c *conn.Conn, ev conn.Event) {
			switch ev.(type) {
			case *conn.Open:
				if !c.IsListener() {
					seen <- fmt.Sprint("Open ", setUp)
				}
			case *conn.Poll:
				if !c.IsListener() {
					c.SetPoll(false)
					seen <- "Poll"
				}
			}
		}, mgr.ListenOptions{Setup: func(*conn.Conn) { setUp = true }})
		lc.SetPoll(true)
		l.run()
		l.dial()
		for _, want := range []string{"Open true", "Poll"} {
			if got := take(t, seen); got != want {
				t.Errorf("%q, want %q", got, want)
			}
		}
	})
}

// starve takes all descriptors away: no new one can be opened until the returned function is
// called. The sockets that it makes before can still connect.
func starve(t *testing.T, sockets int) (fds []int, feed func()) {
	t.Helper()
	for range sockets {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		fds = append(fds, fd)
	}
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	free, err := unix.Dup(fds[0])
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(free)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(free), Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	fed := false
	feed = func() {
		if !fed {
			fed = true
			unix.Setrlimit(unix.RLIMIT_NOFILE, &old)
		}
	}
	t.Cleanup(func() {
		feed()
		for _, fd := range fds {
			unix.Close(fd)
		}
	})
	return fds, feed
}

// connectTo connects a blocking socket; the kernel does that without the program's accept.
func connectTo(t *testing.T, fd int, lc *conn.Conn) {
	t.Helper()
	sa := &unix.SockaddrInet4{Port: int(conn.LocalAddr(lc.FD()).Port()), Addr: [4]byte{127, 0, 0, 1}}
	if err := unix.Connect(fd, sa); err != nil {
		t.Fatal(err)
	}
	unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 20})
}

// ended waits until the peer of fd has closed.
func ended(t *testing.T, fd int) {
	t.Helper()
	for {
		n, err := unix.Read(fd, make([]byte, 100))
		if err == unix.EINTR {
			continue
		}
		if n > 0 || err != nil && err != unix.ECONNRESET {
			t.Fatalf("read %d, %v; want the connection to be closed", n, err)
		}
		return
	}
}

func TestAStarvedListenerClosesWhoWaitsRestsAndRecovers(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		h, errs := errorsOf(echo)
		l := prepare(t, o)
		lc := l.listen(h)
		const peers = 4
		fds, feed := starve(t, peers)
		for _, fd := range fds {
			connectTo(t, fd, lc)
		}
		begin := time.Now()
		l.run()
		for _, fd := range fds {
			ended(t, fd)
		}
		took := time.Since(begin)
		if took < (peers-1)*100*time.Millisecond {
			t.Errorf("%d peers were turned away in %v: the listener does not rest in between", peers, took)
		}
		s := l.stats()
		if s.Exhausted != peers || s.Accepts != 0 {
			t.Errorf("Stats: %d Exhausted, %d Accepts; want %d, 0", s.Exhausted, s.Accepts, peers)
		}
		if s.Turns > 10*peers {
			t.Errorf("%d turns for %d peers", s.Turns, peers)
		}
		if e := wantErrors(t, l, errs, 1, conn.IOError); e != nil && !errors.Is(e.Err, unix.EMFILE) {
			t.Errorf("error %v, want EMFILE", e.Err)
		}
		l.wantQuiet()
		feed()
		c := l.dial()
		fmt.Fprint(c, "x")
		wantRead(t, c, "x")
		if s := l.stats(); s.Exhausted != peers || s.Accepts != 1 {
			t.Errorf("Stats afterwards: %d Exhausted, %d Accepts; want %d, 1", s.Exhausted, s.Accepts, peers)
		}
	})
}

// When even the reserved descriptor is gone the peer can only be left to wait, but not with a
// spinning loop.
func TestAStarvedListenerWithoutAReserveDoesNotSpinAndRecovers(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		h, errs := errorsOf(echo)
		l := prepare(t, o)
		lc := l.listen(h)
		fds, feed := starve(t, 1)
		var old unix.Rlimit
		unix.Getrlimit(unix.RLIMIT_NOFILE, &old)
		unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: old.Max})
		connectTo(t, fds[0], lc)
		l.run()
		if e := take(t, errs); !errors.Is(e.Err, unix.EMFILE) {
			t.Errorf("error %v, want EMFILE", e.Err)
		}
		if n := l.turnsIn(500 * time.Millisecond); n > 30 {
			t.Errorf("%d turns in half a second of starvation", n)
		}
		feed()
		unix.Write(fds[0], []byte("x"))
		var b [1]byte
		if n, err := unix.Read(fds[0], b[:]); n != 1 || err != nil || b[0] != 'x' {
			t.Errorf("the peer that waited read %d %q, %v", n, b, err)
		}
		if len(errs) != 0 {
			t.Errorf("%d more Error events", len(errs))
		}
		// And the reserve is there again for the next time.
		more, _ := starve(t, 1)
		connectTo(t, more[0], lc)
		ended(t, more[0])
	})
}

// fillTo opens descriptors until the next one would be limit, and closes them when the test ends or
// the returned function is called.
func fillTo(t *testing.T, limit int) (release func()) {
	t.Helper()
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		t.Fatal(err)
	}
	if r.Cur < uint64(limit+100) {
		raised := unix.Rlimit{Cur: uint64(limit + 100), Max: r.Max}
		if unix.Setrlimit(unix.RLIMIT_NOFILE, &raised) != nil {
			t.Skipf("the limit of %d descriptors cannot be raised", r.Cur)
		}
		t.Cleanup(func() { unix.Setrlimit(unix.RLIMIT_NOFILE, &r) })
	}
	null, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { null.Close() })
	var fds []int
	release = func() {
		for _, fd := range fds {
			unix.Close(fd)
		}
		fds = nil
	}
	t.Cleanup(release)
	for {
		fd, err := unix.FcntlInt(null.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		if fds = append(fds, fd); fd >= limit-1 {
			break
		}
	}
	return release
}

func TestSelectRefusesLargeDescriptorsOnEveryPath(t *testing.T) {
	h, errs := errorsOf(echo)
	l := prepare(t, mgr.Options{Poller: mgr.Select})
	lc := l.listen(h)
	release := fillTo(t, unix.FD_SETSIZE+1)

	if _, err := mgr.New(mgr.Options{Poller: mgr.Select}); err == nil ||
		!strings.Contains(err.Error(), "is not below FD_SETSIZE (1024)") || strings.Count(err.Error(), "mgr:") != 1 {
		t.Errorf("New: %v", err)
	}
	_, err := l.Listen("tcp://127.0.0.1:0", nil)
	if err == nil || !strings.HasPrefix(err.Error(), "mgr: select: descriptor 10") ||
		!strings.HasSuffix(err.Error(), " is over its limit of 1023") {
		t.Errorf("Listen: %v", err)
	}
	a, b := socketpair(t)
	_, err = l.Wrap(a, nil)
	if want := fmt.Sprintf("mgr: select: descriptor %d is over its limit of 1023", a); err == nil || err.Error() != want {
		t.Errorf("Wrap: %v, want %s", err, want)
	}
	if unix.Close(a) != nil || unix.Close(b) != nil {
		t.Error("Wrap closed a descriptor that it refused")
	}

	var clients []net.Conn
	for range 5 {
		c, err := net.Dial("tcp", l.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		clients = append(clients, c)
	}
	begin := time.Now()
	l.run()
	for _, c := range clients {
		wantGone(t, c)
	}
	if took := time.Since(begin); took < 400*time.Millisecond {
		t.Errorf("5 peers were turned away in %v: the listener does not rest in between", took)
	}
	e := wantErrors(t, l, errs, 1, conn.IOError)
	if e != nil && !strings.HasSuffix(e.Err.Error(), " is over its limit of 1023") {
		t.Errorf("error %v", e.Err)
	}
	var ended bool
	l.on(func() { ended = lc.IsClosed() })
	if s := l.stats(); s.Exhausted != 5 || ended {
		t.Errorf("Stats.Exhausted %d, want 5; listener closed %v", s.Exhausted, ended)
	}
	release()
	c := l.dial()
	fmt.Fprint(c, "x")
	wantRead(t, c, "x")
}

func TestManyPeersThatWaitAreAcceptedOverSeveralTurns(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		l := prepare(t, o)
		h, conns := accepted(echo)
		l.listen(h)
		var clients []net.Conn
		for range 200 {
			clients = append(clients, l.dial())
		}
		for l.Stats().Accepts == 0 { // the first turn only begins to watch the listener
			if err := l.Poll(time.Second); err != nil {
				t.Fatal(err)
			}
		}
		if n := l.Stats().Accepts; n == 0 || n > 64 {
			t.Errorf("%d peers were accepted in one turn, want 64 at most", n)
		}
		l.run()
		for range 200 {
			take(t, conns)
		}
		for _, c := range clients {
			fmt.Fprint(c, "x")
			wantRead(t, c, "x")
		}
	})
}

func TestAPausedListenerLeavesPeersWaiting(t *testing.T) {
	underBothAtOnce(t, func(t *testing.T, o mgr.Options) {
		h, conns := accepted(echo)
		l := prepare(t, o)
		lc := l.listen(h)
		l.run()
		l.on(lc.Pause)
		c := l.dial()
		l.wantQuiet()
		if n := l.stats().Accepts; n != 0 {
			t.Errorf("%d peers were accepted by a paused listener", n)
		}
		l.on(lc.Resume)
		take(t, conns)
		fmt.Fprint(c, "x")
		wantRead(t, c, "x")
	})
}

func TestAClosedListenerIsGoneAndItsConnectionsLive(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		closed := make(chan conn.Reason, 10)
		var conns chan *conn.Conn
		l := prepare(t, o)
		h, conns := accepted(func(c *conn.Conn, ev conn.Event) {
			echo(c, ev)
			if ev, ok := ev.(*conn.Close); ok && c.IsListener() {
				closed <- ev.Reason
			}
		})
		lc := l.listen(h)
		l.run()
		c := l.dial()
		take(t, conns)
		l.on(lc.Close)
		if r := take(t, closed); r != conn.Local {
			t.Errorf("closed because %v", r)
		}
		l.on(func() {}) // the descriptor is closed after the event
		if c, err := net.Dial("tcp", l.addr); err == nil {
			c.Close()
			t.Error("the port still takes connections")
		}
		fmt.Fprint(c, "x")
		wantRead(t, c, "x")
		if s := l.stats(); s.Listeners != 0 || s.Conns != 1 {
			t.Errorf("Stats: %d Listeners, %d Conns; want 0, 1", s.Listeners, s.Conns)
		}
	})
}
