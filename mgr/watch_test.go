package mgr_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// must fails the test when a descriptor could not be made.
func must(t *testing.T, fd int, err error) int {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

// Each of these is ready without being a stream of bytes that Wrap could read.
var watched = map[string]func(t *testing.T) (fd int, makeReady func()){
	"eventfd": func(t *testing.T) (int, func()) {
		fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
		return must(t, fd, err), func() { unix.Write(fd, []byte{1, 0, 0, 0, 0, 0, 0, 0}) }
	},
	"timerfd": func(t *testing.T) (int, func()) {
		fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC)
		return must(t, fd, err), func() {
			unix.TimerfdSettime(fd, 0, &unix.ItimerSpec{Value: unix.Timespec{Nsec: 1}}, nil)
		}
	},
	"inotify": func(t *testing.T) (int, func()) {
		fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
		must(t, fd, err)
		dir := t.TempDir()
		if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_CREATE); err != nil {
			t.Fatal(err)
		}
		return fd, func() { os.WriteFile(dir+"/new", nil, 0o600) }
	},
	"signalfd": func(t *testing.T) (int, func()) {
		// A signal that is blocked in a thread is pending for a signalfd; here it is enough that it
		// is silent.
		set := unix.Sigset_t{}
		fd, err := unix.Signalfd(-1, &set, unix.SFD_CLOEXEC)
		return must(t, fd, err), nil
	},
	"pidfd": func(t *testing.T) (int, func()) {
		cmd := exec.Command("cat")
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { in.Close(); cmd.Wait() })
		fd, err := unix.PidfdOpen(cmd.Process.Pid, 0)
		return must(t, fd, err), func() { in.Close() }
	},
}

func TestWatchTellsThatADescriptorIsReadyAndReadsNothing(t *testing.T) {
	for name, open := range watched {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			underBoth(t, func(t *testing.T, o mgr.Options) {
				l := prepare(t, o)
				l.run()
				fd, makeReady := open(t)
				turns := 0
				r := record(func(c *conn.Conn, ev conn.Event) {
					if ev, ok := ev.(*conn.Ready); ok {
						if !ev.In || ev.Out {
							t.Errorf("Ready %+v, want In", ev)
						}
						if turns++; turns == 3 { // level-triggered: it comes again
							c.Close()
						}
					}
				})
				var c *conn.Conn
				l.on(func() {
					var err error
					if c, err = l.Watch(fd, r.handle); err != nil {
						t.Fatal(err)
					}
				})
				l.wantQuiet()
				if makeReady == nil {
					l.on(c.Close)
					r.want(t, conn.Local, "Open Close")
				} else {
					makeReady()
					r.want(t, conn.Local, "Open Ready Close")
				}
				if n := l.stats().Conns; n != 0 {
					t.Errorf("Stats.Conns %d", n)
				}
				if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil {
					t.Errorf("the manager has closed the descriptor: %v", err)
				}
			})
		})
	}
}

// Line events of a GPIO chip come through an anonymous inode, as those of an eventfd do. A pipe
// stands for one whose events are still there after Pause and Resume.
func TestAPausedWatchDoesNotSpinAndComesBack(t *testing.T) {
	underBothAtOnce(t, func(t *testing.T, o mgr.Options) {
		l := prepare(t, o)
		l.run()
		var fds [2]int
		if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fds[1])
		defer unix.Close(fds[0])
		ready := make(chan *conn.Conn, 10)
		r := record(func(c *conn.Conn, ev conn.Event) {
			if _, ok := ev.(*conn.Ready); ok {
				c.Pause()
				ready <- c
			}
		})
		l.on(func() {
			if _, err := l.Watch(fds[0], r.handle); err != nil {
				t.Fatal(err)
			}
		})
		unix.Write(fds[1], []byte("x"))
		c := take(t, ready)
		l.wantQuiet()
		l.on(c.Resume)
		take(t, ready)
		var b [8]byte
		if n, _ := unix.Read(fds[0], b[:]); n != 1 {
			t.Errorf("%d bytes are left, want 1", n)
		}
		l.on(func() {
			if _, err := c.WriteString("x"); err != conn.ErrClosed {
				t.Errorf("Write: %v", err)
			}
			seen := 0
			l.Broadcast(func(*conn.Conn) { seen++ })
			if seen != 0 {
				t.Errorf("Broadcast ran for %d", seen)
			}
			c.Layer().DrainLinger(1e9)
		})
		r.want(t, conn.Local, "Open Ready Close")
	})
}

func TestWatchForWriting(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		l := prepare(t, o)
		l.run()
		a, b := socketpair(t)
		defer unix.Close(a)
		defer unix.Close(b)
		r := record(func(c *conn.Conn, ev conn.Event) {
			if ev, ok := ev.(*conn.Ready); ok {
				if ev.In || !ev.Out {
					t.Errorf("Ready %+v, want Out", ev)
				}
				c.Close()
			}
		})
		l.on(func() {
			if _, err := l.Watch(a, r.handle, mgr.WatchOptions{For: conn.In | conn.Out}); err != nil {
				t.Fatal(err)
			}
		})
		r.want(t, conn.Local, "Open Ready Close")
	})
}

// epoll says EPERM to these; select calls them ready for ever.
func TestDevicesThatCannotBePolledAreRefused(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		m := newManager(t, o)
		for _, name := range []string{"/dev/null", "/dev/zero"} {
			f, err := os.OpenFile(name, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			fd := int(f.Fd())
			for op, call := range map[string]func() error{
				"wrap":  func() error { _, err := m.Wrap(fd, nil); return err },
				"watch": func() error { _, err := m.Watch(fd, nil); return err },
			} {
				want := fmt.Sprintf("mgr: %s: descriptor %d is of a device that is always ready and cannot be polled: "+
					"epoll_ctl: operation not permitted", op, fd)
				if err := call(); err == nil || err.Error() != want || !errors.Is(err, unix.EPERM) {
					t.Errorf("%s: %v, want %s", name, err, want)
				}
			}
			if _, err := f.Stat(); err != nil {
				t.Errorf("%s was closed: %v", name, err)
			}
		}
	})
}

func TestWrapTakesATerminal(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		ptmx, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Skip(err)
		}
		m := newManager(t, o)
		unlock := int32(0)
		unix.Syscall(unix.SYS_IOCTL, uintptr(ptmx), unix.TIOCSPTLCK, uintptr(unsafe.Pointer(&unlock)))
		if _, err := m.Wrap(ptmx, nil); err != nil {
			t.Error(err)
		}
	})
}

func TestWrapRefusesConnectionsThatKeepMessagesApart(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		m := newManager(t, o)
		for name, x := range map[string][2]int{
			"unix with boundaries": {unix.AF_UNIX, unix.SOCK_SEQPACKET},
		} {
			fd, err := unix.Socket(x[0], x[1]|unix.SOCK_CLOEXEC, 0)
			must(t, fd, err)
			want := fmt.Sprintf("mgr: wrap: descriptor %d is a socket of type %d: neither a stream nor for datagrams", fd, x[1])
			if _, err := m.Wrap(fd, nil); err == nil || err.Error() != want {
				t.Errorf("%s: %v, want %s", name, err, want)
			}
			if _, err := m.Watch(fd, nil); err != nil {
				t.Errorf("%s: Watch: %v", name, err)
			}
		}
	})
}

// A program closes a descriptor that is the manager's. select then says EBADF, and not for which.
func TestADescriptorClosedFromOutsideEndsItsConnectionAlone(t *testing.T) {
	for name, give := range map[string]func(m *mgr.Manager, fd int, h conn.Handler) (*conn.Conn, error){
		"Wrap":  func(m *mgr.Manager, fd int, h conn.Handler) (*conn.Conn, error) { return m.Wrap(fd, h) },
		"Watch": func(m *mgr.Manager, fd int, h conn.Handler) (*conn.Conn, error) { return m.Watch(fd, h) },
	} {
		t.Run(name, func(t *testing.T) {
			underBoth(t, func(t *testing.T, o mgr.Options) {
				l := start(t, o, echo)
				other := l.dial()
				a, b := socketpair(t)
				fileOf(t, b)
				var got error
				opened := -1
				r := record(func(c *conn.Conn, ev conn.Event) {
					switch ev := ev.(type) {
					case *conn.Error:
						got = ev.Err
					case *conn.Close:
						opened, _ = unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0) // takes the number
					}
				})
				var c *conn.Conn
				l.on(func() {
					var err error
					if c, err = give(l.Manager, a, r.handle); err != nil {
						t.Fatal(err)
					}
				})
				l.on(func() { unix.Close(a) }) // in a turn after that in which it was first watched
				fmt.Fprint(other, "x")
				wantRead(t, other, "x")
				if o.Poller == mgr.Epoll { // the kernel has dropped it: nothing will ever come
					l.on(func() { c.Driver().Lose() })
				}
				r.want(t, conn.IOError, "Open Error Close")
				l.on(func() {})
				if !errors.Is(got, unix.EBADF) {
					t.Errorf("error %v, want EBADF", got)
				}
				if _, err := unix.FcntlInt(uintptr(opened), unix.F_GETFD, 0); err != nil {
					t.Errorf("descriptor %d of somebody else was closed (the connection had %d)", opened, a)
				}
				unix.Close(opened)
				fmt.Fprint(other, "y")
				wantRead(t, other, "y")
				l.wantQuiet()
			})
		})
	}
}

// With epoll nothing tells that a descriptor was closed, but its number comes back.
func TestADescriptorThatComesBackEndsTheConnectionThatHadIt(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		m := newManager(t, o)
		a, b := socketpair(t)
		peer := fileOf(t, b)
		old, fresh := record(nil), record(nil)
		if _, err := m.Wrap(a, old.handle); err != nil {
			t.Fatal(err)
		}
		if err := m.Poll(0); err != nil {
			t.Fatal(err)
		}
		unix.Close(a)
		lc, err := m.Listen("tcp://127.0.0.1:0", fresh.handle) // gets the number, or the connection does
		if err != nil {
			t.Fatal(err)
		}
		c, err := m.Connect("tcp://"+lc.LocalAddr().String(), fresh.handle)
		if err != nil {
			t.Fatal(err)
		}
		if lc.FD() != a && c.FD() != a {
			t.Skipf("descriptor %d went to somebody else", a)
		}
		for range 10 {
			if err := m.Poll(0); err != nil {
				t.Fatal(err)
			}
		}
		old.want(t, conn.IOError, "Open Error Close")
		if s := m.Stats(); s.Conns != 2 || s.Listeners != 1 {
			t.Errorf("%d connections and %d listeners, want 2 and 1", s.Conns, s.Listeners)
		}
		if b := make([]byte, 1); true {
			if n, err := peer.Read(b); n != 0 || err == nil {
				t.Errorf("the old peer got %d, %v", n, err)
			}
		}
	})
}
