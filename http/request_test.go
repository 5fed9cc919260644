package http

import "testing"

func TestMatch(t *testing.T) {
	for _, x := range []struct {
		glob, path string
		want       bool
	}{
		{"/", "/", true}, {"/", "", false}, {"", "", true}, {"/a", "/ab", false}, {"/ab", "/a", false},
		{"/?", "/a", true}, {"/?", "/", false}, {"/?", "//", true},
		{"*", "", true}, {"*", "abc", true}, {"*", "/", false}, {"/*", "/abc", true}, {"/*", "/a/b", false}, {"/*/b", "/a/b", true},
		{"/*/b", "/a/c/b", false}, {"/*.js", "/a.js.js", true}, {"/*a*b", "/xaxxab", true}, {"/*b/x*c", "/abab/xyc", true},
		{"#", "", true}, {"#", "/a/b", true}, {"/api/#", "/api/", true}, {"/api/#", "/api/a/b", true}, {"/api/#", "/api", false},
		{"#.html", "/a/b.html", true}, {"#.html", "/a/b.htm", false}, {"#/x/*", "/a/x/b/x/c", true}, {"#/x/*", "/a/x/b/y/c", false},
		{"/#/*.c", "/a/b/c.c", true}, {"#a#b#", "xaxbx", true}, {"#a#b#", "xbxax", false}, {"/a*/#c", "/ab/dc", true},
	} {
		if got := match(x.glob, []byte(x.path)); got != x.want {
			t.Errorf("%q %q: %v", x.glob, x.path, got)
		}
	}
}

// matchSlowly is the definition of match.
func matchSlowly(glob, s string) bool {
	if glob == "" {
		return s == ""
	}
	for i := 0; i <= len(s); i++ {
		switch glob[0] {
		case '#':
		case '*':
			if i > 0 && s[i-1] == '/' {
				return false
			}
		default:
			return len(s) > 0 && (glob[0] == '?' || glob[0] == s[0]) && matchSlowly(glob[1:], s[1:])
		}
		if matchSlowly(glob[1:], s[i:]) {
			return true
		}
	}
	return false
}

// Every glob of up to five and every path of up to six letters out of a few.
func TestMatchAgainstItsDefinition(t *testing.T) {
	words := func(letters string, n int) []string {
		all := []string{""}
		for from := 0; n > 0; n-- {
			to := len(all)
			for _, w := range all[from:to] {
				for _, l := range letters {
					all = append(all, w+string(l))
				}
			}
			from = to
		}
		return all
	}
	paths := words("a/", 6)
	for _, g := range words("a/*#?", 5) {
		for _, p := range paths {
			if got, want := match(g, []byte(p)), matchSlowly(g, p); got != want {
				t.Fatalf("%q %q: %v", g, p, got)
			}
		}
	}
}

func TestHasToken(t *testing.T) {
	r := &Request{fields: []Field{{[]byte("Connection"), []byte("a,B , c d")}, {[]byte("X"), []byte("x")},
		{[]byte("connection"), []byte("Upgrade")}}}
	for token, want := range map[string]bool{"a": true, "b": true, "c": false, "c d": true, "upgrade": true, "x": false,
		"up": false} {
		if r.HasToken("CONNECTION", token) != want {
			t.Error(token)
		}
	}
	if string(r.Header("connection")) != "a,B , c d" || r.Header("none") != nil || len(r.Headers()) != 3 {
		t.Error("Header")
	}
}

// RFC 9112 3.2.3: CONNECT takes the authority form alone, so its target is never a path.
func TestConnectWithAPath(t *testing.T) {
	tc := newTest(t, Options{}, nil)
	tc.send("CONNECT /plain HTTP/1.1\r\nHost: h\r\n\r\n")
	tc.wantStatus(400)
}
