package main

import (
	"os"
	"regexp"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/examples/internal/programtest"
)

// patience is how long a test waits for what must come.
const patience = 60 * time.Second

func TestMain(m *testing.M) {
	setClock()
	programtest.Main(m, main)
}

// A process is a node that can die and come back.
type process struct {
	*programtest.Program
	t    *testing.T
	by   []string // the command that starts it, as programtest.StartBy has it
	args []string
	at   atomic.Value // its address, for the clients of a flood
}

func startNode(t *testing.T, args ...string) *process {
	t.Helper()
	return startNodeIn(t, nil, args...)
}

// startNodeIn starts a node by a command.
func startNodeIn(t *testing.T, by []string, args ...string) *process {
	t.Helper()
	s := &process{t: t, by: by, args: append([]string{"-listen", "127.0.0.1:0", "-history", "100000", "-limit", "16777216",
		"-rate", "1000000", "-max-per-address", "0"}, args...)}
	s.start()
	return s
}

func (s *process) start() {
	s.t.Helper()
	s.Program = programtest.StartBy(s.t, s.by, s.args...)
	s.at.Store(s.Addr)
}

// kill ends the node as kill -9 does.
func (s *process) kill() {
	s.t.Helper()
	s.Signal(syscall.SIGKILL)
	s.Log() // it is gone then
}

var natsAt = regexp.MustCompile(`-nats (nats://[^\s]+)`)

// startHost starts a node with the engine in it, and returns its URL.
func startHost(t *testing.T, dir string, args ...string) (*process, string) {
	t.Helper()
	s := startNode(t, append([]string{"-node", "host", "-nats-listen", "127.0.0.1:0", "-dir", dir}, args...)...)
	url := natsAt.FindStringSubmatch(s.Said)
	if url == nil {
		t.Fatalf("the host does not say where it takes others: %q", s.Said)
	}
	for i, a := range s.args {
		if a == "-nats-listen" {
			s.args[i+1] = url[1][len("nats://"):] // there it must come back
		}
	}
	return s, url[1]
}

// shortDir is a directory whose path is short, for sockets.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "mg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
