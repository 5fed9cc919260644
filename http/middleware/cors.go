package middleware

import (
	"strconv"
	"strings"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
)

// CORSOptions say what pages of other origins may do, by the Fetch standard.
type CORSOptions struct {
	// Origins are what is let in: "https://app.example", "https://*.app.example" for any subdomain, "null", or "*" for
	// all, which goes with no Credentials.
	Origins     []string
	Methods     []string      // beside GET, HEAD and POST, which need no leave
	Headers     []string      // fields that a page may send beside the few that need no leave; "*" is any
	Expose      []string      // fields of the answer that a page may read beside the few that need no leave
	Credentials bool          // answers to requests with cookies or credentials may be read
	MaxAge      time.Duration // for which a browser may remember a preflight, in whole seconds; 0 is its own default
}

type cors struct {
	CORSOptions
	all                     bool // every origin
	methods, expose, maxAge string
}

// CORS answers preflights, and lets pages of the origins listed read the answers to their requests. A preflight of another
// origin, or for a method or field that is not listed, gets 403. It does not keep other requests from the handlers: that is
// for CSRF. It panics when nothing is let in, on malformed names, and on Credentials for all origins.
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
			// The answer is another for each origin, and for none: caches have to know.
			http.AddHeader(c, "Vary", "Origin")
		}
		if k.grant(c, r) && k.expose != "" {
			http.SetHeader(c, "Access-Control-Expose-Headers", k.expose)
		}
		return true
	})
}

// grant lets the origin of r read the answer.
func (k *cors) grant(c *conn.Conn, r *http.Request) bool {
	origin, ok := once(r, "Origin")
	if !ok || !k.all && !matchOrigins(k.Origins, origin) {
		return false
	}
	if k.all {
		http.SetHeader(c, "Access-Control-Allow-Origin", "*")
	} else {
		http.SetHeader(c, "Access-Control-Allow-Origin", string(origin))
	}
	if k.Credentials {
		http.SetHeader(c, "Access-Control-Allow-Credentials", "true")
	}
	return true
}

func (k *cors) preflight(c *conn.Conn, r *http.Request) {
	http.AddHeader(c, "Vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers")
	method, one := once(r, "Access-Control-Request-Method")
	headers, ok := k.headers(r)
	if !one || !ok || !k.method(string(method)) || !k.grant(c, r) {
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

func (k *cors) method(name string) bool {
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

// headers returns the fields that a preflight asks for, if all of them are allowed. They are named one by one, also for
// "*": with credentials, and for Authorization, browsers take a star for a name.
func (k *cors) headers(r *http.Request) (string, bool) {
	if r.Header("Access-Control-Request-Headers") == nil {
		return "", true
	}
	list, ok := once(r, "Access-Control-Request-Headers")
	if !ok || len(list) == 0 {
		return "", ok
	}
	for name := range strings.SplitSeq(string(list), ",") {
		name = strings.Trim(name, " \t")
		if !isToken(name) || !k.header(name) {
			return "", false
		}
	}
	return string(list), true
}

func (k *cors) header(name string) bool {
	for _, h := range k.Headers {
		if h == "*" || strings.EqualFold(h, name) {
			return true
		}
	}
	return false
}

// matchOrigins looks for an origin among patterns. A browser sends it in lower case, and without the default port.
func matchOrigins(patterns []string, origin []byte) bool {
	for _, p := range patterns {
		scheme, host, wild := strings.Cut(p, "://*.")
		switch {
		case !wild && string(origin) == p:
			return true
		case wild && matchSubdomain(scheme, host, string(origin)):
			return true
		}
	}
	return false
}

// matchSubdomain wants scheme://LABELS.host, where LABELS holds nothing that could end a host name.
func matchSubdomain(scheme, host, origin string) bool {
	rest, ok := strings.CutPrefix(origin, scheme+"://")
	if !ok {
		return false
	}
	labels, ok := strings.CutSuffix(rest, "."+host)
	return ok && labels != "" && labels[0] != '.' && strings.Trim(labels, "abcdefghijklmnopqrstuvwxyz0123456789.-_") == ""
}
