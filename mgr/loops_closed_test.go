package mgr_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// openSockets returns which descriptors below 1024 are sockets.
func openSockets() (fds []int) {
	for fd := range 1024 {
		var st unix.Stat_t
		if unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFSOCK {
			fds = append(fds, fd)
		}
	}
	return fds
}

func TestLoopsThatAreClosedListenNoMore(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		before := len(openSockets())
		l, err := mgr.NewLoops(2, o)
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		path := filepath.Join(t.TempDir(), "s")
		for _, url := range []string{"tcp://127.0.0.1:0", "unix://" + path, "udp://127.0.0.1:0", "unixgram://" + path} {
			if c, err := l.Listen(url, echo); c != nil || !errors.Is(err, mgr.ErrClosed) {
				t.Errorf("Listen(%s) = %v, %v", url, c, err)
			}
			if _, err := os.Lstat(path); err == nil {
				t.Errorf("Listen(%s) left the file of its socket", url)
			}
		}
		if after := openSockets(); len(after) != before {
			t.Errorf("%d sockets are open, and %d were: %v", len(after), before, after)
		}
	})
}

// A loop in a shutdown closes its listeners once: one that came later would stay.
func TestLoopsThatShutDownListenNoMore(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		l := startLoops(t, 2, o, func(c *conn.Conn, ev conn.Event) {
			if _, ok := ev.(*conn.Accept); ok {
				c.Write(make([]byte, 256<<10)) // the shutdown waits for the peer to read it
			}
		}, smallBuffers)
		for range 8 {
			l.dial()
		}
		l.until("all are there", func(s mgr.Stats) bool { return s.Conns == 8 })
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- l.Shutdown(ctx) }()
		l.until("the listeners are closed", func(s mgr.Stats) bool { return s.Listeners == 0 })
		for range 10 {
			if _, err := l.Listen("tcp://127.0.0.1:0", echo); !errors.Is(err, mgr.ErrClosed) {
				t.Errorf("Listen: %v", err)
			}
		}
		cancel()
		<-ended
	})
}
