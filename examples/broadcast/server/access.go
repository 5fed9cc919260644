package server

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/http/json"
)

// tokenVariable names the environment variable that holds the token where no flag does. A command
// line is seen by everybody on the machine.
const tokenVariable = "BROADCAST_TOKEN"

// readToken returns the token: that of the flag, of the file, or of the environment.
func readToken(flag, file string) (string, error) {
	token, from := flag, "-token"
	switch {
	case flag != "" && file != "":
		return "", errors.New("broadcast: there is a -token and a -token-file")
	case file != "":
		b, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("broadcast: the token: %w", err)
		}
		if token, from = strings.TrimSpace(string(b)), file; token == "" {
			return "", fmt.Errorf("broadcast: there is no token in %s", file)
		}
	case flag == "":
		token, from = os.Getenv(tokenVariable), tokenVariable
	}
	// RFC 6750 §2.1: no Authorization field could carry any other.
	if body := strings.TrimRight(token, "="); body == "" && token != "" || strings.Trim(body, tokenBytes) != "" {
		return "", fmt.Errorf("broadcast: the token of %s may have letters, digits and -._~+/ alone, and = at its end", from)
	}
	return token, nil
}

const tokenBytes = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/"

// access tells clients that know the token from others. Without a token every client is let in.
type access struct {
	token string
	// The cookie of a browser that has shown the token: what WebSocket and EventSource send by
	// themselves. Browsers send the cookies of a host to all its ports: servers with different
	// tokens give theirs different names.
	name, value string
}

func newAccess(token string) access {
	derive := func(what string) string {
		mac := hmac.New(sha256.New, []byte(token))
		mac.Write([]byte(what))
		return hex.EncodeToString(mac.Sum(nil))
	}
	return access{token: token, name: "broadcast-" + derive("name")[:8], value: derive("value")}
}

// allows reports whether r shows the token: as a Bearer token, by the cookie, or, since a script of
// another origin has no other way, as access_token in the query (RFC 6750 §2.3).
func (a *access) allows(r *http.Request) bool {
	if a.token == "" {
		return true
	}
	if credentials := r.Credentials(); credentials.Scheme != http.AuthNone {
		return credentials.IsBearer(a.token)
	}
	for name, value := range r.Cookies() {
		if string(name) == a.name && http.SecretEqual(value, a.value) {
			return true
		}
	}
	for v, err := range r.QueryVars() {
		if err == nil && string(v.Name) == "access_token" && http.SecretEqual(v.Value, a.token) {
			return true
		}
	}
	return false
}

// guard lets in who shows the token, and answers others (RFC 6750 §3). It is asked before the body
// has come.
func (a *access) guard(c *conn.Conn, r *http.Request) bool {
	switch {
	case a.allows(r):
		return true
	case r.Credentials().Scheme == http.AuthBearer:
		http.SetHeader(c, "WWW-Authenticate", `Bearer realm="broadcast", error="invalid_token"`)
		refuse(c, 401, "the token is wrong")
	default:
		http.SetHeader(c, "WWW-Authenticate", `Bearer realm="broadcast"`)
		refuse(c, 401, "this takes a token: Authorization: Bearer TOKEN")
	}
	return false
}

// standing answers GET /login: whether the client is let in, and the host that the server takes
// itself for, which is none that the browser knows when a proxy says something else.
func (a *access) standing(c *conn.Conn, m *http.Message) {
	http.SetHeader(c, "Cache-Control", "no-store")
	json.Reply(c, 200, struct {
		Allowed bool   `json:"allowed"`
		Host    string `json:"host"`
	}{a.allows(&m.Request), string(m.Host)})
}

// login replies to POST /login of a client that is let in: with a cookie, by which the browser is
// known from now on.
func (a *access) login(c *conn.Conn, _ *http.Message) {
	if a.token != "" {
		http.SetCookie(c, http.Cookie{Name: a.name, Value: a.value, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrict, Secure: http.IsHTTPS(c)})
	}
	http.Reply(c, 204, "", "")
}

// foreign answers a request that a page of another origin made a browser send.
func (s *server) foreign(c *conn.Conn, r *http.Request) {
	why := fmt.Sprintf("a page of the Origin %.100q may not do this to the Host %.100q", r.Header("Origin"), r.Host)
	s.logForeign(c, why)
	refuse(c, 403, "%s", why)
}

// logForeign says in the log why a page was refused, once a second at most: whoever is refused may
// try as often as it likes.
func (s *server) logForeign(c *conn.Conn, why string) {
	now, until := time.Since(s.began), s.silence.Load()
	if int64(now) > until && s.silence.CompareAndSwap(until, int64(now+time.Second)) {
		slog.Warn("a page of another origin was refused; see -origin", "why", why, "from", c.Peer())
	}
}
