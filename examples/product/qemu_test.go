package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/seed4930a636/mangusta/internal/exhaustive"
)

// As a program for ARM and for MIPS it starts, gets an owner, lets her in, and is updated.
func TestOtherProcessors(t *testing.T) {
	if os.Getenv("MANGUSTA_QEMU") == "" && !exhaustive.On() {
		t.Skip("a long form: MANGUSTA_QEMU=1")
	}
	for _, tt := range []struct{ arch, qemu string }{{"arm", "qemu-arm"}, {"mipsle", "qemu-mipsel"}} {
		t.Run(tt.arch, func(t *testing.T) {
			t.Parallel()
			qemu, err := exec.LookPath(tt.qemu)
			if err != nil {
				t.Skipf("SKIPPED, NOT TESTED: there is no %s here (apt-get install qemu-user)", tt.qemu)
			}
			program := filepath.Join(t.TempDir(), "product")
			build := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".")
			build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+tt.arch)
			if out, err := build.CombinedOutput(); err != nil {
				t.Fatalf("%v %s", err, out)
			}
			s, started := startSlotsOf(t, program, qemu)
			addr, said := started()
			setUp(t, "http://"+addr, said)
			ann := newBrowser(t, "http://"+addr)
			ann.want(401, "", "POST", "/owner/login", `{"name": "ann", "password": "wrong horse"}`)
			ann.want(200, "", "POST", "/owner/login", `{"name": "ann", "password": "correct horse"}`)
			ann.want(200, `"saved":true`, "PATCH", "/api/settings", `{"target": 22.5}`)
			s.update(ann, started)
			ann.want(200, `"target":22.5`, "GET", "/api/settings", "")
			ann.want(200, "", "GET", "/", "")
		})
	}
}
