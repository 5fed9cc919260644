package http

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	stdhttp "net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
)

// stdMux is net/http's ServeMux with the same handlers.
func stdMux(patterns ...string) *stdhttp.ServeMux {
	mux := stdhttp.NewServeMux()
	for _, p := range patterns {
		mux.HandleFunc(p, func(w stdhttp.ResponseWriter, r *stdhttp.Request) {
			w.Write([]byte(describeMatch(p, r.PathValue)))
		})
	}
	return mux
}

func stdRouted(t testing.TB, mux *stdhttp.ServeMux, request string) string {
	t.Helper()
	r, err := stdhttp.ReadRequest(bufio.NewReader(strings.NewReader(request)))
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	body := ""
	if w.Code == 200 && r.Method != "HEAD" {
		body = w.Body.String()
	}
	return outcomeText(w.Code, w.Header(), body)
}

var muxTables = [][]string{
	{"/"},
	{"/{$}"},
	{"GET /{$}", "GET /a", "POST /a", "DELETE /a/{x}"},
	{"/", "/a", "/a/", "/a/b", "/a/b/"},
	{"/a/", "/a/b/c/"},
	{"/a/{$}", "/a/{x}", "/a/b/{$}"},
	{"/{x}", "/{x}/", "/{x}/{y}", "/{x}/{y}/{z}"},
	{"/{x}/{y}/{$}", "/{rest...}"},
	{"/a/{rest...}", "/a/b", "/a/b/{x}", "GET /a/b/{x}"},
	{"/a/b/c", "/a/{x}/b", "/{x}/b/a", "/{rest...}"},
	{"GET /", "POST /a/", "GET /a/b", "GET /a/b/c"},
	{"GET /a", "HEAD /a", "PUT /a/", "GET /b/"},
	{"HEAD /a/b", "GET /a/{x}", "/{rest...}"},
	{"HEAD /{x}", "GET /{x}"},
	{"POST /{x}", "PUT /{x}/", "PATCH /a", "OPTIONS /a/b"},
	{"h.test/", "/a", "GET h.test/a/b", "other.test/a"},
	{"h.test/a/", "/a", "/a/b/"},
	{"GET h.test/a", "POST /a"},
	{"/a%20b", "/a%20b/{x}", "/%7Bx%7D", "/ü/{x}"},
	{"/a/{x}/b/{y}/", "/a/{x}/b/c", "/a/{x}/{z}"},
	{"get /a", "GET /a", "/b"},
}

var muxMethods = []string{"GET", "HEAD", "POST", "OPTIONS"}

var muxTargets = []string{
	"/", "/a", "/a/", "/a/b", "/a/b/", "/a/b/c", "/a/b/c/", "/a/b/c/d", "/b", "/b/", "/b/b", "/b/b/a", "/b/a/",
	"/x/y/z", "/x/y/z/w", "/a/x/b/c", "/a/x/b/y/", "/a/x/b/y", "/a/x/b", "/a?q=1", "/a/b/?q",
	"//", "//a", "/a//b", "/a/.", "/a/./b", "/a/..", "/a/../b/", "/../a", "/..", "/a/b/..", "/a/b/./?q=1",
	"/.a", "/a/..b/", "/...",
	"/a%20b", "/a%20b/c%2Fd", "/a%20b/%41", "/%61/%62", "/a/%2e%2e/b", "/%7bx%7d", "/%C3%BC/y%C3%BC",
	"http://h.test/a", "http://other.test:81/a",
}

// Each table of patterns is asked for each target with each method, and must do what net/http's
// ServeMux does.
func TestMuxAgreesWithNetHTTP(t *testing.T) {
	pairs := 0
	for _, table := range muxTables {
		ask, std := asking(t, muxOf(t, table...)), stdMux(table...)
		for _, target := range muxTargets {
			for _, method := range muxMethods {
				for _, host := range []string{"h.test", "h.test:8080", "none.test"} {
					request := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\n\r\n", method, target, host)
					pairs++
					got, pattern := ask(request)
					want := stdRouted(t, std, request)
					if want := stdChosen(t, std, request); pattern != want {
						t.Errorf("%q: %q chooses %q, net/http %q", table, request, pattern, want)
					}
					if strings.Contains(target, "%") && strings.Contains(want, "to=") {
						// net/http decodes the path of a redirect, or encodes it twice.
						got, _, _ = strings.Cut(got, " ")
						want, _, _ = strings.Cut(want, " ")
					}
					if got != want {
						t.Errorf("%q: %s %s at %s:\n%s, net/http:\n%s", table, method, target, host, got, want)
					}
				}
			}
		}
	}
	t.Log(pairs, "pairs")
}

// Random patterns over few segments overlap in every way. They are accepted, refused and chosen as
// by net/http.
func TestMuxAgreesOnRandomPatterns(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	pick := func(from ...string) string { return from[r.IntN(len(from))] }
	matched, refused := 0, 0
	for range 300 {
		var table []string
		for range 8 {
			p := pick("", "", "GET ", "HEAD ", "POST ") + pick("", "", "", "h.test")
			for i := range r.IntN(4) {
				p += pick("/a", "/a", "/b", "/{"+wildcards[i]+"}")
			}
			p += pick("/a", "/b", "/", "/{$}", "/{rest...}", "/{z}")
			if strings.Count(p, "{z}") > 1 {
				continue
			}
			if stdAccepts(append(table, p)) != (register(append(table, p)) == nil) {
				t.Fatalf("%q: %v, net/http does not agree", append(table, p), register(append(table, p)))
			}
			if register(append(table, p)) == nil {
				table = append(table, p)
			} else {
				refused++
			}
		}
		ask, std := asking(t, muxOf(t, table...)), stdMux(table...)
		for range 40 {
			path := ""
			for range r.IntN(5) {
				path += pick("/a", "/a", "/b", "/c")
			}
			if path == "" || r.IntN(3) == 0 {
				path += "/"
			}
			method, host := pick("GET", "HEAD", "POST", "PUT"), pick("h.test", "i")
			request := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\n\r\n", method, path, host)
			got, pattern := ask(request)
			if want := stdRouted(t, std, request); got != want {
				t.Fatalf("%q: %q:\n%s, net/http:\n%s", table, request, got, want)
			}
			if want := stdChosen(t, std, request); pattern != want {
				t.Fatalf("%q: %q chooses %q, net/http %q", table, request, pattern, want)
			}
			if strings.HasPrefix(got, "200") {
				matched++
			}
		}
	}
	if matched < 1000 || refused < 100 {
		t.Fatal(matched, "matched", refused, "patterns refused")
	}
}

// register returns the error of the first pattern that is refused.
func register(patterns []string) error {
	x := NewMux()
	for _, p := range patterns {
		if err := x.Handle(p, func(*conn.Conn, *Message) {}); err != nil {
			return err
		}
	}
	return nil
}

func stdAccepts(patterns []string) (ok bool) {
	defer func() { ok = recover() == nil }()
	stdMux(patterns...)
	return
}

func stdChosen(t *testing.T, std *stdhttp.ServeMux, request string) string {
	r, err := stdhttp.ReadRequest(bufio.NewReader(strings.NewReader(request)))
	if err != nil {
		t.Fatal(err)
	}
	_, pattern := std.Handler(r)
	return pattern
}
