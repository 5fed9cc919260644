//go:build linux && !race && !386 && !s390x

package conn

import (
	"os"
	"os/signal"
	"testing"

	"golang.org/x/sys/unix"
)

func TestSocketAllocatesNothing(t *testing.T) {
	s := new(Socket)
	a, b := unixPair(t)
	buf := make([]byte, 100)
	pieces := [][]byte{make([]byte, 10), make([]byte, 20)}
	noAllocs := func(name string, f func()) {
		t.Helper()
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	var err error
	check := func(n int, e error, want int) {
		if n != want || e != nil {
			err = e
			t.Errorf("moved %d bytes, want %d: %v", n, want, e)
		}
	}
	noAllocs("Write, Read", func() {
		n, e := s.Write(a, buf)
		check(n, e, 100)
		n, e = s.Read(b, buf)
		check(n, e, 100)
	})
	noAllocs("Writev, Read", func() {
		n, e := s.Writev(a, pieces)
		check(n, e, 30)
		n, e = s.Read(b, buf)
		check(n, e, 30)
	})
	noAllocs("EAGAIN", func() { _, err = s.Read(b, buf) })
	if err != unix.EAGAIN {
		t.Errorf("err = %v", err)
	}
	lfd := listenOn(t, "tcp://127.0.0.1:0", SocketOptions{})
	noAllocs("AcceptFD with EAGAIN", func() { _, _, err = AcceptFD(lfd) })
	for range 21 {
		dialTo(t, loopback4(LocalAddr(lfd).Port()))
	}
	await(t, lfd, unix.POLLIN)
	accepted := 0
	if n := testing.AllocsPerRun(20, func() {
		fd, _, e := AcceptFD(lfd)
		if e == nil {
			accepted++
			unix.Close(fd)
		}
	}); n != 0 {
		t.Errorf("AcceptFD: %v allocations", n)
	}
	if accepted != 21 {
		t.Errorf("%d of 21 connections accepted", accepted)
	}
}

func TestWritevKeepsNoPieces(t *testing.T) {
	s := new(Socket)
	a, _ := unixPair(t)
	if _, err := s.Writev(a, [][]byte{{1}, {2}, {3}}); err != nil {
		t.Fatal(err)
	}
	if s.iov != [maxPieces]unix.Iovec{} {
		t.Errorf("after Writev: %v", s.iov[:3])
	}
}

// With MSG_NOSIGNAL no SIGPIPE is raised at all, whatever a program has made of that signal.
func TestSocketRaisesNoSIGPIPE(t *testing.T) {
	got := make(chan os.Signal, 10)
	signal.Notify(got, unix.SIGPIPE, unix.SIGWINCH)
	defer signal.Stop(got)
	s := new(Socket)
	_, out := unixPair(t)
	if err := s.CloseWrite(out); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write(out, []byte("x")); err != unix.EPIPE {
		t.Errorf("Write: %v", err)
	}
	if _, err := s.Writev(out, [][]byte{{1}}); err != unix.EPIPE {
		t.Errorf("Writev: %v", err)
	}
	// SIGWINCH is the end of the waiting: the runtime hands on pending signals in the order of
	// their numbers.
	if err := unix.Kill(unix.Getpid(), unix.SIGWINCH); err != nil {
		t.Fatal(err)
	}
	if sig := <-got; sig != unix.SIGWINCH {
		t.Errorf("got %v", sig)
	}
}
