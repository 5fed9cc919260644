// Package stracetest has the real system calls of a test fail, one at a time, with strace -e
// inject.
package stracetest

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/internal/racetest"
)

// isHelper is set in the environment of a helper, which reports to descriptor 3.
const isHelper = "MANGUSTA_STRACE_HELPER"

// A Fault is the Nth call of its kind, which fails. The zero value is none.
type Fault struct {
	Call  string
	Nth   int
	Errno unix.Errno
}

func (f Fault) String() string {
	return fmt.Sprintf("%s number %d: %s", f.Call, f.Nth, unix.ErrnoName(f.Errno))
}

// told is what a helper reports.
type told struct {
	Thread int
	Result json.RawMessage
}

// head is how often a helper makes each call before those that count: more often than the loader
// and the runtime do in any thread, since strace counts for each thread, and would have the call
// fail there, too.
const head = 64

// Report is for the helper, a test that other tests run under strace: it has f run in one thread,
// so that its calls are counted, and reports what f returns. numbers are those of all calls that
// may be made to fail. Without a Run that waits for it, the helper is skipped.
func Report(t *testing.T, numbers []uintptr, f func() any) {
	if os.Getenv(isHelper) == "" {
		t.Skip("run by another test, under strace")
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var empty [1]byte
	for _, call := range numbers {
		for range head { // of descriptor -1 and an empty path: they do nothing
			unix.RawSyscall(call, ^uintptr(0), uintptr(unsafe.Pointer(&empty)), 0)
		}
	}
	result, err := json.Marshal(f())
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(told{unix.Gettid(), result})
	if err != nil {
		t.Fatal(err)
	}
	for len(b) > 0 { // by a call that no test has fail
		n, err := unix.Writev(3, [][]byte{b})
		if err != nil {
			t.Fatal(os.NewSyscallError("writev", err))
		}
		b = b[n:]
	}
}

// Run runs the helper in a process of its own, with env added to its environment, with a fault,
// puts what it reports into result, and returns how often its thread has made each of the calls,
// and whether the fault has hit.
func Run(t *testing.T, helper string, calls []string, f Fault, result any, env ...string) (made map[string]int, hit bool) {
	t.Helper()
	if racetest.Enabled {
		t.Skip("each run of a program with the race detector takes seconds; the run without it has this test")
	}
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("SKIPPED, NOT TESTED: there is no strace here (apt-get install strace)")
	}
	trace := filepath.Join(t.TempDir(), "trace")
	args := []string{"-f", "--seccomp-bpf", "-qq", "-o", trace, "-e", "signal=none", "-e", "trace=" + strings.Join(calls, ",")}
	if f.Nth > 0 {
		args = append(args, "-e", fmt.Sprintf("inject=%s:error=%d:when=%d", f.Call, int(f.Errno), head+f.Nth))
	}
	cmd := exec.CommandContext(t.Context(), strace, append(args, os.Args[0], "-test.run=^"+helper+"$", "-test.timeout=60s")...)
	cmd.Env = append(append(os.Environ(), env...), isHelper+"=1")
	from, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	cmd.ExtraFiles = []*os.File{to}
	report := make(chan []byte, 1)
	go func() {
		b, _ := io.ReadAll(from)
		report <- b
	}()
	out, err := cmd.CombinedOutput()
	to.Close()
	if err != nil {
		if strings.Contains(string(out), "PTRACE") {
			t.Skipf("SKIPPED, NOT TESTED: strace may not trace here: %s", out)
		}
		t.Fatalf("%v: %v\n%s", f, err, out)
	}
	var r told
	if err := json.Unmarshal(<-report, &r); err != nil {
		t.Fatalf("%v: %v\n%s", f, err, out)
	}
	if err := json.Unmarshal(r.Result, result); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	made = map[string]int{}
	for line := range strings.Lines(string(b)) {
		m := traced.FindStringSubmatch(line)
		if m == nil || m[1] != fmt.Sprint(r.Thread) {
			continue
		}
		made[m[2]]++
		hit = hit || strings.Contains(line, "(INJECTED)")
	}
	for call := range made {
		made[call] -= head
	}
	return made, hit
}

var traced = regexp.MustCompile(`^(\d+) +(\w+)\(`)
