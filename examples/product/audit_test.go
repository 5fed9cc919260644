package main

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/device/audit"
	"github.com/seed4930a636/mangusta/examples/internal/programtest"
)

// The audit runs beside the program, knows its users and files, has no secret in it, and fails when
// something is unsafe.
func TestAudit(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	// The ports of this machine are not this test's.
	run := func(want int, args ...string) string {
		t.Helper()
		out, err := programtest.Run(t, append([]string{"audit", "-data", dir, "-tls", "-proc", "-"}, args...)...)
		status := 0
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			status = exit.ExitCode()
		}
		if status != want {
			t.Errorf("%v: exit %d, want %d: %s", args, status, want, out)
		}
		return out
	}
	if out := run(1, "-listen", "0.0.0.0:443"); !strings.Contains(out, "unsafe: the device has no owner") {
		t.Error(out)
	}
	p := programtest.Start(t, "-listen", "127.0.0.1:0", "-tls", "-data", dir)
	ann := trusting(t, p.Addr)
	code := codeIn.FindStringSubmatch(p.Said)[1]
	ann.want(200, "", "POST", "/owner/setup", `{"code": "`+code+`", "name": "ann", "password": "correct horse"}`)
	key := ann.want(200, "", "POST", "/owner/tokens", `{"name": "meter", "role": "viewer", "scopes": ["settings"], "days": 30}`)
	ann.want(200, "", "PATCH", "/api/settings", `{"network": {"password": "swordfish"}}`)

	out := run(0, "-listen", "0.0.0.0:443", "-http", "0.0.0.0:80")
	for _, want := range []string{"ann, admin", "meter of ann, viewer, [settings], made ", "http://0.0.0.0:80 (redirects)", "own.pem: [localhost thermostat.local", "nothing unsafe was found", "note: the device takes no updates"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in %s", want, out)
		}
	}
	var r audit.Report
	text := run(0, "-json")
	if err := json.Unmarshal([]byte(text), &r); err != nil || len(r.Users) != 1 || len(r.Tokens) != 1 {
		t.Errorf("%v %s", err, text)
	}
	var made struct{ Token string }
	if err := json.Unmarshal([]byte(key), &made); err != nil {
		t.Fatal(err)
	}
	users, err := os.ReadFile(filepath.Join(dir, "users.json"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Users  []struct{ Password struct{ Sum string } }
		Tokens []struct{ Key string }
	}
	if err := json.Unmarshal(users, &file); err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{made.Token, "swordfish", "correct horse", file.Users[0].Password.Sum, file.Tokens[0].Key, "PRIVATE"} {
		if strings.Contains(out, secret) || strings.Contains(text, secret) {
			t.Errorf("%q is in the report", secret)
		}
	}
	ann.want(200, "", "POST", "/owner/tokens", `{"name": "everything", "role": "admin"}`)
	if out := run(1); !strings.Contains(out, "unsafe: the token everything of ann can do everything, for ever") {
		t.Error(out)
	}
	ann.want(200, "", "PATCH", "/api/settings", `{"name": "x"}`)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, "users.json"), 0o644); err != nil {
		t.Fatal(err)
	}
	if out := run(1); !strings.Contains(out, "users.json has mode 0644") {
		t.Error(out)
	}
}

// Status 1 is for unsafe settings: a script must not take a wrong option for them.
func TestAuditUsage(t *testing.T) {
	for arg, want := range map[string]int{"-h": 0, "-nonsense": 2} {
		out, err := programtest.Run(t, "audit", arg)
		status := 0
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			status = exit.ExitCode()
		}
		if status != want || !strings.Contains(out, "Usage of product audit:") {
			t.Errorf("%s: exit %d, want %d: %s", arg, status, want, out)
		}
	}
}
