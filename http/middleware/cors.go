package middleware

import (
	"strconv"
	"strings"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/internal/origin"
)

// CORSOptions say what pages of other origins may do, by the Fetch standard.
type CORSOptions struct {
	// Origins are the origins that are let in: "https://app.example", "https://*.app.example" for
	// any subdomain, "null", or "*" for all, which excludes Credentials. The default port of a
	// scheme may be there or not.
	Origins     []string
	Methods     []string      // beside GET, HEAD and POST, which are always allowed
	Headers     []string      // fields that a page may send beside the few that are always allowed; "*" is any
	Expose      []string      // fields of the reply that a page may read beside the few that are always allowed
	Credentials bool          // a page may read the replies to requests with cookies or credentials
	MaxAge      time.Duration // how long a browser may remember a preflight, in whole seconds; 0 is its own default
}

type cors struct {
	CORSOptions
	all                     bool // every origin
	methods, expose, maxAge string
}

// CORS replies to preflights, and lets pages of the listed origins read the replies to their
// requests. A preflight of another origin, or for a method or field that is not listed, gets 403.
// Other requests reach the handlers: see CSRF for those. CORS panics if Origins is empty, on
// malformed names, and on Credentials for all origins.
func CORS(o CORSOptions) Middleware {
	k := &cors{CORSOptions: o}
	must(len(o.Origins) > 0, "CORS: no Origins")
	for _, origin := range o.Origins {
		k.all = k.all || origin == "*"
		_, host, ok := strings.Cut(origin, "://")
		ok = ok && host != "" && strings.Trim(strings.TrimPrefix(host, "*."), "abcdefghijklmnopqrstuvwxyz0123456789.-_:[]") == ""
		must(ok || origin == "*" || origin == "null", "CORS: malformed origin "+strconv.Quote(origin))
	}
	must(!k.all || !o.Credentials, "CORS: Credentials for every origin would give any page the user's data")
	for _, list := range [][]string{o.Methods, o.Headers, o.Expose} {
		for _, name := range list {
			must(isToken(name), "CORS: malformed name "+strconv.Quote(name))
		}
	}
	k.methods = strings.Join(append([]string{"GET", "HEAD", "POST"}, o.Methods...), ", ")
	k.expose = strings.Join(o.Expose, ", ")
	if o.MaxAge > 0 {
		k.maxAge = strconv.FormatInt(int64(o.MaxAge/time.Second), 10)
	}
	return http.Guard(func(c *conn.Conn, r *http.Request) bool {
		if r.Method == "OPTIONS" && r.Header("Origin") != nil && r.Header("Access-Control-Request-Method") != nil {
			k.preflight(c, r)
			return false
		}
		if !k.all {
			// The reply differs by origin, also for requests without one: caches have to know.
			http.AddHeader(c, "Vary", "Origin")
		}
		if k.grant(c, r) && k.expose != "" {
			http.SetHeader(c, "Access-Control-Expose-Headers", k.expose)
		}
		return true
	})
}

// grant lets the origin of r read the reply.
func (k *cors) grant(c *conn.Conn, r *http.Request) bool {
	from, ok := once(r, "Origin")
	if !ok || !k.all && !matchOrigins(k.Origins, from) {
		return false
	}
	if k.all {
		http.SetHeader(c, "Access-Control-Allow-Origin", "*")
	} else {
		http.SetHeader(c, "Access-Control-Allow-Origin", string(from))
	}
	if k.Credentials {
		http.SetHeader(c, "Access-Control-Allow-Credentials", "true")
	}
	return true
}

func (k *cors) preflight(c *conn.Conn, r *http.Request) {
	http.AddHeader(c, "Vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers")
	method, one := once(r, "Access-Control-Request-Method")
	headers, ok := k.requestedHeaders(r)
	if !one || !ok || !k.allowsMethod(string(method)) || !k.grant(c, r) {
		http.Error(c, 403)
		return
	}
	http.SetHeader(c, "Access-Control-Allow-Methods", k.methods)
	if headers != "" {
		http.SetHeader(c, "Access-Control-Allow-Headers", headers)
	}
	if k.maxAge != "" {
		http.SetHeader(c, "Access-Control-Max-Age", k.maxAge)
	}
	http.ReplyBytes(c, 204, "", nil)
}

func (k *cors) allowsMethod(name string) bool {
	if name == "GET" || name == "HEAD" || name == "POST" {
		return true
	}
	for _, m := range k.Methods {
		if m == name { // methods are case-sensitive
			return true
		}
	}
	return false
}

// requestedHeaders returns the fields that a preflight asks for, if all of them are allowed. The
// reply names them one by one even for "*": with credentials, and for Authorization, browsers take
// a star for the name of a field.
func (k *cors) requestedHeaders(r *http.Request) (string, bool) {
	if r.Header("Access-Control-Request-Headers") == nil {
		return "", true
	}
	list, ok := once(r, "Access-Control-Request-Headers")
	if !ok || len(list) == 0 {
		return "", ok
	}
	for name := range strings.SplitSeq(string(list), ",") {
		name = strings.Trim(name, " \t")
		if !isToken(name) || !k.allowsHeader(name) {
			return "", false
		}
	}
	return string(list), true
}

func (k *cors) allowsHeader(name string) bool {
	for _, h := range k.Headers {
		if h == "*" || strings.EqualFold(h, name) {
			return true
		}
	}
	return false
}

// matchOrigins reports whether a pattern matches the origin.
func matchOrigins(patterns []string, from []byte) bool {
	for _, p := range patterns {
		if origin.Match(p, from) {
			return true
		}
	}
	return false
}
