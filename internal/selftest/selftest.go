// Package selftest starts the test binary as a process of its own: for tests in which processes
// talk to each other, die, or replace each other. TestMain, or a test, looks into the environment
// and does what the process is for.
package selftest

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// Start starts the process with this environment, and returns its standard output. Errors of the
// process go to those of the test. The test is skipped where the system does not run programs of
// its own architecture, as under qemu-user. The caller waits for the process.
func Start(t testing.TB, env []string) (*exec.Cmd, io.Reader) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env, cmd.Stderr = env, os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); errors.Is(err, syscall.ENOEXEC) {
		t.Skip("this system does not run the programs of its own architecture: qemu-user")
	} else if err != nil {
		t.Fatal(err)
	}
	return cmd, out
}
