package fuzz

import (
	"bufio"
	"bytes"
	"fmt"
	nethttp "net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/conn/conntest"
	"github.com/seed4930a636/mangusta/http"
)

// muxPair is our Mux and net/http's, with the same patterns. Their handlers note what they were
// called for.
type muxPair struct {
	ours              *http.Mux
	std               *nethttp.ServeMux
	called, calledStd string
}

// stricterPattern tells the patterns that net/http takes and we refuse, or that we read
// differently: the doc of http.Mux names them.
var stricterPattern = regexp.MustCompile(`^CONNECT[ \t]|%($|[^0-9a-fA-F]|.$|.[^0-9a-fA-F])|(?i:/%2f(/|$))`)

var plainHost = regexp.MustCompile(`^([A-Za-z0-9!-&(-+.^-z|~-]*[ \t]+)?([a-z][a-z0-9-]*(\.[a-z][a-z0-9-]*)*)?/`)

func usable(pattern string) bool {
	i := strings.IndexByte(pattern, '/')
	if i < 0 {
		return true
	}
	p := pattern[i:]
	clean := path.Clean(p)
	if clean != "/" && p[len(p)-1] == '/' {
		clean += "/"
	}
	return clean == p && plainHost.MatchString(pattern) && !stricterPattern.MatchString(pattern)
}

// add registers the pattern with both, which must agree whether it is malformed or in conflict.
func (x *muxPair) add(t *testing.T, pattern string) {
	err := x.ours.Handle(pattern, func(c *conn.Conn, m *http.Message) {
		x.called = m.Pattern()
		for _, name := range []string{"x", "y", "z"} {
			x.called += fmt.Sprintf(" %q", m.PathValue(name))
		}
		http.ReplyBytes(c, 200, "", nil)
	})
	if err != nil && !usable(pattern) {
		return
	}
	if !usable(pattern) {
		t.Skip() // a host that we compare by other rules
	}
	failure := func() (v any) {
		defer func() { v = recover() }()
		x.std.HandleFunc(pattern, func(_ nethttp.ResponseWriter, r *nethttp.Request) {
			x.calledStd = r.Pattern
			for _, name := range []string{"x", "y", "z"} {
				x.calledStd += fmt.Sprintf(" %q", r.PathValue(name))
			}
		})
		return nil
	}()
	if (err == nil) != (failure == nil) {
		t.Fatalf("pattern %q: %v, net/http: %v", pattern, err, failure)
	}
}

// ask returns the answer of our Mux, and nil when the request does not get to it.
func (x *muxPair) ask(request string) *nethttp.Response {
	r := &httpRig{wire: conntest.NewWire(), loop: conntest.NewLoop()}
	l := conn.Limits{}.WithDefaults()
	bad := false
	x.ours.Events = func(_ *conn.Conn, ev conn.Event) {
		_, b := ev.(*http.BadRequest)
		bad = bad || b
	}
	r.c = r.loop.Add(r.wire, &l, x.ours.Serve)
	http.Attach(r.c, http.NewServer(http.Options{}))
	r.feed([]byte(request))
	resp, err := nethttp.ReadResponse(bufio.NewReader(bytes.NewReader(r.wire.Sent)), &nethttp.Request{Method: "HEAD"})
	if err != nil || bad {
		return nil
	}
	return resp
}

// FuzzMux: patterns are accepted, refused and chosen as by net/http's ServeMux, and what no pattern
// matches is answered as it does.
func FuzzMux(f *testing.F) {
	for _, s := range [][4]string{
		{"GET /{$}\nGET /a\nPOST /a\nDELETE /a/{x}", "GET", "/a", "h"},
		{"/\n/a/\n/a/b\n/a/b/", "POST", "/a/b/c?q=1", "h:80"},
		{"/{x}/{y}/{$}\n/{z...}", "GET", "/a%20b/%41/", "h"},
		{"/a/b/c\n/a/{x}/b\n/{x}/b/a\n/{x...}", "HEAD", "/a/b/b", "h"},
		{"HEAD /a/b\nGET /a/{x}\n/{y...}", "PUT", "/a/b", "h.test"},
		{"POST h.test/{x}\nPUT /{x}/\nPATCH /a", "GET", "/a", "h.test"},
		{"/a/{x}/b/{y}/\n/a/{x}/b/c", "GET", "/a//x/../y/b/./z", "h"},
		{"/a/{x}\n/{y}/b", "OPTIONS", "/..", "h"},
		{"GET /\n/a", "GET", "/%2e%2e/%C3%BC", "h"},
		{"/{x\n/{1}\n/{$}/\n{/\n /\nG(T /\n/a//b", "GET", "/", "h"},
	} {
		f.Add(s[0], s[1], s[2], s[3])
	}
	f.Fuzz(func(t *testing.T, patterns, method, target, host string) {
		if len(patterns) > 300 || len(target) > 200 || len(host) > 50 || !strings.HasPrefix(target, "/") ||
			host != strings.ToLower(host) || strings.ContainsAny(host, "[]%") {
			return
		}
		x := &muxPair{ours: http.NewMux(), std: nethttp.NewServeMux()}
		for p := range strings.SplitSeq(patterns, "\n") {
			x.add(t, p)
		}
		request := method + " " + target + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n"
		std, err := nethttp.ReadRequest(bufio.NewReader(strings.NewReader(request)))
		if err != nil || std.RequestURI != target || std.Method != method || std.Host != host {
			return
		}
		route, _, _ := strings.Cut(target, "?")
		if regexp.MustCompile(`(?i)/%2f(/|$)`).MatchString(route) || strings.Contains(route, "%") && strings.ContainsAny(route, "|^") {
			return // net/http parts segments by their decoded text there
		}
		got := x.ask(request)
		if got == nil {
			return
		}
		w := httptest.NewRecorder()
		x.std.ServeHTTP(w, std)
		if got.StatusCode != w.Code || got.Header.Get("Allow") != w.Header().Get("Allow") || x.called != x.calledStd ||
			!sameLocation(route, got.Header.Get("Location"), w.Header().Get("Location")) {
			t.Fatalf("%q: %s %s at %s: %d %q %s, net/http: %d %q %s", patterns, method, target, host,
				got.StatusCode, got.Header, x.called, w.Code, w.Header(), x.calledStd)
		}
	})
}

// sameLocation compares where a request for the route is redirected to. net/http encodes the path
// anew, and what is encoded already, twice.
func sameLocation(route, ours, std string) bool {
	if strings.ContainsAny(route, "%|^") {
		return (ours == "") == (std == "")
	}
	stdPath, stdQuery, _ := strings.Cut(std, "?")
	path, query, _ := strings.Cut(ours, "?")
	stdPath, err := url.PathUnescape(stdPath)
	return err == nil && path == stdPath && query == stdQuery
}
