package http

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	stdhttp "net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/internal/exhaustive"
	"github.com/seed4930a636/mangusta/mgr"
)

// sparse makes a file of that size without blocks, but for the text at the offset.
func sparse(t testing.TB, dir, name string, size, off int64, text string) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		t.Skipf("no sparse files here: %v", err)
	}
	if _, err := f.WriteAt([]byte(text), off); err != nil {
		t.Fatal(err)
	}
}

func TestNetServeDirLargeFiles(t *testing.T) {
	root, data := rootWith(t, 20<<20)
	sparse(t, root.Name(), "huge", 6<<30, 5<<30, "far out")
	h := func(*mgr.Manager) conn.Handler { return servingDir(root, FileOptions{}) }
	underBoth(t, Options{Limits: conn.Limits{Send: 1 << 20}}, h, func(t *testing.T, m *mgr.Manager, addr string) {
		c := dial(t, addr)
		c.SetReadBuffer(16 << 10)
		c.Write([]byte(request("GET", "/big") + request("GET", "/big", "Range: bytes=1000000-") +
			request("GET", "/huge", fmt.Sprintf("Range: bytes=%d-%d", int64(5<<30), int64(5<<30)+6)) +
			request("GET", "/huge", "Range: bytes=-1000000") + request("GET", "/huge", "Range: bytes=6442450944-")))
		r := bufio.NewReader(c)
		wantBody(t, r, 200, string(data))
		wantBody(t, r, 206, string(data[1000000:]))
		resp := wantBody(t, r, 206, "far out")
		if got := resp.Header.Get("Content-Range"); got != "bytes 5368709120-5368709126/6442450944" {
			t.Error(got)
		}
		wantBody(t, r, 206, string(make([]byte, 1000000)))
		wantBody(t, r, 416, "416 Range Not Satisfiable\n")
	})
	if n := openFiles(t, root); n != 0 {
		t.Error(n, "files are open")
	}
}

// RFC 9112 8: a client can tell that the file has become shorter while it was sent.
func TestNetServeDirTruncatedFile(t *testing.T) {
	root, data := rootWith(t, 20<<20)
	h := func(*mgr.Manager) conn.Handler { return servingDir(root, FileOptions{}) }
	underBoth(t, Options{}, h, func(t *testing.T, m *mgr.Manager, addr string) {
		name := filepath.Join(root.Name(), "big")
		if err := os.WriteFile(name, data, 0o644); err != nil {
			t.Fatal(err)
		}
		c := dial(t, addr)
		c.SetReadBuffer(16 << 10)
		c.Write([]byte(request("GET", "/big") + request("GET", "/big")))
		r := bufio.NewReader(c)
		resp, err := stdhttp.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		head := make([]byte, 1<<20)
		if _, err := io.ReadFull(resp.Body, head); err != nil || !bytes.Equal(head, data[:1<<20]) {
			t.Fatal(err)
		}
		if err := os.Truncate(name, 2<<20); err != nil {
			t.Fatal(err)
		}
		rest, err := io.ReadAll(resp.Body)
		if err == nil || len(rest) > 15<<20 || bytes.Contains(rest, []byte("HTTP/1.1")) {
			t.Fatalf("%d bytes more, then %v", len(rest), err)
		}
	})
}

// connectRaw opens a connection without a goroutine or a buffer of Go's, and sends the text.
func connectRaw(t testing.TB, addr netip.AddrPort, text string) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 4096)
	if err := unix.Connect(fd, &unix.SockaddrInet4{Addr: addr.Addr().As4(), Port: int(addr.Port())}); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Write(fd, []byte(text)); err != nil {
		t.Fatal(err)
	}
	return fd
}

// rss returns the resident set of this process, in bytes.
func rss(t testing.TB) int {
	t.Helper()
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skip("no /proc here")
	}
	var size, resident int
	fmt.Sscan(string(b), &size, &resident)
	return resident * os.Getpagesize()
}

// Readers that stop reading cost neither memory nor time, however large what they asked for.
func TestNetServeDirStoppedReaders(t *testing.T) {
	for _, x := range []struct {
		poller mgr.Poller
		n      int
	}{{mgr.Epoll, 1000}, {mgr.Select, 250}} {
		t.Run(x.poller.String(), func(t *testing.T) {
			if !exhaustive.On() {
				x.n /= 10
			}
			root, _ := rootWith(t, 10)
			sparse(t, root.Name(), "sparse", 100<<20, 1000, "text")
			m, err := mgr.New(mgr.Options{Poller: x.poller, MaxConns: 2000})
			if err != nil {
				t.Fatal(err)
			}
			l, err := Listen(m, "http://127.0.0.1:0", servingDir(root, FileOptions{}))
			if err != nil {
				t.Fatal(err)
			}
			addr := l.LocalAddr()
			ran := make(chan error, 1)
			go func() { ran <- m.Run(t.Context()) }()
			debug.FreeOSMemory() // what earlier tests have left
			before := rss(t)
			var fds []int
			for range x.n {
				fds = append(fds, connectRaw(t, addr, request("GET", "/sparse")))
			}
			// Everything has stopped when each has bytes left, and no more go out.
			var sent uint64
			waitUntil(t, "all readers are stuck", func() bool {
				stuck, last := 0, sent
				m.Broadcast(func(c *conn.Conn) {
					if sent = c.Layer().Shared().Stats.BytesOut; c.FilePending() > 50<<20 {
						stuck++
					}
				})
				return stuck == x.n && sent == last
			})
			if n := openFiles(t, root); n != x.n {
				t.Errorf("%d files are open for %d readers", n, x.n)
			}
			grown := rss(t) - before
			t.Logf("%d stopped readers: the process has grown by %d KiB, %d KiB have been sent", x.n, grown>>10, sent>>10)
			if grown > 24<<20 {
				t.Errorf("the process has grown by %d KiB", grown>>10)
			}
			c := dial(t, addr.String())
			began := time.Now()
			c.Write([]byte(request("GET", "/big")))
			wantBody(t, bufio.NewReader(c), 200, string(numbers(10)))
			if d := time.Since(began); d > time.Second {
				t.Errorf("another request took %v", d)
			}
			for _, fd := range fds {
				unix.Close(fd)
			}
			waitUntil(t, "all files are closed", func() bool { return openFiles(t, root) == 0 })
			m.Close()
			if err := <-ran; err != nil {
				t.Error(err)
			}
		})
	}
}

// waitUntil asks again and again, for 20 s at most.
func waitUntil(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for range 400 {
		if ok() {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("in vain waited until", what)
}

// Throttled, and with several clients at once, each gets what is its due.
func TestNetServeDirThrottled(t *testing.T) {
	root, data := rootWith(t, 500_000)
	h := func(*mgr.Manager) conn.Handler { return servingDir(root, FileOptions{BytesPerSecond: 1_000_000}) }
	underBoth(t, Options{}, h, func(t *testing.T, m *mgr.Manager, addr string) {
		began := time.Now()
		var rs []*bufio.Reader
		for range 5 {
			c := dial(t, addr)
			c.Write([]byte(request("GET", "/big")))
			rs = append(rs, bufio.NewReader(c))
		}
		for _, r := range rs {
			wantBody(t, r, 200, string(data))
		}
		if d := time.Since(began); d < 200*time.Millisecond || d > 5*time.Second {
			t.Errorf("500 kB at 1 MB/s took %v", d)
		}
	})
}

// Clients that go away at any moment leave no file open and break nothing for others.
func TestNetServeDirVanishingClients(t *testing.T) {
	root, data := rootWith(t, 3<<20)
	h := func(*mgr.Manager) conn.Handler { return servingDir(root, FileOptions{}) }
	underBoth(t, Options{}, h, func(t *testing.T, m *mgr.Manager, addr string) {
		for i := range 40 {
			c := dial(t, addr)
			c.Write([]byte(strings.Repeat(request("GET", "/big", "Range: bytes=0-99999,200000-"), 3)))
			io.CopyN(io.Discard, c, rand.Int64N(4<<20))
			if i%2 == 0 {
				c.SetLinger(0) // a reset
			}
			c.Close()
		}
		c := dial(t, addr)
		c.Write([]byte(request("GET", "/big")))
		wantBody(t, bufio.NewReader(c), 200, string(data))
		c.Close()
		waitUntil(t, "all files are closed", func() bool { return openFiles(t, root) == 0 })
	})
}
