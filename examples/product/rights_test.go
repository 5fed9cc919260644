package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/device"
	"github.com/seed4930a636/mangusta/examples/internal/programtest"
)

// A right is a route that is not for everybody.
type right struct {
	method, path string
	role         device.Role // the least that may
}

// rights are all of them, in a product that has all parts.
var rights = []right{
	{"GET", "/api/settings", device.Viewer},
	{"PUT", "/api/settings", device.User},
	{"PATCH", "/api/settings", device.User},
	{"GET", "/api/schema", device.Viewer},
	{"GET", "/api/actions", device.Viewer},
	{"POST", "/api/actions/identify", device.User},
	{"POST", "/api/actions/reboot", device.Admin},
	{"GET", "/api/audit", device.Admin},
	{"GET", "/api/rpc", device.Viewer},
	{"POST", "/owner/logout", device.Viewer},
	{"PUT", "/owner/password", device.Viewer},
	{"GET", "/owner/sessions", device.Viewer},
	{"DELETE", "/owner/sessions/x", device.Viewer},
	{"GET", "/owner/users", device.Admin},
	{"PUT", "/owner/users/x", device.Admin},
	{"DELETE", "/owner/users/x", device.Admin},
	{"GET", "/owner/tokens", device.Admin},
	{"POST", "/owner/tokens", device.Admin},
	{"DELETE", "/owner/tokens/x", device.Admin},
	{"GET", "/hub", device.Viewer},
	{"GET", "/hub?topic=logs", device.Admin},
	{"GET", "/logs", device.Admin},
	{"GET", "/files", device.User},
	{"GET", "/files/x", device.User},
	{"PUT", "/files/x", device.User},
	{"POST", "/files/x?mkdir", device.User},
	{"DELETE", "/files/x", device.User},
	{"GET", "/about", device.Viewer},
	{"GET", "/about/sbom.json", device.Viewer},
	{"GET", "/certificate", device.Viewer},
	{"POST", "/certificate", device.Admin},
	{"DELETE", "/certificate", device.Admin},
	{"GET", "/update", device.Viewer},
	{"POST", "/update?size=1", device.Admin},
	{"PATCH", "/update", device.Admin},
	{"DELETE", "/update", device.Admin},
	{"POST", "/update/pull", device.Admin},
	{"GET", "/metrics", device.Viewer},
}

// A request without a session or a token gets 401, with the way to log in (RFC 9110 §11.6.1). So does
// one with a token that nobody has made. One whose session or token lacks the right gets 403.
func TestEachRouteRefusesWhoMayNot(t *testing.T) {
	programtest.EachPoller(t, func(t *testing.T, poller string) {
		_, started := startSlots(t, poller, "-tls", "-pull", "http://127.0.0.1:9/manifest.json")
		addr, said := started()
		ann := trusting(t, addr)
		ann.want(200, "", "POST", "/owner/setup", `{"code": "`+codeIn.FindStringSubmatch(said)[1]+`", "name": "ann", "password": "correct horse"}`)
		ann.want(200, "", "PUT", "/owner/users/bob", `{"role": "viewer", "password": "correct horse"}`)
		bob := newBrowserLike(ann)
		bob.want(200, "", "POST", "/owner/login", `{"name": "bob", "password": "correct horse"}`)
		stranger, key := ann.token("other")
		for _, r := range rights {
			for _, caller := range []struct {
				who    string
				b      *browser
				token  string
				status int
			}{
				{"a stranger", stranger, "", 401},
				{"an unknown token", stranger, "x", 401},
				{"a token for something else", stranger, key, 403},
				{"a viewer", bob, "", 403},
			} {
				if caller.b == bob && r.role <= device.Viewer {
					continue
				}
				fields := []string{"Content-Type", "application/json"}
				if caller.token != "" {
					fields = append(fields, "Authorization", "Bearer "+caller.token)
				}
				body := ""
				if r.method == "PATCH" || r.method == "PUT" {
					body = `{"target": 20}`
				}
				resp, text := caller.b.reply(r.method, r.path, body, fields...)
				challenge := resp.Header.Get("WWW-Authenticate")
				if resp.StatusCode != caller.status || caller.status == 401 && !strings.HasPrefix(challenge, "Bearer") {
					t.Errorf("%s, %s %s: %d, WWW-Authenticate: %q, want %d; %s", caller.who, r.method, r.path, resp.StatusCode, challenge, caller.status, text)
				}
			}
			wantAllMethods(t, stranger, r.path)
		}
	})
}

// wantAllMethods fails if the table lacks a method of a path.
func wantAllMethods(t *testing.T, b *browser, path string) {
	t.Helper()
	path, _, _ = strings.Cut(path, "?")
	resp, _ := b.reply("OPTIONS", path, "")
	for method := range strings.SplitSeq(resp.Header.Get("Allow"), ", ") {
		if method == "HEAD" || method == "OPTIONS" {
			continue // of GET, and of the server
		}
		if !slices.ContainsFunc(rights, func(r right) bool { return r.method == method && strings.HasPrefix(r.path, path) }) {
			t.Errorf("%s %s is not in the table", method, path)
		}
	}
}
