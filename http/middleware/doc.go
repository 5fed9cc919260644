// Package middleware has functions that stand between a listener and its handlers: access log,
// recovery from panics, CORS, CSRF, credentials, sessions, security headers, HSTS, the redirect to
// https, rate limits and address lists. Each is a func(next http.Handler) http.Handler, for
// http.Mux.Use, for one route, or for the handler of a listener:
//
//	x := http.NewMux()
//	x.Use(middleware.AccessLog(os.Stderr, nil), middleware.Recover(nil), middleware.SecurityHeaders(middleware.Headers{}))
//	x.MustHandle("GET /admin", admin, middleware.BasicAuth("admin", check))
//	http.Listen(m, "http://127.0.0.1:8080", middleware.AllowDeny(lists)(x.Serve))
//
// The first one that Use is given is the outermost: put an access log before the middleware whose
// refusals it is to see, and Recover before handlers that may panic.
//
// All but Recover are guards (http.Guard): each decides about a request, or sets fields of its
// reply, when the head is there, before the body. The handler may then reply at once, stream, or
// make a WebSocket of the connection. Requests that package http refuses itself, malformed ones
// above all, never come here: see *http.BadRequest.
//
// Constructors panic on settings that cannot work, as http.NewServer does. What they return may be
// used on several loops, unless it says otherwise.
package middleware

import (
	"net/netip"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
)

// Middleware is what every constructor here returns.
type Middleware = http.Middleware

// A Client returns the address that a request comes from, or one that is not valid if it is not
// known. A nil Client returns the peer of the connection.
type Client func(c *conn.Conn, r *http.Request) netip.Addr

// Behind is a Client for a server behind proxies in the trusted networks, which set the field: see
// http.Request.ClientAddr.
func Behind(field string, trusted ...netip.Prefix) Client {
	return func(c *conn.Conn, r *http.Request) netip.Addr { return r.ClientAddr(c, trusted, field) }
}

func (f Client) addr(c *conn.Conn, r *http.Request) netip.Addr {
	if f == nil {
		return c.RemoteAddr().Addr()
	}
	return f(c, r)
}

// must panics with a sentence about a setting unless ok.
func must(ok bool, what string) {
	if !ok {
		panic("middleware: " + what)
	}
}

// isValue reports whether s may be the value of a field: no control character but HTAB.
func isValue(s string) bool {
	for i := range len(s) {
		if x := s[i]; x < ' ' && x != '\t' || x == 0x7f {
			return false
		}
	}
	return true
}

// isToken reports whether s is a token (RFC 9110 5.6.2).
func isToken(s string) bool {
	for i := range len(s) {
		x := s[i]
		switch {
		case x >= 'a' && x <= 'z', x >= 'A' && x <= 'Z', x >= '0' && x <= '9':
		case x == '!', x >= '#' && x <= '\'', x == '*', x == '+', x == '-', x == '.', x == '^', x == '_', x == '`', x == '|', x == '~':
		default:
			return false
		}
	}
	return s != ""
}

// once returns the value of a field that is there exactly once. With several, ok is false: any
// choice would be a guess.
func once(r *http.Request, name string) (value []byte, ok bool) {
	n := 0
	for _, f := range r.Headers() {
		if len(f.Name) == len(name) && foldEqual(f.Name, name) {
			value = f.Value
			n++
		}
	}
	return value, n == 1
}

// foldEqual compares without regard to ASCII case. The lengths must be the same.
func foldEqual(a []byte, b string) bool {
	for i, x := range a {
		y := b[i]
		if x != y && (x|0x20 != y|0x20 || x|0x20 < 'a' || x|0x20 > 'z') {
			return false
		}
	}
	return true
}
