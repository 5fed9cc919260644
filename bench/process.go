package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// A server is a program that is measured.
type server struct {
	name string
	pkg  string   // built with go build
	args []string // "ADDR" stands for the address to listen on
}

// process is a running server.
type process struct {
	cmd  *exec.Cmd
	addr string
}

// build compiles the servers into dir, statically and stripped, as they would be shipped.
func build(dir string, servers []server) error {
	for _, s := range servers {
		cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(dir, s.name), s.pkg)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", s.name, err, out)
		}
	}
	return nil
}

// pinned returns the command with its process bound to one processor, where there are two or more.
func pinned(cpu int, name string, args ...string) *exec.Cmd {
	if runtime.NumCPU() < 2 {
		return exec.Command(name, args...)
	}
	return exec.Command("taskset", append([]string{"-c", strconv.Itoa(cpu), name}, args...)...)
}

// start runs a server on a free port, with one processor, and waits until it listens.
func start(dir string, s server) (*process, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	addr := l.Addr().String()
	l.Close()
	args := make([]string, len(s.args))
	for i, a := range s.args {
		args[i] = strings.ReplaceAll(a, "ADDR", addr)
	}
	cmd := pinned(0, filepath.Join(dir, s.name), args...)
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd, addr}
	for range 200 {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			return p, nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	p.stop()
	return nil, fmt.Errorf("%s does not listen on %s", s.name, addr)
}

func (p *process) stop() {
	p.cmd.Process.Kill()
	p.cmd.Wait()
}

// cpu returns the processor time that the server has used so far, in user and system mode.
func (p *process) cpu() (user, system time.Duration, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, 0, err
	}
	f := bytes.Fields(b[bytes.LastIndexByte(b, ')')+2:])
	u, err1 := strconv.Atoi(string(f[11]))
	s, err2 := strconv.Atoi(string(f[12]))
	if err1 != nil || err2 != nil {
		return 0, 0, fmt.Errorf("/proc/PID/stat: %q", b)
	}
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every Linux that Go runs on
	return time.Duration(u) * tick, time.Duration(s) * tick, nil
}

// rss returns the server's resident memory in bytes.
func (p *process) rss() (int, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		var kb int
		if n, _ := fmt.Sscanf(line, "VmRSS: %d kB", &kb); n == 1 {
			return kb << 10, nil
		}
	}
	return 0, fmt.Errorf("/proc/PID/status has no VmRSS")
}
