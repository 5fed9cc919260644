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
	log  chan string
}

var listening = regexp.MustCompile(`listening on ([0-9.]+:\d+)`)

// asProgram is set in the environment of a test binary that is to be the program.
const asProgram = "MANGUSTA_RUN_EXAMPLE"

// binary is the path of the program; "" where the package's TestMain calls neither Main nor
// MainOfBuild.
var binary string

// Main is for the TestMain of an example: the test binary itself is then the program that Start
// runs, so that nothing has to be built, and -race counts for both. It does not return.
func Main(m *testing.M, main func()) {
	if os.Getenv(asProgram) != "" {
		main()
		os.Exit(0)
	}
	os.Setenv(asProgram, "1")
	self, err := os.Executable()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binary = self
	os.Exit(m.Run())
}

// MainOfBuild is for the TestMain of an example whose memory and processor time are measured: Start
// runs the program as it is delivered, without the tests' own code. It is built once for all tests.
// MainOfBuild does not return.
func MainOfBuild(m *testing.M) { os.Exit(runWithBuild(m)) }

func runWithBuild(m *testing.M) int {
	dir, err := os.MkdirTemp("", "mangusta-program-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "program")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// Run runs the program with args to its end, and returns what it printed and how it ended.
func Run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), program(t), args...).CombinedOutput()
	return string(out), err
}

// program returns the path of the program.
func program(t *testing.T) string {
	t.Helper()
	if binary == "" {
		t.Fatal("TestMain must call programtest.Main or MainOfBuild")
	}
	return binary
}

// Start runs the program with args; it must say where it listens on standard output or error. The
// program is ended with the test.
func Start(t *testing.T, args ...string) *Program {
	t.Helper()
	return StartBy(t, nil, args...)
}

// StartBy is Start by a command that takes the program and its arguments as its last ones, and
// becomes the program, as nsenter and env do.
func StartBy(t *testing.T, command []string, args ...string) *Program {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	args = append(append(command[:len(command):len(command)], program(t)), args...)
	p := &Program{t: t, cmd: exec.Command(args[0], args[1:]...), done: make(chan error, 1), log: make(chan string, 1)}
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
	go func() {
		log, _ := io.ReadAll(io.LimitReader(out, 1<<20))
		p.log <- string(log)
		io.Copy(io.Discard, out) // so that it never waits for us to read
	}()
	return p
}

// PID returns the number of the process.
func (p *Program) PID() int { return p.cmd.Process.Pid }

// Signal sends the program a signal.
func (p *Program) Signal(sig os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatal(err)
	}
}

// Log returns what the program printed after Said. It waits for its end, and is called once.
func (p *Program) Log() string { return <-p.log }

// Terminate sends SIGTERM and returns how the program ended, which must be within the given time.
func (p *Program) Terminate(within time.Duration) error {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	return p.Wait(within)
}

// Wait returns how the program ended, which must be within the given time.
func (p *Program) Wait(within time.Duration) error {
	p.t.Helper()
	select {
	case err := <-p.done:
		return err
	case <-time.After(within):
		p.t.Fatalf("the program did not end within %v", within)
		return nil
	}
}
