package http

import (
	nethttp "net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/internal/wire"
)

const (
	before = "Sun, 06 Nov 1994 08:49:36 GMT"
	same   = "Sun, 06 Nov 1994 08:49:37 GMT"
	after  = "Sun, 06 Nov 1994 08:49:38 GMT"
)

func TestConditions(t *testing.T) {
	mod := time.Date(1994, 11, 6, 8, 49, 37, 999, time.UTC) // finer than an HTTP-date
	strong := Validators{ETag: `"a"`, Modified: mod}
	weak := Validators{ETag: `W/"a"`, Modified: mod}
	bare := Validators{}
	missing := Validators{Missing: true}
	const (
		ok, whole, s304, s412 = Proceed, ProceedWhole, NotModified, PreconditionFailed
	)
	for _, x := range []struct {
		method string
		v      Validators
		fields string // separated by "|"
		want   Verdict
	}{
		{"GET", strong, "", ok}, {"GET", bare, "", ok},
		// RFC 9110 13.1.1: If-Match compares strongly; "*" is whatever there is.
		{"GET", strong, `If-Match: "a"`, ok}, {"GET", strong, `If-Match: "b", "a"`, ok}, {"GET", strong, `If-Match: "b"`, s412}, {"GET", strong, `If-Match: "b"|If-Match: "a"`, ok},
		{"PUT", strong, `If-Match: W/"a"`, s412}, {"PUT", weak, `If-Match: W/"a"`, s412}, {"PUT", weak, `If-Match: "a"`, s412},
		{"PUT", strong, `If-Match: *`, ok}, {"PUT", bare, `If-Match: *`, ok}, {"PUT", missing, `If-Match: *`, s412}, {"PUT", missing, `If-Match: "a"`, s412}, {"GET", bare, `If-Match: "a"`, s412},
		{"PUT", strong, `If-Match: a`, s412}, {"PUT", strong, `If-Match:`, s412}, {"PUT", strong, `If-Match: "a" "b"`, s412}, {"PUT", strong, `If-Match: "a`, s412}, {"PUT", strong, `If-Match: "A"`, s412},
		{"PUT", strong, `If-Match: ,"a,b" , "a",`, ok}, {"PUT", Validators{ETag: `"a,b"`}, `If-Match: "x","a,b"`, ok}, {"PUT", Validators{ETag: `""`}, `If-Match: ""`, ok},
		{"PUT", strong, `If-Match: w/"a"`, s412}, {"PUT", strong, `If-Match: "x", *`, s412}, {"PUT", strong, "If-Match: \"\x01\", \"a\"", s412},
		// RFC 9110 13.1.4: If-Unmodified-Since, only without If-Match
		{"PUT", strong, "If-Unmodified-Since: " + same, ok}, {"PUT", strong, "If-Unmodified-Since: " + after, ok}, {"GET", strong, "If-Unmodified-Since: " + before, s412},
		{"PUT", strong, `If-Match: "a"|If-Unmodified-Since: ` + before, ok}, {"PUT", strong, "If-Unmodified-Since: yesterday", ok}, {"PUT", bare, "If-Unmodified-Since: " + before, ok},
		{"PUT", strong, "If-Unmodified-Since: " + before + "|If-Unmodified-Since: " + before, ok}, {"PUT", Validators{Modified: mod, Missing: true}, "If-Unmodified-Since: " + before, ok},
		// RFC 9110 13.1.2: If-None-Match compares weakly; 304 for GET and HEAD, else 412.
		{"GET", strong, `If-None-Match: "a"`, s304}, {"HEAD", strong, `If-None-Match: W/"a"`, s304}, {"GET", weak, `If-None-Match: "a"`, s304}, {"GET", weak, `If-None-Match: "b" , W/"a"`, s304},
		{"POST", strong, `If-None-Match: "a"`, s412}, {"GET", strong, `If-None-Match: "b"`, ok}, {"PUT", strong, `If-None-Match: "b"`, ok}, {"GET", strong, `If-None-Match: "b"|If-None-Match: "a"`, s304},
		{"GET", strong, `If-None-Match: *`, s304}, {"PUT", bare, `If-None-Match: *`, s412}, {"PUT", missing, `If-None-Match: *`, ok}, {"GET", bare, `If-None-Match: ""`, ok},
		{"GET", strong, `If-None-Match: a`, ok}, {"PUT", strong, `If-None-Match: a`, s412}, {"GET", strong, `If-None-Match: "a"x`, ok}, {"GET", strong, `If-None-Match:`, ok},
		// RFC 9110 13.1.3: If-Modified-Since, only for GET and HEAD and without If-None-Match
		{"GET", strong, "If-Modified-Since: " + same, s304}, {"HEAD", strong, "If-Modified-Since: " + after, s304}, {"GET", strong, "If-Modified-Since: " + before, ok},
		{"POST", strong, "If-Modified-Since: " + after, ok}, {"GET", strong, `If-None-Match: "b"|If-Modified-Since: ` + after, ok}, {"GET", bare, "If-Modified-Since: " + after, ok},
		{"GET", strong, "If-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT", s304}, {"GET", strong, "If-Modified-Since: Sun Nov  6 08:49:37 1994", s304}, {"GET", strong, "If-Modified-Since: 0", ok},
		{"GET", strong, "If-Modified-Since: " + same + "|If-Modified-Since: " + same, ok},
		// RFC 9110 13.2.2: the order of the steps
		{"GET", strong, `If-Match: "b"|If-None-Match: "a"`, s412}, {"GET", strong, `If-Match: "a"|If-None-Match: "a"`, s304}, {"GET", strong, "If-Unmodified-Since: " + before + "|If-Modified-Since: " + after, s412},
		{"GET", strong, `If-Match: "a"|If-Modified-Since: ` + same, s304}, {"GET", strong, `If-None-Match: "a"|Range: bytes=0-1|If-Range: "b"`, s304},
		// RFC 9110 13.1.5: If-Range compares strongly, and dates for being the same.
		{"GET", strong, "Range: bytes=0-1", ok}, {"GET", strong, `If-Range: "b"`, ok}, {"GET", strong, `Range: bytes=0-1|If-Range: "a"`, ok}, {"GET", strong, `Range: bytes=0-1|If-Range: "b"`, whole},
		{"GET", strong, `Range: bytes=0-1|If-Range: W/"a"`, whole}, {"GET", weak, `Range: bytes=0-1|If-Range: W/"a"`, whole}, {"GET", weak, `Range: bytes=0-1|If-Range: "a"`, whole}, {"GET", bare, `Range: bytes=0-1|If-Range: ""`, whole},
		{"GET", strong, `Range: bytes=0-1|If-Range: "a", "a"`, whole}, {"GET", strong, `Range: bytes=0-1|If-Range: *`, whole}, {"GET", strong, `Range: bytes=0-1|If-Range:`, whole}, {"GET", strong, `Range: bytes=0-1|If-Range: a`, whole},
		{"GET", strong, `Range: bytes=0-1|If-Range: "a"|If-Range: "a"`, whole}, {"GET", strong, "Range: bytes=0-1|If-Range: " + same, ok}, {"GET", strong, "Range: bytes=0-1|If-Range: " + after, whole},
		{"GET", strong, "Range: bytes=0-1|If-Range: " + before, whole}, {"GET", bare, "Range: bytes=0-1|If-Range: " + same, whole},
		// RFC 9110 14.2: Range is for GET only.
		{"HEAD", strong, "Range: bytes=0-1", whole}, {"POST", strong, "Range: bytes=0-1", whole},
		// RFC 9110 8.8.2.2: a date less than a second old is weak.
		{"GET", Validators{Modified: mod, Now: mod}, "Range: bytes=0-1|If-Range: " + same, whole}, {"GET", Validators{Modified: mod, Now: mod.Add(time.Second)}, "Range: bytes=0-1|If-Range: " + same, ok},
		// RFC 9110 13.2.1: methods that select no representation
		{"OPTIONS", strong, `If-Match: "b"`, ok}, {"TRACE", strong, `If-None-Match: *`, ok}, {"DELETE", strong, `If-Match: "b"`, s412},
	} {
		var fields []string
		if x.fields != "" {
			fields = strings.Split(x.fields, "|")
		}
		if got := x.v.Check(withFields(x.method, fields...)); got != x.want {
			t.Errorf("%s %q with %q: %d, want %d", x.method, x.fields, x.v.ETag, got, x.want)
		}
	}
}

func TestVerdictStatus(t *testing.T) {
	for v, want := range map[Verdict]int{Proceed: 200, ProceedWhole: 200, NotModified: 304, PreconditionFailed: 412} {
		if v.Status() != want {
			t.Error(v, v.Status())
		}
	}
}

func TestConditionsAllocateNothing(t *testing.T) {
	v := Validators{ETag: `"abc"`, Modified: time.Unix(784111777, 0)}
	r := withFields("GET", `If-None-Match: "x", W/"y"`, "If-Unmodified-Since: "+same, "Range: bytes=0-1", "If-Range: "+same)
	if n := testing.AllocsPerRun(100, func() {
		if v.Check(r) != Proceed {
			t.Fatal("wrong")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Of conditions that are well-formed net/http thinks the same.
func FuzzConditions(f *testing.F) {
	f.Add("GET", `"a"`, `"a"`, before, after, `"a"`, `"a"`)
	f.Add("HEAD", ``, `W/"a", "b"`, same, "", `W/"a"`, same)
	f.Add("POST", `*`, `*`, "", same, `"b"`, "")
	f.Fuzz(func(t *testing.T, method, ifMatch, ifNoneMatch, modified, unmodified, etag, ifRange string) {
		tag, rest := cutTag([]byte(etag))
		if method != "GET" && method != "HEAD" && method != "POST" || etag != "" && (tag == nil || len(rest) > 0) {
			return
		}
		values := map[string]string{"If-Match": ifMatch, "If-None-Match": ifNoneMatch, "If-Modified-Since": modified, "If-Unmodified-Since": unmodified,
			"Range": "bytes=1-1", "If-Range": ifRange}
		r := &Request{Method: method}
		q := httptest.NewRequest(method, "/", nil)
		v := Validators{ETag: etag, Modified: time.Date(1994, 11, 6, 8, 49, 37, 0, time.UTC)}
		for name, value := range values {
			// Left out are bytes that our parser never returns, and those that net/http reads by
			// rules of its own.
			if value = string(wire.Trim([]byte(value))); value == "" || !validValue(value) {
				continue
			}
			if _, err := nethttp.ParseTime(value); err == nil {
				if _, ok := ParseTime([]byte(value)); !ok || strings.Contains(value, "day, ") {
					return
				}
			}
			r.fields = append(r.fields, Field{[]byte(name), []byte(value)})
			q.Header.Set(name, value)
		}
		for _, name := range []string{"If-Match", "If-None-Match"} {
			list, n := r.only(name)
			if _, wellFormed := v.find(r, name, true); n > 0 && (!wellFormed || strings.Contains(string(list), "*")) && string(list) != "*" {
				return
			}
		}
		if tag, rest := cutTag([]byte(ifRange)); tag != nil && len(rest) > 0 {
			return
		}
		w := httptest.NewRecorder()
		if etag != "" {
			w.Header().Set("ETag", etag)
		}
		nethttp.ServeContent(w, q, "a.txt", v.Modified, strings.NewReader("abc"))
		got := v.Check(r)
		want := w.Code
		if want == 206 {
			want = 200
		}
		if got.Status() != want || method == "GET" && want == 200 && (got == Proceed) != (w.Code == 206) {
			t.Fatalf("%s %s with %s: %d, net/http says %d", method, fieldText(r.fields), etag, got, w.Code)
		}
	})
}
