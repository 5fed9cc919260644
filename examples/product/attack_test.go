package main

import (
	"crypto/tls"
	"encoding/json"
	nethttp "net/http"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/examples/internal/programtest"
	"github.com/seed4930a636/mangusta/internal/exhaustive"
)

// secure starts a product over TLS, and returns its owner.
func secure(t *testing.T, dir, poller string, args ...string) (*programtest.Program, *browser) {
	t.Helper()
	p := programtest.Start(t, append([]string{"-listen", "127.0.0.1:0", "-tls", "-data", dir, "-poller", poller}, args...)...)
	ann := trusting(t, p.Addr)
	ann.want(200, "", "POST", "/owner/setup", `{"code": "`+codeIn.FindStringSubmatch(p.Said)[1]+`", "name": "ann", "password": "correct horse"}`)
	return p, ann
}

// token makes a token of an admin, and returns a client that has it and nothing else.
func (b *browser) token(scopes ...string) (holder *browser, key string) {
	b.t.Helper()
	body, err := json.Marshal(map[string]any{"name": "t", "role": "admin", "scopes": scopes, "days": 1})
	if err != nil {
		b.t.Fatal(err)
	}
	var made struct{ Token string }
	if err := json.Unmarshal([]byte(b.want(200, "", "POST", "/owner/tokens", string(body))), &made); err != nil {
		b.t.Fatal(err)
	}
	return newBrowserLike(b), made.Token
}

// A token is good for what it names, by each way: REST, files, topics, JSON-RPC.
func TestATokenIsGoodForItsScopesAlone(t *testing.T) {
	programtest.EachPoller(t, func(t *testing.T, poller string) {
		_, ann := secure(t, t.TempDir(), poller)
		upgrade := []string{"Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="}
		ways := []struct {
			scope, method, path, body string
			status                    int
			fields                    []string
		}{
			{"settings", "GET", "/api/settings", "", 200, nil},
			{"settings", "PATCH", "/api/settings", `{"name": "x"}`, 200, nil},
			{"settings", "POST", "/api/actions/identify", `{}`, 204, nil},
			{"settings", "GET", "/api/audit", "", 200, nil},
			{"settings", "GET", "/api/rpc", "", 101, upgrade},
			{"hub", "GET", "/hub", "", 101, upgrade},
			{"hub", "GET", "/hub?topic=state", "", 200, []string{"Accept", "text/event-stream"}},
			{"files", "GET", "/files", "", 200, nil},
			{"files", "PUT", "/files/a.txt", "x", 201, []string{"Content-Type", "text/plain"}},
			{"files", "GET", "/files/a.txt", "", 200, nil},
			{"files", "DELETE", "/files/a.txt", "", 200, nil},
			{"logs", "GET", "/logs", "", 200, nil},
			{"about", "GET", "/about", "", 200, nil},
			{"certificate", "GET", "/certificate", "", 200, nil},
			{"certificate", "POST", "/certificate", `{}`, 422, nil},
			{"metrics", "GET", "/metrics", "", 200, nil},
			{"owner", "GET", "/owner/users", "", 200, nil},
			{"owner", "GET", "/owner/tokens", "", 200, nil},
		}
		keys := map[string]string{}
		for _, w := range ways {
			if keys[w.scope] == "" {
				_, keys[w.scope] = ann.token(w.scope)
			}
		}
		stranger := newBrowserLike(ann)
		status := func(w int, key string) int {
			way := ways[w]
			req, err := nethttp.NewRequest(way.method, ann.base+way.path, strings.NewReader(way.body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/json")
			for i := 0; i < len(way.fields); i += 2 {
				req.Header.Set(way.fields[i], way.fields[i+1])
			}
			if key != "" {
				req.Header.Set("Authorization", "Bearer "+key)
			}
			resp, err := stranger.c.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			return resp.StatusCode
		}
		for w, way := range ways {
			for scope, key := range keys {
				got := status(w, key)
				if scope == way.scope && got != way.status {
					t.Errorf("%s %s with the scope: %d, want %d", way.method, way.path, got, way.status)
				}
				if scope != way.scope && got != 401 && got != 403 {
					t.Errorf("%s %s with the scope %s: %d", way.method, way.path, scope, got)
				}
			}
			if got := status(w, ""); got != 401 && got != 403 {
				t.Errorf("%s %s with nothing: %d", way.method, way.path, got)
			}
		}
	})
}

// Whatever people do, no secret is in the log, in what the page shows of it, in the audit or in the
// metrics.
func TestSecretsStayOutOfLogs(t *testing.T) {
	p, ann := secure(t, t.TempDir(), "auto")
	holder, key := ann.token()
	holder.want(401, "", "GET", "/logs", "", "Authorization", "Bearer "+key+"x")
	holder.want(200, "", "GET", "/logs", "", "Authorization", "Bearer "+key)
	holder.want(401, "", "POST", "/owner/login", `{"name": "my-password-here", "password": "guess-nr-one"}`)
	holder.want(400, "", "POST", "/owner/login", `{"name": "ann", "password": "broken-json-pw"`)
	ann.want(403, "", "PUT", "/owner/password", `{"old": "old-guess-pw", "password": "battery staple"}`)
	ann.want(200, "", "PUT", "/owner/password", `{"old": "correct horse", "password": "battery staple"}`)
	ann.want(200, "", "PATCH", "/api/settings", `{"network": {"password": "swordfish"}}`)
	ann.want(422, "", "PATCH", "/api/settings", `{"network": {"password": "`+strings.Repeat("tooolong", 20)+`"}}`)
	cert, private := certificateFor(t, "shop.example", "192.0.2.1")
	upload, err := json.Marshal(map[string]string{"certificate": cert, "key": private})
	if err != nil {
		t.Fatal(err)
	}
	ann.want(422, "none of this device's names", "POST", "/certificate", string(upload))
	ann.ask("GET", "/nowhere?token="+key, "")
	session := ""
	for _, c := range ann.cookies() {
		session = c.Value
	}
	seen := ann.want(200, "audit", "GET", "/logs", "") + ann.want(200, "login", "GET", "/api/audit", "") + ann.want(200, "", "GET", "/metrics", "")
	if err := p.Terminate(patience); err != nil {
		t.Fatal(err)
	}
	seen += p.Log()
	code := codeIn.FindStringSubmatch(p.Said)[1]
	if strings.Count(p.Said, code) != 1 {
		t.Errorf("the code is more than once in %s", p.Said)
	}
	lines := strings.Split(private, "\n")
	for _, secret := range []string{"correct horse", "battery staple", "guess-nr-one", "my-password-here", "broken-json-pw", "old-guess-pw", "swordfish", "tooolong", key, session, code, lines[1]} {
		if secret == "" || strings.Contains(seen, secret) {
			t.Errorf("%q is in what was logged", secret)
		}
	}
}

// An uploaded certificate and its key go with the rest.
func TestFactoryResetRemovesTheCertificate(t *testing.T) {
	_, ann := secure(t, t.TempDir(), "auto")
	own := ann.c.Transport
	cert, key := certificateFor(t, "thermostat.example", "127.0.0.1")
	text, err := json.Marshal(map[string]string{"certificate": cert, "key": key})
	if err != nil {
		t.Fatal(err)
	}
	ann.want(200, `"active":"uploaded"`, "POST", "/certificate", string(text))
	ann.c.Transport = &nethttp.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}
	ann.want(204, "", "POST", "/api/actions/factory-reset", `{"confirm": true}`)
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if _, text := ann.ask("GET", "/owner", ""); strings.Contains(text, `"owned":false`) {
			break
		} else if time.Now().After(end) {
			t.Fatal(text)
		}
	}
	ann.c.Transport = own
	ann.want(200, `"owned":false`, "GET", "/owner", "") // the authority is trusted, and vouches again
}

// TestFiguresOfLogins prints what docs/device-security.md tells.
func TestFiguresOfLogins(t *testing.T) {
	if !exhaustive.On() {
		t.Skip("the long form only")
	}
	p, ann := secure(t, t.TempDir(), "auto")
	time.Sleep(time.Second)
	t.Logf("RSS after the setup: %.1f MiB", float64(p.RSS())/(1<<20))
	ann.want(200, "", "POST", "/owner/login", `{"name": "ann", "password": "correct horse"}`)
	before, begin := p.CPU(), time.Now()
	const logins = 20
	for range logins {
		ann.want(200, "", "POST", "/owner/login", `{"name": "ann", "password": "correct horse"}`)
	}
	t.Logf("a login takes %v, of which the processor %v", time.Since(begin)/logins, (p.CPU()-before)/logins)
	t.Logf("RSS after %d logins: %.1f MiB, at most %.1f", logins, float64(p.RSS())/(1<<20), float64(p.PeakRSS())/(1<<20))
	// An attacker with one address and many connections.
	eve := newBrowserLike(ann)
	codes := make(chan int)
	stop := time.Now().Add(10 * time.Second)
	for range 8 {
		go func() {
			for time.Now().Before(stop) {
				code, _ := eve.ask("POST", "/owner/login", `{"name": "ann", "password": "guess"}`)
				codes <- code
			}
			codes <- 0
		}()
	}
	count := map[int]int{}
	for ended := 0; ended < 8; {
		if c := <-codes; c == 0 {
			ended++
		} else {
			count[c]++
		}
	}
	t.Logf("in 10 s one address got %d passwords compared, by status %v", count[401], count)
	for range 25 { // the collector comes every two minutes at the latest, and gives memory back after that
		time.Sleep(10 * time.Second)
		if rss := float64(p.RSS()) / (1 << 20); rss < 30 {
			break
		}
	}
	t.Logf("RSS idle after that: %.1f MiB", float64(p.RSS())/(1<<20))
}

// cookies returns those of the device.
func (b *browser) cookies() []*nethttp.Cookie {
	b.t.Helper()
	req, err := nethttp.NewRequest("GET", b.base, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.c.Jar.Cookies(req.URL)
}
