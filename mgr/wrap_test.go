package mgr_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// socketpair returns two connected sockets; who closes them is the caller's affair.
func socketpair(t *testing.T) (a, b int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return fds[0], fds[1]
}

// fileOf makes an os.File of fd, closed when the test ends.
func fileOf(t *testing.T, fd int) *os.File {
	f := os.NewFile(uintptr(fd), "peer")
	t.Cleanup(func() { f.Close() })
	return f
}

func TestWrapSocketpair(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		r := record(echo)
		l := start(t, o, echo)
		a, b := socketpair(t)
		peer := fileOf(t, b)
		l.on(func() {
			c, err := l.Wrap(a, r.handle)
			if err != nil {
				t.Fatal(err)
			}
			if c.RemoteAddr().IsValid() || c.LocalAddr().IsValid() {
				t.Errorf("addresses %v, %v of a unix socket", c.RemoteAddr(), c.LocalAddr())
			}
			if n := l.Stats().Conns; n != 1 {
				t.Errorf("Stats.Conns %d, want 1", n)
			}
		})
		peer.WriteString("hello")
		got := make([]byte, 5)
		if _, err := io.ReadFull(peer, got); err != nil || string(got) != "hello" {
			t.Errorf("read %q, %v", got, err)
		}
		peer.Close()
		r.want(t, conn.PeerClosed, "Open Read Write EOF Close")
		if n := l.stats().Conns; n != 0 {
			t.Errorf("Stats.Conns %d, want 0", n)
		}
	})
}

func TestWrapBothEndsOfAPipe(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		var fds [2]int
		if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		l := start(t, o, echo)
		got := make(chan string, 1)
		reader := record(func(c *conn.Conn, ev conn.Event) {
			if _, ok := ev.(*conn.EOF); ok {
				got <- string(c.Recv.Bytes())
			}
		})
		writer := record(nil)
		text := strings.Repeat("through the pipe ", 20_000) // more than a pipe holds
		l.on(func() {
			if _, err := l.Wrap(fds[0], reader.handle); err != nil {
				t.Fatal(err)
			}
			w, err := l.Wrap(fds[1], writer.handle)
			if err != nil {
				t.Fatal(err)
			}
			w.WriteString(text[:10])
			w.WriteShared([]byte(text[10:]))
			w.Drain()
		})
		if s := take(t, got); s != text {
			t.Errorf("%d bytes came through, want %d", len(s), len(text))
		}
		writer.want(t, conn.Local, "Open Write Drained Close")
		reader.want(t, conn.PeerClosed, "Open Read EOF Close")
	})
}

// A write to a pipe without a reader raises SIGPIPE besides EPIPE.
func TestABrokenPipeIsAnErrorAndNoSignal(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		var fds [2]int
		if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		unix.Close(fds[0])
		l := start(t, o, echo)
		r := record(nil)
		l.on(func() {
			w, err := l.Wrap(fds[1], r.handle)
			if err != nil {
				t.Fatal(err)
			}
			w.WriteString("x")
		})
		r.want(t, conn.BrokenPipe, "Open Error Close")
	})
}

func TestWrapListeningSocketBecomesAListener(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		f, err := ln.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		ln.Close()
		r := record(echo)
		l := start(t, o, nil)
		l.on(func() {
			c, err := l.Wrap(fd, r.handle, mgr.ListenOptions{Setup: func(c *conn.Conn) { c.Data = "set up" }})
			if err != nil {
				t.Fatal(err)
			}
			if !c.IsListener() || l.Stats().Listeners != 2 {
				t.Errorf("IsListener %v, Stats.Listeners %d; want true, 2", c.IsListener(), l.Stats().Listeners)
			}
			l.addr = c.LocalAddr().String()
		})
		c := l.dial()
		fmt.Fprint(c, "x")
		wantRead(t, c, "x")
		l.Broadcast(func(c *conn.Conn) {
			if c.Data != "set up" {
				t.Errorf("Setup was not called: Data %v", c.Data)
			}
			if on, err := unix.GetsockoptInt(c.FD(), unix.IPPROTO_TCP, unix.TCP_NODELAY); err != nil || on == 0 {
				t.Errorf("TCP_NODELAY %d, %v", on, err)
			}
		})
		c.Close()
		r.want(t, conn.PeerClosed, "Open Accept Read Write EOF Close")
	})
}

func TestWrapRefusesWhatAPollerCannotWatch(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		m := newManager(t, o)
		f, err := os.Create(filepath.Join(t.TempDir(), "file"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		dir, err := os.Open(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		defer dir.Close()
		for name, f := range map[string]*os.File{"regular file": f, "directory": dir} {
			fd := int(f.Fd())
			_, err := m.Wrap(fd, nil)
			want := fmt.Sprintf("mgr: wrap: descriptor %d is a file: it is always ready and cannot be polled", fd)
			if err == nil || err.Error() != want {
				t.Errorf("%s: %v, want %s", name, err, want)
			}
			if _, err := f.Stat(); err != nil {
				t.Errorf("%s: it was closed: %v", name, err)
			}
		}
		if _, err := m.Wrap(-1, nil); !errors.Is(err, unix.EBADF) || err.Error() != "mgr: wrap: fstat: bad file descriptor" {
			t.Errorf("descriptor -1: %v", err)
		}
	})
}

func TestWrapRefusesADescriptorTwice(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		m := newManager(t, o)
		a, b := socketpair(t)
		fileOf(t, b)
		if _, err := m.Wrap(a, nil); err != nil {
			t.Fatal(err)
		}
		_, err := m.Wrap(a, nil)
		if want := fmt.Sprintf("mgr: wrap: descriptor %d belongs to the manager already", a); err == nil || err.Error() != want {
			t.Errorf("error %v, want %s", err, want)
		}
		if n := m.Stats().Conns; n != 1 {
			t.Errorf("Stats.Conns %d, want 1", n)
		}
	})
}

// shouting is a Transport of a program's own, over a pipe.
type shouting struct {
	conn.File
	closed *int
}

func (s shouting) Read(fd int, p []byte) (int, error) {
	n, err := s.File.Read(fd, p)
	copy(p, strings.ToUpper(string(p[:n])))
	return n, err
}

func (s shouting) Close(fd int) error { *s.closed++; return s.File.Close(fd) }

func TestWrapDeviceHasItsOwnTransport(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		m := newManager(t, o)
		var fds [2]int
		if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		w := fileOf(t, fds[1])
		got, closed := "", 0
		if _, err := m.WrapDevice(fds[0], shouting{closed: &closed}, func(c *conn.Conn, ev conn.Event) {
			if _, ok := ev.(*conn.Read); ok {
				got += string(c.Recv.Bytes())
				c.Recv.Discard(c.Recv.Len())
			}
		}); err != nil {
			t.Fatal(err)
		}
		w.WriteString("hello")
		w.Close()
		for range 10 {
			m.Poll(0)
		}
		if got != "HELLO" || closed != 1 || m.Stats().Conns != 0 {
			t.Errorf("%q came; closed %d times; %d connections left", got, closed, m.Stats().Conns)
		}
		a, b := socketpair(t)
		fileOf(t, b)
		_, err := m.WrapDevice(a, shouting{}, nil)
		if want := fmt.Sprintf("mgr: wrap: descriptor %d is a socket", a); err == nil || err.Error() != want {
			t.Errorf("error %v, want %s", err, want)
		}
		if err := unix.Close(a); err != nil {
			t.Errorf("the descriptor was closed: %v", err)
		}
		if _, err := m.WrapDevice(-1, shouting{}, nil); !errors.Is(err, unix.EBADF) {
			t.Errorf("descriptor -1: %v", err)
		}
		// A device that is wrapped neither blocks the loop nor goes to programs that are started.
		if err := unix.Pipe(fds[:]); err != nil {
			t.Fatal(err)
		}
		fileOf(t, fds[1])
		if _, err := m.WrapDevice(fds[0], shouting{closed: &closed}, nil); err != nil {
			t.Fatal(err)
		}
		status, _ := unix.FcntlInt(uintptr(fds[0]), unix.F_GETFL, 0)
		flags, _ := unix.FcntlInt(uintptr(fds[0]), unix.F_GETFD, 0)
		if status&unix.O_NONBLOCK == 0 || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("status %#x, flags %#x", status, flags)
		}
		// The descriptor stays the caller's after an error.
		if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		fileOf(t, fds[0])
		fileOf(t, fds[1])
		m.Close()
		if _, err := m.WrapDevice(fds[0], shouting{}, nil); !errors.Is(err, mgr.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	})
}

// A program must not close a wrapped descriptor itself. When it does, the manager still has to end.
func TestADescriptorClosedBehindTheManagersBackDoesNotHangClose(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		m := newManager(t, o)
		a, b := socketpair(t)
		fileOf(t, b)
		r := record(nil)
		if _, err := m.Wrap(a, r.handle); err != nil {
			t.Fatal(err)
		}
		if err := m.Poll(0); err != nil {
			t.Fatal(err)
		}
		unix.Close(a)
		closed := make(chan error, 1)
		go func() { closed <- m.Close() }()
		if err := take(t, closed); err != nil {
			t.Error(err)
		}
		r.want(t, conn.ShuttingDown, "Open Close")
	})
}

func TestUnixSockets(t *testing.T) {
	for name, url := range map[string]string{
		"path":     "unix://" + filepath.Join(t.TempDir(), "s"),
		"abstract": fmt.Sprintf("unix://@mangusta-mgr-%d", os.Getpid()),
	} {
		t.Run(name, func(t *testing.T) {
			underBoth(t, func(t *testing.T, o mgr.Options) {
				path := strings.TrimPrefix(url, "unix://")
				l := prepare(t, o)
				r := record(echo)
				lc, err := l.Listen(url, r.handle)
				if err != nil {
					t.Fatal(err)
				}
				l.run()
				c, err := net.Dial("unix", path)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				fmt.Fprint(c, "x")
				wantRead(t, c, "x")
				c.Close()
				r.want(t, conn.PeerClosed, "Open Accept Read Write EOF Close")
				l.on(lc.Close)
				l.until("the listener is gone", func() bool { return l.Stats().Listeners == 0 })
				if name == "path" {
					l.until("the file is gone", func() bool { _, err := os.Lstat(path); return errors.Is(err, os.ErrNotExist) })
				}
				if c, err := net.Dial("unix", path); err == nil {
					c.Close()
					t.Error("the name still takes connections")
				}
			})
		})
	}
}

func TestCloseOfTheManagerRemovesTheFilesOfUnixSockets(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		path := filepath.Join(t.TempDir(), "s")
		m := newManager(t, o)
		if _, err := m.Listen("unix://"+path, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Lstat(path); err != nil {
			t.Fatal(err)
		}
		m.Close()
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the file is still there: %v", err)
		}
	})
}
