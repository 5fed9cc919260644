package main

import (
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/internal/exhaustive"
)

// redisServer starts redis-server at a socket in dir, which keeps all that it acknowledges.
func redisServer(t *testing.T, dir string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("SKIPPED, NOT TESTED: there is no redis-server here (apt-get install redis-server)")
	}
	socket := filepath.Join(dir, "s")
	cmd := exec.Command(path, "--port", "0", "--unixsocket", socket, "--dir", dir, "--save", "", "--appendonly", "yes", "--appendfsync", "always")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if c, err := net.Dial("unix", socket); err == nil {
			c.Close()
			return cmd
		}
		if time.Now().After(end) {
			t.Fatal("redis-server does not come")
		}
	}
}

// TestRedisDies: an engine outside dies amid a flood, and so does a node.
func TestRedisDies(t *testing.T) {
	t.Parallel()
	dir := shortDir(t)
	redis := redisServer(t, dir)
	url := "unix://" + filepath.Join(dir, "s")
	a, b := startNode(t, "-redis", url), startNode(t, "-redis", url)
	f := startFlood(t, a, b)
	f.more(100)
	redis.Process.Kill()
	redis.Wait()
	f.refuse(10)
	redisServer(t, dir)
	f.more(100)
	b.kill()
	f.more(50)
	b.start()
	f.more(50)
	f.check()
}

// TestRedisHangs: the engine stops for a while, and then goes on, as if the network had been cut.
func TestRedisHangs(t *testing.T) {
	if !exhaustive.On() {
		t.Skip("it takes a quarter of a minute: MANGUSTA_EXHAUSTIVE=1")
	}
	t.Parallel()
	dir := shortDir(t)
	redis := redisServer(t, dir)
	url := "unix://" + filepath.Join(dir, "s")
	f := startFlood(t, startNode(t, "-redis", url), startNode(t, "-redis", url))
	for _, pause := range []time.Duration{time.Second, 8 * time.Second} {
		f.more(100)
		redis.Process.Signal(syscall.SIGSTOP)
		time.Sleep(pause) // how long it hangs is the subject
		redis.Process.Signal(syscall.SIGCONT)
		f.more(100)
	}
	f.check()
}

// TestRedisIsEmptied amid a flood, and loses its script: the stream is another one, and the subscribers are told so.
func TestRedisIsEmptied(t *testing.T) {
	t.Parallel()
	dir := shortDir(t)
	redisServer(t, dir)
	socket := filepath.Join(dir, "s")
	f := startFlood(t, startNode(t, "-redis", "unix://"+socket), startNode(t, "-redis", "unix://"+socket))
	f.reset = true
	for _, command := range []string{"SCRIPT FLUSH\r\n", "FLUSHALL\r\n", "DEL {mangusta}:log\r\n", "DEL {mangusta}:meta\r\n"} {
		f.more(50)
		c, err := net.Dial("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, command); err != nil {
			t.Fatal(err)
		}
		if n, err := c.Read(make([]byte, 1)); n == 0 {
			t.Fatal(err)
		}
	}
	f.more(50)
	f.check()
}
