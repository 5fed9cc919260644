package mgr_test

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// connect calls Connect on the loop.
func (l *loop) connect(url string, h conn.Handler, o ...mgr.ConnectOptions) {
	l.t.Helper()
	l.on(func() {
		if _, err := l.Connect(url, h, o...); err != nil {
			l.t.Error(err)
		}
	})
}

func TestConnectsAndSendsWhatWasWrittenBefore(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		l := start(t, o, echo)
		got := make(chan string, 1)
		r := record(func(c *conn.Conn, ev conn.Event) {
			switch ev.(type) {
			case *conn.Open:
				c.WriteString("early ")
			case *conn.Connect:
				c.WriteString("late")
			case *conn.Read:
				if c.Recv.Len() == len("early late") {
					got <- string(c.Recv.Bytes())
					c.Recv.Discard(c.Recv.Len())
					c.Close()
				}
			}
		})
		l.connect("tcp://"+l.addr, r.handle)
		if s := take(t, got); s != "early late" {
			t.Errorf("echoed %q", s)
		}
		r.want(t, conn.Local, "Open Connect Write Read Close")
	})
}

func TestConnectsToUnixSockets(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		url := "unix://" + filepath.Join(t.TempDir(), "s")
		l := prepare(t, o)
		if _, err := l.Listen(url, echo); err != nil {
			t.Fatal(err)
		}
		l.run()
		r := record(func(c *conn.Conn, ev conn.Event) {
			switch ev.(type) {
			case *conn.Connect:
				c.WriteString("x")
			case *conn.Read:
				c.Drain()
			}
		})
		l.connect(url, r.handle)
		r.want(t, conn.Local, "Open Connect Write Read Close")
	})
}

func TestRefusedConnectionIsAnErrorEvent(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr := ln.Addr().String()
		ln.Close()
		l := prepare(t, o)
		l.run()
		got := make(chan error, 1)
		r := record(func(c *conn.Conn, ev conn.Event) {
			if ev, ok := ev.(*conn.Error); ok {
				got <- ev.Err
			}
		})
		l.connect("tcp://"+addr, r.handle)
		if err := take(t, got); !errors.Is(err, unix.ECONNREFUSED) {
			t.Errorf("error %v, want ECONNREFUSED", err)
		}
		r.want(t, conn.Unreachable, "Open Error Close")
	})
}

// A listener whose backlog is full lets the kernel drop further SYNs: the attempt hangs.
func TestConnectGivesUpAfterItsTimeout(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		fd, err := conn.Listen(mustAddr(t, "tcp://127.0.0.1:0"), conn.SocketOptions{Backlog: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		addr := conn.LocalAddr(fd).String()
		for range 2 {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
		}
		l := prepare(t, o)
		l.run()
		r := record(nil)
		l.connect("tcp://"+addr, r.handle, mgr.ConnectOptions{Timeout: 50 * time.Millisecond})
		r.want(t, conn.TimedOut, "Open Error Close")
	})
}

func TestConnectTellsAtOnceWhatCannotWork(t *testing.T) {
	m := newManager(t, mgr.Options{})
	for url, want := range map[string]string{
		"tcp://:80":             "no host",
		"tcp://example.org:80":  "example.org",
		"unix:///no/such/place": "no such file or directory",
	} {
		if _, err := m.Connect(url, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", url, err, want)
		}
	}
}

func mustAddr(t *testing.T, url string) conn.Addr {
	t.Helper()
	a, err := conn.ParseAddr(url)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// The kernel makes no room for a connection to a unix listener that is behind: it says EAGAIN, and
// no poller tells when there is room.
func TestAFullBacklogOfAUnixListenerIsTriedAgain(t *testing.T) {
	for _, accepts := range []bool{true, false} {
		t.Run(fmt.Sprintf("accepts %v", accepts), func(t *testing.T) {
			underBoth(t, func(t *testing.T, o mgr.Options) {
				url := "unix://" + filepath.Join(t.TempDir(), "s")
				fd, err := conn.Listen(mustAddr(t, url), conn.SocketOptions{Backlog: 1})
				must(t, fd, err)
				l := prepare(t, o)
				l.run()
				r := record(func(c *conn.Conn, ev conn.Event) {
					if _, ok := ev.(*conn.Open); ok {
						c.WriteString("early")
					}
					if _, ok := ev.(*conn.Connect); ok {
						c.Drain()
					}
				})
				for { // fill the backlog
					c, again, err := conn.Dial(mustAddr(t, url), conn.SocketOptions{})
					must(t, c, err)
					if again {
						break
					}
				}
				timeout := 30 * time.Millisecond
				if accepts {
					timeout = 0
				}
				l.connect(url, r.handle, mgr.ConnectOptions{Timeout: timeout})
				if !accepts {
					r.want(t, conn.TimedOut, "Open Error Close")
					return
				}
				l.on(func() {})
				var peers []int // those that fill the backlog say nothing
				for got := ""; got != "early"; {
					if c, _, err := conn.AcceptFD(fd); err == nil {
						t.Cleanup(func() { unix.Close(c) })
						peers = append(peers, c)
					} else if err != unix.EAGAIN {
						t.Fatal(err)
					}
					for _, c := range peers {
						b := make([]byte, 5)
						n, _ := unix.Read(c, b)
						got += string(b[:max(n, 0)])
					}
					time.Sleep(time.Millisecond) // no poller tells which of them speaks
				}
				r.want(t, conn.Local, "Open Connect Write Close")
			})
		})
	}
}
