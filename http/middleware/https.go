package middleware

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/internal/origin"
)

// HSTSOptions are the settings of HSTS. The zero value means the defaults.
type HSTSOptions struct {
	// MaxAge is for how long browsers use nothing but TLS, in whole seconds; default a year.
	// Negative sends max-age=0, which makes them forget the host.
	MaxAge            time.Duration
	IncludeSubDomains bool // all names below the host's too
	Preload           bool // lets the host be put on the list that comes with browsers; needs IncludeSubDomains and a year
}

const year = 365 * 24 * time.Hour

// HSTS sets Strict-Transport-Security (RFC 6797): a browser that has seen it reaches the host over
// TLS only, and lets nobody click a warning about its certificate away. So set it only if the host
// has a certificate that browsers trust, and keeps one for MaxAge. Browsers ignore it for an
// address, and after a warning.
//
// The field goes with the replies to requests for which http.IsHTTPS is true, and with no others
// (RFC 6797 §7.2). A handler may set it again. HSTS panics if Preload comes without the rest of
// what the list asks for.
func HSTS(opts ...HSTSOptions) Middleware {
	o := HSTSOptions{}
	if len(opts) > 0 {
		o = opts[0]
	}
	if o.MaxAge == 0 {
		o.MaxAge = year
	}
	must(!o.Preload || o.IncludeSubDomains && o.MaxAge >= year, "HSTS: Preload needs IncludeSubDomains and a MaxAge of a year")
	value := hstsValue(o)
	return http.Guard(func(c *conn.Conn, _ *http.Request) bool {
		if http.IsHTTPS(c) {
			http.SetHeader(c, "Strict-Transport-Security", value)
		}
		return true
	})
}

func hstsValue(o HSTSOptions) string {
	value := "max-age=" + strconv.FormatInt(int64(max(0, o.MaxAge)/time.Second), 10)
	if o.IncludeSubDomains {
		value += "; includeSubDomains"
	}
	if o.Preload {
		value += "; preload"
	}
	return value
}

// RedirectOptions are the settings of RedirectHTTPS. The zero value means the defaults.
type RedirectOptions struct {
	Host string // a name, or an address (IPv6 in brackets), without a port; default the one that the request names
	Port int    // default 443, which URLs leave out
}

// RedirectHTTPS replies with 308 to requests that did not come over TLS (http.IsHTTPS is false):
// the same URL with https, for the same method and body. Requests over TLS pass, and so do those of
// a certificate authority that looks for an ACME token by http-01 (RFC 8555 §8.3): GET and HEAD of
// /.well-known/acme-challenge/TOKEN.
//
// Without Host, a request that names no host, or a malformed one, gets 400. The client chooses the
// host that it is sent to then: http.Options.Hosts refuses the names that are not the server's.
// RedirectHTTPS panics on a malformed Host or Port.
//
// Behind a proxy that takes TLS off, http.Options.HTTPS has to be set, or the redirect never ends.
// A listener with TLS gets no such requests: there tlsconn.Config.Redirect does the same for them.
func RedirectHTTPS(opts ...RedirectOptions) Middleware {
	o := RedirectOptions{}
	if len(opts) > 0 {
		o = opts[0]
	}
	if o.Host != "" {
		host, ok := origin.Host([]byte(o.Host))
		must(ok && len(host) == len(o.Host), "RedirectHTTPS: malformed host "+strconv.Quote(o.Host))
	}
	must(o.Port >= 0 && o.Port < 1<<16, "RedirectHTTPS: no port: "+strconv.Itoa(o.Port))
	port := ""
	if o.Port != 0 && o.Port != 443 {
		port = ":" + strconv.Itoa(o.Port)
	}
	return http.Guard(func(c *conn.Conn, r *http.Request) bool {
		if http.IsHTTPS(c) || isChallenge(r) {
			return true
		}
		host := o.Host
		if host == "" {
			h, ok := origin.Host(r.Host)
			if !ok {
				http.Error(c, 400)
				return false
			}
			host = string(h)
		}
		http.Redirect(c, 308, "https://"+host+port+originForm(r.Target))
		return false
	})
}

// isChallenge reports whether r asks for the token of an ACME challenge. The token has base64url
// characters only, so no path that means another one after cleaning is among them.
func isChallenge(r *http.Request) bool {
	token, ok := bytes.CutPrefix(r.Path, []byte("/.well-known/acme-challenge/"))
	if !ok || len(token) == 0 || r.Method != "GET" && r.Method != "HEAD" {
		return false
	}
	for _, x := range token {
		if x-'0' >= 10 && (x|0x20)-'a' >= 26 && x != '-' && x != '_' {
			return false
		}
	}
	return true
}

// originForm returns path and query of a target, without the host that an absolute one has (RFC
// 9112 §3.2).
func originForm(target []byte) string {
	s := string(target)
	if strings.HasPrefix(s, "/") {
		return s
	}
	_, s, _ = strings.Cut(s, "://")
	i := strings.IndexAny(s, "/?")
	switch {
	case i < 0: // the * of OPTIONS is among these
		return "/"
	case s[i] == '?':
		return "/" + s[i:]
	}
	return s[i:]
}
