package main

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A node is a process that the load goes to.
type node struct {
	cmd  *exec.Cmd
	url  string // of its Door
	said string // what it printed up to its address
}

// A cluster is what this program has started: the nodes, and a store that stands outside of them.
type cluster struct {
	dir   string // for all files; removed at the end
	nodes []*node
	store *exec.Cmd // redis-server
	token string
}

// engines are the values of -engine.
var engines = map[string]string{
	"memory":   "the first node embeds a NATS server, which keeps messages in memory",
	"files":    "the same, in files",
	"replicas": "three nodes at least, a NATS server in each of the first three, all messages on all three, in files",
	"redis":    "a redis-server, which flushes each command",
}

// startCluster starts n nodes that share an engine: the program examples/cluster, which it builds.
func startCluster(n int, engine string) (_ *cluster, err error) {
	if engines[engine] == "" || engine == "replicas" && n < 3 {
		return nil, fmt.Errorf("hub: -engine %s with %d nodes: it is memory, files, redis, or, with three nodes at least, replicas", engine, n)
	}
	dir, err := os.MkdirTemp("", "mg-hub") // short: a socket is in it
	if err != nil {
		return nil, err
	}
	c := &cluster{dir: dir, token: rand.Text()}
	defer func() {
		if err != nil {
			c.stop()
		}
	}()
	build := exec.Command("go", "build", "-o", c.path("node"), "github.com/seed4930a636/mangusta/examples/cluster")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go build: %w\n%s", err, out)
	}
	for _, name := range []string{"token", "key"} {
		if err := os.WriteFile(c.path(name), []byte(c.token+c.token), 0o600); err != nil {
			return nil, err
		}
	}
	c.token += c.token
	arguments, err := c.arguments(n, engine)
	if err != nil {
		return nil, err
	}
	started := make(chan error, n)
	for i := range n {
		x := &node{}
		c.nodes = append(c.nodes, x)
		start := func() { started <- x.start(c.path("node"), append(c.common(i), arguments(i)...)) }
		if i == 0 && engine != "replicas" {
			start() // the others need to know where it takes them
			if err := <-started; err != nil {
				return nil, err
			}
			started <- nil
			continue
		}
		go start() // none of three is up before two are there
	}
	var all error
	for range n {
		all = errors.Join(all, <-started)
	}
	return c, all
}

func (c *cluster) path(name string) string { return filepath.Join(c.dir, name) }

// common are the arguments of each node.
func (c *cluster) common(i int) []string {
	return []string{"-listen", "127.0.0.1:0", "-node", fmt.Sprint("n", i), "-token-file", c.path("token"), "-jwt-key-file", c.path("key"),
		"-history", "100000", "-limit", "16777216", "-rate", "1000000", "-max-per-address", "0"}
}

var natsAt = regexp.MustCompile(`-nats (nats://[^\s]+)`)

// arguments returns what tells a node of its engine. It starts what must be there before.
func (c *cluster) arguments(n int, engine string) (func(i int) []string, error) {
	host := func() string {
		if m := natsAt.FindStringSubmatch(c.nodes[0].said); m != nil {
			return m[1]
		}
		return "none"
	}
	switch engine {
	case "files":
		return func(i int) []string {
			if i > 0 {
				return []string{"-nats", host(), "-files"}
			}
			return []string{"-nats-listen", "127.0.0.1:0", "-dir", c.path("files")}
		}, nil
	case "replicas":
		peers, err := freeAddresses(3)
		if err != nil {
			return nil, err
		}
		clients, err := freeAddresses(3)
		if err != nil {
			return nil, err
		}
		return func(i int) []string {
			if i > 2 {
				return []string{"-nats", "nats://" + strings.Join(clients, ",nats://"), "-files", "-replicas", "3"}
			}
			return []string{"-self", peers[i], "-peers", strings.Join(peers, ","), "-replicas", "3", "-dir", c.path(fmt.Sprint("files", i)), "-nats-listen", clients[i]}
		}, nil
	case "redis":
		if err := c.startRedis(); err != nil {
			return nil, err
		}
		return func(int) []string { return []string{"-redis", "unix://" + c.path("redis")} }, nil
	}
	return func(i int) []string {
		if i > 0 {
			return []string{"-nats", host()}
		}
		return []string{"-nats-listen", "127.0.0.1:0"}
	}, nil
}

// freeAddresses returns addresses of this machine that nobody listens at: the servers of a cluster
// must know each other's before they start.
func freeAddresses(n int) (list []string, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		list = append(list, l.Addr().String())
	}
	return list, nil
}

func (c *cluster) startRedis() error {
	c.store = exec.Command("redis-server", "--port", "0", "--unixsocket", c.path("redis"), "--dir", c.dir, "--save", "", "--appendonly", "yes", "--appendfsync", "always")
	c.store.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	if err := c.store.Start(); err != nil {
		return err
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("unix", c.path("redis"))
		if err == nil {
			return conn.Close()
		}
		if time.Now().After(end) {
			return fmt.Errorf("hub: redis-server does not come: %w", err)
		}
	}
}

var listensAt = regexp.MustCompile(`listening on (127\.0\.0\.1:\d+)`)

// start runs the program, and waits until it says where it listens.
func (x *node) start(program string, args []string) error {
	x.cmd = exec.Command(program, args...)
	x.cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	out, err := x.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	var errors bytes.Buffer
	x.cmd.Stderr = &errors
	if err := x.cmd.Start(); err != nil {
		return err
	}
	in := bufio.NewReader(out)
	for x.url == "" {
		line, err := in.ReadString('\n')
		x.said += line
		if m := listensAt.FindStringSubmatch(line); m != nil {
			x.url = "ws://" + m[1] + "/hub"
		}
		if err != nil {
			x.cmd.Wait()
			return fmt.Errorf("hub: a node ended: %s %s", x.said, errors.String())
		}
	}
	go io.Copy(io.Discard, in)
	return nil
}

// urls returns those of the nodes' Doors.
func (c *cluster) urls() (list []string) {
	for _, x := range c.nodes {
		list = append(list, x.url)
	}
	return list
}

// cpu returns the processor time of each node so far, of all threads, in seconds.
func (c *cluster) cpu() (list []float64) {
	for _, x := range c.nodes {
		clock := int32(^x.cmd.Process.Pid<<3 | 2) // clock_getcpuclockid(3)
		var t unix.Timespec
		if unix.ClockGettime(clock, &t) != nil {
			t = unix.Timespec{}
		}
		list = append(list, float64(t.Nano())/1e9)
	}
	return list
}

// stop ends all.
func (c *cluster) stop() {
	for i := len(c.nodes) - 1; i >= 0; i-- { // the host last
		if cmd := c.nodes[i].cmd; cmd != nil && cmd.Process != nil {
			cmd.Process.Kill()
			cmd.Wait()
		}
	}
	if c.store != nil && c.store.Process != nil {
		c.store.Process.Kill()
		c.store.Wait()
	}
	os.RemoveAll(c.dir)
}
