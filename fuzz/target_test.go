package fuzz

import (
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/http"
)

// strictTarget is what RFC 3986 allows after the authority.
var strictTarget = regexp.MustCompile(`^([-._~!$&'()*+,;=:@/0-9A-Za-z]|%[0-9A-Fa-f]{2})*(\?([-._~!$&'()*+,;=:@/?0-9A-Za-z]|%[0-9A-Fa-f]{2})*)?$`)

var (
	absoluteForm = regexp.MustCompile(`^(?i:https?)://[^/?]*`)
	httpsForm    = regexp.MustCompile(`^(?i:https)://`)
)

// FuzzTarget: a target that is accepted is taken apart as by net/url; it has one of the forms of
// RFC 9112 3.2 that its method may have; and the strict options take away what they say they do and
// nothing else.
func FuzzTarget(f *testing.F) {
	for _, s := range [][2]string{{"GET", "/"}, {"GET", "/a%20b/%C3%A4?c=d&e?"}, {"GET", "//h/x"}, {"GET", "http://h:80/a?b"}, {"GET", "HTTPS://[::1]:443"}, {"OPTIONS", "*"}, {"OPTIONS", "http://h"}, {"GET", "*"},
		{"CONNECT", "h:80"}, {"GET", "/[a]|b^?{c}`|d\\"}, {"GET", "/%zz?%zz"}, {"GET", "http://u@h/"}, {"GET", "http://h%41/%00"}, {"GET", "/..;/%2e%2e%2f?/../"}, {"GET", "http:///"}, {"POST", "http://h?a"}} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, method, target string) {
		if len(method) > 20 || len(target) > 190 || strings.ContainsAny(method+target, " \r\n") {
			return
		}
		in := []byte(method + " " + target + " HTTP/1.1\r\nHost: field\r\n\r\n")
		lax, strict, tls := httpOptions, httpOptions, httpOptions
		lax.HTTPS, strict.HTTPS, strict.StrictTarget = true, true, true
		r := checkSplit(t, http.NewServer(lax), in, len(method)+1+len(target)/2)
		isHTTPS := httpsForm.MatchString(target)
		if plain := serveBytes(http.NewServer(tls), in); len(r.requests) > 0 && isHTTPS != (len(plain.requests) == 0) {
			t.Fatalf("%s %s without TLS: %q", method, target, plain.events)
		}
		behind := target[len(absoluteForm.FindString(target)):]
		want := len(r.requests) > 0 && strictTarget.MatchString(behind)
		if s := serveBytes(http.NewServer(strict), in); want != (len(s.requests) > 0) || want && s.outcome() != r.outcome() {
			t.Fatalf("%s %s, strictly: %q, otherwise %q", method, target, s.events, r.events)
		}
		if len(r.requests) > 0 {
			checkTarget(t, &r.requests[0])
		}
	})
}

// checkTarget holds what was made of the target against net/url.
func checkTarget(t *testing.T, q *request) {
	if q.target == "*" {
		if q.method != "OPTIONS" || q.path != "*" || q.host != "field" {
			t.Fatalf("%+v", q)
		}
		return
	}
	if q.method == "CONNECT" || q.target[0] != '/' && !absoluteForm.MatchString(q.target) {
		t.Fatalf("accepted %+v", q)
	}
	u, err := url.ParseRequestURI(q.target)
	if err != nil {
		if strings.Contains(q.host, "%") {
			return // net/url takes fewer of these
		}
		t.Fatalf("accepted %+v, net/url: %v", q, err)
	}
	path, host := u.Path, u.Host
	switch {
	case path == "" && q.method == "OPTIONS" && !strings.Contains(q.target, "?"):
		path = "*"
	case path == "":
		path = "/"
	}
	if host == "" {
		host = "field"
	}
	if q.path != path || q.query != u.RawQuery || q.host != host && !strings.Contains(q.host, "%") || u.User != nil || u.Fragment != "" {
		t.Fatalf("accepted %+v, net/url: %+v", q, u)
	}
}
