package mgr_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/internal/sidebyside"
	"github.com/seed4930a636/mangusta/mgr"
)

// underBoth runs a test with each poller of this system. The managers log nothing: the stacks of handlers that
// panic would hide which test failed.
func underBoth(t *testing.T, f func(t *testing.T, o mgr.Options)) {
	for _, p := range []mgr.Poller{mgr.Epoll, mgr.Select} {
		t.Run(p.String(), func(t *testing.T) { f(t, mgr.Options{Poller: p, Log: mgr.Silent}) })
	}
}

// underBothAtOnce is underBoth for tests that wait most of the time: the two run beside each other.
func underBothAtOnce(t *testing.T, f func(t *testing.T, o mgr.Options)) {
	pollers := []mgr.Poller{mgr.Epoll, mgr.Select}
	sidebyside.Run(t, 2, []string{"epoll", "select"}, func(t *testing.T, i int) { f(t, mgr.Options{Poller: pollers[i], Log: mgr.Silent}) })
}

// running is what tests know of a Manager or of Loops that runs until the test ends.
type running struct {
	t     *testing.T
	group interface {
		mgr.Group
		Run(context.Context) error
		Close() error
	}
	addr string // of the last listener
	ran  chan error
}

// listen opens a listener on a free port.
func (r *running) listen(h conn.Handler, lo ...mgr.ListenOptions) *conn.Conn {
	r.t.Helper()
	c, err := r.group.Listen("tcp://127.0.0.1:0", h, lo...)
	if err != nil {
		r.t.Fatal(err)
	}
	r.addr = c.LocalAddr().String()
	return c
}

// run runs it until the test ends.
func (r *running) run() {
	go func() { r.ran <- r.group.Run(context.Background()) }()
	r.t.Cleanup(func() {
		r.group.Close()
		if err := <-r.ran; err != nil {
			r.t.Errorf("Run: %v", err)
		}
	})
}

// loop is a manager that runs in a goroutine of its own.
type loop struct {
	*mgr.Manager
	running
}

// prepare makes a manager whose loop does not run yet: for handlers that need the loop itself.
func prepare(t *testing.T, o mgr.Options) *loop {
	t.Helper()
	m, err := mgr.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return &loop{m, running{t: t, group: m, ran: make(chan error, 1)}}
}

// start opens a listener with h on a free port and runs the loop.
func start(t *testing.T, o mgr.Options, h conn.Handler, lo ...mgr.ListenOptions) *loop {
	t.Helper()
	l := prepare(t, o)
	l.listen(h, lo...)
	l.run()
	return l
}

func (l *loop) dial() net.Conn {
	l.t.Helper()
	c, err := net.Dial("tcp", l.addr)
	if err != nil {
		l.t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(time.Minute))
	l.t.Cleanup(func() { c.Close() })
	return c
}

// on runs f on the loop and waits for it.
func (l *loop) on(f func()) {
	l.t.Helper()
	done := make(chan struct{})
	err := l.Do(func() { defer close(done); f() })
	for ; err == mgr.ErrFull; err = l.Do(func() { defer close(done); f() }) {
		runtime.Gosched() // some tests fill the queue
	}
	if err != nil {
		l.t.Fatal(err)
	}
	<-done
}

func (l *loop) stats() (s mgr.Stats) {
	l.on(func() { s = l.Stats() })
	return s
}

// until polls cond on the loop, which a test uses for what has no event of its own.
func (l *loop) until(what string, cond func() bool) {
	l.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		ok := false
		l.on(func() { ok = cond() })
		if ok {
			return
		}
		if time.Now().After(deadline) {
			l.t.Fatalf("still not: %s", what)
		}
	}
}

func echo(c *conn.Conn, ev conn.Event) {
	if _, ok := ev.(*conn.Read); ok {
		c.Write(c.Recv.Bytes())
		c.Recv.Discard(c.Recv.Len())
	}
}

func wantRead(t *testing.T, c net.Conn, want string) {
	t.Helper()
	b := make([]byte, len(want))
	if _, err := io.ReadFull(c, b); err != nil || string(b) != want {
		t.Fatalf("read %q, %v; want %q", b, err, want)
	}
}

func wantEOF(t *testing.T, c net.Conn) {
	t.Helper()
	if b, err := io.ReadAll(c); err != nil || len(b) > 0 {
		t.Fatalf("read %q, %v; want the end of the stream", b, err)
	}
}

func TestEchoesWhatItReads(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		l := start(t, o, echo)
		c := l.dial()
		fmt.Fprint(c, "one")
		wantRead(t, c, "one")
		big := strings.Repeat("0123456789abcdef", 1<<18)
		go io.WriteString(c, big)
		wantRead(t, c, big)
	})
}

// recorder notes the events of all connections, by their types.
type recorder struct {
	mu    sync.Mutex
	notes []string
	h     conn.Handler
	ended chan conn.Reason
}

func record(h conn.Handler) *recorder { return &recorder{h: h, ended: make(chan conn.Reason, 100)} }

func (r *recorder) handle(c *conn.Conn, ev conn.Event) {
	if c.IsListener() {
		return
	}
	r.mu.Lock()
	note := strings.TrimPrefix(strings.TrimPrefix(fmt.Sprintf("%T", ev), "*"), "conn.")
	if len(r.notes) == 0 || r.notes[len(r.notes)-1] != note {
		r.notes = append(r.notes, note)
	}
	r.mu.Unlock()
	if r.h != nil {
		r.h(c, ev)
	}
	if ev, ok := ev.(*conn.Close); ok {
		r.ended <- ev.Reason
	}
}

func (r *recorder) want(t *testing.T, why conn.Reason, events string) {
	t.Helper()
	if got := <-r.ended; got != why {
		t.Errorf("ended because %v, want %v", got, why)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if got := strings.Join(r.notes, " "); got != events {
		t.Errorf("events %q, want %q", got, events)
	}
}

func TestEventsComeInOrderAndCloseIsLast(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		r := record(echo)
		l := start(t, o, r.handle)
		c := l.dial()
		fmt.Fprint(c, "x")
		wantRead(t, c, "x")
		c.Close()
		r.want(t, conn.PeerClosed, "Open Accept Read Write EOF Close")
	})
}

func TestResetIsAnErrorWithItsErrno(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		got := make(chan error, 1)
		r := record(func(c *conn.Conn, ev conn.Event) {
			if ev, ok := ev.(*conn.Error); ok {
				got <- ev.Err
			}
		})
		l := start(t, o, r.handle)
		c := l.dial()
		l.until("accepted", func() bool { return l.Stats().Accepts == 1 })
		c.(*net.TCPConn).SetLinger(0)
		c.Close()
		r.want(t, conn.Reset, "Open Accept Error Close")
		if err := <-got; !errors.Is(err, unix.ECONNRESET) {
			t.Errorf("error %v, want ECONNRESET", err)
		}
	})
}

// accepted makes a handler that passes each accepted connection on before h gets its events.
func accepted(h conn.Handler) (conn.Handler, chan *conn.Conn) {
	ch := make(chan *conn.Conn, 1000)
	return func(c *conn.Conn, ev conn.Event) {
		if h != nil {
			h(c, ev)
		}
		if _, ok := ev.(*conn.Accept); ok {
			ch <- c
		}
	}, ch
}

// take returns what comes through ch, and fails the test when nothing comes.
func take[T any](t *testing.T, ch <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-ch:
	case <-time.After(time.Minute):
		t.Fatal("nothing came for 20 seconds")
	}
	return v
}

// newManager makes a manager without a running loop.
func newManager(t *testing.T, o mgr.Options) *mgr.Manager {
	t.Helper()
	m, err := mgr.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// smallBuffers keeps the kernel from taking more than some kilobytes off a writer.
var smallBuffers = mgr.ListenOptions{Socket: conn.SocketOptions{SendBuf: 4096}}

// dialSlow is dial with a small receive buffer, for a client that is going to let the server wait.
func (l *loop) dialSlow() net.Conn {
	l.t.Helper()
	d := net.Dialer{Control: func(_, _ string, rc syscall.RawConn) error {
		return rc.Control(func(fd uintptr) { unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 4096) })
	}}
	c, err := d.Dial("tcp", l.addr)
	if err != nil {
		l.t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(time.Minute))
	l.t.Cleanup(func() { c.Close() })
	return c
}

// reset closes c so that the peer sees ECONNRESET.
func reset(c net.Conn) {
	c.(*net.TCPConn).SetLinger(0)
	c.Close()
}

// turnsIn counts the turns that the loop makes in d by itself.
func (l *loop) turnsIn(d time.Duration) uint64 {
	l.t.Helper()
	turns := make(chan uint64, 1)
	l.on(func() {
		before := l.Stats().Turns
		l.AfterFunc(d, func() { turns <- l.Stats().Turns - before })
	})
	return take(l.t, turns)
}

func (l *loop) wantQuiet() {
	l.t.Helper()
	if n := l.turnsIn(200 * time.Millisecond); n > 10 {
		l.t.Errorf("the loop spins: %d turns in 200 ms with nothing to do", n)
	}
}
