package systemd_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/handoff/systemd"
	"github.com/seed4930a636/mangusta/mgr"
)

// TestMain runs the service if the environment says so: the processes of these tests are this test
// binary.
func TestMain(m *testing.M) {
	if os.Getenv("SYSTEMD_TEST") != "" {
		if err := serve(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// serve is the service: it says to each client by which name it has got the listener. SYSTEMD_TEST
// has the addresses. "hang" from a client stops its loop.
func serve() error {
	p, err := mgr.ParsePoller(os.Getenv("SYSTEMD_POLLER"))
	if err != nil {
		return err
	}
	sockets, err := systemd.Listeners()
	if err != nil {
		return err
	}
	n, err := systemd.NewNotifier()
	if err != nil {
		return err
	}
	if os.Getenv("LISTEN_FDS")+os.Getenv("NOTIFY_SOCKET") != "" {
		return errors.New("the variables are still set")
	}
	m, err := mgr.New(mgr.Options{Poller: p, Inherit: sockets})
	if err != nil {
		return err
	}
	handler := func(what string) conn.Handler {
		return func(c *conn.Conn, ev conn.Event) {
			switch ev.(type) {
			case *conn.Accept:
				fmt.Fprintf(c, "%s\n", what)
			case *conn.Read:
				switch strings.TrimSpace(string(c.Recv.Bytes())) {
				case "hang":
					select {}
				case "end":
					m.Close()
				}
				c.Recv.Discard(c.Recv.Len())
			}
		}
	}
	for _, url := range strings.Fields(os.Getenv("SYSTEMD_TEST")) {
		if name, ok := strings.CutPrefix(url, "name:"); ok {
			fd, ok := sockets.TakeNamed(name)
			if !ok {
				return fmt.Errorf("no descriptor %q", name)
			}
			if _, err := m.Wrap(fd, handler(name)); err != nil {
				return err
			}
		} else if _, err := m.Listen(url, handler(url)); err != nil {
			return err
		}
	}
	if left := sockets.Left(); len(left) > 0 {
		return fmt.Errorf("descriptors left: %q", left)
	}
	reloads := 0
	n.OnReload(m, func() error {
		if reloads++; reloads == 2 {
			return errors.New("no such file")
		}
		return nil
	})
	n.Watchdog(m)
	if err := n.Ready(); err != nil {
		return err
	}
	if err := m.Run(context.Background()); err != nil {
		return err
	}
	return n.Stopping()
}

// supervisor is a service manager: a socket for notifications, and listening sockets.
type supervisor struct {
	t    *testing.T
	note *net.UnixConn
	path string
	cmd  *exec.Cmd
}

func newSupervisor(t *testing.T) *supervisor {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	note, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	note.SetDeadline(time.Now().Add(30 * time.Second))
	t.Cleanup(func() { note.Close() })
	return &supervisor{t: t, note: note, path: path}
}

// start starts the service with descriptors. A shell gives LISTEN_PID the number of the process
// that it becomes, as systemd does between fork and exec.
func (s *supervisor) start(files []*os.File, env ...string) {
	s.t.Helper()
	s.cmd = exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ WATCHDOG_PID=$$ exec "$0"`, os.Args[0])
	s.cmd.ExtraFiles = files
	s.cmd.Stderr = os.Stderr
	s.cmd.Env = append(append(os.Environ(), "NOTIFY_SOCKET="+s.path, fmt.Sprint("LISTEN_FDS=", len(files))), env...)
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { s.cmd.Process.Kill(); s.cmd.Wait() })
}

// next returns the next message of the service that is not about the watchdog.
func (s *supervisor) next() string {
	s.t.Helper()
	for {
		b := make([]byte, 4096)
		n, err := s.note.Read(b)
		if err != nil {
			s.t.Fatal(err)
		}
		if msg := string(b[:n]); msg != "WATCHDOG=1" {
			return msg
		}
	}
}

func (s *supervisor) want(msgs ...string) {
	s.t.Helper()
	for _, want := range msgs {
		if got := s.next(); got != want && !strings.HasPrefix(got, want+"\nMONOTONIC_USEC=") {
			s.t.Errorf("the service said %q, want %q", got, want)
		}
	}
}

// says returns the line with which the listener at addr greets.
func says(t *testing.T, network, addr, send string) string {
	t.Helper()
	c, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(30 * time.Second))
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(c, send)
	return strings.TrimSpace(line)
}

func underBoth(t *testing.T, f func(t *testing.T, poller string)) {
	for _, p := range []string{"epoll", "select"} {
		t.Run(p, func(t *testing.T) { f(t, p) })
	}
}
