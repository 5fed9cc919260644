package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/seed4930a636/mangusta/examples/internal/programtest"
)

// Users keep files, viewers and strangers do not see them; the log tells who has done it.
func TestFiles(t *testing.T) {
	programtest.EachPoller(t, func(t *testing.T, poller string) {
		p := start(t, t.TempDir(), poller)
		newBrowser(t, "http://"+p.Addr).want(403, "", "GET", "/files", "") // without an owner
		ann := setUp(t, "http://"+p.Addr, p.Said)
		as := map[string]*browser{}
		for _, role := range []string{"viewer", "user"} {
			ann.want(200, "", "PUT", "/owner/users/"+role, `{"role": "`+role+`", "password": "correct horse"}`)
			as[role] = newBrowser(t, ann.base)
			as[role].want(200, "", "POST", "/owner/login", `{"name": "`+role+`", "password": "correct horse"}`)
		}
		as["user"].want(201, `"size":5`, "PUT", "/files/notes.txt", "hello")
		as["user"].want(403, "", "PUT", "/files/notes.txt", "evil", "Sec-Fetch-Site", "cross-site")
		as["user"].want(200, `"name":"notes.txt"`, "GET", "/files", "")
		as["user"].want(200, "hello", "GET", "/files/notes.txt", "")
		for _, b := range []*browser{as["viewer"], newBrowser(t, ann.base)} {
			for _, method := range []string{"GET", "PUT", "DELETE", "POST"} {
				if got, text := b.ask(method, "/files/notes.txt?rename=a", ""); got != 401 && got != 403 {
					t.Errorf("%s: %d %s", method, got, text)
				}
			}
		}
		ann.want(200, `"who":"user","via":"127.0.0.1","what":"file notes.txt","from":"","to":"5 bytes"`, "GET", "/logs?contains=notes.txt", "")
	})
}

// A device whose files cannot be kept does all else.
func TestWithoutFiles(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "files"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, dir, "auto")
	ann := setUp(t, "http://"+p.Addr, p.Said)
	ann.want(404, "", "GET", "/files", "")
	ann.want(200, "this device keeps no files", "GET", "/logs", "")
	ann.want(204, "", "POST", "/api/actions/factory-reset", `{"confirm": true}`)
	ann.wantNoOwner()
}
