package middleware

import (
	"strconv"
	"strings"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/internal/origin"
)

// CSRF replies with 403 to requests that a page of another origin makes the user's browser send. It
// looks at Sec-Fetch-Site, which every current browser sends to https and localhost. Without that
// field it looks at Origin, whose scheme, host and port must be those of the request; if
// http.IsHTTPS is false, https counts as http, since a proxy may have removed TLS. A request with
// neither field comes from no browser, or from an old one, and passes. So do GET, HEAD and OPTIONS,
// which must not change anything, and requests from the origins in trusted, such as
// "https://app.example". CSRF panics on a malformed one.
//
// A WebSocket begins with a GET: package websocket has an Origin check of its own.
func CSRF(trusted ...string) Middleware {
	return CSRFOr(func(c *conn.Conn, _ *http.Request) { http.Error(c, 403) }, trusted...)
}

// CSRFOr is CSRF with a function that replies to the requests that are not let in: it may say more,
// such as the Origin.
func CSRFOr(refuse func(c *conn.Conn, r *http.Request), trusted ...string) Middleware {
	for _, origin := range trusted {
		_, host, ok := strings.Cut(origin, "://")
		must(ok && host != "" && !strings.ContainsAny(host, "/* "), "CSRF: malformed origin "+strconv.Quote(origin))
	}
	return http.Guard(func(c *conn.Conn, r *http.Request) bool {
		ok := sameOrigin(c, r, trusted)
		if !ok {
			refuse(c, r)
		}
		return ok
	})
}

func sameOrigin(c *conn.Conn, r *http.Request, trusted []string) bool {
	switch r.Method {
	case "GET", "HEAD", "OPTIONS":
		return true
	}
	from, one := once(r, "Origin")
	if from != nil && !one {
		return false
	}
	if one && matchOrigins(trusted, from) {
		return true
	}
	if r.Header("Sec-Fetch-Site") != nil {
		site, ok := once(r, "Sec-Fetch-Site")
		// "none": the user did it, with a bookmark or the address bar.
		return ok && (string(site) == "same-origin" || string(site) == "none")
	}
	return !one || origin.Same(from, r.Host, http.IsHTTPS(c))
}
