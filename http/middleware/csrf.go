package middleware

import (
	"strconv"
	"strings"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
)

// CSRF answers with 403 to requests that a page of another origin makes the user's browser send. It goes by Sec-Fetch-Site, which
// every current browser sends to https and localhost, and else by Origin, whose host must be the one the request is for.
// A request with neither comes from no browser, or an old one, and passes; so do GET, HEAD and OPTIONS, which must not
// change anything, and the origins in trusted, such as "https://app.example". It panics on a malformed one.
//
// A WebSocket begins with a GET: package websocket has an Origin check of its own.
func CSRF(trusted ...string) Middleware {
	for _, origin := range trusted {
		_, host, ok := strings.Cut(origin, "://")
		must(ok && host != "" && !strings.ContainsAny(host, "/* "), "CSRF: malformed origin "+strconv.Quote(origin))
	}
	return http.Guard(func(c *conn.Conn, r *http.Request) bool {
		ok := sameOrigin(r, trusted)
		if !ok {
			http.Error(c, 403)
		}
		return ok
	})
}

func sameOrigin(r *http.Request, trusted []string) bool {
	switch r.Method {
	case "GET", "HEAD", "OPTIONS":
		return true
	}
	origin, one := once(r, "Origin")
	if origin != nil && !one {
		return false
	}
	if one && matchOrigins(trusted, origin) {
		return true
	}
	if r.Header("Sec-Fetch-Site") != nil {
		site, ok := once(r, "Sec-Fetch-Site")
		// "none" is the user's own doing: a bookmark, the address bar.
		return ok && (string(site) == "same-origin" || string(site) == "none")
	}
	if !one {
		return true
	}
	_, host, ok := strings.Cut(string(origin), "://")
	return ok && host != "" && strings.EqualFold(host, string(r.Host))
}
