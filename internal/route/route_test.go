package route

import (
	"fmt"
	"testing"

	"github.com/seed4930a636/mangusta/internal/wire"
)

// A table of patterns gives the most specific one for each request, and the values of its
// wildcards. The tests of http.Mux go further: they compare with net/http.
func TestTable(t *testing.T) {
	var table Table
	for n, s := range []string{"GET /a/{x}", "GET /a/b", "POST /a/{x}", "/c/{x}/{rest...}", "h.test/a/{y}", "/end/{$}", "/sub/"} {
		p, err := Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		if q := table.Add(p, n); q != nil {
			t.Fatalf("%s is in conflict with %s", s, q.Text)
		}
	}
	for _, tt := range []struct{ method, host, path, want string }{
		{"GET", "", "/a/1", "GET /a/{x} [1] partial=false missed=false"},
		{"HEAD", "", "/a/1", "GET /a/{x} [1] partial=false missed=false"},
		{"PUT", "", "/a/1", "none missed=true"},
		{"GET", "", "/a/b", "GET /a/b [] partial=false missed=false"},
		{"GET", "h.test", "/a/b", "h.test/a/{y} [b] partial=false missed=false"},
		{"GET", "", "/a/%2F", "GET /a/{x} [/] partial=false missed=false"},
		{"GET", "", "/c/1/2/3", "/c/{x}/{rest...} [1 2/3] partial=true missed=false"},
		{"GET", "", "/end/", "/end/{$} [] partial=false missed=false"},
		{"GET", "", "/end/x", "none missed=false"},
		{"GET", "", "/sub/x", "/sub/ [] partial=true missed=false"},
		{"GET", "", "/sub", "none missed=false"},
	} {
		w := Walk{Raw: []byte(tt.path), Method: tt.method}
		w.Path, _, _ = wire.DecodePath(nil, w.Raw)
		got := "none"
		if r := table.Find(&w, []byte(tt.host), false); r != nil {
			var values []string
			for _, v := range w.Values {
				values = append(values, string(v.Of(w.Path)))
			}
			got = fmt.Sprintf("%s %v partial=%v", r.Text, values, w.Partial)
		}
		if got += fmt.Sprintf(" missed=%v", w.Missed); got != tt.want {
			t.Errorf("%s %s%s: %s, want %s", tt.method, tt.host, tt.path, got, tt.want)
		}
	}
	if got := table.Allow(nil, []byte("/a/1"), []byte("/a/1")); got != "GET, HEAD, POST" {
		t.Errorf("Allow: %s", got)
	}
	p, _ := Parse("/{y}/b")
	if q := table.Add(p, 9); q == nil || q.Text != "GET /a/{x}" {
		t.Errorf("/{y}/b is in conflict with %v", q)
	} else if got := Sample(p, q); got != "GET /a/b" {
		t.Errorf("both match %s", got)
	}
}

func TestIsClean(t *testing.T) {
	for _, p := range []string{"/", "//", "/.", "/./", "/..", "/../", "/...", "/a/.b", "/a/..b", "/a./b", "/a../b", "/a/.", "/a/..",
		"/a//", "/a/", "/a", "/.a/", "/a/./b", "/a/../b", "/a/.../b", "/a//b"} {
		if got, want := IsClean([]byte(p)), CleanPath(p) == p; got != want {
			t.Errorf("%s: %v, want %v", p, got, want)
		}
	}
}
