package http

import "github.com/seed4930a636/mangusta/conn"

// IsHTTPS reports whether the requests of c come over TLS: c is Secure, or Options.HTTPS says so.
// It is false if c has no HTTP layer.
func IsHTTPS(c *conn.Conn) bool {
	s, _ := stateOf(c)
	return s != nil && (s.opts.HTTPS || c.Secure())
}
