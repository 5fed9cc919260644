package handoff_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/handoff"
	"github.com/seed4930a636/mangusta/mgr"
)

// version is a program of these tests, in this process: it says its name to each client that
// connects, or sends a datagram.
type version struct {
	t     *testing.T
	name  string
	up    *handoff.Process
	loops *mgr.Loops
	ended chan error
}

// begin begins a version with n loops, and has it listen. Ready comes next.
func begin(t *testing.T, name string, o handoff.Options, p mgr.Poller, n int, urls ...string) *version {
	t.Helper()
	up, err := handoff.Begin(o)
	if err != nil {
		t.Fatal(err)
	}
	v := &version{t: t, name: name, up: up, ended: make(chan error, 1)}
	if v.loops, err = mgr.NewLoops(n, mgr.Options{Poller: p, Inherit: up}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { up.Close(); v.loops.Close() })
	for _, url := range urls {
		_, err := v.loops.Listen(url, func(c *conn.Conn, ev conn.Event) {
			switch ev := ev.(type) {
			case *conn.Accept:
				fmt.Fprintf(c, "%s\n", name)
			case *conn.Datagram:
				ev.Reply(fmt.Appendf(nil, "%s %s", name, ev.Data))
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return v
}

// serve calls Ready, and runs the loops.
func (v *version) serve() *version {
	v.t.Helper()
	if err := v.up.Ready(v.loops); err != nil {
		v.t.Fatal(err)
	}
	go func() { v.ended <- v.loops.Run(context.Background()) }()
	return v
}

func (v *version) wantEnd() {
	v.t.Helper()
	select {
	case err := <-v.ended:
		if err != nil {
			v.t.Errorf("%s: %v", v.name, err)
		}
	case <-time.After(patience):
		v.t.Fatalf("%s does not end", v.name)
	}
}

// wantGreeting connects to addr, and checks who answers.
func wantGreeting(t *testing.T, network, addr, name string) net.Conn {
	t.Helper()
	c, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	b := make([]byte, len(name)+1)
	if _, err := io.ReadFull(c, b); err != nil || string(b) != name+"\n" {
		t.Errorf("%s says %q, %v; want %q", addr, b, err, name)
	}
	return c
}

// freePorts returns addresses of ports that nobody listens on.
func freePorts(t *testing.T, network string, n int) (addrs []string) {
	t.Helper()
	for range n {
		var addr net.Addr
		if network == "udp" {
			c, err := net.ListenPacket("udp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			addr = c.LocalAddr()
		} else {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			addr = l.Addr()
		}
		addrs = append(addrs, addr.String())
	}
	return addrs
}

// The new program no longer has one of the addresses, and dies while the old one still finishes:
// the old one has all of its addresses again.
func TestListenersThatTheNewProgramHasDroppedComeBack(t *testing.T) {
	underBoth(t, func(t *testing.T, p mgr.Poller) {
		for _, loops := range []int{1, 2} {
			o := handoff.Options{Path: filepath.Join(t.TempDir(), "h"), Spread: -1, Deadline: patience}
			ports := freePorts(t, "tcp", 2)
			keeps, drops := ports[0], ports[1]
			path := filepath.Join(t.TempDir(), "dropped")
			old := begin(t, "old", o, p, loops, "tcp://"+keeps, "tcp://"+drops, "unix://"+path).serve()
			stays := wantGreeting(t, "tcp", keeps, "old")
			next := begin(t, "new", o, p, loops, "tcp://"+keeps)
			if err := next.up.Ready(next.loops); err != nil { // and it never runs
				t.Fatal(err)
			}
			early, err := net.Dial("tcp", drops)
			if err != nil {
				t.Errorf("in between: %v", err)
			} else {
				defer early.Close()
			}
			next.loops.Close()
			wantGreeting(t, "tcp", drops, "old")
			wantGreeting(t, "tcp", keeps, "old")
			wantGreeting(t, "unix", path, "old")
			if early != nil {
				early.SetDeadline(time.Now().Add(patience))
				b := make([]byte, 4)
				if _, err := io.ReadFull(early, b); err != nil || string(b) != "old\n" {
					t.Errorf("a client that came in between: %q, %v", b, err)
				}
			}

			next = begin(t, "new", o, p, loops, "tcp://"+keeps).serve()
			wantGreeting(t, "tcp", keeps, "new")
			old.loops.Broadcast(func(c *conn.Conn) { c.Close() })
			old.wantEnd()
			for _, a := range [][2]string{{"tcp", drops}, {"unix", path}} {
				if c, err := net.Dial(a[0], a[1]); err == nil {
					c.Close()
					t.Errorf("%s still takes connections", a)
				}
			}
			stays.Close()
			next.loops.Close()
		}
	})
}

// Sockets for datagrams pass on as listeners do. A datagram that is sent while both processes are
// there is answered once.
func TestDatagramsOverRestarts(t *testing.T) {
	underBoth(t, func(t *testing.T, p mgr.Poller) {
		o := handoff.Options{Path: filepath.Join(t.TempDir(), "h"), Spread: -1}
		addr, path := freePorts(t, "udp", 1)[0], filepath.Join(t.TempDir(), "gram")
		urls := []string{"udp://" + addr, "unixgram://" + path}
		was := begin(t, "0", o, p, 1, urls...).serve()
		udp, err := net.Dial("udp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer udp.Close()
		gram, err := net.DialUnix("unixgram", &net.UnixAddr{Name: path + ".client", Net: "unixgram"}, &net.UnixAddr{Name: path, Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		defer gram.Close()
		clients := []net.Conn{udp, gram}
		n := 0
		// ask has each client send a datagram.
		ask := func() {
			t.Helper()
			n++
			for _, c := range clients {
				if _, err := fmt.Fprintf(c, "%d", n); err != nil {
					t.Fatal(err)
				}
			}
		}
		// want reads one reply for each datagram from first to n, each by one of the versions.
		want := func(first int, versions ...string) {
			t.Helper()
			for _, c := range clients {
				for i := first; i <= n; i++ {
					b := make([]byte, 100)
					c.SetDeadline(time.Now().Add(patience))
					k, err := c.Read(b)
					if err != nil {
						t.Fatalf("%s: datagram %d: %v", c.RemoteAddr(), i, err)
					}
					by, number, _ := strings.Cut(string(b[:k]), " ")
					if !slices.Contains(versions, by) || number != fmt.Sprint(i) {
						t.Errorf("%s: reply %q to datagram %d, want it from %v", c.RemoteAddr(), b[:k], i, versions)
					}
				}
			}
		}
		ask()
		want(n, "0")
		for i, loops := range []int{2, 1, 3} {
			name := fmt.Sprint(i + 1)
			first := n + 1
			ask()
			next := begin(t, name, o, p, loops, urls...)
			ask()
			if err := next.up.Ready(next.loops); err != nil {
				t.Fatal(err)
			}
			ask() // waits for the new one
			go func() { next.ended <- next.loops.Run(context.Background()) }()
			was.wantEnd()
			want(first, was.name, name)
			ask()
			want(n, name)
			was = next
		}

		// The next one dies at once: the datagrams go to the one before, again.
		o.Deadline = patience
		port := freePorts(t, "tcp", 1)[0]
		begin(t, "busy", o, p, 1, append(urls, "tcp://"+port)...).serve()
		was.wantEnd()
		hold := wantGreeting(t, "tcp", port, "busy")
		next := begin(t, "next", o, p, 1, urls...)
		if err := next.up.Ready(next.loops); err != nil {
			t.Fatal(err)
		}
		ask()
		next.loops.Close()
		want(n, "busy")

		// While the old one finishes, it reads no datagrams.
		begin(t, "last", o, p, 1, urls...).serve()
		first := n + 1
		for range 20 {
			ask()
		}
		want(first, "last")
		hold.Close()
	})
}

// Sockets that a process has for its own questions do not pass on, and neither do those that
// several processes may have.
func TestDatagramSocketsThatStay(t *testing.T) {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	port := freePorts(t, "udp", 2)
	for url, o := range map[string]conn.SocketOptions{"udp://127.0.0.1:0": {}, "udp://" + port[0]: {ReuseAddr: true}, "udp://" + port[1]: {}} {
		if _, err := m.Listen(url, nil, mgr.ListenOptions{Socket: o}); err != nil {
			t.Fatal(err)
		}
	}
	all := m.Listeners()
	if len(all) != 1 || all[0].Addr.String() != "udp://"+port[1] {
		t.Errorf("%+v", all)
	}
	m.Release(all[0].Conn, true)
	if got := m.Listeners(); len(got) != 0 {
		t.Errorf("after Release: %+v", got)
	}
}

func TestBeginDoesNotTakeItselfForTheFirst(t *testing.T) {
	path := filepath.Join(t.TempDir(), "h")
	o := handoff.Options{Path: path, Patience: 50 * time.Millisecond}

	// Processes that end before they have said a word, time and again.
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	up, err := handoff.Begin(o)
	want := "handoff: begin: the process that listens on the path hangs up time and again: it dies, or is out of descriptors"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, %v, want %s", up, err, want)
	}
	ln.Close()

	// One that does not accept, with a full backlog.
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrUnix{Name: path}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	want = "handoff: begin: the other process does not answer in time"
	for range 3 { // the first is in the backlog
		if up, err := handoff.Begin(o); err == nil || err.Error() != want {
			t.Errorf("got %v, %v, want %s", up, err, want)
		}
	}
}

// A socket that nobody takes is closed without losing what waits in it; what comes later goes to
// the others of the port.
func TestDatagramsOfASocketThatIsReleased(t *testing.T) {
	underBoth(t, func(t *testing.T, p mgr.Poller) {
		m, err := mgr.New(mgr.Options{Poller: p})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		addr := freePorts(t, "udp", 1)[0]
		got := map[string][]string{}
		var sockets [2]*conn.Conn
		for i := range sockets {
			sockets[i], err = m.Listen("udp://"+addr, func(c *conn.Conn, ev conn.Event) {
				if d, ok := ev.(*conn.Datagram); ok {
					got[string(d.Data)] = append(got[string(d.Data)], fmt.Sprint(i))
					d.Reply(d.Data)
				}
			}, mgr.ListenOptions{Socket: conn.SocketOptions{ReusePort: true}})
			if err != nil {
				t.Fatal(err)
			}
		}
		m.Poll(0)
		var clients []net.Conn
		for i := range 60 {
			c, err := net.Dial("udp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			clients = append(clients, c)
			fmt.Fprintf(c, "early %d", i)
		}
		m.Release(sockets[0], false)
		early := len(got)
		if early < 10 {
			t.Errorf("%d of 60 datagrams have been handled by Release", early)
		}
		for i, c := range clients {
			fmt.Fprintf(c, "late %d", i)
		}
		for range 20 {
			m.Poll(time.Millisecond)
		}
		for i, c := range clients {
			late := fmt.Sprint("late ", i)
			if by := got[late]; len(by) != 1 || by[0] != "1" {
				t.Errorf("%s was handled by %v", late, by)
			}
			for _, want := range []string{fmt.Sprint("early ", i), late} {
				c.SetDeadline(time.Now().Add(patience))
				b := make([]byte, 100)
				if k, err := c.Read(b); err != nil || string(b[:k]) != want {
					t.Fatalf("got %q, %v, want %q", b[:k], err, want)
				}
			}
		}
	})
}
