package redis

import (
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/valkey-io/valkey-go"
)

// quiet is a log for tests in which servers die.
var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// A redisServer is a redis-server, or a valkey-server, at a unix socket.
type redisServer struct {
	dir, socket string
	args        []string
	cmd         *exec.Cmd
}

// startServer starts one with these arguments, for the time of the test. It skips the test if none
// is installed.
func startServer(t testing.TB, args ...string) *redisServer {
	t.Helper()
	dir, err := os.MkdirTemp("", "redis") // the path of a socket has 107 bytes at most
	if err != nil {
		t.Fatal(err)
	}
	s := &redisServer{dir: dir, socket: filepath.Join(dir, "s"), args: args}
	t.Cleanup(func() { s.kill(); os.RemoveAll(dir) })
	s.start(t)
	return s
}

func (s *redisServer) url() string { return "unix://" + s.socket }

func (s *redisServer) start(t testing.TB) {
	t.Helper()
	program := ""
	for _, name := range []string{"valkey-server", "redis-server"} {
		if path, err := exec.LookPath(name); err == nil {
			program = path
		}
	}
	if program == "" {
		t.Skip("neither redis-server nor valkey-server is installed: apt-get install redis-server")
	}
	os.Remove(s.socket) // of the server that was killed
	s.cmd = exec.Command(program, append([]string{"--port", "0", "--unixsocket", s.socket, "--dir", s.dir, "--save", ""}, s.args...)...)
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; {
		if c, err := valkey.NewClient(s.option()); err == nil {
			_, err := c.Do(t.Context(), c.B().Ping().Build()).ToString()
			c.Close()
			if err == nil {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not answer", program)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (s *redisServer) option() valkey.ClientOption {
	o, err := (&Options{URL: s.url(), Timeout: time.Second}).clientOption()
	if err != nil {
		panic(err)
	}
	return o
}

// kill ends it as kill -9 does.
func (s *redisServer) kill() {
	if s.cmd != nil && s.cmd.Process != nil {
		s.cmd.Process.Kill()
		s.cmd.Wait()
		s.cmd = nil
	}
}

// client returns a client, for what tests do to the store.
func (s *redisServer) client(t testing.TB) valkey.Client {
	t.Helper()
	c, err := valkey.NewClient(s.option())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func mustOpen(t testing.TB, o Options) *Engine {
	t.Helper()
	if o.Log == nil {
		o.Log = quiet
	}
	e, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}
