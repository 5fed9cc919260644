package systemd_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/handoff/systemd"
)

// A listener keeps what waits in its backlog, from before the service was started.
func TestSocketsOfASupervisor(t *testing.T) {
	underBoth(t, func(t *testing.T, poller string) {
		s := newSupervisor(t)
		tcp, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr := tcp.Addr().String()
		path := filepath.Join(t.TempDir(), "sock")
		local, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		third, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer local.Close()
		f1, _ := tcp.(*net.TCPListener).File()
		f2, _ := local.(*net.UnixListener).File()
		f3, _ := third.(*net.TCPListener).File()
		tcp.Close()
		third.Close()
		early, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer early.Close()
		s.start([]*os.File{f1, f2, f3}, "SYSTEMD_TEST=tcp://"+addr+" unix://"+path+" name:third", "LISTEN_FDNAMES=http:sock:third",
			"SYSTEMD_POLLER="+poller)
		f1.Close()
		f2.Close()
		f3.Close()
		s.want("READY=1")
		early.SetDeadline(time.Now().Add(30 * time.Second))
		if line, err := bufio.NewReader(early).ReadString('\n'); err != nil || line != "tcp://"+addr+"\n" {
			t.Errorf("the client that was early got %q, %v", line, err)
		}
		if got := says(t, "unix", path, ""); got != "unix://"+path {
			t.Errorf("unix: %q", got)
		}
		if got := says(t, "tcp", third.Addr().String(), "end"); got != "third" {
			t.Errorf("by name: %q", got)
		}
		s.want("STOPPING=1")
		if err := s.cmd.Wait(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(path); err != nil {
			t.Errorf("the supervisor's socket file: %v", err)
		}
	})
}

// With Accept=yes the descriptor is a connection, whose address is that of its listener.
func TestAConnectionIsNoListener(t *testing.T) {
	underBoth(t, func(t *testing.T, poller string) {
		for _, network := range []string{"tcp", "unix"} {
			s := newSupervisor(t)
			at := "127.0.0.1:0"
			if network == "unix" {
				at = filepath.Join(t.TempDir(), "sock")
			}
			ln, err := net.Listen(network, at)
			if err != nil {
				t.Fatal(err)
			}
			peer, err := net.Dial(network, ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer peer.Close()
			accepted, err := ln.Accept()
			if err != nil {
				t.Fatal(err)
			}
			f, err := accepted.(interface{ File() (*os.File, error) }).File()
			if err != nil {
				t.Fatal(err)
			}
			addr := ln.Addr().String()
			accepted.Close()
			ln.Close()
			s.start([]*os.File{f}, "SYSTEMD_TEST="+network+"://"+addr+" name:connection", "LISTEN_FDNAMES=connection", "SYSTEMD_POLLER="+poller)
			f.Close()
			s.want("READY=1") // the program has opened a listener of its own
			if got := says(t, network, addr, ""); got != network+"://"+addr {
				t.Errorf("%s: the listener says %q", network, got)
			}
			peer.SetDeadline(time.Now().Add(30 * time.Second))
			if _, err := io.WriteString(peer, "end"); err != nil {
				t.Fatal(err)
			}
			s.want("STOPPING=1")
			if err := s.cmd.Wait(); err != nil {
				t.Error(err)
			}
		}
	})
}

// ListenDatagram=: Listen takes the socket, and what waits in it.
func TestDatagramsOfASupervisor(t *testing.T) {
	dir := t.TempDir()
	for _, url := range []string{"udp://127.0.0.1:0", "unixgram://" + filepath.Join(dir, "sock")} {
		a, err := conn.ParseAddr(url)
		if err != nil {
			t.Fatal(err)
		}
		fd, err := conn.Listen(a, conn.SocketOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if at := conn.LocalAddr(fd); at.IsValid() {
			url = "udp://" + at.String()
			a.AddrPort = at
		}
		t.Setenv("LISTEN_PID", fmt.Sprint(os.Getpid()))
		s, err := systemd.ListenersFrom(fd)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := s.Take(conn.Addr{Network: "tcp", AddrPort: a.AddrPort}); ok {
			t.Errorf("%s: a listener for TCP", url)
		}
		if got, ok := s.Take(a); !ok || got != fd {
			t.Errorf("%s: Take = %d, %v", url, got, ok)
		}
		unix.Close(fd)
		conn.RemoveUnix(a)
	}
}

func TestReloadBySIGHUP(t *testing.T) {
	underBoth(t, func(t *testing.T, poller string) {
		s := newSupervisor(t)
		s.start(nil, "SYSTEMD_TEST=tcp://127.0.0.1:0", "SYSTEMD_POLLER="+poller)
		s.want("READY=1")
		s.cmd.Process.Signal(syscall.SIGHUP)
		s.want("RELOADING=1", "STATUS=reloaded", "READY=1")
		s.cmd.Process.Signal(syscall.SIGHUP)
		s.want("RELOADING=1", "STATUS=reload failed: no such file", "READY=1")
	})
}

func TestSystemdSocketActivate(t *testing.T) {
	activate, err := exec.LookPath("systemd-socket-activate")
	if err != nil {
		t.Skip("systemd-socket-activate is not installed (Debian: apt-get install systemd)")
	}
	underBoth(t, func(t *testing.T, poller string) {
		path := filepath.Join(t.TempDir(), "sock")
		cmd := exec.Command(activate, "--listen="+path, "--fdname=web", "-E", "SYSTEMD_TEST=name:web", "-E", "SYSTEMD_POLLER="+poller, os.Args[0])
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { cmd.Process.Kill(); cmd.Wait() }()
		for end := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) { // it makes the file
			if c, err := net.Dial("unix", path); err == nil {
				c.Close() // the service is started for this client
				break
			} else if time.Now().After(end) {
				t.Fatal(err)
			}
		}
		if got := says(t, "unix", path, "end"); got != "web" {
			t.Errorf("%q", got)
		}
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
}
