package files

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// steps are system calls that change names, and those that make a file or a directory durable, with
// its path.
var steps = regexp.MustCompile(`(?m)^(?:\d+ +)?(?:(fsync)\(\d+<(.*)>\)|(?:(mkdirat|renameat|unlinkat)2?)\(.*\)) += 0$`)

// When the reply comes, the file is on the disk: the content before its name, and each name by its directory.
// The test runs itself under strace.
func TestSyncs(t *testing.T) {
	if dir := os.Getenv("MANGUSTA_STRACED"); dir != "" {
		r := serveIn(t, dir, 0, Options{})
		r.want(201, "", "PUT", "/a", "x")
		r.want(201, "", "POST", "/d?mkdir", "")
		r.want(200, "", "POST", "/a?rename=d/b", "")
		r.want(200, "", "DELETE", "/d/b", "")
		return
	}
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("SKIPPED, NOT TESTED: there is no strace here (apt-get install strace)")
	}
	dir := t.TempDir()
	log := filepath.Join(t.TempDir(), "log")
	cmd := exec.CommandContext(t.Context(), strace, "-f", "-y", "-qq", "-e", "signal=none", "-e", "trace=mkdirat,renameat,renameat2,unlinkat,fsync", "-o", log, os.Args[0], "-test.run=^TestSyncs$", "-test.timeout=60s")
	cmd.Env = append(os.Environ(), "MANGUSTA_STRACED="+dir)
	if out, err := cmd.CombinedOutput(); strings.Contains(string(out), "strace: ") {
		t.Skipf("SKIPPED, NOT TESTED: strace may not trace here: %s", out)
	} else if err != nil {
		t.Fatalf("%v %s", err, out)
	}
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range steps.FindAllStringSubmatch(string(text), -1) {
		path, _ := filepath.Rel(dir, m[2]) // "" without one
		got = append(got, strings.TrimSpace(m[1]+m[3]+" "+path))
	}
	want := []string{
		"mkdirat", "fsync .", "mkdirat", // New
		"fsync files/.uploads/1", "renameat", "fsync files", // PUT
		"mkdirat", "fsync files", "renameat", "fsync files/d", "fsync files", "unlinkat", "fsync files/d",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q; of\n%s", got, want, text)
	}
}
