package http

import (
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/sys/unix"
)

// Every name comes out as text, and every link leads to the file of that name and nowhere else.
func TestListEscapesNames(t *testing.T) {
	dir := t.TempDir()
	names := []string{"plain.txt", "<script>alert(1)<!--", `"quoted" & 'so'`, "a b", "%41", "?q", "#f",
		"javascript:alert(1)", "ü",
		"cr\rlf\nx", "invalid\xff\xfe", "tab\t\x7f", "a;b&amp;c", "~", "+", "]]>", "\u2028", strings.Repeat("x", 250)}
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("<"+name+">"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	tc := newTest(t, Options{}, servingDir(root, FileOptions{Prefix: "/l", List: true, CacheControl: "no-cache"}))
	tc.send(request("GET", "/l/"))
	out := tc.reply()
	head, page, _ := strings.Cut(out, "\r\n\r\n")
	if !strings.HasPrefix(head, "HTTP/1.1 200 ") || field(out, "Content-Type") != "text/html; charset=utf-8" ||
		field(out, "Cache-Control") != "no-cache" {
		t.Fatal(head)
	}
	links := regexp.MustCompile(`(?m)^<tr><td><a href="([^"]*)">([^<]*)</a><td align="right">\d+<td>[\d-]+ [\d:]+</tr>$`).FindAllStringSubmatch(page, -1)
	if len(links) != len(names) || strings.Contains(page, "<script") || strings.Contains(page, "<!--") {
		t.Fatalf("%d links for %d names:\n%s", len(links), len(names), page)
	}
	base, _ := url.Parse("http://h/l/")
	var found []string
	for _, l := range links {
		ref, err := base.Parse(l[1])
		if err != nil || ref.Host != "h" || ref.Scheme != "http" || ref.RawQuery != "" || ref.Fragment != "" {
			t.Fatalf("%q leads to %v, %v", l[1], ref, err)
		}
		tc.send(request("GET", ref.EscapedPath()))
		_, body, _ := strings.Cut(tc.reply(), "\r\n\r\n")
		found = append(found, strings.TrimSuffix(strings.TrimPrefix(body, "<"), ">"))
	}
	sorted := slices.Sorted(slices.Values(names))
	if !slices.Equal(found, sorted) {
		t.Fatalf("found %q, want %q", found, sorted)
	}
	tc.wantOpen()
}

// Files that are not served are not listed.
func TestListHides(t *testing.T) {
	dir, _ := site(t)
	unix.Mkfifo(filepath.Join(dir, "fifo"), 0o644)
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	os.Remove(filepath.Join(dir, "index.html"))
	os.Symlink("sub", filepath.Join(dir, "link"))
	os.Mkdir(filepath.Join(dir, "links"), 0o755)
	for name, to := range map[string]string{"out": "/etc/passwd", "up": "../..", "circle": "circle", "gone": "nowhere",
		"device": "/dev/null", "fifo": "../fifo", "file": "../empty", "dir": "../none"} {
		os.Symlink(to, filepath.Join(dir, "links", name))
	}
	for _, x := range []struct {
		target string
		o      FileOptions
		want   string
	}{
		{"/links/", FileOptions{List: true}, "../ dir/ file"},
		{"/", FileOptions{List: true}, "a b.txt empty link/ links/ none/ sub/ Ü.json"},
		{"/", FileOptions{List: true, Dotfiles: true}, ".secret a b.txt empty link/ links/ none/ sub/ Ü.json"},
		{"/none/", FileOptions{List: true}, "../ x"},
		{"/sub/.git/", FileOptions{List: true, Dotfiles: true}, "../ config"},
	} {
		tc := newTest(t, Options{}, servingDir(root, x.o))
		tc.send(request("GET", x.target))
		var got []string
		for _, l := range regexp.MustCompile(`">([^<]*)</a>`).FindAllStringSubmatch(tc.reply(), -1) {
			got = append(got, l[1])
		}
		if strings.Join(got, " ") != x.want {
			t.Errorf("%s %+v: %q, want %q", x.target, x.o, got, x.want)
		}
		tc.send(request("HEAD", x.target))
		if out := tc.reply(); !strings.HasPrefix(out, "HTTP/1.1 200 ") || !strings.HasSuffix(out, "\r\n\r\n") {
			t.Errorf("HEAD: %q", out)
		}
	}
	tc := newTest(t, Options{}, servingDir(root, FileOptions{List: true}))
	tc.send(request("GET", "/none/"))
	// The time is that of site.
	if out := tc.reply(); !strings.Contains(out, `<tr><td><a href="./x">x</a><td align="right">1<td>2020-09-13 12:26:40</tr>`) {
		t.Error(out)
	}
	for target, want := range map[string]int{"/": 200, "/sub/": 200, "/sub/.git/": 404, "/missing/": 404,
		"/a%20b.txt/": 404, "/fifo/": 404,
		"/link": 301, "/link/": 200, "/../": 404} {
		tc.send(request("GET", target))
		tc.wantStatus(want)
	}
	tc = newTest(t, Options{}, servingDir(root, FileOptions{}))
	tc.send(request("GET", "/"), request("GET", "/none/"))
	tc.wantStatus(404, 404)
	if n := openFiles(t, root); n != 0 {
		t.Error(n, "files are open")
	}
}

func TestListIsBounded(t *testing.T) {
	many, long := fstest.MapFS{}, fstest.MapFS{}
	for i := range maxListed + 5 {
		many[fmt.Sprintf("%06d", i)] = &fstest.MapFile{}
		long[fmt.Sprintf("%06d%s", i, strings.Repeat("\x01", 200))] = &fstest.MapFile{}
	}
	for _, fsys := range []fs.FS{many, long} {
		tc := newTest(t, Options{}, serving(fsys, FileOptions{List: true}))
		tc.send(request("GET", "/"))
		if out := tc.reply(); len(out) > maxListing+5000 || !strings.Contains(out, "<p>There are more.</p>") ||
			strings.Count(out, "<tr><td>") > maxListed {
			t.Errorf("%d bytes, %d entries", len(out), strings.Count(out, "<tr><td>"))
		}
	}
}
