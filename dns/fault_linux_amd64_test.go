//go:build !race

package dns_test

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/dns"
	"github.com/seed4930a636/mangusta/internal/exhaustive"
	"github.com/seed4930a636/mangusta/internal/stracetest"
	"github.com/seed4930a636/mangusta/mgr"
)

// DESIGN, invariant 13: each system call that names and datagrams make fails once, with errnos of
// its man page. Each step still has its effect, or an error is told; the loop does not spin, no
// descriptor is left, and the next try must do. mgr's TestFaults does the same in a simulation.
// (Race builds move datagrams by other calls.)

var faultErrnos = map[string][]unix.Errno{
	"socket": {unix.EACCES, unix.EAFNOSUPPORT, unix.EINVAL, unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM, unix.EPROTONOSUPPORT},
	"connect": {unix.EACCES, unix.EPERM, unix.EADDRINUSE, unix.EADDRNOTAVAIL, unix.EAFNOSUPPORT, unix.EAGAIN, unix.EBADF,
		unix.ECONNREFUSED, unix.EFAULT, unix.EISCONN, unix.ENETUNREACH, unix.ENOTSOCK, unix.EPROTOTYPE, unix.ETIMEDOUT},
	"bind": {unix.EACCES, unix.EADDRINUSE, unix.EBADF, unix.EINVAL, unix.ENOTSOCK, unix.EADDRNOTAVAIL, unix.EFAULT, unix.ENOMEM},
	"setsockopt": {unix.EBADF, unix.EFAULT, unix.EINVAL, unix.ENOPROTOOPT, unix.ENOTSOCK, unix.EDOM, unix.ENOBUFS, unix.ENOMEM,
		unix.EPERM, unix.ENODEV, unix.EADDRNOTAVAIL},
	"getsockopt":  {unix.EBADF, unix.EFAULT, unix.EINVAL, unix.ENOPROTOOPT, unix.ENOTSOCK},
	"getsockname": {unix.EBADF, unix.EFAULT, unix.EINVAL, unix.ENOBUFS, unix.ENOTSOCK},
	"getpeername": {unix.EBADF, unix.EFAULT, unix.EINVAL, unix.ENOBUFS, unix.ENOTSOCK, unix.ENOTCONN},
	"recvmmsg": {unix.EAGAIN, unix.EINTR, unix.EBADF, unix.ECONNREFUSED, unix.EFAULT, unix.EINVAL, unix.ENOMEM, unix.ENOTCONN,
		unix.ENOTSOCK, unix.ENETDOWN},
	"sendmmsg": {unix.EAGAIN, unix.EINTR, unix.EACCES, unix.EBADF, unix.ECONNREFUSED, unix.ECONNRESET, unix.EDESTADDRREQ, unix.EFAULT,
		unix.EINVAL, unix.EMSGSIZE, unix.ENOBUFS, unix.ENOMEM, unix.ENOTCONN, unix.ENOTSOCK, unix.EPERM, unix.EPIPE, unix.ENETUNREACH},
	"recvmsg": {unix.EAGAIN, unix.EINTR, unix.EBADF, unix.EFAULT, unix.EINVAL, unix.ENOMEM, unix.ENOTSOCK},
	"write": {unix.EAGAIN, unix.EINTR, unix.EBADF, unix.ECONNREFUSED, unix.EDESTADDRREQ, unix.EFAULT, unix.EINVAL, unix.EIO, unix.ENOBUFS,
		unix.ENOMEM, unix.EPERM, unix.EPIPE, unix.ENETUNREACH},
	"read":      {unix.EAGAIN, unix.EINTR, unix.EBADF, unix.ECONNREFUSED, unix.EFAULT, unix.EINVAL, unix.EIO, unix.EHOSTUNREACH},
	"epoll_ctl": {unix.EEXIST, unix.EINVAL, unix.ENOMEM, unix.ENOSPC, unix.EPERM},
}

var faultCalls = []uintptr{unix.SYS_SOCKET, unix.SYS_CONNECT, unix.SYS_BIND, unix.SYS_SETSOCKOPT, unix.SYS_GETSOCKOPT, unix.SYS_GETSOCKNAME,
	unix.SYS_GETPEERNAME, unix.SYS_RECVMMSG, unix.SYS_SENDMMSG, unix.SYS_RECVMSG, unix.SYS_WRITE, unix.SYS_READ, unix.SYS_EPOLL_CTL}

var faultSteps = []string{"datagrams", "groups", "nobody there", "a name", "datagrams to a name"}

// TestHelperFaults is the program of TestEachCallOfNamesAndDatagramsFailsOnce. It takes each step
// twice: a fault hits one of the two.
func TestHelperFaults(t *testing.T) {
	if m, err := mgr.New(mgr.Options{}); err == nil { // the first one reads files, which is not what is to fail
		m.Close()
	}
	stracetest.Report(t, faultCalls, func() any {
		var said []string
		for _, name := range faultSteps {
			for range 2 {
				before := fdsOpen(t)
				err := faultStep(name)
				if n := fdsOpen(t); n != before {
					err = errors.Join(err, fmt.Errorf("LEAK: %d descriptors, %d before", n, before))
				}
				text := ""
				if err != nil {
					text = err.Error()
				}
				said = append(said, text)
			}
		}
		return said
	})
}

func fdsOpen(t *testing.T) int {
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// faultWorld is a loop, what has been done on it, and what it has told.
type faultWorld struct {
	m    *mgr.Manager
	told []error
	done bool
}

func (w *faultWorld) tell(format string, args ...any) {
	w.told = append(w.told, fmt.Errorf(format, args...))
}

// Warn and Error implement mgr.Logger.
func (w *faultWorld) Warn(msg string, args ...any)  { w.tell("log: %s %v", msg, args) }
func (w *faultWorld) Error(msg string, args ...any) { w.tell("log: %s %v", msg, args) }

// events notes what is told of connections that are of no other interest.
func (w *faultWorld) events(c *conn.Conn, ev conn.Event) {
	switch ev := ev.(type) {
	case *conn.Error:
		w.tell("Error: %w", ev.Err)
	case *conn.Undelivered:
		w.tell("Undelivered: %w", ev.Err)
	}
}

// turn turns the loop until the step is done or something was told; and then a while longer, for a
// step that goes on in spite of it.
func (w *faultWorld) turn() error {
	turns := 0
	for end, n := time.Now().Add(3*time.Second), 0; !w.done && time.Now().Before(end) && n < 20; turns++ {
		if err := w.m.Poll(50 * time.Millisecond); err != nil {
			w.tell("Poll: %w", err)
		}
		if len(w.told) > 0 {
			n++
		}
		if turns > 1000 {
			return errors.Join(append(w.told, errors.New("SPIN"))...)
		}
	}
	if s := w.m.Stats(); s.DatagramsDropped+s.PollErrors+s.AcceptErrors+s.BellMisses > 0 {
		w.tell("Stats: %+v", s)
	}
	if w.done {
		return nil
	}
	if len(w.told) == 0 {
		return errors.New("SILENCE")
	}
	return errors.Join(w.told...)
}

func faultStep(name string) error {
	w := &faultWorld{}
	m, err := mgr.New(mgr.Options{Poller: mgr.Epoll, Log: w, Resolver: mgr.ResolverFunc(func(m *mgr.Manager, name string, found func(mgr.Resolved)) func() {
		return w.resolve(m, name, found)
	})})
	if err != nil {
		return err
	}
	w.m = m
	defer m.Close()
	echo := func(c *conn.Conn, ev conn.Event) {
		w.events(c, ev)
		if ev, ok := ev.(*conn.Datagram); ok {
			if err := ev.Reply(ev.Data); err != nil {
				w.tell("Reply: %w", err)
			}
		}
	}
	server, err := m.Listen("udp://127.0.0.1:0", echo)
	if err != nil {
		return err
	}
	port := server.LocalAddr().Port()
	if port == 0 {
		return errors.New("NOADDRESS") // LocalAddr returns no error
	}
	talk := func(url string) error {
		_, err := m.Connect(url, func(c *conn.Conn, ev conn.Event) {
			w.events(c, ev)
			switch ev := ev.(type) {
			case *conn.Connect:
				for i := range 5 {
					if _, err := fmt.Fprintf(c, "hello %d", i); err != nil {
						w.tell("Write: %w", err)
					}
				}
			case *conn.Datagram:
				w.done = w.done || string(ev.Data) == "hello 4"
			}
		})
		return err
	}
	switch name {
	case "datagrams":
		err = talk(fmt.Sprintf("udp://127.0.0.1:%d", port))
	case "datagrams to a name":
		err = talk(fmt.Sprintf("udp://echo.test:%d", port))
	case "nobody there":
		_, err = m.Connect("udp://127.0.0.1:1", func(c *conn.Conn, ev conn.Event) {
			switch ev := ev.(type) {
			case *conn.Connect:
				if _, err := c.WriteString("hello"); err != nil {
					w.tell("Write: %w", err)
				}
			case *conn.Error:
				w.tell("Error: %w", ev.Err)
			case *conn.Undelivered:
				if errors.Is(ev.Err, unix.ECONNREFUSED) {
					w.done = true
				} else {
					w.events(c, ev)
				}
			}
		})
	case "groups":
		k, group := server.Kernel(), netip.MustParseAddr("224.0.0.251")
		for _, f := range []func() error{
			func() error { return k.JoinGroup(group, 1) }, func() error { return k.SetMulticastInterface(1) },
			func() error { return k.SetMulticastTTL(1) }, func() error { return k.SetMulticastLoop(true) }, func() error { return k.SetTTL(9) },
			func() error { return k.SetBroadcast(true) }, func() error { return k.LeaveGroup(group, 1) },
		} {
			err = errors.Join(err, f())
		}
		w.done = err == nil
	case "a name":
		l, bad := m.Listen("tcp://127.0.0.1:0", w.events)
		if bad != nil {
			return bad
		}
		if l.LocalAddr().Port() == 0 {
			return errors.New("NOADDRESS")
		}
		_, err = m.Connect(fmt.Sprintf("tcp://box.test:%d", l.LocalAddr().Port()), func(c *conn.Conn, ev conn.Event) {
			w.events(c, ev)
			if _, ok := ev.(*conn.Connect); ok {
				w.done = true
			}
		})
	}
	if err != nil {
		return err
	}
	return w.turn()
}

// resolve asks a name server that is on the same loop.
func (w *faultWorld) resolve(m *mgr.Manager, name string, found func(mgr.Resolved)) func() {
	table := zone(map[string][]string{"box.test.": {"127.0.0.2", "127.0.0.1"}, "echo.test.": {"127.0.0.1"}})
	server, err := m.Listen("udp://127.0.0.1:0", func(c *conn.Conn, ev conn.Event) {
		w.events(c, ev)
		if ev, ok := ev.(*conn.Datagram); ok {
			q, err := readQuery(ev.Data)
			if err != nil {
				w.tell("query: %w", err)
				return
			}
			for _, msg := range table(q) {
				if err := ev.Reply(msg); err != nil {
					w.tell("Reply: %w", err)
				}
			}
		}
	})
	if err != nil {
		found(mgr.Resolved{Err: err})
		return nil
	}
	at := server.LocalAddr()
	if at.Port() == 0 {
		found(mgr.Resolved{Err: errors.New("NOADDRESS")})
		return nil
	}
	r := dns.New(dns.Options{Servers: []netip.AddrPort{at}, Hosts: "/nonexistent", Timeout: 100 * time.Millisecond, Attempts: 3})
	return r.Resolve(m, name, found)
}

func TestEachCallOfNamesAndDatagramsFailsOnce(t *testing.T) {
	t.Parallel()
	var calls []string
	for name := range faultErrnos {
		calls = append(calls, name)
	}
	var said []string
	made, _ := stracetest.Run(t, "TestHelperFaults", calls, stracetest.Fault{}, &said)
	for i, text := range said {
		if text != "" {
			t.Fatalf("without a fault: %s: %s", faultSteps[i/2], text)
		}
	}
	runs, missed := 0, 0
	for call, errnos := range faultErrnos {
		if made[call] <= 0 {
			t.Errorf("%s is never called", call)
		}
		for nth := 1; nth <= made[call]; nth++ {
			for i, errno := range errnos {
				if i != nth%len(errnos) || !exhaustive.On() && nth != 1+len(call)%4 {
					continue // one errno for each place; or, in the short form, for one place
				}
				runs++
				f := stracetest.Fault{Call: call, Nth: nth, Errno: errno}
				var said []string
				if _, hit := stracetest.Run(t, "TestHelperFaults", calls, f, &said); !hit {
					missed++ // when a datagram comes a moment later, there are fewer calls
				}
				told := 0
				for i, text := range said {
					if text != "" {
						told++
					}
					if strings.Contains(text, "LEAK") && errno == unix.EBADF {
						continue // it is somebody else's to close
					}
					if strings.Contains(text, "LEAK") || strings.Contains(text, "SPIN") || strings.Contains(text, "SILENCE") {
						t.Errorf("%v: %s: %s", f, faultSteps[i/2], text)
					}
				}
				if told > 1 {
					t.Errorf("%v: one fault, and %d steps have failed: %q", f, told, said)
				}
			}
		}
	}
	if missed > 1+runs/20 {
		t.Errorf("of %d faults %d were not reached", runs, missed)
	}
	t.Logf("%d runs with one fault each; calls: %v", runs, made)
}
