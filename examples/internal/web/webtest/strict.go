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

// WantStrict fails for what a policy without inline script and style would forbid in the files of dir, and for addresses of
// other hosts.
func WantStrict(t *testing.T, fsys fs.FS, dir string) {
	t.Helper()
	files, err := fs.ReadDir(fsys, dir)
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		text, err := fs.ReadFile(fsys, dir+"/"+f.Name())
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(f.Name(), ".html") {
			for _, found := range inline.FindAllString(string(text), -1) {
				t.Errorf("%s has %q", f.Name(), found)
			}
		}
		for _, found := range address.FindAllString(string(text), -1) {
			if found != "http://www.w3.org/2000/svg" { // the name of a namespace, never fetched
				t.Errorf("%s asks %s", f.Name(), found)
			}
		}
	}
}
