package selftest

import (
	"bytes"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// InNamespace runs the test t, which must not be a subtest, once more in a process with namespaces of
// its own (syscall.CLONE_NEWNET, syscall.CLONE_NEWNS), in which it has the rights of root:
//
//	if !selftest.InNamespace(t, syscall.CLONE_NEWNET, "ip link set lo up") {
//		return
//	}
//
// It returns true in that process. Otherwise it returns false when the process has ended, whose
// failures are those of t; t is skipped where there are no such namespaces. setup is what a shell does
// there first, with args as $1 and so on; if it fails, t is skipped.
func InNamespace(t *testing.T, flags uintptr, setup string, args ...string) (inside bool) {
	t.Helper()
	const variable = "MANGUSTA_NAMESPACE"
	if os.Getenv(variable) == t.Name() {
		return true
	}
	script := `PATH=$PATH:/usr/sbin:/sbin
{
` + setup + `
} && exec "$PROGRAM" -test.run "^$` + variable + `\$" -test.v`
	cmd := exec.Command("/bin/sh", append([]string{"-c", script, "sh"}, args...)...)
	cmd.Env = append(os.Environ(), variable+"="+t.Name(), "PROGRAM="+os.Args[0])
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  flags | syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	has := func(text string) bool { return bytes.Contains(out, []byte(text)) }
	switch {
	case err == nil && has("--- PASS: "+t.Name()):
	case has("=== RUN") && !has("--- SKIP: "+t.Name()): // it has failed, or ended before it said anything
		t.Errorf("in a namespace: %v\n%s", err, out)
	default:
		t.Skipf("no such namespace here: %v\n%s", err, out)
	}
	return false
}
