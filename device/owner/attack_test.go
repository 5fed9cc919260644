package owner

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/internal/looptest"
	"github.com/seed4930a636/mangusta/mgr"
)

// The tests of this file do what an attacker would try.

func TestTheSetupIsNotThroughAProxy(t *testing.T) {
	looptest.EachPoller(t, func(t *testing.T, p mgr.Poller) {
		r := startWith(t, p, http.Options{HTTPS: true}) // as over TLS
		for _, field := range []string{"Forwarded", "X-Forwarded-For", "X-Real-IP", "Via"} {
			r.client(field, "for=192.168.1.7").want(403, says("not-local", "the first setup is possible from the same network only, and not through a proxy"),
				"POST", "/owner/setup", r.setup("eve", password))
		}
		r.client().want(200, "{}", "POST", "/owner/setup", r.setup("ann", password))
	})
}

// A login ends the session that the browser had: who has copied its key has nothing left.
func TestALoginEndsTheSessionBefore(t *testing.T) {
	r, ann := owned(t, 0)
	thief := r.client()
	thief.cookie = ann.cookie
	thief.want(200, "ann admin", "GET", "/who", "")
	ann.want(401, "*", "POST", "/owner/login", login("ann", "wrong horse"))
	thief.want(200, "ann admin", "GET", "/who", "") // a failure changes nothing
	ann.want(200, "{}", "POST", "/owner/login", login("ann", password))
	ann.want(200, "ann admin", "GET", "/who", "")
	thief.want(200, "nobody", "GET", "/who", "")
	if _, list := ann.ask("GET", "/owner/sessions", ""); strings.Count(list, `"id"`) != 1 {
		t.Error(list)
	}
}

// A user of the device guesses the password of another, with logins of his own in between.
func TestAnOwnLoginDoesNotForgiveGuesses(t *testing.T) {
	r, ann := owned(t, 0)
	ann.want(200, "{}", "PUT", "/owner/users/bob", `{"role":"viewer","password":"bob's own one"}`)
	guesses := 0
	for range 10 * freeFailures {
		resp, _ := r.client().ask("POST", "/owner/login", login("ann", "guess"))
		if resp.StatusCode != 401 {
			break
		}
		guesses++
		r.client().want(200, "{}", "POST", "/owner/login", login("bob", "bob's own one"))
		if guesses == freeFailures-1 { // his own mistakes do not hide it
			r.client().ask("POST", "/owner/login", login("bob", "oops"))
			r.sleep(time.Second)
			r.client().want(200, "{}", "POST", "/owner/login", login("bob", "bob's own one"))
			r.client().want(401, "*", "POST", "/owner/login", login("ann", "guess"))
			break
		}
	}
	r.client().want(429, "*", "POST", "/owner/login", login("ann", "guess"))
	// Nor do his mistakes before.
	r.sleep(2 * forget)
	r.client().want(401, "*", "POST", "/owner/login", login("bob", "oops"))
	for range freeFailures - 1 {
		r.client().want(401, "*", "POST", "/owner/login", login("ann", "guess"))
	}
	r.sleep(maxDelay)
	r.client().want(200, "{}", "POST", "/owner/login", login("bob", "bob's own one"))
	r.client().want(401, "*", "POST", "/owner/login", login("ann", "guess"))
	r.client().want(429, "*", "POST", "/owner/login", login("ann", "guess"))
}

// tryFrom logs in from an address, past HTTP.
func (r *rig) tryFrom(addr, name, pw string) error {
	k := &call{from: netip.MustParseAddr(addr)}
	k.who.Via = addr
	k.body.Name, k.body.Password = name, pw
	_, err := r.o.login(k)
	return err
}

func status(err error) int {
	if e, ok := err.(apiError); ok {
		return e.status
	}
	return 200
}

// An attacker with any number of addresses: the attempts for one name are slowed down, whether or
// not there is such a user; those of the owner, from home or from where he is logged in, are not.
func TestManyAddressesDoNotHelp(t *testing.T) {
	for _, name := range []string{"ann", "nosuchuser"} {
		r, ann := owned(t, 0, func(o *Options) { o.local = func(a netip.Addr) bool { return a.Is4() } })
		ann.want(200, "*", "GET", "/owner/sessions", "")
		if err := r.tryFrom("2001:db8:ffff::1", "ann", password); err != nil { // where she is logged in
			t.Fatal(err)
		}
		n, attempts := 0, 0
		from := func() string { n++; return fmt.Sprintf("2001:db8:%x::1", n) }
		for range freeOfName {
			if got := status(r.tryFrom(from(), name, "guess")); got != 401 {
				t.Fatalf("attempt %d: %d", n, got)
			}
		}
		began := r.now()
		for r.now().Sub(began) < time.Hour {
			if status(r.tryFrom(from(), name, "guess")) == 401 {
				attempts++
			}
			r.sleep(time.Second)
		}
		if most := int(time.Hour/maxDelayOfName) + 10; attempts > most || attempts < most/2 {
			t.Errorf("%s: %d attempts in an hour, want %d at most", name, attempts, most)
		}
		if got := status(r.tryFrom(from(), "ann", password)); name == "ann" && got != 429 {
			t.Errorf("from an unknown address: %d", got)
		}
		for _, known := range []string{"192.168.1.7", "2001:db8:ffff::2"} {
			if err := r.tryFrom(known, "ann", password); err != nil {
				t.Errorf("from %s: %v", known, err)
			}
		}
	}
}

// The figures of docs/device-security.md: an attacker tries once a second.
func TestHowManyAttemptsPass(t *testing.T) {
	count := func(hours int, wait func(l *limit, now time.Time) time.Duration, fail func(l *limit, now time.Time)) (n int) {
		l := &limit{}
		for s := range hours * 3600 {
			now := time.Unix(1e9+int64(s), 0)
			if s == 0 { // what is free, at once
				for wait(l, now) <= 0 {
					fail(l, now)
					n++
				}
			} else if wait(l, now) <= 0 {
				fail(l, now)
				n++
			}
		}
		return n
	}
	for _, tt := range []struct {
		what      string
		hour, day int
		wait      func(l *limit, now time.Time) time.Duration
		fail      func(l *limit, now time.Time)
	}{
		{"one address", 24, 300, func(l *limit, now time.Time) time.Duration { return l.wait(far, now) }, func(l *limit, now time.Time) { l.fail(far, "ann", now) }},
		{"one name", 143, 2903, func(l *limit, now time.Time) time.Duration { return l.waitOfName("ann", false, now) },
			func(l *limit, now time.Time) { l.failOfName("ann", false, now) }},
	} {
		if hour, day := count(1, tt.wait, tt.fail), count(24, tt.wait, tt.fail); hour != tt.hour || day != tt.day {
			t.Errorf("%s: %d in an hour, %d in a day, want %d and %d", tt.what, hour, day, tt.hour, tt.day)
		}
	}
}

// A token makes no user that outlives it.
func TestATokenMakesNoUsers(t *testing.T) {
	r, ann := owned(t, 0)
	_, text := ann.ask("POST", "/owner/tokens", `{"name":"ci","role":"admin"}`)
	key, _, _ := strings.Cut(strings.SplitN(text, `"token":"`, 2)[1], `"`)
	ci := r.client("Authorization", "Bearer "+key)
	ci.want(200, "*", "GET", "/owner/users", "")
	ci.want(403, says("not-by-token", "a token makes and changes no users"), "PUT", "/owner/users/eve", `{"role":"admin","password":"correct horse"}`)
	ci.want(403, says("not-by-token", "a token makes and changes no users"), "PUT", "/owner/users/ann", `{"password":"battery staple"}`)
	r.client().want(200, "{}", "POST", "/owner/login", login("ann", password))
}

// A browser without Sec-Fetch-Site says where a page comes from by Origin.
func TestOriginsOfOtherPages(t *testing.T) {
	r, ann := owned(t, 0)
	host := strings.TrimPrefix(r.url, "http://")
	for origin, who := range map[string]string{
		r.url: "ann admin", "https://" + host: "ann admin", "http://evil.example": "nobody", "null": "nobody", "": "nobody", "http://" + host + ".evil.example": "nobody",
		"http://127.0.0.1:1": "nobody", "file://": "nobody",
	} {
		c := r.client("Origin", origin)
		c.cookie = ann.cookie
		c.want(200, who, "GET", "/who", "")
		status := 403
		if who != "nobody" {
			status = 200
		}
		c.want(status, "*", "PUT", "/owner/users/bob", `{"role":"user","password":"bob's own one"}`)
	}
	for site, who := range map[string]string{"same-origin": "ann admin", "none": "ann admin", "cross-site": "nobody", "same-site": "nobody", "else": "nobody"} {
		c := r.client("Sec-Fetch-Site", site)
		c.cookie = ann.cookie
		c.want(200, who, "GET", "/who", "")
	}
	// A form or a beacon can send these types without asking first.
	for _, kind := range []string{"", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain; application/json", "application/jsonp"} {
		c := r.client("Content-Type", kind)
		c.cookie = ann.cookie
		c.want(415, says("not-json", "send application/json"), "PUT", "/owner/users/bob", `{"role":"user","password":"bob's own one"}`)
		c.want(415, says("not-json", "send application/json"), "POST", "/owner/login", login("ann", password))
	}
	c := r.client("Content-Type", "Application/JSON; charset=utf-8")
	c.want(200, "{}", "POST", "/owner/login", login("ann", password))
}

// Strangers who keep the worker busy do not keep those who are logged in from anything, and one
// network takes a few places only.
func TestAFloodOfLoginsLeavesRoom(t *testing.T) {
	r, ann := owned(t, 0)
	hold, held := make(chan struct{}), make(chan struct{})
	if err := r.o.later(r.o.logins, func() { close(held); <-hold }); err != nil {
		t.Fatal(err)
	}
	<-held
	var done sync.WaitGroup
	replies := make(chan string, 2*maxEntered)
	for range 2 * maxEntered {
		c := r.client()
		done.Go(func() {
			_, text := c.ask("POST", "/owner/login", login("ann", "guess"))
			replies <- text
		})
	}
	for range maxEntered {
		if got := <-replies; got != says("busy", errBusy.Error()) { // those for whom there is no place
			t.Errorf("%s", got)
		}
	}
	if n := len(r.o.members); n != 0 {
		t.Errorf("%d strangers are among those who are logged in", n)
	}
	const each = 5
	order := make(chan string, 2*maxWork)
	for range each {
		r.o.later(r.o.logins, func() { order <- "stranger" })
	}
	for r.o.later(r.o.logins, func() {}) == nil { // others take the rest
	}
	for range each {
		if err := r.o.later(r.o.members, func() { order <- "mine" }); err != nil {
			t.Error(err)
		}
	}
	close(hold)
	for i := range each {
		if got := <-order; got != "mine" {
			t.Errorf("place %d: %s", i, got)
		}
	}
	ann.want(200, "*", "GET", "/owner/users", "")
	done.Wait()
	r.o.mu.Lock()
	defer r.o.mu.Unlock()
	if len(r.o.entered) != 0 {
		t.Errorf("places are kept: %v", r.o.entered)
	}
}

// The local link is the machine itself, link-local addresses, and the networks of its interfaces.
func TestLocalLink(t *testing.T) {
	for addr, want := range map[string]bool{"127.0.0.1": true, "::1": true, "fe80::1": true, "169.254.7.7": true, "203.0.113.7": false, "2001:db8::7": false} {
		if got := onLocalLink(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %v", addr, got)
		}
	}
}
