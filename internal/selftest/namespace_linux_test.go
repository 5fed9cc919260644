package selftest

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// TestInside is what TestInNamespace runs.
func TestInside(t *testing.T) {
	does := os.Getenv("SELFTEST_DOES")
	if does == "" {
		t.Skip("it is for TestInNamespace")
	}
	setup := `[ "$1" = "a b" ]`
	if does == "no setup" {
		setup = "false"
	}
	if !InNamespace(t, syscall.CLONE_NEWNET, setup, "a b") {
		return
	}
	switch does {
	case "fail":
		t.Error("on purpose")
	case "exit":
		os.Exit(0)
	case "skip":
		t.Skip("on purpose")
	}
	if os.Getuid() != 0 {
		t.Error("it is not root")
	}
}

// The test has the outcome of the process in the namespace.
func TestInNamespace(t *testing.T) {
	for does, want := range map[string]string{"pass": "PASS", "fail": "FAIL", "exit": "FAIL", "skip": "SKIP", "no setup": "SKIP"} {
		cmd := exec.Command(os.Args[0], "-test.run", "^TestInside$", "-test.v")
		cmd.Env = append(os.Environ(), "SELFTEST_DOES="+does)
		out, _ := cmd.CombinedOutput()
		if does == "pass" && strings.Contains(string(out), "--- SKIP") {
			t.Skipf("no namespaces here: %s", out)
		}
		if !strings.Contains(string(out), "\n--- "+want+": TestInside") {
			t.Errorf("%s: want %s: %s", does, want, out)
		}
		if does == "pass" && strings.Count(string(out), "--- PASS") != 1 {
			t.Errorf("%s", out)
		}
	}
}
