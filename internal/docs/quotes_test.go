package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// quote is Go code in a page, under a comment that says from which file it is.
var quote = regexp.MustCompile("(?s)<!-- from ([^ ]+) -->\\s*```go\n(.*?)```")

// Code that a page quotes is that of a file that is compiled, but for the indentation.
func TestPagesQuoteWhatIsCompiled(t *testing.T) {
	root := filepath.Join("..", "..")
	pages, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	quotes := 0
	for _, page := range append(pages, filepath.Join(root, "README.md")) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range quote.FindAllStringSubmatch(string(text), -1) {
			quotes++
			source, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(m[1])))
			if err != nil {
				t.Errorf("%s: %v", page, err)
				continue
			}
			if !strings.Contains(flush(string(source)), flush(m[2])) {
				t.Errorf("%s quotes what %s does not have:\n%s", page, m[1], m[2])
			}
		}
	}
	if quotes < 3 {
		t.Errorf("%d quotes were found", quotes)
	}
}

// flush takes the indentation away.
func flush(s string) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		b.WriteString(strings.TrimSpace(line))
		b.WriteByte('\n')
	}
	return b.String()
}
