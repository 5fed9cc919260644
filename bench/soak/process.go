package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// process is the running program.
type process struct {
	cmd   *exec.Cmd
	addr  string
	begun time.Time

	collections collections
}

// collections is what a program with GODEBUG=gctrace=1 writes to stderr. A line that is not about a
// collection is passed on.
type collections struct {
	rest []byte       // of a line
	live atomic.Int64 // MiB, after the last one
}

// gc 7 @2.103s 0%: 0.018+1.2+0.05 ms clock, …, 4->5->2 MB, 5 MB goal, …
var collection = regexp.MustCompile(`^gc \d+ @.*->(\d+) MB, `)

func (x *collections) Write(p []byte) (int, error) {
	x.rest = append(x.rest, p...)
	for {
		line, rest, found := bytes.Cut(x.rest, []byte("\n"))
		if !found {
			return len(p), nil
		}
		if m := collection.FindSubmatch(line); m != nil {
			n, _ := strconv.ParseInt(string(m[1]), 10, 64)
			x.live.Store(n)
		} else {
			os.Stderr.Write(append(line, '\n'))
		}
		x.rest = append(x.rest[:0], rest...)
	}
}

// sample is what the kernel tells about the program at one time.
type sample struct {
	at      time.Duration // since the program was started
	rss     int           // bytes
	files   int           // open descriptors, but for those of pollers
	threads int           // of the operating system; the program has a few goroutines only, whatever the load
	cpu     time.Duration // of all threads, in ticks of 10 ms
	ops     int64         // operations that the load has done
	live    int           // MiB of the heap that the last collection has kept
}

var listening = regexp.MustCompile(`listening on (127\.0\.0\.1:\d+)`)

// start runs the program on a free port of loopback.
func start(bin string, args ...string) (*process, error) {
	p := &process{cmd: exec.Command(bin, append([]string{"-listen", "127.0.0.1:0"}, args...)...), begun: time.Now()}
	p.cmd.Stderr = &p.collections
	p.cmd.Env = append(os.Environ(), "GODEBUG=gctrace=1")
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	r := bufio.NewReader(out)
	line, err := r.ReadString('\n')
	m := listening.FindStringSubmatch(line)
	if m == nil {
		p.stop()
		return nil, fmt.Errorf("the program does not listen: %q, %v", line, err)
	}
	p.addr = m[1]
	go io.Copy(io.Discard, r) // ends with the program
	return p, nil
}

func (p *process) stop() {
	p.cmd.Process.Kill()
	p.cmd.Wait()
}

// look takes a sample.
func (p *process) look() (s sample, err error) {
	proc := fmt.Sprintf("/proc/%d/", p.cmd.Process.Pid)
	s.at, s.live = time.Since(p.begun), int(p.collections.live.Load())
	files, err := os.ReadDir(proc + "fd")
	if err != nil {
		return s, err
	}
	for _, f := range files {
		// Go's own poller comes when it is first needed, be it under load.
		to, err := os.Readlink(proc + "fd/" + f.Name())
		if err == nil && !strings.HasPrefix(to, "anon_inode:") {
			s.files++
		}
	}
	status, err := os.ReadFile(proc + "status")
	if err != nil {
		return s, err
	}
	for line := range bytes.Lines(status) {
		var n int
		if k, _ := fmt.Sscanf(string(line), "VmRSS: %d kB", &n); k == 1 {
			s.rss = n << 10
		}
		if k, _ := fmt.Sscanf(string(line), "Threads: %d", &n); k == 1 {
			s.threads = n
		}
	}
	stat, err := os.ReadFile(proc + "stat")
	if err != nil {
		return s, err
	}
	f := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+2:]) // the name before may have spaces
	user, err1 := strconv.Atoi(string(f[11]))
	system, err2 := strconv.Atoi(string(f[12]))
	s.cpu = time.Duration(user+system) * 10 * time.Millisecond // USER_HZ is 100 on every Linux that Go runs on
	if s.rss == 0 || s.threads == 0 {
		return s, errors.New("the program has ended")
	}
	return s, errors.Join(err1, err2)
}

// rest waits until the program has no more than files descriptors, 40 seconds at most (a stalled
// peer is given 30), and takes a sample.
func (p *process) rest(files int) (s sample, err error) {
	for end := time.Now().Add(40 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if s, err = p.look(); err != nil || s.files <= files || time.Now().After(end) {
			return s, err
		}
	}
}
