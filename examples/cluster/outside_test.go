package main

import (
	"bytes"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/internal/exhaustive"
)

// buildNATS builds the program nats-server, of the module that the engine embeds.
func buildNATS(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "nats-server")
	if out, err := exec.Command("go", "build", "-o", path, "github.com/nats-io/nats-server/v2").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v: %s", err, out)
	}
	return path
}

// A natsServer is a process of nats-server, which knows nothing of this project.
type natsServer struct {
	t    *testing.T
	path string
	addr string
	args []string
	cmd  *exec.Cmd
	log  bytes.Buffer
}

// startNATS starts nats-server with its messages in files.
func startNATS(t *testing.T, path string, args ...string) *natsServer {
	t.Helper()
	s := &natsServer{t: t, path: path, addr: freeAddress(t)}
	host, port, _ := net.SplitHostPort(s.addr)
	s.args = append([]string{"-a", host, "-p", port, "-js", "-sd", t.TempDir()}, args...)
	s.start()
	t.Cleanup(s.kill)
	return s
}

// start starts it, or starts it again, and waits until it takes connections.
func (s *natsServer) start() {
	s.t.Helper()
	s.cmd = exec.Command(s.path, s.args...)
	s.cmd.Stderr = &s.log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if c, err := net.Dial("tcp", s.addr); err == nil {
			c.Close()
			return
		}
		if time.Now().After(end) {
			s.kill()
			s.t.Fatalf("nats-server does not come: %s", s.log.String())
		}
	}
}

// kill ends it as kill -9 does.
func (s *natsServer) kill() {
	s.cmd.Process.Kill()
	s.cmd.Wait()
}

// TestServerOutsideDies: the engine is the program nats-server, as others run it. It dies by kill -9
// amid a flood, twice, and so does a node.
func TestServerOutsideDies(t *testing.T) {
	t.Parallel()
	server := startNATS(t, buildNATS(t))
	args := []string{"-nats", "nats://" + server.addr, "-files"}
	a, b := startNode(t, args...), startNode(t, args...)
	f := startFlood(t, a, b)
	for range 2 {
		f.more(100)
		server.kill()
		f.refuse(20)
		server.start()
		f.more(50)
	}
	b.kill()
	f.more(50)
	b.start()
	f.more(50)
	f.check()
}

// TestServersOutsideDie: the engine is a cluster of three of them, of which one at a time dies.
func TestServersOutsideDie(t *testing.T) {
	if !exhaustive.On() {
		t.Skip("it takes half a minute: MANGUSTA_EXHAUSTIVE=1")
	}
	t.Parallel()
	var routes, urls []string
	var servers []*natsServer
	path := buildNATS(t)
	for range 3 {
		routes = append(routes, freeAddress(t))
	}
	for i, at := range routes {
		s := startNATS(t, path, "-n", fmt.Sprint("s", i), "-cluster_name", "c", "-cluster", "nats://"+at, "-routes", "nats://"+strings.Join(routes, ",nats://"))
		servers, urls = append(servers, s), append(urls, "nats://"+s.addr)
	}
	args := []string{"-nats", strings.Join(urls, ","), "-files", "-replicas", "3"}
	f := startFlood(t, startNode(t, args...), startNode(t, args...), startNode(t, args...))
	for _, s := range servers {
		f.more(100)
		s.kill()
		f.more(100)
		s.start()
		f.everywhere()
		f.more(100)
	}
	f.check()
}
