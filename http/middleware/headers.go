package middleware

import (
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
)

// Headers are the fields of SecurityHeaders. An empty string is the default; "-" leaves the field
// out.
type Headers struct {
	ContentSecurityPolicy   string // default "default-src 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'"
	FrameOptions            string // X-Frame-Options; default "DENY"
	ContentTypeOptions      string // X-Content-Type-Options; default "nosniff"
	ReferrerPolicy          string // default "same-origin"
	CrossOriginOpenerPolicy string // default "same-origin"
	PermissionsPolicy       string // no default

	// HSTS is the max-age of Strict-Transport-Security, in whole seconds, with all subdomains; 0
	// leaves it out. It is sent over TLS only, as by the middleware HSTS, which has more settings.
	HSTS time.Duration
}

// SecurityHeaders sets fields that keep browsers from guessing types, from showing pages in frames
// of other sites, and from loading anything from other origins. A handler may set any of them
// again. SecurityHeaders panics on a value that is not valid in a field.
func SecurityHeaders(h Headers) Middleware {
	type line struct{ name, value string }
	var lines []line
	add := func(name, value, otherwise string) {
		if value == "" {
			value = otherwise
		}
		must(isValue(value), "SecurityHeaders: malformed "+name)
		if value != "-" && value != "" {
			lines = append(lines, line{name, value})
		}
	}
	add("Content-Security-Policy", h.ContentSecurityPolicy,
		"default-src 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'")
	add("X-Frame-Options", h.FrameOptions, "DENY")
	add("X-Content-Type-Options", h.ContentTypeOptions, "nosniff")
	add("Referrer-Policy", h.ReferrerPolicy, "same-origin")
	add("Cross-Origin-Opener-Policy", h.CrossOriginOpenerPolicy, "same-origin")
	add("Permissions-Policy", h.PermissionsPolicy, "")
	hsts := ""
	if h.HSTS > 0 {
		hsts = hstsValue(HSTSOptions{MaxAge: h.HSTS, IncludeSubDomains: true})
	}
	return http.Guard(func(c *conn.Conn, _ *http.Request) bool {
		for i := range lines {
			http.SetHeader(c, lines[i].name, lines[i].value)
		}
		if hsts != "" && http.IsHTTPS(c) {
			http.SetHeader(c, "Strict-Transport-Security", hsts)
		}
		return true
	})
}
