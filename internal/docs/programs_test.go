package docs

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A program that a page of docs shows whole builds and runs, and says what the page says: "It
// prints `…`." after it.
func TestProgramsOfTheDocs(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```go\n(.*?)```\n\n([^\n]*)")
	programs := 0
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range block.FindAllSubmatch(text, -1) {
			if !strings.Contains(string(m[1]), "package main\n") {
				continue
			}
			programs++
			_, says, ok := strings.Cut(string(m[2]), "It prints `")
			says, _, _ = strings.Cut(says, "`")
			if !ok || says == "" {
				t.Errorf("%s: the program is not followed by what it prints", page)
			}
			file := filepath.Join(t.TempDir(), "main.go")
			if err := os.WriteFile(file, m[1], 0o600); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command("gofmt", "-l", file).CombinedOutput(); err == nil && len(out) > 0 {
				t.Errorf("%s: gofmt would change the program", page)
			}
			out, err := exec.Command("go", "run", file).CombinedOutput()
			if err != nil || strings.TrimSpace(string(out)) != says {
				t.Errorf("%s: the program prints %q, and the page says %q (%v)", page, out, says, err)
			}
		}
	}
	if programs == 0 {
		t.Error("the pages show no program")
	}
}
