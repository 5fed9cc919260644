package owner

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/device/internal/disk"
	"github.com/seed4930a636/mangusta/device/internal/disk/disksim"
	"github.com/seed4930a636/mangusta/internal/looptest"
	"github.com/seed4930a636/mangusta/mgr"
)

func TestADeviceWithoutAnOwnerCanBeLookedAtAndSetUp(t *testing.T) {
	looptest.EachPoller(t, func(t *testing.T, p mgr.Poller) {
		r := start(t, p)
		c := r.client()
		c.want(200, `{"owned":false,"name":"local","role":"viewer"}`, "GET", "/owner", "")
		c.want(200, "local viewer", "GET", "/who", "")
		c.want(403, says("role", "this is for a higher role"), "POST", "/update", "")
		c.want(403, says("role", "this is for a higher role"), "GET", "/owner/sessions", "")
		c.want(403, says("role", "this is for a higher role"), "PUT", "/owner/users/eve", login("", password))
		// Through a proxy on the device itself the address is not that of a person.
		proxied := r.client("X-Forwarded-For", "203.0.113.7")
		proxied.want(200, "nobody", "GET", "/who", "")
		proxied.want(403, says("no-tls", "a password is not sent without TLS: use https"), "POST", "/owner/setup", r.setup("eve", password))

		c.want(401, says("setup-code", "the code is wrong: the device shows it on its console"), "POST", "/owner/setup", `{"code":"","name":"eve","password":"correct horse"}`)
		c.want(422, says("password", errPassword.Error()), "POST", "/owner/setup", r.setup("ann", "short"))
		c.want(422, says(errName.code, errName.text), "POST", "/owner/setup", r.setup("Ann X", password))
		c.want(200, "{}", "POST", "/owner/setup", r.setup("ann", password))
		c.want(200, `{"owned":true,"name":"ann","role":"admin"}`, "GET", "/owner", "")
		c.want(200, "ok", "POST", "/update", "")
		c.want(409, says("owned", "the device has an owner"), "POST", "/owner/setup", r.setup("eve", password))
		// Now nobody sees anything without a login.
		other := r.client()
		other.want(200, "nobody", "GET", "/who", "")
		other.want(401, says("log-in", "log in first"), "POST", "/update", "")
	})
}

func TestTheSetupIsForTheLocalLink(t *testing.T) {
	r := start(t, 0, func(o *Options) { o.local = func(a netip.Addr) bool { return false } })
	r.client().want(403, says("not-local", "the first setup is possible from the same network only, and not through a proxy"), "POST", "/owner/setup", r.setup("ann", password))
	if onLocalLink(far) || !onLocalLink(netip.MustParseAddr("127.0.0.1")) || !onLocalLink(netip.MustParseAddr("fe80::1")) {
		t.Error("the networks of this machine")
	}
}

func TestTheCodeChangesAfterSomeWrongOnes(t *testing.T) {
	r := start(t, 0)
	first := r.code
	for range maxTries {
		r.client().ask("POST", "/owner/setup", `{"code":"AAAA-AAAA","name":"eve","password":"correct horse"}`)
		r.sleep(time.Hour)
	}
	if r.code == first {
		t.Error("the code is the same")
	}
	r.client().want(200, "{}", "POST", "/owner/setup", r.setup("ann", password))
}

func TestLoginsAndSessions(t *testing.T) {
	looptest.EachPoller(t, func(t *testing.T, p mgr.Poller) {
		r, ann := owned(t, p)
		c := r.client()
		for _, body := range []string{login("ann", "wrong horse"), login("bob", password), login("", ""), login("ann", strings.Repeat("x", 300)), `{}`} {
			c.want(401, says("login", "the name or the password is wrong"), "POST", "/owner/login", body)
			r.sleep(time.Hour)
		}
		before := ann.cookie
		c.want(200, "{}", "POST", "/owner/login", login("ann", password))
		if c.cookie == before || c.cookie == "" {
			t.Error("the login did not make a new key")
		}
		c.want(200, "ann admin", "GET", "/who", "")
		_, list := ann.ask("GET", "/owner/sessions", "")
		if strings.Count(list, `"id"`) != 2 || strings.Count(list, `"current":true`) != 1 {
			t.Error(list)
		}
		// A cookie that was there before a login is not taken over by it.
		fixed := r.client()
		fixed.cookie = "session=CHOSEN"
		fixed.want(200, "{}", "POST", "/owner/login", login("ann", password))
		if fixed.cookie == "session=CHOSEN" {
			t.Error("the key is that of the attacker")
		}
		old := c.cookie
		c.want(200, "{}", "POST", "/owner/logout", "")
		if c.cookie != "" {
			t.Error("the cookie stays")
		}
		c.cookie = old
		c.want(200, "nobody", "GET", "/who", "")
		ann.want(200, "ann admin", "GET", "/who", "")
		r.sleep(8 * 24 * time.Hour) // idle
		ann.want(200, "nobody", "GET", "/who", "")
	})
}

func TestASessionHasAnEndHoweverBusyItIs(t *testing.T) {
	r, ann := owned(t, 0)
	for range 14 {
		ann.want(200, "ann admin", "GET", "/who", "")
		r.sleep(6 * 24 * time.Hour)
	}
	r.sleep(7 * 24 * time.Hour)
	ann.want(200, "nobody", "GET", "/who", "")
}

// A device without a clock of its own begins in 1970 after a power cut, and learns the time later.
func TestASessionOutlivesAClockThatIsSet(t *testing.T) {
	r, ann := owned(t, 0)
	const since1970 = 20000 * 24 * time.Hour
	r.sleep(-since1970)
	ann.want(200, "ann admin", "GET", "/who", "")
	r.sleep(since1970 + time.Hour)
	ann.want(200, "ann admin", "GET", "/who", "")
	r.sleep(8 * 24 * time.Hour) // idle
	ann.want(200, "nobody", "GET", "/who", "")
}

func TestASessionIsRevoked(t *testing.T) {
	r, ann := owned(t, 0)
	thief := r.client()
	thief.cookie = ann.cookie
	ann = r.client()
	ann.want(200, "{}", "POST", "/owner/login", login("ann", password))
	_, list := ann.ask("GET", "/owner/sessions", "")
	id, _, _ := strings.Cut(strings.SplitN(list, `"id":"`, 2)[1], `"`)
	thief.want(200, "ann admin", "GET", "/who", "")
	ann.want(200, "{}", "DELETE", "/owner/sessions/"+id, "")
	thief.want(200, "nobody", "GET", "/who", "")
	ann.want(404, says("none", "there is none of that name"), "DELETE", "/owner/sessions/"+id, "")
	// A new password ends all others.
	thief.cookie = ann.cookie
	ann.want(403, says("old-password", "the old password is wrong"), "PUT", "/owner/password", `{"old":"nope","password":"battery staple"}`)
	ann.want(200, "{}", "PUT", "/owner/password", `{"old":"correct horse","password":"battery staple"}`)
	ann.want(200, "ann admin", "GET", "/who", "")
	thief.want(200, "nobody", "GET", "/who", "")
	r.client().want(401, says("login", "the name or the password is wrong"), "POST", "/owner/login", login("ann", password))
	r.client().want(200, "{}", "POST", "/owner/login", login("ann", "battery staple"))
}

func TestFailuresAreSlowedDown(t *testing.T) {
	r, _ := owned(t, 0)
	c := r.client()
	for range freeFailures {
		c.want(401, "*", "POST", "/owner/login", login("ann", "guess"))
	}
	// The right password has to wait too, or an attacker would learn that it was right.
	for _, wait := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second} {
		resp, text := c.ask("POST", "/owner/login", login("ann", password))
		if resp.StatusCode != 429 || text != says("wait", "too many failures: wait") || resp.Header.Get("Retry-After") != fmt.Sprint(int(wait.Seconds())) {
			t.Errorf("%d %s, Retry-After %s", resp.StatusCode, text, resp.Header.Get("Retry-After"))
		}
		r.sleep(wait)
		c.want(401, "*", "POST", "/owner/login", login("ann", "guess"))
	}
	r.sleep(maxDelay)
	c.want(200, "{}", "POST", "/owner/login", login("ann", password))
	c.want(401, "*", "POST", "/owner/login", login("ann", "guess")) // and it begins anew
}

func TestALimitIsOfANetworkAndIsBounded(t *testing.T) {
	var l limit
	now := time.Now()
	for range freeFailures {
		for _, a := range []string{"2001:db8::1", "192.0.2.1", "fe80::1%eth0"} {
			l.fail(netip.MustParseAddr(a), "ann", now)
		}
	}
	for a, slow := range map[string]bool{
		"2001:db8::2": true, "2001:db8:0:0:ffff::": true, "2001:db8:0:1::1": false, "2001:db7:ffff:ffff::1": false,
		"192.0.2.1": true, "::ffff:192.0.2.1": true, "192.0.2.2": false, "::ffff:192.0.2.0": false,
		"fe80::2%eth0": true, "fe80::1%eth1": true, "fe80::1": true,
	} {
		if got := l.wait(netip.MustParseAddr(a), now) > 0; got != slow {
			t.Errorf("%s waits: %v", a, got)
		}
	}
	a := netip.MustParseAddr("10.0.0.0")
	for range 3 * maxFailed {
		a = a.Next()
		l.fail(a, "ann", now)
	}
	if len(l.failed) > maxFailed {
		t.Errorf("%d addresses", len(l.failed))
	}
	for range 100 {
		l.fail(far, "ann", now)
	}
	if d := l.wait(far, now); d != maxDelay {
		t.Error(d)
	}
	// Where there are many, those that have not failed for long make room, and no others.
	later := now.Add(forget)
	for range maxFailed - len(l.failed) {
		a = a.Next()
		l.fail(a, "ann", now)
	}
	l.fail(netip.MustParseAddr("10.255.0.1"), "ann", later.Add(time.Second))
	if n := len(l.failed); n != 2 || l.failed[networkOf(far)].n == 0 { // the end of far's wait is within the hour
		t.Errorf("%d addresses, of which far has failed %d times", n, l.failed[networkOf(far)].n)
	}
}

func TestUsersAndRoles(t *testing.T) {
	looptest.EachPoller(t, func(t *testing.T, p mgr.Poller) {
		r, ann := owned(t, p)
		ann.want(200, "{}", "PUT", "/owner/users/bob", `{"role":"user","password":"bob's own one"}`)
		for body, why := range map[string]string{
			`{"role":"king","password":"xxxxxxxx"}`:   says("role-name", "a role is viewer, user or admin"),
			`{"role":"nobody","password":"xxxxxxxx"}`: says("role-name", "a role is viewer, user or admin"),
			`{"role":"user"}`:                         says("new-user", "a new user needs a role and a password"),
			`{"password":"xxxxxxxx"}`:                 says("new-user", "a new user needs a role and a password"),
			`{"role":"user","password":"x"}`:          says("password", errPassword.Error()),
		} {
			ann.want(422, why, "PUT", "/owner/users/eve", body)
		}
		for _, name := range []string{"Eve", "local", "program", strings.Repeat("x", 33), "a%20b"} {
			ann.want(422, says(errName.code, errName.text), "PUT", "/owner/users/"+name, `{"role":"user","password":"xxxxxxxx"}`)
		}
		bob := r.client()
		bob.want(200, "{}", "POST", "/owner/login", login("bob", "bob's own one"))
		bob.want(200, "bob user", "GET", "/who", "")
		for _, path := range []string{"/owner/users", "/owner/tokens"} {
			bob.want(403, says("role", "this is for a higher role"), "GET", path, "")
		}
		bob.want(403, says("role", "this is for a higher role"), "POST", "/update", "")
		ann.want(200, `[{"name":"ann","role":"admin","sessions":1},{"name":"bob","role":"user","sessions":1}]`, "GET", "/owner/users", "")
		ann.want(200, "{}", "PUT", "/owner/users/bob", `{"role":"viewer"}`)
		bob.want(200, "nobody", "GET", "/who", "") // the role is another: log in again
		bob.want(200, "{}", "POST", "/owner/login", login("bob", "bob's own one"))
		bob.want(200, "bob viewer", "GET", "/who", "")
		ann.want(200, "{}", "DELETE", "/owner/users/bob", "")
		bob.want(200, "nobody", "GET", "/who", "")
		ann.want(404, says("none", "there is none of that name"), "DELETE", "/owner/users/bob", "")
		ann.want(409, says("last-admin", "the last admin stays one"), "DELETE", "/owner/users/ann", "")
		ann.want(409, says("last-admin", "the last admin stays one"), "PUT", "/owner/users/ann", `{"role":"user"}`)
		ann.want(200, "ann admin", "GET", "/who", "")
	})
}

func TestTokens(t *testing.T) {
	r, ann := owned(t, 0)
	make := func(body string) (key, id string) {
		t.Helper()
		resp, text := ann.ask("POST", "/owner/tokens", body)
		if resp.StatusCode != 200 {
			t.Fatal(text)
		}
		id, _, _ = strings.Cut(strings.SplitN(text, `"id":"`, 2)[1], `"`)
		key, _, _ = strings.Cut(strings.SplitN(text, `"token":"`, 2)[1], `"`)
		return key, id
	}
	key, _ := make(`{"name":"meter","role":"user","scopes":["settings"],"days":1}`)
	c := r.client("Authorization", "Bearer "+key)
	c.want(200, "ann/meter user", "GET", "/who", "")
	c.want(403, says("token-scope", "the token is not for this"), "POST", "/update", "")     // another scope
	c.want(403, says("token-scope", "the token is not for this"), "GET", "/owner/users", "") // that of the owner too
	r.sleep(25 * time.Hour)
	c.want(200, "nobody", "GET", "/who", "")
	r.client("Authorization", "Bearer nonsense").want(200, "nobody", "GET", "/who", "")

	key, id := make(`{"name":"all","role":"admin"}`)
	c = r.client("Authorization", "Bearer "+key)
	c.want(200, "ok", "POST", "/update", "")
	c.want(200, "*", "GET", "/owner/tokens", "")
	c.want(403, says("not-by-token", "a token makes no tokens"), "POST", "/owner/tokens", `{"name":"more","role":"admin"}`)
	c.want(403, says("not-by-token", "a token has no password"), "PUT", "/owner/password", `{"old":"x","password":"battery staple"}`)
	if _, list := ann.ask("GET", "/owner/tokens", ""); strings.Contains(list, key) || !strings.Contains(list, id) || strings.Contains(list, `"meter"`) {
		t.Error(list)
	}
	// It may do no more than its maker may do now.
	ann.want(200, "{}", "PUT", "/owner/users/bob", `{"role":"admin","password":"bob's own one"}`)
	bob := r.client()
	bob.want(200, "{}", "POST", "/owner/login", login("bob", "bob's own one"))
	bob.want(200, "{}", "PUT", "/owner/users/ann", `{"role":"viewer"}`)
	c.want(200, "ann/all viewer", "GET", "/who", "")
	bob.want(200, "{}", "DELETE", "/owner/tokens/"+id, "")
	c.want(200, "nobody", "GET", "/who", "")
	for _, body := range []string{`{"name":"x","role":"king"}`, `{"name":"","role":"user"}`, `{"name":"x","role":"user","scopes":["A b"]}`, `{"name":"x","role":"user","days":-1}`} {
		bob.want(422, "*", "POST", "/owner/tokens", body)
	}
}

// RFC 9110 §11.6.1: each 401 says how one can log in. RFC 6750 §3.1 has the words for tokens.
func TestChallenges(t *testing.T) {
	r, ann := owned(t, 0)
	key := ann.token("meter", "admin", "settings")
	bob := ann.user("bob", "viewer")
	for _, x := range []struct {
		c                *client
		method, path, in string
		want             string
	}{
		{r.client(), "POST", "/update", "", "401 Bearer"},
		{r.client(), "GET", "/owner/users", "", "401 Bearer"},
		{r.client(), "GET", "/hub", "", "401 Bearer"},
		{r.client(), "GET", "/api/settings", "", "401 Bearer"},
		{r.client(), "POST", "/owner/login", login("ann", "wrong horse"), "401 Bearer"},
		{r.client("Authorization", "Bearer x"), "POST", "/update", "", `401 Bearer error="invalid_token"`},
		{r.client("Authorization", "Bearer x"), "GET", "/hub", "", `401 Bearer error="invalid_token"`},
		{r.client("Authorization", "Bearer "+key), "POST", "/update", "", `403 Bearer error="insufficient_scope"`},
		{r.client("Authorization", "Bearer "+key), "GET", "/hub", "", `403 Bearer error="insufficient_scope"`},
		{bob, "POST", "/update", "", "403 "},
		{bob, "GET", "/owner/users", "", "403 "},
	} {
		resp, _ := x.c.ask(x.method, x.path, x.in)
		if got := fmt.Sprintf("%d %s", resp.StatusCode, resp.Header.Get("WWW-Authenticate")); got != x.want {
			t.Errorf("%s %s: %s, want %s", x.method, x.path, got, x.want)
		}
	}
	fresh := start(t, 0)
	resp, _ := fresh.client().ask("POST", "/owner/setup", `{"code":"AAAA-AAAA","name":"eve","password":"correct horse"}`)
	if resp.StatusCode != 401 || resp.Header.Get("WWW-Authenticate") != "Bearer" {
		t.Error(resp.StatusCode, resp.Header)
	}
}

// A name or a password that is not UTF-8 would become another one (RFC 8259 §8.1, §8.2).
func TestRefusesWhatIsNotUTF8(t *testing.T) {
	r, ann := owned(t, 0)
	for _, x := range []struct{ bad, why string }{
		{"correct\xff horse", "the JSON is not UTF-8 (RFC 8259 §8.1)"},
		{`correct\ud800 horse`, `the JSON has half of a surrogate pair: \ud800 (RFC 8259 §8.2)`},
	} {
		body := `{"name":"ann","role":"user","password":"` + x.bad + `"}`
		r.client().want(400, says("malformed", x.why), "POST", "/owner/login", body)
		r.client().want(400, says("malformed", x.why), "POST", "/owner/setup", body)
		ann.want(400, says("malformed", x.why), "PUT", "/owner/password", `{"old":"`+password+`","password":"`+x.bad+`"}`)
		ann.want(400, says("malformed", x.why), "PUT", "/owner/users/bob", body)
		ann.want(400, says("malformed", x.why), "POST", "/owner/tokens", body)
	}
	r.client().want(413, says("too-long", "the body is too long"), "POST", "/owner/login", login("ann", strings.Repeat("x", 8<<10)))
	r.client().want(200, "{}", "POST", "/owner/login", login("ann", password))
}

func TestAPageOfAnotherSiteCannotUseASession(t *testing.T) {
	r, ann := owned(t, 0)
	for _, fields := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}} {
		evil := r.client(fields...)
		evil.cookie = ann.cookie
		evil.want(200, "nobody", "GET", "/who", "")
		evil.want(401, says("log-in", "log in first"), "POST", "/update", "")
	}
	evil := r.client("Origin", "https://evil.example")
	evil.cookie = ann.cookie
	evil.want(403, "*", "POST", "/owner/logout", "")
	form := r.client("Content-Type", "text/plain")
	form.want(415, says("not-json", "send application/json"), "POST", "/owner/login", login("ann", password))
	form = r.client()
	form.want(400, says("malformed", "the body is malformed"), "POST", "/owner/login", `{"name":1}`)
}

func TestEverythingOutlivesARestart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users.json")
	r, ann := owned(t, 0, func(o *Options) { o.File = file })
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info.Mode(), err)
	}
	text, err := os.ReadFile(file)
	if err != nil || strings.Contains(string(text), password) || strings.Contains(string(text), strings.TrimPrefix(ann.cookie, "session=")) {
		t.Errorf("%s, %v", text, err)
	}
	again := start(t, 0, func(o *Options) { o.File = file })
	c := again.client()
	c.cookie = ann.cookie
	c.want(200, "ann admin", "GET", "/who", "")
	if !again.o.HasOwner() || again.code != "" {
		t.Error("the device is nobody's")
	}
	_ = r
}

// A person who can damage the file must not become the owner.
func TestASpoiltFileIsAnError(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"cut":   `{"version":0,"users":[{"na`,
		"zeros": "\x00\x00\x00\x00",
		"costs": `{"users":[{"name":"x","role":"admin","password":{"kib":4294967295,"passes":1,"salt":"AAAAAAAAAAA=","sum":""}}]}`,
		"role":  `{"users":[{"name":"x","role":"king"}]}`,
		"bit":   "{\"users\":[],\"tokens\":[{\"name\":\"\xf8\"}]}",
	} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if o, err := New(Options{File: file}); err == nil {
			t.Errorf("%s: has an owner: %v", name, o.HasOwner())
		}
	}
}

func TestWhatIsNotOnTheDiskDidNotHappen(t *testing.T) {
	sim := disksim.New()
	r := start(t, 0, func(o *Options) { o.File, o.disk = "/users", failing{sim} })
	c := r.client()
	c.want(500, `{"error":"owner: `+syscall.ENOSPC.Error()+`"}`, "POST", "/owner/setup", r.setup("ann", password))
	if r.o.HasOwner() || c.cookie != "" {
		t.Error("it has an owner")
	}
	if err := r.o.Reset(); !errors.Is(err, syscall.ENOSPC) {
		t.Error(err)
	}
}

// One has to log in to make room on a full disk.
func TestALoginNeedsNoDisk(t *testing.T) {
	file, sim := filepath.Join(t.TempDir(), "users"), &fills{FS: disk.OS}
	r, ann := owned(t, 0, func(o *Options) { o.File, o.disk = file, sim })
	sim.full.Store(true)
	again := r.client()
	again.want(200, "{}", "POST", "/owner/login", login("ann", password))
	again.want(200, "ann admin", "GET", "/who", "")
	again.want(500, `{"error":"owner: `+syscall.ENOSPC.Error()+`"}`, "PUT", "/owner/password", `{"old":"`+password+`","password":"battery staple"}`)
	sim.full.Store(false)
	ann.want(200, "{}", "POST", "/owner/logout", "") // the disk gets all of it now
	later := start(t, 0, func(o *Options) { o.File = file })
	c := later.client()
	c.cookie = again.cookie
	c.want(200, "ann admin", "GET", "/who", "")
}

// A right ends though the disk is full, and the client is told that this will not outlive a restart.
func TestARightEndsWithoutTheDisk(t *testing.T) {
	file, sim := filepath.Join(t.TempDir(), "users"), &fills{FS: disk.OS}
	r, ann := owned(t, 0, func(o *Options) { o.File, o.disk = file, sim })
	bob := ann.user("bob", "admin")
	copied := r.client()
	copied.cookie = bob.cookie
	meter := r.client("Authorization", "Bearer "+bob.token("meter", "user", "settings"))
	_, list := ann.ask("GET", "/owner/tokens", "")
	var tokens []struct{ ID string }
	if err := json.Unmarshal([]byte(list), &tokens); err != nil || len(tokens) != 1 {
		t.Fatal(list, err)
	}
	meter.want(200, "bob/meter user", "GET", "/who", "")
	sim.full.Store(true)
	for _, x := range []struct {
		by           *client
		method, path string
		gone         *client
	}{
		{ann, "DELETE", "/owner/tokens/" + tokens[0].ID, meter},
		{bob, "POST", "/owner/logout", copied},
		{ann, "DELETE", "/owner/users/bob", nil},
	} {
		x.by.want(500, says("not-kept", "it has ended, but the disk does not have that: a restart will bring it back ("+syscall.ENOSPC.Error()+")"), x.method, x.path, "")
		if x.gone != nil {
			x.gone.want(200, "nobody", "GET", "/who", "")
		}
	}
	r.client().want(401, "*", "POST", "/owner/login", login("bob", password))
	sim.full.Store(false)
	ann.want(200, "{}", "POST", "/owner/logout", "") // the disk gets all of it now
	again := start(t, 0, func(o *Options) { o.File = file })
	again.client().want(401, "*", "POST", "/owner/login", login("bob", password))
}

func TestResetMakesTheDeviceNew(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users.json")
	r, ann := owned(t, 0, func(o *Options) { o.File = file })
	if err := r.o.Reset(); err != nil {
		t.Fatal(err)
	}
	ann.want(200, "local viewer", "GET", "/who", "")
	if names, err := disk.OS.List(filepath.Dir(file)); err != nil || len(names) != 1 { // ann must not come back with an old file
		t.Error(names, err)
	}
	bob := r.client()
	bob.want(200, "{}", "POST", "/owner/setup", r.setup("bob", password))
	bob.want(200, "bob admin", "GET", "/who", "")
	ann.want(200, "nobody", "GET", "/who", "")
}

func TestTheAuditHasNoSecrets(t *testing.T) {
	r, ann := owned(t, 0)
	r.client().ask("POST", "/owner/login", login("ann", "guess me"))
	ann.ask("POST", "/owner/tokens", `{"name":"meter","role":"user"}`)
	ann.ask("PUT", "/owner/password", `{"old":"correct horse","password":"battery staple"}`)
	r.mu.Lock()
	defer r.mu.Unlock()
	got := strings.Join(r.audit, "; ")
	for _, part := range []string{"ann setup: done", " login: failed", "for meter: done", "ann password: done"} {
		if !strings.Contains(got, part) {
			t.Errorf("%q is not in %s", part, got)
		}
	}
	for _, secret := range []string{password, "guess", "battery", r.code} {
		if strings.Contains(got, secret) {
			t.Error(got)
		}
	}
}

func TestAFloodOfLoginsIsRefusedNotQueued(t *testing.T) {
	r, _ := owned(t, 0)
	hold, held := make(chan struct{}), make(chan struct{})
	if err := r.o.later(r.o.logins, func() { close(held); <-hold }); err != nil {
		t.Fatal(err)
	}
	<-held
	var waiting sync.WaitGroup
	for range maxWork {
		waiting.Add(1)
		if err := r.o.later(r.o.logins, waiting.Done); err != nil {
			t.Fatal(err)
		}
	}
	r.client().want(503, says("busy", errBusy.Error()), "POST", "/owner/login", login("ann", password))
	close(hold)
	waiting.Wait()
	r.client().want(200, "{}", "POST", "/owner/login", login("ann", password))
}

// While other goroutines fill the loop's queue, the worker's reply comes all the same.
func TestReplyWhileTheQueueIsFull(t *testing.T) {
	r, _ := owned(t, 0)
	began, goOn := make(chan struct{}), make(chan struct{})
	if err := r.o.later(r.o.logins, func() { // the worker is busy
		close(began)
		<-goOn
	}); err != nil {
		t.Fatal(err)
	}
	<-began
	replied := make(chan struct{})
	go func() {
		defer close(replied)
		r.client().want(200, "{}", "POST", "/owner/login", login("ann", password))
	}()
	for len(r.o.logins) == 0 {
		time.Sleep(time.Millisecond)
	}
	full, free := make(chan struct{}), make(chan struct{})
	r.loop.Do(func() {
		close(full)
		<-free
	})
	<-full
	for r.loop.Do(func() {}) == nil {
	}
	close(goOn)
	done := make(chan struct{})
	for r.o.later(r.o.logins, func() { close(done) }) != nil { // after the login
		time.Sleep(time.Millisecond)
	}
	<-done
	close(free)
	select {
	case <-replied:
	case <-time.After(time.Minute):
		t.Fatal("there is no reply")
	}
}
