package http

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/internal/wire"
)

// withFields makes a request out of "Name: value" lines.
func withFields(method string, lines ...string) *Request {
	r := &Request{Method: method}
	for _, l := range lines {
		name, value, _ := strings.Cut(l, ":")
		r.fields = append(r.fields, Field{[]byte(name), wire.Trim([]byte(value))})
	}
	return r
}

// formMessage makes a message with a query and a form in its body.
func formMessage(query, body string) *Message {
	m := &Message{Request: *withFields("POST", "Content-Type: application/x-www-form-urlencoded; charset=UTF-8"), Body: []byte(body)}
	m.Query = []byte(query)
	return m
}

func TestQueryVar(t *testing.T) {
	for _, x := range []struct {
		query, name, want string
		ok                bool
	}{
		{"a=1", "a", "1", true}, {"a=1", "b", "", false}, {"", "a", "", false}, {"a=1", "", "", false},
		// A missing variable differs from an empty one.
		{"a", "a", "", true}, {"a=", "a", "", true}, {"x&a&y", "a", "", true},
		// WHATWG URL 5.1: empty sequences are no pairs, and only the first "=" separates.
		{"&&a=1&", "a", "1", true}, {"&", "", "", false}, {"a=b=c", "a", "b=c", true}, {"=1", "", "1", true},
		{"a=1;b=2", "b", "", false}, {"a=1;b=2", "a", "1;b=2", true},
		{"a=1+2%2b3", "a", "1 2+3", true}, {"%61+b=1", "a b", "1", true}, {"a=%e2%82%AC", "a", "€", true}, {"a=%00", "a", "\x00", true},
		{"a=1&a=2", "a", "1", true}, {"ab=1&a=2", "a", "2", true}, {"a=1&ab=2", "ab", "2", true}, {"A=1", "a", "", false},
		// A malformed value is no value, not even when another one follows.
		{"a=%", "a", "", false}, {"a=%4", "a", "", false}, {"a=%4g", "a", "", false}, {"a=1%&a=2", "a", "", false},
		{"%zz=1&a=2", "a", "2", true}, {"a%=1", "a", "", false},
	} {
		m := formMessage(x.query, "")
		if got, ok := m.QueryVar(x.name); got != x.want || ok != x.ok {
			t.Errorf("QueryVar: %q %q: %q %v", x.query, x.name, got, ok)
		}
		m = formMessage("", x.query)
		if got, ok := m.Var(x.name); got != x.want || ok != x.ok {
			t.Errorf("Var: %q %q: %q %v", x.query, x.name, got, ok)
		}
		if got, ok := m.AppendVar([]byte("x"), x.name); string(got) != "x"+x.want || ok != x.ok {
			t.Errorf("AppendVar: %q %q: %q %v", x.query, x.name, got, ok)
		}
	}
}

func TestVarPrefersTheBody(t *testing.T) {
	m := formMessage("a=link&b=2", "a=form")
	if a, _ := m.Var("a"); a != "form" {
		t.Error(a)
	}
	if b, _ := m.Var("b"); b != "2" {
		t.Error(b)
	}
}

func TestVarReadsNoOtherBodies(t *testing.T) {
	for _, lines := range [][]string{
		{}, {"Content-Type: text/plain"}, {"Content-Type: application/x-www-form-urlencodedx"},
		{"Content-Type: application/x-www-form-urlencoded", "Content-Type: text/plain"},
	} {
		m := &Message{Request: *withFields("POST", lines...), Body: []byte("a=1")}
		if v, ok := m.Var("a"); ok {
			t.Errorf("%q: %q", lines, v)
		}
	}
	m := &Message{Request: *withFields("POST", "content-type: Application/X-WWW-Form-Urlencoded ;charset=x"), Body: []byte("a=1")}
	if _, ok := m.Var("a"); !ok {
		t.Error("media types are not case-sensitive")
	}
}

func TestVarsYieldsAllInOrderAndTellsErrors(t *testing.T) {
	var got strings.Builder
	for p, err := range formMessage("q+1=%41&bad=%", "b=1&%=x&&c").Vars() {
		fmt.Fprintf(&got, "%q=%q %v\n", p.Name, p.Value, err)
	}
	want := "\"b\"=\"1\" <nil>\n" +
		"\"\"=\"\" http: form: malformed percent-encoding\n" +
		"\"c\"=\"\" <nil>\n" +
		"\"q 1\"=\"A\" <nil>\n" +
		"\"\"=\"\" http: form: malformed percent-encoding\n"
	if got.String() != want {
		t.Errorf("got:\n%swant:\n%s", got.String(), want)
	}
	for range formMessage("a=1", "b=1&c=1").Vars() {
		break // must not go on with the query
	}
}

func TestAppendVarAllocatesNothing(t *testing.T) {
	m := formMessage("x=1&name=a%20b", "y=2")
	room := make([]byte, 0, 64)
	if n := testing.AllocsPerRun(100, func() { room, _ = m.AppendVar(room[:0], "name") }); n != 0 || string(room) != "a b" {
		t.Errorf("%v allocations, %q", n, room)
	}
}

// If net/url reads a query without an error, we read the same. It refuses ";", and we do not.
func FuzzForm(f *testing.F) {
	for _, s := range []string{"a=1&b=2", "a+b=%41&&=x&c", "a=%", "%zz=%20", "a=b=c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ours, bad := url.Values{}, false
		for p, err := range formMessage(s, "").QueryVars() {
			if err != nil {
				bad = true
				continue
			}
			ours[string(p.Name)] = append(ours[string(p.Name)], string(p.Value))
		}
		theirs, err := url.ParseQuery(s)
		if strings.Contains(s, ";") {
			return
		}
		if bad != (err != nil) {
			t.Fatalf("%q: malformed %v, net/url says %v", s, bad, err)
		}
		if bad {
			return
		}
		if fmt.Sprint(ours) != fmt.Sprint(theirs) {
			t.Fatalf("%q: %v, net/url says %v", s, ours, theirs)
		}
		for name := range theirs {
			if v, ok := formMessage(s, "").QueryVar(name); !ok || v != theirs.Get(name) {
				t.Fatalf("%q: %q is %q %v", s, name, v, ok)
			}
		}
	})
}
