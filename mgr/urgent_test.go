package mgr_test

import (
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// shout sends b as an urgent byte.
func shout(t *testing.T, c net.Conn, b byte) {
	t.Helper()
	rc, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	rc.Control(func(fd uintptr) {
		if err := unix.Sendto(int(fd), []byte{b}, unix.MSG_OOB, nil); err != nil {
			t.Error(err)
		}
	})
}

func TestUrgentByteComesBesideTheStream(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		urgent := make(chan conn.Urgent, 10)
		l := start(t, o, func(c *conn.Conn, ev conn.Event) {
			switch ev := ev.(type) {
			case *conn.Accept:
				if err := c.SetUrgent(true); err != nil {
					t.Error(err)
				}
			case *conn.Urgent:
				urgent <- *ev
			default:
				echo(c, ev)
			}
		})
		c := l.dial()
		c.Write([]byte("ab"))
		wantRead(t, c, "ab")
		for _, b := range []byte("!?") {
			shout(t, c, b)
			if ev := take(t, urgent); ev != (conn.Urgent{Byte: b}) {
				t.Errorf("%+v", ev)
			}
		}
		c.Write([]byte("cd"))
		wantRead(t, c, "cd")
		l.wantQuiet()
		if len(urgent) != 0 {
			t.Error("more urgent bytes than were sent")
		}
	})
}

func TestUrgentByteInline(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		urgent := make(chan conn.Urgent, 10)
		marks := make(chan bool, 10)
		l := start(t, o, func(c *conn.Conn, ev conn.Event) {
			switch ev := ev.(type) {
			case *conn.Accept:
				c.SetUrgent(true)
			case *conn.Urgent:
				at, err := c.Kernel().AtMark()
				if err != nil {
					t.Error(err)
				}
				marks <- at
				urgent <- *ev
			default:
				echo(c, ev)
			}
		}, mgr.ListenOptions{Socket: conn.SocketOptions{OOBInline: true}})
		c := l.dial()
		for range 3 { // each mark anew
			shout(t, c, '!')
			if ev := take(t, urgent); ev != (conn.Urgent{Inline: true}) || !take(t, marks) {
				t.Errorf("%+v, or not at the mark", ev)
			}
			wantRead(t, c, "!")
			c.Write([]byte("x"))
			wantRead(t, c, "x")
		}
		l.wantQuiet()
		if len(urgent) != 0 {
			t.Error("the event came more than once for a mark")
		}
	})
}

func TestPausedConnectionWithUrgentDataDoesNotSpin(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		urgent := make(chan conn.Urgent, 10)
		var got *conn.Conn
		l := start(t, o, func(c *conn.Conn, ev conn.Event) {
			switch ev := ev.(type) {
			case *conn.Accept:
				c.SetUrgent(true)
				c.Pause()
				got = c
			case *conn.Urgent:
				urgent <- *ev
			}
		})
		c := l.dial()
		l.until("accepted", func() bool { return got != nil })
		shout(t, c, '!')
		l.wantQuiet()
		if len(urgent) != 0 {
			t.Error("an event while paused")
		}
		l.on(func() { got.Resume() })
		if ev := take(t, urgent); ev.Byte != '!' {
			t.Errorf("%+v", ev)
		}
	})
}

func TestSendUrgentKeepsItsPlace(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		l := start(t, o, func(c *conn.Conn, ev conn.Event) {
			if _, ok := ev.(*conn.Accept); ok {
				c.WriteString("before")
				if err := c.SendUrgent('!'); err != nil {
					t.Error(err)
				}
				c.WriteString("after")
			}
		})
		c := l.dial()
		rc, _ := c.(*net.TCPConn).SyscallConn()
		var b [1]byte
		rc.Control(func(fd uintptr) {
			p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLPRI}}
			unix.Poll(p, 10_000)
			if _, _, err := unix.Recvfrom(int(fd), b[:], unix.MSG_OOB); err != nil {
				t.Error(err)
			}
		})
		if b[0] != '!' {
			t.Errorf("urgent byte %q", b[0])
		}
		wantRead(t, c, "beforeafter")
	})
}

func TestPeekLeavesTheBytes(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		h, ch := accepted(func(c *conn.Conn, ev conn.Event) {
			switch ev.(type) {
			case *conn.Accept:
				c.Pause()
			default:
				echo(c, ev)
			}
		})
		l := start(t, o, h)
		c := l.dial()
		s := take(t, ch)
		var b [10]byte
		l.on(func() {
			if n, err := s.Peek(b[:]); n != 0 || err != nil {
				t.Errorf("Peek of nothing: %d, %v", n, err)
			}
		})
		c.Write([]byte("hello"))
		l.until("five bytes wait", func() bool { n, _ := s.Peek(b[:]); return n == 5 })
		l.on(func() {
			if n, err := s.Peek(b[:2]); n != 2 || err != nil || string(b[:5]) != "hello" {
				t.Errorf("Peek: %q, %d, %v", b[:5], n, err)
			}
			s.Resume()
		})
		wantRead(t, c, "hello")
		l.on(func() { s.Pause() })
		c.(*net.TCPConn).CloseWrite()
		l.until("the end is seen", func() bool { _, err := s.Peek(b[:]); return err == io.EOF })
	})
}

// A GPIO's edge in sysfs is POLLPRI without anything to read; a TCP socket's urgent byte will do.
func TestWatchForPri(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		out, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		in, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		f, _ := in.(*net.TCPConn).File()
		defer f.Close()
		l := start(t, o, echo)
		got := make(chan conn.Ready, 1)
		closed := make(chan bool)
		l.on(func() {
			_, err := l.Watch(int(f.Fd()), func(c *conn.Conn, ev conn.Event) {
				switch ev := ev.(type) {
				case *conn.Ready:
					got <- *ev
					c.Close()
				case *conn.Close:
					close(closed)
				}
			}, mgr.WatchOptions{For: conn.Pri})
			if err != nil {
				t.Error(err)
			}
		})
		out.Write([]byte("no news"))
		select {
		case ev := <-got:
			t.Errorf("%+v without urgent data", ev)
		case <-time.After(20 * time.Millisecond): // a late event would fail the test below
		}
		shout(t, out, '!')
		if ev := take(t, got); ev != (conn.Ready{Pri: true}) {
			t.Errorf("%+v", ev)
		}
		<-closed
	})
}
