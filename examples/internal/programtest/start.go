// Package programtest starts the example programs for their tests, as processes of their own.
package programtest

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A Program is a running example.
type Program struct {
	Addr string // HOST:PORT that it listens on
	Said string // what it printed up to the line that tells that
	t    *testing.T
	cmd  *exec.Cmd
	done chan error
}

var listening = regexp.MustCompile(`listening on (127\.0\.0\.1:\d+)`)

// asProgram is set in the environment of a test binary that is to be the program.
const asProgram = "MANGUSTA_RUN_EXAMPLE"

// Main is for the TestMain of an example with many tests: the test binary itself is then the program that Start runs, so that
// nothing has to be built, and -race counts for both. It does not return.
func Main(m *testing.M, main func()) {
	if os.Getenv(asProgram) != "" {
		main()
		os.Exit(0)
	}
	os.Setenv(asProgram, "1")
	os.Exit(m.Run())
}

// binary returns the program: the test binary where Main was called, else one built of the current directory.
func binary(t *testing.T) string {
	t.Helper()
	if os.Getenv(asProgram) != "" {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		return self
	}
	bin := filepath.Join(t.TempDir(), "program")
	if out, err := exec.Command("go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return bin
}

// Start runs the program with args; it must say where it listens on standard output or error. The program is ended with
// the test.
func Start(t *testing.T, args ...string) *Program {
	t.Helper()
	bin := binary(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := &Program{t: t, cmd: exec.Command(bin, args...), done: make(chan error, 1)}
	p.cmd.Stdout, p.cmd.Stderr = w, w
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	go func() { p.done <- p.cmd.Wait() }()
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		r.Close()
	})
	out := bufio.NewReader(r)
	for p.Addr == "" {
		line, err := out.ReadString('\n')
		p.Said += line
		if m := listening.FindStringSubmatch(line); m != nil {
			p.Addr = m[1]
		}
		if err != nil {
			t.Fatalf("the program ended without listening: %v %q", err, p.Said)
		}
	}
	go io.Copy(io.Discard, out) // so that it never waits for us to read
	return p
}

// Terminate sends SIGTERM and returns how the program ended, which must be within the given time.
func (p *Program) Terminate(within time.Duration) error {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	select {
	case err := <-p.done:
		return err
	case <-time.After(within):
		p.t.Fatalf("the program did not end within %v of SIGTERM", within)
		return nil
	}
}

// RSS returns the program's resident memory in bytes.
func (p *Program) RSS() int {
	p.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		var kb int
		if n, _ := fmt.Sscanf(line, "VmRSS: %d kB", &kb); n == 1 {
			return kb << 10
		}
	}
	p.t.Fatal("/proc/PID/status has no VmRSS")
	return 0
}
