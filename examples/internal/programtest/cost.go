package programtest

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"
)

// PeakRSS returns the largest resident memory that the program has had so far, in bytes.
func (p *Program) PeakRSS() int {
	p.t.Helper()
	return p.memory("VmHWM")
}

// RSS returns the program's resident memory in bytes.
func (p *Program) RSS() int {
	p.t.Helper()
	return p.memory("VmRSS")
}

// memory returns a size that /proc/PID/status tells, in bytes.
func (p *Program) memory(name string) int {
	p.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	for line := range bytes.Lines(b) {
		var kb int
		if n, _ := fmt.Sscanf(string(line), name+": %d kB", &kb); n == 1 {
			return kb << 10
		}
	}
	p.t.Fatal("/proc/PID/status has no " + name)
	return 0
}

// CPU returns the processor time that all threads of the program have used so far, in user and
// system mode. It counts in ticks of 10 ms.
func (p *Program) CPU() time.Duration {
	p.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	f := bytes.Fields(b[bytes.LastIndexByte(b, ')')+2:]) // the name before may have spaces
	user, err1 := strconv.Atoi(string(f[11]))
	system, err2 := strconv.Atoi(string(f[12]))
	if err1 != nil || err2 != nil {
		p.t.Fatalf("/proc/PID/stat: %q", b)
	}
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every Linux that Go runs on
	return time.Duration(user+system) * tick
}
