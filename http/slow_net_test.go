package http

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/internal/exhaustive"
	"github.com/seed4930a636/mangusta/internal/racetest"
	"github.com/seed4930a636/mangusta/internal/sidebyside"
	"github.com/seed4930a636/mangusta/mgr"
)

// TestHelperSlow is no test: it is the server of TestNetSlowHeads, in a process of its own. It
// tells what it has.
func TestHelperSlow(t *testing.T) {
	poller, seconds := "", 0
	if fmt.Sscan(os.Getenv("MANGUSTA_SLOW"), &poller, &seconds); seconds == 0 {
		t.Skip("run by TestNetSlowHeads")
	}
	o := mgr.Options{Poller: mgr.Epoll}
	if poller == "select" {
		o.Poller = mgr.Select
	}
	m, err := mgr.New(o)
	if err != nil {
		t.Fatal(err)
	}
	l, err := Listen(m, "http://127.0.0.1:0", func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*Message); ok {
			debug.FreeOSMemory()
			Reply(c, 200, "", "%d %d", m.Stats().Conns, rss(t))
		}
	}, Options{HeadTimeout: time.Duration(seconds) * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("listening on %s\n", l.LocalAddr())
	m.Run(context.Background()) // until it is killed
}

// mayOpen raises the limit on descriptors of this process and of its children, and returns how many
// more it may open, up to n.
func mayOpen(t *testing.T, n int) int {
	t.Helper()
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	const others = 100
	lim := was
	lim.Cur = min(uint64(n+others), lim.Max)
	if lim.Cur > was.Cur {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Setrlimit(unix.RLIMIT_NOFILE, &was) })
	}
	if may := int(max(lim.Cur, was.Cur)) - others; may < n {
		t.Logf("only %d of %d connections: the limit on descriptors is %d", may, n, lim.Max)
		return may
	}
	return n
}

// Thousands of clients that never complete their heads cost little, and each is told 408 (RFC 9110
// 15.5.9).
func TestNetSlowHeads(t *testing.T) {
	t.Parallel() // it waits most of the time
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc")
	}
	const partial = "GET / HTTP/1.1\r\nHost: device.local\r\nUser-Agent: slow\r\nAccept: */*\r\nX-Slow: aaaaaaaa"
	sidebyside.Run(t, 2, []string{"epoll", "select"}, func(t *testing.T, i int) {
		x := []struct {
			poller     string
			n, seconds int // connections; for a head, in which all of them must have come
		}{{"epoll", 10_000, 15}, {"select", 900, 5}}[i] // select has 1024 descriptors
		if !exhaustive.On() {
			x.n, x.seconds = 300, 5
		}
		n := mayOpen(t, x.n)
		addr, _ := startHelper(t, "TestHelperSlow", fmt.Sprintf("MANGUSTA_SLOW=%s %d", x.poller, x.seconds))
		at, err := netip.ParseAddrPort(addr)
		if err != nil {
			t.Fatal(err)
		}
		_, before := askHelper(t, addr)
		var fds []int
		defer func() {
			for _, fd := range fds {
				unix.Close(fd)
			}
		}()
		for range n {
			fds = append(fds, connectRaw(t, at, partial))
		}
		open, after := 0, 0
		waitUntil(t, "all are accepted", func() bool {
			open, after = askHelper(t, addr)
			return open > n
		})
		each := (after - before) / n
		t.Logf("%d slow connections: the server has grown by %d KiB, %d bytes for each", n, (after-before)>>10, each)
		if each > 4<<10 && !racetest.Enabled {
			t.Errorf("%d bytes for each connection", each)
		}
		refused := 0
		for _, fd := range fds {
			if got := readRaw(t, fd); strings.HasPrefix(got, "HTTP/1.1 408 ") && strings.Contains(got, "Connection: close\r\n") {
				refused++
			}
		}
		if refused != n {
			t.Errorf("%d of %d got 408", refused, n)
		}
	})
}

// askHelper returns how many connections the server has, and how many bytes are resident.
func askHelper(t *testing.T, addr string) (open, resident int) {
	t.Helper()
	c := dial(t, addr)
	defer c.Close()
	io.WriteString(c, request("GET", "/", "Connection: close"))
	b, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(string(b), "\r\n\r\n")
	if _, err := fmt.Sscan(body, &open, &resident); err != nil {
		t.Fatalf("%q: %v", b, err)
	}
	return open, resident
}

// readRaw reads up to the end of the stream, which must come within a minute.
func readRaw(t *testing.T, fd int) string {
	t.Helper()
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 60}); err != nil {
		t.Fatal(err)
	}
	var b []byte
	room := make([]byte, 1024)
	for {
		n, err := unix.Read(fd, room)
		if err == unix.EINTR {
			continue
		}
		if n <= 0 {
			if err != nil {
				t.Errorf("%q, then %v", b, err)
			}
			return string(b)
		}
		b = append(b, room[:n]...)
	}
}
