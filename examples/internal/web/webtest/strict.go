// Package webtest checks the pages of the examples, for their tests.
package webtest

import (
	"io/fs"
	"regexp"
	"strings"
	"testing"
)

var (
	inline  = regexp.MustCompile(`(?i)<style|\sstyle=|\son[a-z]+=|<script(>|\s+type="module">)|javascript:`)
	address = regexp.MustCompile(`https?://[^"'\s)]*`)
)

// WantStrict fails for what a policy without inline script and style would forbid in the files of
// dir, and for addresses of other hosts.
func WantStrict(t *testing.T, fsys fs.FS, dir string) {
	t.Helper()
	files := 0
	err := fs.WalkDir(fsys, dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		text, err := fs.ReadFile(fsys, name)
		if strings.HasSuffix(name, ".html") {
			for _, found := range inline.FindAllString(string(text), -1) {
				t.Errorf("%s has %q", name, found)
			}
		}
		for _, found := range address.FindAllString(string(text), -1) {
			if found != "http://www.w3.org/2000/svg" { // the name of a namespace, never fetched
				t.Errorf("%s asks %s", name, found)
			}
		}
		return err
	})
	if err != nil || files == 0 {
		t.Fatal(files, err)
	}
}
