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

	"golang.org/x/sys/unix"
)

// serverCPU and loadCPU are the first two processors that this process may use.
var serverCPU, loadCPU = func() (int, int) {
	var set unix.CPUSet
	if unix.SchedGetaffinity(0, &set) != nil || set.Count() < 2 {
		return 0, 0
	}
	var cpus []int
	for i := 0; len(cpus) < 2; i++ {
		if set.IsSet(i) {
			cpus = append(cpus, i)
		}
	}
	return cpus[0], cpus[1]
}()

// process is a running server.
type process struct {
	cmd  *exec.Cmd
	addr string
	said bytes.Buffer  // on standard error; to be read when it has stopped
	took time.Duration // from exec until it accepted a connection
}

// pinned returns the command with its process bound to processors, where there are two or more.
func pinned(cpus []int, name string, args ...string) *exec.Cmd {
	if runtime.NumCPU() < 2 || !have("taskset") {
		return exec.Command(name, args...)
	}
	list := strings.Trim(strings.ReplaceAll(fmt.Sprint(cpus), " ", ","), "[]")
	return exec.Command("taskset", append([]string{"-c", list, name}, args...)...)
}

// fill returns s's arguments for a free port, and the address.
func (s server) fill(bin string) (args []string, addr string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, "", err
	}
	addr = l.Addr().String()
	_, port, _ := net.SplitHostPort(addr)
	l.Close()
	r := strings.NewReplacer("ADDR", addr, "PORT", port, "DIR", filepath.Join(bin, staticDir))
	if s.config != "" {
		file := filepath.Join(bin, "config-"+port)
		if err := os.WriteFile(file, []byte(r.Replace(s.config)), 0o644); err != nil {
			return nil, "", err
		}
		r = strings.NewReplacer("ADDR", addr, "PORT", port, "DIR", filepath.Join(bin, staticDir), "CONFIG", file)
	}
	for _, a := range s.args {
		args = append(args, r.Replace(a))
	}
	return args, addr, nil
}

// start runs a server on a free port, with one processor unless it has both, and waits until it
// listens.
func start(bin string, s server) (*process, error) {
	if s.both {
		return startOn(bin, s, []int{serverCPU, loadCPU})
	}
	return startOn(bin, s, []int{serverCPU})
}

// startOn is start with these processors.
func startOn(bin string, s server, cpus []int) (*process, error) {
	args, addr, err := s.fill(bin)
	if err != nil {
		return nil, err
	}
	program := filepath.Join(bin, s.program)
	if s.program == nginxName {
		program, _ = nginxPath()
	}
	cmd := pinned(cpus, program, args...)
	cmd.Env = append(os.Environ(), fmt.Sprint("GOMAXPROCS=", len(cpus)))
	p := &process{cmd: cmd, addr: addr}
	cmd.Stderr = &p.said
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	for time.Since(begin) < 10*time.Second {
		if c, err := net.Dial("tcp", addr); err == nil {
			p.took = time.Since(begin)
			c.Close()
			return p, nil
		}
		time.Sleep(100 * time.Microsecond)
	}
	p.stop()
	return nil, fmt.Errorf("%s does not listen on %s\n%s", s.name, addr, p.said.Bytes())
}

func (p *process) stop() {
	p.cmd.Process.Kill()
	p.cmd.Wait()
}

// profile has perf record the server until stop is called, into a file of dir. Without a dir it
// does nothing.
func (p *process) profile(dir, name string) (stop func(), err error) {
	if dir == "" {
		return func() {}, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(dir, strings.ReplaceAll(name, "/", "-")+"-*.perf")
	if err != nil {
		return nil, err
	}
	f.Close()
	cmd := exec.Command("perf", "record", "-q", "-F", "1999", "-g", "-o", f.Name(), "-p", strconv.Itoa(p.cmd.Process.Pid))
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return func() {
		cmd.Process.Signal(os.Interrupt) // it writes the file then
		cmd.Wait()
	}, nil
}

// usage is processor time.
type usage struct{ user, system time.Duration }

func (u usage) total() time.Duration { return u.user + u.system }

// minus returns what has been used since before. The split is coarse, so in a short time one part
// may seem to shrink.
func (u usage) minus(before usage) usage {
	d := usage{u.user - before.user, u.system - before.system}
	if d.system < 0 {
		d = usage{user: d.user + d.system}
	}
	return d
}

// cpu returns the processor time that all threads of the server have used so far. /proc/PID/stat
// tells how it splits between user and system mode, in ticks of 10 ms; the sum is from the
// process's clock, in nanoseconds.
func (p *process) cpu() (usage, error) {
	pid := p.cmd.Process.Pid
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return usage{}, err
	}
	f := bytes.Fields(b[bytes.LastIndexByte(b, ')')+2:])
	user, err1 := strconv.Atoi(string(f[11]))
	system, err2 := strconv.Atoi(string(f[12]))
	if err1 != nil || err2 != nil {
		return usage{}, fmt.Errorf("/proc/PID/stat: %q", b)
	}
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every Linux that Go runs on
	u := usage{time.Duration(user) * tick, time.Duration(system) * tick}
	var ts unix.Timespec
	clock := int32(^pid)<<3 | 2 // clock_getcpuclockid(3)
	if unix.ClockGettime(clock, &ts) == nil {
		u.system = time.Duration(ts.Nano()) - u.user
	}
	return u, nil
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

// pinThread binds the calling thread to the load's processor. The caller has locked itself to the
// thread, and never unlocks, so that the thread ends with it.
func pinThread() {
	if runtime.NumCPU() < 2 {
		return
	}
	var set unix.CPUSet
	set.Set(loadCPU)
	unix.SchedSetaffinity(0, &set) // where it is refused the kernel finds a place
}

// threadCPU returns the processor time of the calling thread.
func threadCPU() time.Duration {
	var r unix.Rusage
	unix.Getrusage(unix.RUSAGE_THREAD, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
